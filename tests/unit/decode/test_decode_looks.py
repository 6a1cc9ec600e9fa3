"""The quick look (dpkt) and the deep look (scapy): what they say, their silence, what they load."""

from __future__ import annotations

import subprocess
import sys

import dpkt
import pytest
from sample_frames import ETH4, h, ip4, ip6, tcp, udp

from netlab.decode.deep import deep
from netlab.decode.quick import info


def query(name: str = "example.org") -> bytes:
    return bytes(dpkt.dns.DNS(id=7, qd=[dpkt.dns.DNS.Q(name=name, type=28)]))


def response(rcode: int = 0) -> bytes:
    message = dpkt.dns.DNS(query())
    message.qr, message.rcode = dpkt.dns.DNS_R, rcode
    if not rcode:
        answer = dpkt.dns.DNS.RR(name="example.org", type=28, ip6=bytes(15) + b"\x01")
        message.an = [answer, answer]
    return bytes(message)


def client_hello(name: bytes) -> bytes:
    server = b"\0" + len(name).to_bytes(2, "big") + name
    extension = h("0000") + (len(server) + 2).to_bytes(2, "big")
    extension += len(server).to_bytes(2, "big") + server
    body = h("0303") + bytes(32) + h("00 0002 1301 01 00")
    body += len(extension).to_bytes(2, "big") + extension
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return h("16 0301") + len(handshake).to_bytes(2, "big") + handshake


SAID = [
    ("UDP", 53, query(), "DNS query AAAA example.org"),
    ("UDP", 5353, response(), "DNS response AAAA example.org: 2 answers"),
    ("UDP", 53, response(3), "DNS response AAAA example.org: no such name"),
    ("TCP", 53, len(query()).to_bytes(2, "big") + query(), "DNS query AAAA example.org"),
    ("TCP", 80, b"GET /a?b HTTP/1.1\r\nHost: example.org\r\n\r\n",
     "GET /a?b HTTP/1.1 (host example.org)"),
    ("TCP", 8080, b"POST /up HTTP/1.0\r\nContent-Le", "POST /up HTTP/1.0"),
    ("TCP", 80, b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 404 Not Found"),
    ("TCP", 443, client_hello(b"example.org"), "TLS client hello for example.org"),
    ("TCP", 443, client_hello(b"example.org")[:40], "TLS client hello, 67 bytes"),
    ("TCP", 443, h("160303 0028 01 7a3390") + bytes(36), "TLS handshake, 40 bytes"),
    ("TCP", 443, h("170303 0010") + bytes(16), "TLS application data, 16 bytes"),
    ("TCP", 443, h("150303 0002 0100"), "TLS alert, 2 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "port", "payload", "line"), SAID)
def test_quick_look(protocol: str, port: int, payload: bytes, line: str) -> None:
    assert info(protocol, port, 40_000, payload) == line
    assert info(protocol, 40_000, port, payload) == line


SILENT = [
    ("UDP", 9999, query()),
    ("UDP", 53, b"no question at all"),
    ("UDP", 53, b""),
    ("TCP", 80, b"GET what HTTP/3\r\n"),
    ("TCP", 80, b"just some bytes"),
    ("TCP", 443, h("160303 ffff") + bytes(50)),
    ("ICMP", 80, b"GET / HTTP/1.1\r\n\r\n"),
    ("TCP", 53, query()),
]


@pytest.mark.parametrize(("protocol", "port", "payload"), SILENT)
def test_quick_look_is_silent_when_not_certain(protocol: str, port: int, payload: bytes) -> None:
    assert info(protocol, port, 40_000, payload) == ""


def test_quick_look_without_ports() -> None:
    assert info("TCP", None, None, b"GET / HTTP/1.1\r\n\r\n") == ""


@pytest.mark.parametrize(
    ("data", "link", "words"),
    [
        (ETH4 + ip4(tcp(b"hello"), 6), 1, ["Ethernet", "IP", "TCP", "Raw"]),
        (ip6(udp(b"q"), 17), 101, ["IPv6", "UDP"]),
        (ip4(udp(b"q"), 17), 228, ["IP", "UDP"]),
        (h("02000000") + ip4(udp(b"q"), 17), 0, ["Loopback", "IP"]),
        (h("0000 0304 0006 0000 0000 0000 0000 0800") + ip4(tcp(), 6), 113, ["cooked linux", "IP"]),
    ],
)
def test_deep_look(data: bytes, link: int, words: list[str]) -> None:
    heads = [line for line in deep(data, link) if "###[" in line]
    assert len(heads) >= len(words)
    for word, line in zip(words, heads, strict=False):
        assert word.lower() in line.lower()


def test_deep_look_at_a_link_without_a_layer() -> None:
    assert deep(b"bytes", 239) == ["scapy was not asked: no layer for NFLOG frames"]


CHECK = """
import sys
from netlab.decode import layers, packets, quick
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
frame = Frame(1, 1, 0, bytes(12) + b"\\x08\\x00E" + bytes(60), 75)
packets.decode(RawRecording(frames=[frame], interfaces=[Interface("a", 1, 0)]))
layers.layers(frame, Interface("a", 1, 0))
assert quick.info("TCP", 80, 4000, b"nothing known") == ""
heavy = {"scapy", "dpkt", "numpy", "rich", "polars", "socket", "asyncio"}
print(sorted(heavy & set(sys.modules)))
"""


def test_decoding_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

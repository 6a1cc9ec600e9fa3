"""One frame's layers: the field table itself, a golden page, faults, checksums in words."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from sample_frames import CASES, ETH4, ETH6, Case, h, ip4, ip6, one, tcp, udp
from sample_links import LINK_CASES, TUNNEL_CASES

from netlab.capture.files import read_raw
from netlab.decode.field import Kind
from netlab.decode.fields import FIELDS
from netlab.decode.layers import Layer, layers
from netlab.model.errors import BadRecording
from netlab.model.frame import CHECKSUM_NOT_READY, DIRECTION_OUT, Frame, Interface

HEADER_BYTES = {
    "Ethernet": 14, "802.1Q": 4, "Linux cooked v1": 16, "Linux cooked v2": 20, "BSD loopback": 4,
    "ARP": 8, "ARP addresses": 20, "IPv4": 20, "IPv6": 40, "IPv6 extension": 2, "IPv6 fragment": 8,
    "TCP": 20, "UDP": 8, "ICMP": 8, "ICMPv6": 8, "LLC": 3, "SNAP": 5, "PPP": 2, "PPPoE session": 6,
    "MPLS": 4, "GRE": 4, "ERSPAN": 8, "Cisco HDLC": 4, "FDDI": 13, "Token Ring": 14, "NFLOG": 4,
    "pflog": 4, "802.11": 2, "802.11 addresses": 22, "802.11 radiotap": 8, "PPI": 8, "IGMP": 8,
    "IGMPv3 query": 4, "IGMPv3 report": 8, "IGMPv3 record": 8, "IGMPv3 source": 4, "SCTP": 12,
    "SCTP chunk": 4, "SCTP DATA": 12, "SCTP INIT": 16, "SCTP SACK": 12, "SCTP SHUTDOWN": 4,
    "SCTP value": 0, "DCCP": 9, "DCCP short": 3, "DCCP extended": 7, "UDP-Lite": 8, "VXLAN": 8,
    "VXLAN-GPE": 8, "Geneve": 8, "GTP-U": 8, "GTP-U optional": 4, "QUIC long header": 5,
    "QUIC short header": 1, "QUIC connection ids": 2, "QUIC fields": 0,
}  # fmt: skip
OPTION_BYTES = {
    "TCP option 2": 4, "TCP option 3": 3, "TCP option 8": 10, "TCP option 19": 18,
    "TCP option 27": 8, "TCP option 28": 4, "TCP option 29": 4, "TCP option 34": 2,
    "TCP option 69": 2, "TCP experiment": 4, "TCP experiment head": 4, "TCP cookie": 0,
    "TCP option head": 2, "AccECN order 0 of 1": 3, "AccECN order 0 of 2": 6,
    "AccECN order 0 of 3": 9, "AccECN order 1 of 1": 3, "AccECN order 1 of 2": 6,
    "AccECN order 1 of 3": 9, "MPTCP": 3,
    "MP_CAPABLE": 4, "MP_CAPABLE sender": 8, "MP_CAPABLE receiver": 8,
    "MP_CAPABLE data": 2, "MPTCP checksum": 2, "MP_JOIN SYN": 12, "MP_JOIN SYN ACK": 16,
    "MP_JOIN ACK": 24, "DSS": 4, "DSS ACK of 4": 4, "DSS ACK of 8": 8, "DSS sequence of 4": 10,
    "DSS sequence of 8": 14, "ADD_ADDR": 4, "ADD_ADDR IPv4": 4, "ADD_ADDR IPv6": 16,
    "ADD_ADDR port": 2, "ADD_ADDR HMAC": 8, "REMOVE_ADDR": 3, "REMOVE_ADDR address": 1,
    "MP_PRIO": 3, "MP_PRIO address": 1, "MP_FAIL": 12, "MP_FASTCLOSE": 12, "MP_TCPRST": 4,
    "MP_EXPERIMENTAL": 3,
}  # fmt: skip


def shown(data: bytes, link: int = 1, origlen: int | None = None, flags: int = 0) -> list[Layer]:
    frame = Frame(1, 5, 0, data, len(data) if origlen is None else origlen, flags)
    return layers(frame, Interface("if0", link, 0))


def text_of(found: list[Layer], layer: str, field: str) -> str:
    return next(v.text for x in found if x.name == layer for v in x.fields if v.name == field)


def page(found: list[Layer]) -> str:
    lines = []
    for layer in found:
        lines.append(f"{layer.name} {layer.start}..{layer.stop}")
        lines += [f"  {v.start}..{v.stop} {v.name}: {v.text}" for v in layer.fields]
    return "\n".join(lines) + "\n"


def test_the_table_covers_every_bit_of_each_header() -> None:
    assert {
        name: table[-1].end_byte for name, table in FIELDS.items()
    } == HEADER_BYTES | OPTION_BYTES
    for table in FIELDS.values():
        assert sum(field.bits for field in table) == table[-1].end_byte * 8
        assert len({field.name for field in table}) == len(table)
        for field in table:
            assert field.meaning.endswith(".")
            assert field.source
            whole = field.bit % 8 == 0 and field.bits % 8 == 0
            assert whole or field.kind not in (Kind.IPV4, Kind.IPV6, Kind.MAC, Kind.BYTES)


@pytest.mark.parametrize("case", [*CASES, *LINK_CASES, *TUNNEL_CASES], ids=lambda case: case.name)
def test_every_byte_of_a_whole_frame_is_in_a_layer(case: Case) -> None:
    found = shown(case.data + b"pad!", case.link)
    assert found[0].start == 0
    assert found[-1].stop == len(case.data) + 4
    for before, after in pairwise(found):
        assert before.stop == after.start


def test_layers_page(golden: Callable[[str, str], None]) -> None:
    syn = tcp(flags=0x0C2, options=h("0204 05b4 0402 080a 0000000a 0000000b 01 0303 07"))
    odd = tcp(b"data", options=h("fe04 f989 0101 050a 00000001 00000002"))
    parts = [
        ("SYN over a VLAN", shown(ETH4[:12] + h("8100 6064 0800") + ip4(syn, 6))),
        ("SACK, unknown option", shown(ETH4 + ip4(odd, 6) + bytes(2))),
        ("broken option", shown(ETH4 + ip4(tcp(options=h("0303 0702 0000 0000")), 6))),
        ("error with its quote", shown(ETH4 + ip4(h("0303 0000 0000 0000") + ip4(udp(), 17), 1))),
        ("first fragment", shown(ETH6 + ip6(h("1100 0001 0000 00ff") + udp(b"x" * 8), 44))),
        ("cut by the snap length", shown((ETH4 + ip4(tcp(b"data"), 6))[:50], origlen=58)),
        ("not read", shown(b"bytes", 189)),
    ]
    golden("decode_layers.txt", "\n".join(f"== {name}\n{page(found)}" for name, found in parts))


def test_a_fault_is_named_where_it_is_and_what_is_there_is_shown() -> None:
    found = shown(ETH4 + ip4(tcp(words=9), 6))
    assert [layer.name for layer in found] == ["Ethernet", "IPv4", "TCP"]
    assert found[-1].fields[-1].text == "needs 36 bytes, has 20: ip total length"
    assert text_of(found, "TCP", "source port") == "54321"
    found = shown(ETH4[:7])
    assert found[-1].fields[-1].name == "fault"
    assert shown(b"")[0].fields[-1].text == "needs 14 bytes, has 0: frame end"


def test_checksums_left_to_the_device() -> None:
    data = ETH4 + ip4(tcp(b"hello"), 6)
    said = text_of(shown(data), "TCP", "checksum")
    right = int(said.removeprefix("0xabcd bad, should be "), 16)
    good = data[:50] + right.to_bytes(2, "big") + data[52:]
    assert text_of(shown(good), "TCP", "checksum") == f"0x{right:04x} good"
    left = "not filled in: left to the device"
    assert text_of(shown(data, flags=CHECKSUM_NOT_READY), "TCP", "checksum") == f"0xabcd {left}"
    # The pseudo-header's sum alone, as Linux leaves it: addresses, protocol 6, length 25.
    words = [0xC000, 0x0201, 0xC633, 0x6402, 6, 25]
    partial = sum(words)
    partial = (partial & 0xFFFF) + (partial >> 16)
    sent = data[:50] + partial.to_bytes(2, "big") + data[52:]
    assert text_of(shown(sent), "TCP", "checksum") == f"0x{partial:04x} {left}"
    assert text_of(shown(data), "IPv4", "header checksum") == f"0x0000 {left}"
    wrong = data[:24] + h("0001") + data[26:]
    assert text_of(shown(wrong), "IPv4", "header checksum").startswith("0x0001 bad, should be")
    here = "not verified: sent from here, the device may fill it in"
    assert text_of(shown(data, flags=DIRECTION_OUT), "TCP", "checksum") == f"0xabcd {here}"
    cooked = h("0004 0001 0006 020000000001 0000 0800") + data[14:]
    assert text_of(shown(cooked, 113), "TCP", "checksum") == f"0xabcd {here}"


def test_checksums_that_cannot_be_verified() -> None:
    data = ETH4 + ip4(tcp(b"hello"), 6)
    cut = text_of(shown(data[:-2], origlen=len(data)), "TCP", "checksum")
    assert cut == "0xabcd not verified: 23 of 25 bytes captured"
    part = ETH4 + ip4(tcp(b"hello"), 6, frag=0x2000)
    assert text_of(shown(part), "TCP", "checksum") == "0xabcd not verified: a fragment"
    none = ETH4 + ip4(udp(b"q")[:6] + bytes(2) + b"q", 17)
    assert text_of(shown(none), "UDP", "checksum") == "0x0000 none was made"
    routed = ETH4 + ip4(tcp(b"hello"), 6, options=h("8307 04 0a000001 00"))
    assert "source route" in text_of(shown(routed), "TCP", "checksum")


def status(text: str) -> str:
    """tshark's number for what we say: 0 bad, 1 good, 2 not verified."""
    if text.endswith(" good"):
        return "1"
    return "0" if " bad, " in text or "left to the device" in text else "2"


def test_checksum_verdicts_are_tsharks(captures_dir: Path) -> None:
    compared = {"0": 0, "1": 0, "2": 0}
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        lists = captures_dir / "expected" / f"{path.name}.tcp.tsv"
        with lists.open(newline="", encoding="utf-8", errors="replace") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        numbered = {frame.number: frame for frame in raw.frames}
        for row in rows[:150]:
            frame = numbered[int(row["frame.number"])]
            found = layers(frame, raw.interfaces[frame.interface])
            said = [v for x in found if x.name == "TCP" for v in x.fields if v.name == "checksum"]
            if not said or len(row["tcp.checksum.status"]) != 1:
                continue
            if said[0].text[7:] == "":  # the fault is in this header: tshark is silent or guesses
                continue
            mine = status(said[0].text)
            assert mine == row["tcp.checksum.status"], f"{path.name} frame {frame.number}"
            compared[mine] += 1
    assert compared["1"] > 1000
    assert compared["0"] > 10
    assert compared["2"] > 10


def test_the_row_and_the_layers_agree_on_a_frame_of_an_opaque_link() -> None:
    assert [layer.name for layer in shown(b"bytes", 189)] == ["USB"]
    assert one(b"bytes", 189).protocol == "USB"

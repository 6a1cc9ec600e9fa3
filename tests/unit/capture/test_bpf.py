"""Kernel filters, run by a small interpreter of classic BPF over frames built by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture import bpf
from netlab.capture.bpf import Filter, accept_all, only_ports, without_outgoing

SNAPLEN = 65_535


def run(program: Filter, frame: bytes, packet_type: int = 0) -> int:
    """Bytes that the filter takes, as the kernel's interpreter says (a load outside: none)."""
    a = x = at = 0

    def load(offset: int, size: int) -> int | None:
        if offset == bpf.PACKET_TYPE:
            return packet_type
        piece = frame[offset : offset + size]
        return int.from_bytes(piece, "big") if len(piece) == size else None

    while True:
        code, jt, jf, k = program[at]
        at += 1
        found: int | None = 0
        if code == bpf.RETURN:
            return k
        if code == bpf.JUMP:
            at += k
        elif code == bpf.JEQ:
            at += jt if a == k else jf
        elif code == bpf.JSET:
            at += jt if a & k else jf
        elif code == bpf.LDX_IMM:
            x = k
        elif code == bpf.LDX_IP_HEADER:
            found = load(k, 1)
            x = 4 * ((found or 0) & 0xF)
        else:
            size = 1 if code == bpf.LD_B_ABS else 2
            found = load(x + k if code == bpf.LD_H_IND else k, size)
            a = found or 0
        if found is None:
            return 0


def ports(source: int, destination: int) -> bytes:
    return struct.pack("!HH", source, destination) + bytes(16)


def ipv4(protocol: int, payload: bytes, *, options: int = 0, fragment: int = 0) -> bytes:
    header = struct.pack("!BBHHHBB", 0x45 + options, 0, 20 + 4 * options + len(payload), 1,
                         fragment, 64, protocol)  # fmt: skip
    return bytes(12) + b"\x08\x00" + header + bytes(10 + 4 * options) + payload


def ipv6(next_header: int, payload: bytes) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64)
    return bytes(12) + b"\x86\xdd" + header + bytes(32) + payload


def v6_fragment(next_header: int, offset: int, payload: bytes) -> bytes:
    return ipv6(44, struct.pack("!BBHI", next_header, 0, offset, 7) + payload)


WANTED = only_ports([7777, 53], SNAPLEN)
TAKEN = {
    "tcp to the port": ipv4(6, ports(40000, 7777)),
    "tcp from the port": ipv4(6, ports(7777, 40000)),
    "the other port": ipv4(17, ports(53, 40000)),
    "behind IP options": ipv4(6, ports(40000, 7777), options=10),
    "a first fragment": ipv4(17, ports(40000, 53), fragment=0x2000),
    "a later fragment, whose ports nobody knows": ipv4(17, ports(1, 2), fragment=0x2001),
    "the last fragment": ipv4(17, b"f", fragment=0x0001),
    "don't fragment is no fragment": ipv4(6, ports(40000, 7777), fragment=0x4000),
    "an ICMP error": ipv4(1, b"\x03\x03" + bytes(30)),
    "tcp over IPv6": ipv6(6, ports(40000, 7777)),
    "udp over IPv6": ipv6(17, ports(53, 9)),
    "ICMPv6": ipv6(58, bytes(8)),
    "a first IPv6 fragment": v6_fragment(17, 0x0001, ports(40000, 53)),
    "a later IPv6 fragment": v6_fragment(17, 0x0008, ports(1, 2)),
    "IPv6 extension headers": ipv6(0, bytes(8) + ports(1, 2)),
    "a fragment with further extension headers": v6_fragment(60, 0x0001, bytes(30)),
}
LEFT = {
    "another port": ipv4(6, ports(40000, 7778)),
    "the port's number as payload": ipv4(6, ports(1, 2) + ports(7777, 7777)),
    "another port with options that look like the port": ipv4(6, ports(1, 2), options=1),
    "an unwanted port that does not fragment": ipv4(6, ports(1, 2), fragment=0x4000),
    "another transport": ipv4(132, ports(7777, 7777)),
    "another port over IPv6": ipv6(6, ports(1, 2)),
    "another transport over IPv6": ipv6(132, ports(7777, 7777)),
    "a first IPv6 fragment of another port": v6_fragment(6, 0x0001, ports(1, 2)),
    "ARP": bytes(12) + b"\x08\x06" + bytes(28),
    "a frame cut before its ports": ipv4(6, ports(7777, 7777))[:34],
    "no frame at all": b"",
}


@pytest.mark.parametrize("what", TAKEN)
def test_taken(what: str) -> None:
    assert run(WANTED, TAKEN[what]) == SNAPLEN


@pytest.mark.parametrize("what", LEFT)
def test_left_out(what: str) -> None:
    assert run(WANTED, LEFT[what]) == 0


@given(
    wanted=st.sets(st.integers(1, 65535), min_size=1, max_size=300),
    source=st.integers(0, 65535),
    destination=st.integers(0, 65535),
    version=st.sampled_from([4, 6]),
    protocol=st.sampled_from([6, 17]),
)
def test_any_set_of_ports_takes_exactly_its_ports(
    wanted: set[int], source: int, destination: int, version: int, protocol: int
) -> None:
    program = only_ports(wanted, 99)
    build = ipv4 if version == 4 else ipv6
    expected = 99 if {source, destination} & wanted else 0
    assert run(program, build(protocol, ports(source, destination))) == expected
    one = next(iter(wanted))
    assert run(program, build(protocol, ports(source, one))) == 99
    assert run(program, build(protocol, ports(one, destination))) == 99


@given(st.binary(max_size=120))
def test_no_bytes_at_all_lead_the_filter_astray(frame: bytes) -> None:
    assert run(WANTED, frame) in (0, SNAPLEN)


@pytest.mark.parametrize(
    "program",
    [accept_all(), WANTED, without_outgoing(WANTED), only_ports(range(1, bpf.MOST_PORTS + 1))],
)
def test_programs_obey_the_kernels_rules(program: Filter) -> None:
    assert 0 < len(program) <= 4096  # BPF_MAXINSNS
    for at, (code, jt, jf, k) in enumerate(program):
        assert 0 <= jt <= 255
        assert 0 <= jf <= 255
        assert 0 <= k < 1 << 32
        if code in (bpf.JEQ, bpf.JSET):
            assert at + 1 + max(jt, jf) < len(program)
        if code == bpf.JUMP:
            assert at + 1 + k < len(program)
    assert program[-1].code == bpf.RETURN


def test_without_outgoing_leaves_out_what_leaves_and_asks_the_rest() -> None:
    program = without_outgoing(WANTED)
    frame = TAKEN["tcp to the port"]
    assert run(program, frame, packet_type=bpf.OUTGOING) == 0
    assert run(program, frame, packet_type=0) == SNAPLEN
    assert run(program, LEFT["another port"], packet_type=0) == 0


def test_accept_all_takes_the_first_bytes_of_everything() -> None:
    assert run(accept_all(96), b"") == 96
    assert run(accept_all(), LEFT["ARP"]) == bpf.SNAPLEN_BYTES


@pytest.mark.parametrize("bad", [[], [0], [65536], [-1], range(1, bpf.MOST_PORTS + 2)])
def test_ports_that_are_none_are_refused(bad: list[int]) -> None:
    with pytest.raises(ValueError, match="ports of"):
        only_ports(bad)

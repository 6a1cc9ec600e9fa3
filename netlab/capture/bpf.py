"""Kernel filters: which frames a packet ring takes, as classic BPF programs.

Turns a question ("TCP or UDP from or to these ports") into the instructions that the kernel runs on
each frame before it copies it. Opens no socket. Offsets are those of an Ethernet frame without VLAN
tag: the kernel takes the outer tag off before filters run.

Read first: linux/filter.h, Documentation/networking/filter.rst, RFC 791, RFC 8200 section 4.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Instruction(NamedTuple):
    """One `struct sock_filter`: jump offsets count from the next instruction."""

    code: int
    jt: int
    jf: int
    k: int


Filter = list[Instruction]

# Enough for every frame that Linux hands over by default (its GSO frames have at most 64 KiB of
# IP), and the most that libpcap and Wireshark accept in a file (MAXIMUM_SNAPLEN, 256 KiB).
SNAPLEN_BYTES = 262_144

# linux/bpf_common.h, linux/filter.h: class, size and mode, as they are used here.
LD_B_ABS = 0x30  # A = byte at k
LD_H_ABS = 0x28  # A = 16 bits at k
LD_H_IND = 0x48  # A = 16 bits at X + k
LDX_IMM = 0x01  # X = k
LDX_IP_HEADER = 0xB1  # X = 4 * (byte at k & 0xF): the IPv4 header's length
JUMP = 0x05  # skip k instructions
JEQ = 0x15  # A == k
JSET = 0x45  # A & k
RETURN = 0x06  # take k bytes; 0 leaves the frame out

# linux/filter.h: SKF_AD_OFF (-0x1000) + SKF_AD_PKTTYPE (4), which loads skb->pkt_type.
PACKET_TYPE = (-0x1000 + 4) & 0xFFFFFFFF
OUTGOING = 4  # linux/if_packet.h PACKET_OUTGOING

_ETHERTYPE = 12
_IPV4, _IPV6 = 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_V6_FRAGMENT = 44
_V6_OTHER_EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options
MOST_PORTS = 1000  # the kernel takes 4096 instructions (BPF_MAXINSNS), a port costs four


def accept_all(snaplen_bytes: int = SNAPLEN_BYTES) -> Filter:
    """Take every frame, its first `snaplen_bytes` bytes."""
    return [Instruction(RETURN, 0, 0, snaplen_bytes)]


def without_outgoing(rest: Filter) -> Filter:
    """`rest`, for frames that are not on their way out (kernels without PACKET_IGNORE_OUTGOING)."""
    return [
        Instruction(LD_B_ABS, 0, 0, PACKET_TYPE),
        Instruction(JEQ, 0, 1, OUTGOING),
        Instruction(RETURN, 0, 0, 0),
        *rest,
    ]


def only_ports(ports: Iterable[int], snaplen_bytes: int = SNAPLEN_BYTES) -> Filter:
    """Take TCP and UDP from or to `ports`, and what may belong to them without naming a port.

    That is ICMP and ICMPv6 (errors quote the packet that they are about), IP fragments other than
    the first, and IPv6 packets with extension headers before the transport (a filter cannot walk
    them). Raises ValueError for no port, one outside 1..65535, or more than MOST_PORTS.
    """
    wanted = sorted(set(ports))
    if not 0 < len(wanted) <= MOST_PORTS or wanted[0] < 1 or wanted[-1] > 65535:
        raise ValueError(f"not 1 to {MOST_PORTS} ports of 1..65535: {wanted[:5]}")
    extensions = [(JEQ, extension, "take", "") for extension in _V6_OTHER_EXTENSIONS]
    return _assemble(
        [
            (LD_H_ABS, _ETHERTYPE),
            (JEQ, _IPV4, "ipv4", ""),
            (JEQ, _IPV6, "ipv6", "leave"),
            "ipv4",
            (LD_B_ABS, 23),  # protocol
            (JEQ, _ICMP, "take", ""),
            (JEQ, _TCP, "ipv4 transport", ""),
            (JEQ, _UDP, "ipv4 transport", "leave"),
            "ipv4 transport",
            (LD_H_ABS, 20),  # flags and fragment offset
            (JSET, 0x1FFF, "take", ""),
            (LDX_IP_HEADER, 14),
            (JUMP, "ports"),
            "ipv6",
            (LD_B_ABS, 20),  # next header
            (LDX_IMM, 40),
            (JEQ, _TCP, "ports", ""),
            (JEQ, _UDP, "ports", ""),
            (JEQ, _ICMPV6, "take", ""),
            *extensions,
            (JEQ, _V6_FRAGMENT, "", "leave"),
            (LD_H_ABS, 56),  # fragment offset, in the upper 13 bits
            (JSET, 0xFFF8, "take", ""),
            (LD_B_ABS, 54),  # next header of the fragment header
            (LDX_IMM, 48),
            (JEQ, _TCP, "ports", ""),
            (JEQ, _UDP, "ports", "take"),
            "leave",
            (RETURN, 0),
            "take",
            (RETURN, snaplen_bytes),
            "ports",
        ]
    ) + _compare_ports(wanted, snaplen_bytes)


def _compare_ports(ports: list[int], snaplen_bytes: int) -> Filter:
    """Take when either port of the header at 14 + X is wanted: a return each, so no long jump."""
    program: Filter = []
    for offset in (14, 16):  # source, destination
        program.append(Instruction(LD_H_IND, 0, 0, offset))
        for port in ports:
            program.append(Instruction(JEQ, 0, 1, port))
            program.append(Instruction(RETURN, 0, 0, snaplen_bytes))
    return [*program, Instruction(RETURN, 0, 0, 0)]


_Line = str | tuple[int, int | str] | tuple[int, int, str, str]


def _assemble(lines: list[_Line]) -> Filter:
    """Instructions from lines: a label, (code, k), (JUMP, label) or (code, k, if true, if false).

    An empty label is the next instruction. Jumps only go forward, as the kernel demands.
    """
    where: dict[str, int] = {}
    count = 0
    for line in lines:
        if isinstance(line, str):
            where[line] = count
        else:
            count += 1
    program: Filter = []

    def distance(label: str | int) -> int:
        return where[label] - len(program) - 1 if isinstance(label, str) and label else 0

    for line in lines:
        if isinstance(line, str):
            continue
        if len(line) == 4:
            code, k, if_true, if_false = line
            program.append(Instruction(code, distance(if_true), distance(if_false), k))
        else:
            code, target = line
            k = distance(target) if isinstance(target, str) else target
            program.append(Instruction(code, 0, 0, k))
    return program

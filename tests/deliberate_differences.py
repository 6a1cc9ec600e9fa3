"""Where netlab differs from tshark 4.0 and from Zeek on captures by others, and why: the one list.

Whatever is not in it, agrees, or a test fails. An entry that no longer applies fails, too.
"""

from __future__ import annotations

from typing import NamedTuple


class Silent(NamedTuple):
    """netlab says nothing of the last so many segments of a capture."""

    segments: int
    reason: str


_DAMAGED = "TCP options are damaged or cut: tshark shows nothing of that, but remembers something"

# Verdicts: tests/unit/correlate/test_agreement.py
TSHARK_SILENT = {
    "13_tcp_option_length_zero_malformed.pcap": Silent(1, _DAMAGED),
    "heapoverflow-tcp_print.pcap": Silent(1, _DAMAGED),
    "mptcp-v1.pcap": Silent(20, "several paths, whose ACKs tshark judges together"),
    "tcp-opt.pcap": Silent(19, _DAMAGED),
    "truncated-header.pcap": Silent(24, _DAMAGED),
}


class Zeek(NamedTuple):
    """A baseline of Zeek, or one column of it, that netlab does not follow."""

    capture: str
    log: str
    column: str  # of conn.log; connections: how many there are
    reason: str


ZEEK = [
    Zeek(
        "retransmit-timeout.pcapng", "conn-all.log", "connections",
        "Zeek was told to end every connection after a while; tcp.stream, and netlab, do not",
    ),
    Zeek(
        "llc.pcap", "conn3.log", "connections",
        "Zeek begins a connection with each reset after a reset; tcp.stream, and netlab, go on",
    ),
    Zeek(
        "pppoe-over-qinq.pcap", "conn.log", "history",
        "Zeek has a third T, and the second t sooner: when it counts data as sent again at the 10th"
        " and 100th time is not documented. The first time of each letter agrees",
    ),
    Zeek(
        "wikipedia.pcap", "conn1.log", "connections",
        "with likely_server_ports off, Zeek takes who sends a SYN-ACK first for the originator;"
        " netlab, as Zeek by default, for the server",
    ),
]  # fmt: skip

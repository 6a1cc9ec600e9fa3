"""Where netlab says something else than tshark or Zeek, and means it: why, and who says so.

The one list. `tshark_compare` counts what each entry of DELIBERATE explains, `test_verdict_agreement` has
the others; a difference without an entry fails a test, and so does an entry without a difference.
"""

from __future__ import annotations

from typing import NamedTuple

from tshark_compare import SUMS, Deliberate, Difference, Facts, Row

_TRANSPORT = ("tcp.", "udp.", "icmp.", "icmpv6.", "sctp.", "dccp.", "igmp.")


def _padding(difference: Difference, _facts: Facts, _row: Row) -> bool:
    mine, theirs = difference.mine, difference.theirs
    if difference.name != "tcp.option_kind" or theirs[: len(mine)] != mine:
        return False
    return mine[-1:] == ("0",) and set(theirs[len(mine) :]) == {"0"}


def _no_time(difference: Difference, _facts: Facts, _row: Row) -> bool:
    return difference.name == "frame.time_epoch" and not difference.theirs


def _fraction(difference: Difference, _facts: Facts, _row: Row) -> bool:
    if difference.name != "frame.time_epoch" or not difference.theirs:
        return False
    return int(difference.theirs[0].partition(".")[2]) >= 10**9


def _first_fragment(difference: Difference, facts: Facts, _row: Row) -> bool:
    packet = facts.packet
    if packet.fragment is None or packet._fragment_off:
        return False
    if not difference.name.startswith(_TRANSPORT):
        return False
    # tshark has the transport once where this fragment completed the packet, else not at all.
    theirs = difference.theirs
    return difference.mine[-len(theirs) :] == theirs if theirs else packet._whole_in != packet.frame


def _quoted_sum(difference: Difference, _facts: Facts, row: Row) -> bool:
    if difference.name not in SUMS.values() or "2" not in difference.mine:
        return False
    same = [a == b or a == "2" for a, b in zip(difference.mine, difference.theirs, strict=False)]
    return ":icmp" in row["frame.protocols"] and all(same)


def _quoted_number(difference: Difference, _facts: Facts, row: Row) -> bool:
    return (
        ":icmp" in row["frame.protocols"]
        and difference.name == "tcp.seq_raw"
        and difference.mine[: len(difference.theirs)] == difference.theirs
    )


def _cut_option(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_cut = facts.packet.fault_layer == "TCP options"
    return (
        is_cut
        and difference.name == "tcp.option_kind"
        and difference.theirs[:-1] == (difference.mine)
    )


def _lite_length(difference: Difference, facts: Facts, _row: Row) -> bool:
    return difference.name == "udp.length" and facts.packet.protocol == "UDP-Lite"


def _mapping_sum(difference: Difference, _facts: Facts, _row: Row) -> bool:
    return difference.name == "tcp.options.mptcp.checksum" and not difference.theirs


DELIBERATE = [
    Deliberate("the first 0 ends the options; tshark lists each byte of the padding behind it",
               "RFC 9293 3.2", _padding),
    Deliberate("a Simple Packet Block has no time; netlab gives it the time before it",
               "draft-ietf-opsawg-pcapng 4.4", _no_time),
    Deliberate("a fraction of more than a second counts on; tshark's is cut to 32 bits",
               "draft-ietf-opsawg-pcap 5", _fraction),
    Deliberate("the first fragment shows the transport's header, for it is in it",
               "RFC 791 3.2", _first_fragment),
    Deliberate("sums of what an error quotes are not verified: it is cut, routers changed it",
               "RFC 1812 4.3.2.3", _quoted_sum),
    Deliberate("a quoted segment has its sequence number, tshark shows it as relative only",
               "RFC 792", _quoted_number),
    Deliberate("an option that is cut off is not one: its length and content are not known",
               "RFC 9293 3.1", _cut_option),
    Deliberate("UDP-Lite has no length field; tshark shows what IP says",
               "RFC 3828 3.1", _lite_length),
    Deliberate("a DSS with 8-byte numbers has its checksum; tshark shows it with short ones only",
               "RFC 8684 3.3.1", _mapping_sum),
]  # fmt: skip


class Silent(NamedTuple):
    """netlab says nothing of the last so many segments of a capture."""

    segments: int
    reason: str


_DAMAGED = "TCP options are damaged or cut: tshark shows nothing of that, but remembers something"

# Verdicts: tests/unit/correlate/test_verdict_agreement.py
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

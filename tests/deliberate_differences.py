"""Where netlab says something else than tshark or Zeek, and means it: why, and who says so.

The one list. `tshark_compare` counts what each entry of DELIBERATE explains,
`test_verdict_agreement` has the others; a difference without an entry fails a test, and so does an
entry without a difference: `deliberate_samples` has the frames that no capture at hand has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tshark_compare import SUMS, Deliberate, Difference, Facts, Row

from netlab.correlate.flows import SYN
from netlab.decode import faults
from netlab.decode.links import LINKS
from netlab.decode.tunnels import TUNNEL_NAMES
from netlab.model.tables import Packet

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
    seconds, _, fraction = difference.theirs[0].partition(".")
    if int(fraction) < 10**9:
        return False
    mine = int(difference.mine[0].replace(".", "")) - int(seconds) * 10**9
    return mine % (1 << 32) == int(fraction)


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
    is_broken = any(value.name == "broken option" for one in facts.layers for value in one.fields)
    if not is_broken or not difference.name.startswith("tcp.option"):
        return False
    return difference.theirs[: len(difference.mine)] == difference.mine


def _lite_length(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_lite = facts.packet.protocol == "UDP-Lite"
    return difference.name == "udp.length" and is_lite and not difference.mine


def _mapping_sum(difference: Difference, _facts: Facts, _row: Row) -> bool:
    return difference.name == "tcp.options.mptcp.checksum" and not difference.theirs


def _closed_link(difference: Difference, facts: Facts, _row: Row) -> bool:
    if facts.link in LINKS:
        return False
    if difference.name in ("frame.cap_len", "frame.len"):  # without what is no part of the frame
        return int(difference.mine[0]) > int(difference.theirs[0])
    return not difference.mine


# What netlab names and leaves closed, though packets are in it.
CLOSED = ("pim", "avsp", "macsec", "nsh", "sflow", "openflow_v4", "nhrp", "cmd", "erspan", "wccp",
          "lisp", "lisp-data", "etherip", "ieee8021ah", "trill", "teredo", "l2tp",
          "udp:gre")  # fmt: skip
# Types of IGMP that tshark shows with fields of another name.
IGMP_OF_OTHERS = ("igmp:dvmrp", "igmp:pim")


def _closed_protocol(difference: Difference, _facts: Facts, row: Row) -> bool:
    """Of what stands behind the closed one, and there alone, netlab has less."""
    stack = row["frame.protocols"]
    inside = [stack.partition(f":{name}:")[2] for name in CLOSED]
    names = max(inside, key=len).split(":")
    mine = difference.mine
    return difference.name.partition(".")[0] in names and difference.theirs[: len(mine)] == mine


def _redirected(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_closed = facts.packet.protocol == "EtherType 0x883e"
    return is_closed and difference.theirs[: len(difference.mine)] == difference.mine


def _igmp_of_others(difference: Difference, _facts: Facts, row: Row) -> bool:
    is_theirs = row["frame.protocols"].endswith(IGMP_OF_OTHERS)
    return is_theirs and difference.name.startswith("igmp.") and not difference.theirs


def _rarp(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_reverse = facts.packet.protocol == "RARP"
    return is_reverse and difference.name.startswith("arp.") and not difference.mine


def _other_way(difference: Difference, facts: Facts, _row: Row) -> bool:
    """What a tunnel's own port sends to another, which no tunnel's end does."""
    packet = facts.packet
    if packet.sport not in TUNNEL_NAMES or packet.dport in TUNNEL_NAMES:
        return False
    return difference.theirs[: len(difference.mine)] == difference.mine


def _cut_header(difference: Difference, facts: Facts, _row: Row) -> bool:
    mine, theirs, layer = difference.mine, difference.theirs, facts.packet.fault_layer
    if layer is None:
        return False
    if difference.name in SUMS.values() and (mine, theirs) == (("2",), ("0",)):
        return True  # of what is not all there
    is_cut = difference.name.partition(".")[0] == layer.lower()
    return is_cut and len(mine) > len(theirs) and mine[: len(theirs)] == theirs


def _sent_here(difference: Difference, facts: Facts, _row: Row) -> bool:
    pairs = list(zip(difference.mine, difference.theirs, strict=False))
    same = all(mine == theirs or (mine, theirs) == ("2", "0") for mine, theirs in pairs)
    if difference.name not in SUMS.values() or not same:
        return False
    return any("sent from here" in value.text for layer in facts.layers for value in layer.fields)


def _short_header(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_short = any(layer.name == "QUIC short header" for layer in facts.layers)
    return (
        difference.name == "quic.dcid"
        and is_short
        and len(difference.mine) < len(difference.theirs)
    )


def _unseen_short(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_short = any(layer.name == "QUIC short header" for layer in facts.layers)
    return difference.name == "quic.header_form" and is_short and not difference.theirs


def _other_version(difference: Difference, facts: Facts, _row: Row) -> bool:
    is_other = facts.packet.fault_limited_by == faults.VERSION
    return is_other and difference.theirs[: len(difference.mine)] == difference.mine


def _big(difference: Difference, facts: Facts, _row: Row) -> bool:
    zero = any(v.text.startswith("0: too long") for layer in facts.layers for v in layer.fields)
    is_big = zero or (facts.packet.origlen_bytes > 65_535 and bool(facts.packet._carriers))
    return is_big and difference.mine[: len(difference.theirs)] == difference.theirs


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
    Deliberate("a link that netlab only names", "the LINKTYPE_ registry", _closed_link),
    Deliberate("a protocol that netlab names and leaves closed, though a packet is in it",
               "RFC 7761 4.9.3 (PIM), RFC 8300 (NSH), IEEE 802.1AE", _closed_protocol),
    Deliberate("WCCP's redirected packet, in GRE behind four bytes; tshark has no name for them",
               "draft-mclaggan-wccp-v2rev1 3.12", _redirected),
    Deliberate("a type of IGMP that others own: tshark shows it with fields of their name",
               "RFC 1075 3, RFC 9776 4", _igmp_of_others),
    Deliberate("RARP is named; nobody asks for an address that way any more",
               "RFC 903", _rarp),
    Deliberate("a tunnel is told by the port it is sent to; the other one names a flow",
               "RFC 7348 5, RFC 8926 3.3, 3GPP TS 29.281 4.4.2", _other_way),
    Deliberate("of a header that is cut, the fields that are there are shown; the fault says it",
               "RFC 1122 3.2.2.7", _cut_header),
    Deliberate("a sum of a frame sent from here is not called wrong: the device may fill it in",
               "Linux: CHECKSUM_PARTIAL", _sent_here),
    Deliberate("a short header does not say how long its connection id is",
               "RFC 9000 17.3.1", _short_header),
    Deliberate("a short header at QUIC's port is one; tshark wants to have seen the long one",
               "RFC 9000 17.3.1", _unseen_short),
    Deliberate("a length of 0 means more than 65,535 bytes, or left to a device: it is opened",
               "RFC 2675 2, 4; Linux: BIG TCP", _big),
    Deliberate("a header of another version than its EtherType says is neither",
               "RFC 791 3.1, RFC 8200 3", _other_version),
    Deliberate("a DSS with 8-byte numbers has its checksum; tshark shows it with short ones only",
               "RFC 8684 3.3.1", _mapping_sum),
]  # fmt: skip


class Silent(NamedTuple):
    """netlab says nothing of the last so many segments of a capture."""

    segments: int
    reason: str


_DAMAGED = "TCP options are damaged: tshark shows nothing of that, but remembers something"

# Verdicts: tests/unit/correlate/test_verdict_agreement.py
TSHARK_SILENT = {
    "13_tcp_option_length_zero_malformed.pcap": Silent(1, _DAMAGED),
    "mptcp-v1.pcap": Silent(20, "several paths, whose ACKs tshark judges together"),
    "tcp-opt.pcap": Silent(19, _DAMAGED),
    "truncated-header.pcap": Silent(24, _DAMAGED),
}

TSHARK_CUT = (
    "the end of the TCP header is cut off: tshark goes by what it read of it, and shows nothing;"
    " netlab says what that was"
)
TSHARK_HIDES = {"heapoverflow-tcp_print.pcap": Silent(1, TSHARK_CUT)}


class Offers:
    """What the SYNs of a connection offered so far: their window scales by direction."""

    def __init__(self) -> None:
        self._scales: dict[str, list[int | None]] = {}
        self._are_cut = False

    def take(self, packet: Packet, direction: str) -> None:
        if packet._flags & SYN:
            options = packet._options
            scale = None if options is None else options.wscale
            self._scales.setdefault(direction, []).append(scale)
            self._are_cut |= packet.caplen_bytes < packet.origlen_bytes

    @property
    def are_all_here(self) -> bool:
        """Whether both ends' are, so that they say what was agreed upon."""
        return len(self._scales) == 2 and not self._are_cut

    @property
    def lack_one(self) -> bool:
        return any(None in every for every in self._scales.values())

    @property
    def contradict(self) -> bool:
        """Whether an end offered this in one SYN and that in the next, or in only one of them."""
        return any(len(set(every)) > 1 for every in self._scales.values())


class Window(NamedTuple):
    """Where `seg_wnd_bytes` is not tcp.window_size; the first entry that fits explains it."""

    reason: str
    source: str
    explains: Callable[[int, int | None, int, Offers], bool]  # raw, netlab's, tshark's


WINDOWS = [
    Window(
        "with a SYN that was not captured nobody knows what was agreed upon, and netlab says so;"
        " tshark gives the 16 bits, or scales as if the other end had offered it, too",
        "RFC 7323 2.2",
        lambda _raw, mine, _theirs, offers: mine is None and not offers.are_all_here,
    ),
    Window(
        "one end's SYN is without window scale, so neither scales; tshark scales again once the"
        " other end repeats its SYN",
        "RFC 7323 2.2",
        lambda raw, mine, theirs, offers: mine == raw != theirs and offers.lack_one,
    ),
    Window(
        "SYNs of one end contradict each other: netlab takes a scale that was offered at any time"
        " (a SYN that is resent without it does not take it back), tshark goes by which SYN-ACK"
        " came first without it",
        "RFC 7323 2.2, RFC 9293 3.8.1",
        lambda _raw, mine, _theirs, offers: mine is not None and offers.contradict,
    ),
]


def window_reason(raw: int, mine: int | None, theirs: int, offers: Offers) -> str:
    """Which entry explains a window; none: it is not meant."""
    return next((one.reason for one in WINDOWS if one.explains(raw, mine, theirs, offers)), "")


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

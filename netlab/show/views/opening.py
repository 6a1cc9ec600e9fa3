"""Tables and raw material -> how a TCP connection was opened: offers, agreement, round trips.

What each end offered stands in its SYN; what follows from both is what the RFCs say of each option,
named beside it. Options that no column has are read from the frames. Pure: no widths, no colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median_low

from netlab.decode.tcp_options import tcp_options
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Direction, Packet, Segment, Tables
from netlab.show.format import scale_text

_ECE, _CWR, _AE = 0x40, 0x80, 0x100
_MSS, _WSCALE, _SACK, _TIMESTAMPS, _MD5, _AO, _MPTCP, _FAST_OPEN = 2, 3, 4, 8, 19, 29, 30, 34
_EXPERIMENTS, _FAST_OPEN_MAGIC = (253, 254), b"\xf9\x89"
_DEFAULT_MSS = {4: 536, 6: 1220}  # RFC 9293 3.7.1
# A SYN ACK's AE, CWR and ECE that take up Accurate ECN (RFC 9768 3.1.1, table 2).
_ACCURATE = {_CWR, _CWR | _ECE, _AE, _AE | _CWR}


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that a SYN may offer: by whom it was, and what both made of it."""

    name: str
    client: str  # empty: not offered
    server: str  # empty: not offered, or its SYN is not here
    agreed: str
    source: str


@dataclass(frozen=True, slots=True)
class Opening:
    """How the connection was opened."""

    client_syn: int | None  # frame; None: not captured
    server_syn: int | None
    syns: int  # copies included
    synacks: int
    offers: tuple[Offer, ...]
    not_offered: tuple[str, ...]  # names, by neither
    handshake_ns: int | None  # first SYN to the ACK that completed it
    to_synack_ns: int | None  # its two halves, where it had no copies
    to_ack_ns: int | None
    client_rtt_ns: int | None  # median time that ACKs of the client's segments took
    client_rtts: int
    server_rtt_ns: int | None
    server_rtts: int


@dataclass(frozen=True, slots=True)
class _Syn:
    packet: Packet
    segment: Segment | None
    options: dict[int, bytes]  # kind -> the whole option


def opening(tables: Tables, raw: RawRecording, connection: Connection) -> Opening | None:
    """How a TCP connection was opened; None for anything else, and where it has no frames."""
    if connection.protocol != "tcp" or connection.first_ns is None:
        return None
    number = connection.connection
    segments = {s.frame: s for s in tables.segments if s.connection == number}
    client: list[Packet] = []
    server: list[Packet] = []
    for packet in tables.packets:
        if packet.connection == number and "SYN" in (packet.tcp_flags or "") and not packet._made:
            (client if packet.direction == Direction.C2S else server).append(packet)
    ours = _syn(raw, client, segments)
    theirs = _syn(raw, server, segments)
    offers = list(_offers(connection, ours, theirs)) if ours or theirs else []
    made = [offer for offer in offers if offer.client or offer.server]
    alone = len(client) == len(server) == 1 and not any(packet._wired for packet in client)
    to_synack = server[0].time_ns - client[0].time_ns if alone else None
    handshake = connection.handshake_ns
    times: dict[str, list[int]] = {Direction.C2S: [], Direction.S2C: []}
    for segment in segments.values():
        if segment.ack_rtt_ns is not None and segment.seg_len == 0:
            # The ACK travels against what it acknowledges.
            acked = Direction.S2C if segment.direction == Direction.C2S else Direction.C2S
            times[acked].append(segment.ack_rtt_ns)
    return Opening(
        client_syn=ours.packet.frame if ours else None,
        server_syn=theirs.packet.frame if theirs else None,
        syns=len(client),
        synacks=len(server),
        offers=tuple(made),
        not_offered=tuple(o.name for o in offers if not o.client and not o.server),
        handshake_ns=handshake,
        to_synack_ns=to_synack,
        to_ack_ns=None if handshake is None or to_synack is None else handshake - to_synack,
        client_rtt_ns=_median(times[Direction.C2S]),
        client_rtts=len(times[Direction.C2S]),
        server_rtt_ns=_median(times[Direction.S2C]),
        server_rtts=len(times[Direction.S2C]),
    )


def _median(times: list[int]) -> int | None:
    return median_low(times) if times else None


def _syn(raw: RawRecording, packets: list[Packet], segments: dict[int, Segment]) -> _Syn | None:
    """The first of an end's SYNs with its options, as they stand in the frame."""
    if not packets:
        return None
    packet = packets[0]
    frame = next(frame for frame in raw.frames if frame.number == packet.frame)
    options: dict[int, bytes] = {}
    if 0 <= frame.interface < len(raw.interfaces):
        for option in tcp_options(packet, frame, raw.interfaces[frame.interface]).values():
            options.setdefault(*_kind_and_option(option))
    return _Syn(packet, segments.get(packet.frame), options)


def _kind_and_option(raw: bytes) -> tuple[int, bytes]:
    """An experiment's option as the one that it became: fast open began as one (RFC 7413 7)."""
    if raw[0] in _EXPERIMENTS and raw[2:4] == _FAST_OPEN_MAGIC:
        return _FAST_OPEN, raw[:2] + raw[4:]
    return raw[0], raw


def _offers(row: Connection, client: _Syn | None, server: _Syn | None) -> Iterator[Offer]:
    """All that may be offered, whether it was or not."""
    yield _mss(row, client, server)
    yield _scale(row, client, server)
    lack = _lack(row, client, server)
    for name, ours, theirs, source in (
        ("SACK", row.client_sack, row.server_sack, "RFC 2018 2"),
        ("timestamps", row.client_timestamps, row.server_timestamps, "RFC 7323 3.2"),
    ):
        agreed = _agreed(bool(ours), bool(theirs), lack)
        yield Offer(name, _yes(ours), _yes(theirs), agreed, source)
    yield _ecn(client, server, lack)
    yield _fast_open(client, server, lack)
    for kind, name, source in (
        (_MPTCP, "MPTCP", "RFC 8684 3.1"), (_AO, "TCP-AO", "RFC 5925"), (_MD5, "MD5", "RFC 2385"),
    ):  # fmt: skip
        ours, theirs = (kind in one.options if one else False for one in (client, server))
        if ours or theirs:
            yield Offer(name, _yes(ours), _yes(theirs), _agreed(ours, theirs, lack), source)


def _yes(offered: bool | None) -> str:
    return "yes" if offered else ""


def _lack(row: Connection, client: _Syn | None, server: _Syn | None) -> str:
    """Which half of a handshake is not here; empty where both are."""
    if client is None:
        return "the client's SYN is not here"
    if server is None:
        return "no SYN-ACK is here" if row.server_packets else "the server has not answered"
    return ""


def _agreed(ours: bool, theirs: bool, lack: str) -> str:
    """An option that needs both ends; the word of one is half of it."""
    if lack:
        return f"not known: {lack}"
    return "in use" if ours and theirs else "off: one end did not offer it"


def _mss(row: Connection, client: _Syn | None, server: _Syn | None) -> Offer:
    version = (client or server or _NOBODY).packet.ip_version or 4
    least = _DEFAULT_MSS[version]

    def limit(mss: int | None, arrow: str) -> str:
        return f"{least if mss is None else mss} B {arrow}"

    # Each announces what it takes, and so what the other may send (RFC 9293 3.7.1).
    there = [
        limit(mss, arrow)
        for syn, mss, arrow in ((server, row.server_mss, "→"), (client, row.client_mss, "←"))
        if syn is not None
    ]
    lack = _lack(row, client, server)
    agreed = f"up to {', '.join(there)}" + (f"; {lack}" if lack else "")
    ours, theirs = ("" if mss is None else str(mss) for mss in (row.client_mss, row.server_mss))
    return Offer("MSS", ours, theirs, agreed, "RFC 9293 3.7.1")


_NOBODY = _Syn(Packet(0, 0, None, "", "", "", 0, 0), None, {})


def _scale(row: Connection, client: _Syn | None, server: _Syn | None) -> Offer:
    def text(shift: int | None) -> str:
        return "" if shift is None else scale_text(shift)

    lack = _lack(row, client, server)
    agreed = _agreed(row.client_wscale is not None, row.server_wscale is not None, lack)
    return Offer(
        "window scale", text(row.client_wscale), text(row.server_wscale), agreed, "RFC 7323 2.2"
    )


def _ecn(client: _Syn | None, server: _Syn | None, lack: str) -> Offer:
    asked = (client.packet._flags if client else 0) & (_AE | _CWR | _ECE)
    answer = (server.packet._flags if server else 0) & (_AE | _CWR | _ECE)
    ours = {_AE | _CWR | _ECE: "accurate", _CWR | _ECE: "classic"}.get(asked, "")
    theirs = ""
    if ours == "accurate" and answer in _ACCURATE:
        theirs = "accurate"
    elif ours and answer == _ECE:
        theirs = "classic"
    agreed = _agreed(bool(ours), bool(theirs), lack)
    return Offer("ECN", ours, theirs, agreed.replace("in use", f"{theirs} in use"), "RFC 9768 3.1")


def _fast_open(client: _Syn | None, server: _Syn | None, lack: str) -> Offer:
    asked, given = (one.options.get(_FAST_OPEN) if one else None for one in (client, server))
    ours = theirs = ""
    if asked is not None:
        size = len(asked) - 2
        ours = f"cookie, {size} B" if size else "asks for one"
    if given is not None and len(given) > 2:
        theirs = f"cookie, {len(given) - 2} B"
    agreed = "no cookie given: off" if ours else ""
    if server is None:
        agreed = f"not known: {lack}"
    elif theirs:
        agreed = "a cookie for next time"
    sent = client.segment.payload_len_bytes if client and client.segment else 0
    ack = server.segment.ack if server and server.segment else None
    if sent and ack is not None:
        taken = min(max(ack - 1, 0), sent)
        agreed = f"{taken} of {sent} bytes in the SYN taken"
    return Offer("fast open", ours, theirs, agreed, "RFC 7413 3")

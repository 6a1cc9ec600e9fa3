"""A connection's frames -> Zeek's words for it: conn_state, and the letters of its history.

Zeek's own words, so that its logs and netlab's tables can be laid beside each other: what happened
is said in full by `client_state`, `server_state`, `closed_by` and the verdicts. A letter stands for
the first time that an end did something, big for the originator's: S SYN, H SYN-ACK, A pure ACK,
D data, F FIN, R RST, and ^ where the first frame was the answer; G bytes that were acknowledged and
not captured, T data again, W a window of 0, these again at the 10th, 100th ... time.
Zeek's table forgets a connection that was reset or idle; here one is what tcp.stream counts.
Read first: Zeek's documentation of conn.log.
"""

from __future__ import annotations

from typing import NamedTuple

from netlab.correlate.flows import ACK, FIN, RST, SYN, Flow
from netlab.correlate.segments import Row, Track
from netlab.model.ranges import RangeSet
from netlab.model.tables import Direction

_SCALE = 10
_D, _A = 1 << (ord("D") - ord("A")), 1
_NONE, _SYN, _SYNACK, _PARTIAL, _OPEN, _CLOSED, _RESET = range(7)
_BEFORE = frozenset((_NONE, _PARTIAL))  # it was not seen to begin


class _End:
    """What one end did so far."""

    def __init__(self, *, originator: bool) -> None:
        self._originator = originator
        self.state = _NONE
        self.sent_payload = False
        self.letters = 0  # bits of those written
        self._counts = {"G": 0, "T": 0, "W": 0}
        self._next = {"G": 1, "T": 1, "W": 1}
        self.last: int | None = None  # highest number sent
        self.edge: int | None = None  # all before is captured, or given up
        self.ahead = RangeSet()
        self.missed_bytes = 0
        self.begin: int | None = None  # of its stream, as far as is known
        self.stop = 0

    def once(self, history: list[str], letter: str) -> None:
        bit = 1 << (ord(letter) - ord("A"))
        if not self.letters & bit:
            self.letters |= bit
            history.append(letter if self._originator else letter.lower())

    def scaled(self, history: list[str], letter: str) -> None:
        self._counts[letter] += 1
        if self._counts[letter] == self._next[letter]:
            self._next[letter] *= _SCALE
            history.append(letter if self._originator else letter.lower())

    def captured(self, start: int, stop: int) -> None:
        """These bytes of its stream are in the capture."""
        if self.edge is None or start > self.edge:
            if self.edge is None and not self.ahead:
                self.edge = start
            self.ahead.add(start, stop)
        if self.edge is not None and start <= self.edge < stop:
            self.edge = self.ahead.run_stop(stop) if self.ahead else stop

    def acknowledged(self, offset: int) -> bool:
        """The other end has all before `offset`; True where some of that was not captured."""
        if self.edge is None or offset <= self.edge:
            return False
        self.missed_bytes += sum(b - a for a, b in self.ahead.gaps(self.edge, offset))
        self.edge = self.ahead.run_stop(offset)
        return True


class Conn(NamedTuple):
    """What Zeek would write. Streams: as long as frames and ACKs show, whatever was captured."""

    conn_state: str
    history: str
    client_stream_bytes: int
    server_stream_bytes: int
    client_missed_bytes: int  # acknowledged, and not captured
    server_missed_bytes: int


def conn_of_track(track: Track) -> Conn:
    """The words of a TCP connection."""
    ends = {
        Direction.C2S: _End(originator=True),
        Direction.S2C: _End(originator=False),
    }
    for direction, end in ends.items():
        if track.halves[direction].syns:
            end.edge = end.begin = 0
    history: list[str] = []
    c2s, client, server = Direction.C2S, ends[Direction.C2S], ends[Direction.S2C]
    for place, row in enumerate(track.rows):
        if row.packet._made:
            continue
        mine, other = (client, server) if row.direction is c2s else (server, client)
        if mine.letters and _is_plain(row, mine, other):
            continue
        if place == 0 and row.packet._flags & (SYN | ACK) == SYN | ACK:
            history.append("^")
        _write(row, mine, other, history, track)
        _move(row.packet._flags, mine, other)
    return Conn(
        _conn_state(client, server), "".join(history), client.stop - (client.begin or 0),
        server.stop - (server.begin or 0), client.missed_bytes, server.missed_bytes,
    )  # fmt: skip


def _is_plain(row: Row, mine: _End, other: _End) -> bool:
    """Whether a frame writes nothing, as nearly all do, and then what it changes."""
    packet, segment = row.packet, row.segment
    length = segment.payload_len_bytes
    if not mine.letters & (_D if length else _A) or mine.ahead or packet.seg_wnd_raw == 0:
        return False
    if packet._flags & (SYN | FIN | RST | ACK) != ACK:
        return False
    if segment.ack is not None:
        offset = segment.ack - 1
        if other.edge is None or offset > other.edge:
            return False
    if length:
        kept = packet.caplen_bytes - (packet.payload_off or 0)
        if segment.start != mine.edge or kept < length:
            return False
        mine.edge = mine.stop = segment.stop
        mine.last = segment.seq + length
    return True


def _write(row: Row, mine: _End, other: _End, history: list[str], track: Track) -> None:
    packet, segment = row.packet, row.segment
    flags, length = packet._flags, segment.payload_len_bytes
    if flags & SYN:
        mine.once(history, "H" if flags & ACK else "S")
    if length and not flags & RST:
        mine.once(history, "D")
        mine.sent_payload = True
        mine.begin = segment.start if mine.begin is None else min(mine.begin, segment.start)
        mine.stop = max(mine.stop, segment.stop)
        kept = min(length, max(packet.caplen_bytes - (packet.payload_off or 0), 0))
        if mine.edge is None and not kept:
            mine.edge = segment.start
        if kept:
            mine.captured(segment.start, segment.start + kept)
    elif not flags & (SYN | FIN | RST) and flags & ACK:
        mine.once(history, "A")
    again = mine.last is not None and segment.seq + length <= mine.last
    if length and again and not flags & RST:
        mine.scaled(history, "T")
    if not flags & RST:
        mine.last = max(mine.last or 0, segment.seq + length)
        if packet.seg_wnd_raw == 0:
            mine.scaled(history, "W")
    if flags & FIN:
        mine.once(history, "F")
    if flags & RST:
        mine.once(history, "R")
    if segment.ack is not None and not flags & RST:
        limit = track.halves[row.direction.reverse].fin_off
        offset = segment.ack - 1 if limit is None else min(segment.ack - 1, limit)
        if other.begin is not None:
            other.stop = max(other.stop, offset)
        if other.acknowledged(offset):
            other.scaled(history, "G")


def _move(flags: int, mine: _End, other: _End) -> None:
    """What a frame does to the states of both ends, as Zeek follows them."""
    if mine.state == _RESET:
        return
    if flags & RST:
        if not (mine.state in _BEFORE and other.state == _NONE):
            mine.state = _RESET
        return
    if mine.state == _NONE:
        if flags & (SYN | ACK) == SYN | ACK:
            answers = other.state == _SYN
            mine.state = _OPEN if answers else _SYNACK
            other.state = _OPEN if answers else other.state
        elif flags & SYN:
            mine.state = _SYN
        else:
            mine.state = _PARTIAL
    elif mine.state == _SYN and flags & (SYN | ACK) == ACK and other.state == _SYNACK:
        mine.state = other.state = _OPEN
    if flags & FIN:
        mine.state = _CLOSED


def _conn_state(client: _End, server: _End) -> str:
    ours, theirs = client.state, server.state
    if theirs == _RESET:
        quiet = not client.sent_payload and not server.sent_payload
        if ours in (_SYN, _SYNACK) or (ours == _RESET and quiet):
            return "REJ"
        return "RSTRH" if ours in _BEFORE else "RSTR"
    if ours == _RESET:
        return "RSTOS0" if theirs in _BEFORE else "RSTO"
    if ours == theirs == _CLOSED:
        return "SF"
    if ours == _CLOSED:
        return "SH" if theirs in _BEFORE else "S2"
    if theirs == _CLOSED:
        return "SHR" if ours in _BEFORE else "S3"
    if ours == _SYN and theirs == _NONE:
        return "S0"
    return "S1" if ours == theirs == _OPEN else "OTH"


def conn_of_datagrams(flow: Flow) -> tuple[str, str]:
    """conn_state and history of a UDP conversation: who spoke, in which order."""
    said = dict.fromkeys(packet.direction for packet in flow.packets if not packet._made)
    history = "".join("D" if direction is Direction.C2S else "d" for direction in said)
    if Direction.C2S in said:
        return ("SF" if Direction.S2C in said else "S0"), history
    return ("SHR" if said else "OTH"), history

"""Datagrams that reached a socket and that no call ever read.

The byte ledger says of each datagram why nobody read it. Where several fit what was read it does
not say which were: then their number less that of the reads is what was not, at the least. UDP
tells the sender nothing of that, and drops what comes while the receive buffer has no room
(udp_queue_rcv_skb in Linux). That a datagram was dropped, and did not only wait, is proven where a
later one was read (a queue is first in, first out), or where the socket had nothing to read after
it had come. Silent where calls of the reader may be missing.
Read first: man 7 udp, man 7 socket (SO_RCVBUF).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice

from netlab.correlate.addresses import is_wildcard, maybe_endpoint
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import counted, name_of
from netlab.model.call import MSG_ERRQUEUE, is_inbound
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Direction

_SETTLE_NS = 20_000_000  # from the stamp of a frame to its place in the queue, on a busy machine
_ONE = re.compile(r"\bnfds=1\b")
_REASONS = (Reason.STILL_QUEUED_DATAGRAM, Reason.DATAGRAM_DROPPED, Reason.SEVERAL_FIT)
_CALLS = frozenset({"calls", "bytes"})


@dataclass(frozen=True, slots=True)
class _Unit:
    """A datagram that came, or a part of a run that arrived as one (UDP_SEGMENT)."""

    length: int
    arrived_ns: int
    first_frame: int
    frame: int  # with which it was whole


@dataclass(frozen=True, slots=True)
class _Unread:
    """What was not read of one direction of a conversation."""

    known: list[_Unit]  # surely never read
    dropped: int  # of these, for later ones were read
    some: list[_Unit]  # not all of them were read,
    reads: list[Call]  # for so many reads took them: which, is not known

    @property
    def fewest(self) -> int:
        """Of `some`, how many at least were never read."""
        return max(len(self.some) - len(self.reads), 0)


def unread_datagrams(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Datagrams reached a socket, and its program never read them."""
    if row.protocol != "udp" or scene.raw.cut_short:
        return
    if any(loss.what in _CALLS for loss in scene.raw.losses):
        return
    for direction in Direction:
        if not any(u.direction == direction for u in scene.unread.get(row.connection, ())):
            continue
        socket = _receiver(scene, row, direction)
        if socket is None or any(scene.call(n).op == "detach" for n in socket.calls):
            continue
        found = _unread(scene, row, direction, socket)
        if found.known or found.fewest:
            yield _finding(scene, row, direction, socket, found)


def _receiver(scene: Scene, row: Connection, direction: Direction) -> Socket | None:
    """The one socket that what went this way came to; None: it is not known which."""
    known = scene.ends.get((row.connection, direction.receiver))
    if known is not None:
        return known
    to_server = direction is Direction.C2S
    address, port = (row.server, row.server_port) if to_server else (row.client, row.client_port)
    sender = scene.ends.get((row.connection, direction.sender))
    found = []
    for socket in scene.sockets.all:
        local = socket.local_endpoint
        if socket.is_stream or socket.is_local or local is None or local[1] != port:
            continue
        if is_wildcard(local) or local[0] == address:
            elsewhere = sender is None or socket.host != sender.host or row.client == row.server
            found += [socket] if elsewhere else []
    return found[0] if len(found) == 1 else None


def _unread(scene: Scene, row: Connection, direction: Direction, socket: Socket) -> _Unread:
    until_ns = _listens_until_ns(scene, socket)
    found: dict[str, list[_Unit]] = {reason: [] for reason in _REASONS}
    came = [
        one for one in scene.datagrams(row.connection)
        if one.direction == direction and one.copy_of is None and not one.lost
    ]  # fmt: skip
    starts = [one.start for one in came]
    for item in scene.unread.get(row.connection, ()):
        start, told = item.start, item.reason in found and item.what == What.CARRIED_NOT_READ
        if not told or start is None or item.direction != direction:
            continue
        one = came[max(bisect_right(starts, start) - 1, 0)] if came else None
        if one is None or not one.start <= start < one.stop:
            continue
        dropped = item.reason == Reason.DATAGRAM_DROPPED  # a later one was read: it had its time
        if dropped or one.arrived_ns + _SETTLE_NS <= until_ns:
            found[item.reason].append(
                _Unit(item.bytes, one.arrived_ns, one.packets[0].frame, one.completed_by)
            )
    queued, lost, some = (found[reason] for reason in _REASONS)
    port = row.client_port if direction is Direction.C2S else row.server_port
    known = sorted([*queued, *lost], key=lambda unit: unit.arrived_ns)
    return _Unread(known, len(lost), some, _unsure_reads(scene, socket, port))


def _listens_until_ns(scene: Scene, socket: Socket) -> int:
    """Up to when what came could be read: a close, a read that never returned, or the end."""
    inside = [
        call.entered_ns for call in map(scene.call, socket.calls)
        if is_inbound(call) and call.returned_ns is None
    ]  # fmt: skip
    closed = [scene.call(socket.last_close).entered_ns] if socket.last_close else []
    return min([scene.end_ns, *inside, *closed])


def _unsure_reads(scene: Scene, socket: Socket, peer_port: int | None) -> list[Call]:
    """The reads, each once a message, of which the ledger does not know what they took."""
    own = set(socket.calls)
    found = []
    for item in scene.tables.unmatched:
        if item.call not in own or item.what not in (What.READ_NOT_CAPTURED, What.READ_NOT_PLACED):
            continue
        source = maybe_endpoint(scene.record(item.call).address)
        if source is None or source[1] == peer_port:
            found.append(scene.call(item.call))
    return found


# --- what is proven to have been dropped


def _empty_moments(scene: Scene, socket: Socket) -> list[Call]:
    """Calls that found nothing to read: a read, or a poll of this socket alone, in vain."""
    reads = [
        call for call in map(scene.call, socket.calls)
        if is_inbound(call) and call.errno == "EAGAIN" and call.returned_ns is not None
        and not scene.record(call.call).flags & MSG_ERRQUEUE
    ]  # fmt: skip
    users = {(scene.call(n).host, scene.call(n).pid) for n in socket.calls}
    polls = [
        call for call in scene.calls
        if call.op in ("poll", "ppoll") and (call.host, call.pid) in users
        and call.result == 0 and call.returned_ns is not None and _ONE.search(call.args)
        and _holds_only(scene, call, socket)
    ]  # fmt: skip
    return sorted([*reads, *polls], key=lambda call: call.entered_ns)


def _holds_only(scene: Scene, poll: Call, socket: Socket) -> bool:
    """Whether this was the only socket that the process had: strace notes no poll without one."""
    if not scene.call(socket.calls[0]).witness.startswith("strace"):
        return False
    born = [item for item in scene.raw.inheritances if item.pid == poll.pid]
    if any(set(item.inodes) - {socket.inode} for item in born):
        return False
    for other in scene.sockets.all:
        if other is socket or other.host != poll.host:
            continue
        last = scene.call(other.last_close) if other.last_close is not None else None
        if last is None or last.entered_ns > poll.entered_ns:
            numbers = [*other.calls, *([other.accepted_by] if other.accepted_by else [])]
            if any(scene.call(n).pid == poll.pid for n in numbers):
                return False
    return True


def _proof(scene: Scene, socket: Socket, found: _Unread) -> tuple[int, str, tuple[int, ...]]:
    """(how many at least were dropped, how that is known, the calls that show it)."""
    best: tuple[int, str, tuple[int, ...]] = found.dropped, "later ones were read", ()
    for empty in _empty_moments(scene, socket):
        reads = [read for read in found.reads if read.entered_ns < empty.entered_ns]
        some = _came_before(found.some, empty)
        count = _came_before(found.known, empty) + max(some - len(reads), 0)
        if count > best[0]:
            best = count, f"{name_of(empty)} found nothing left to read", (empty.call,)
    return best


def _came_before(units: Sequence[_Unit], call: Call) -> int:
    return sum(d.arrived_ns + _SETTLE_NS <= call.entered_ns for d in units)


# --- in words


def _finding(
    scene: Scene, row: Connection, direction: Direction, socket: Socket, found: _Unread
) -> Finding:
    count = len(found.known) + found.fewest
    dropped, how, proof = _proof(scene, socket, found)
    lengths = sorted(d.length for d in found.some)
    size = sum(d.length for d in found.known) + sum(lengths[: found.fewest])
    exact = not found.fewest
    came = len(found.known) + len(found.some)
    which = "" if exact else f" (which of the {came} that came, is not known)"
    text = (
        f"{'' if exact else 'At least '}{counted(count, 'datagram')} ({counted(size, 'byte')}) of"
        f" the {direction.sender} reached {_named(scene, socket, direction)} and"
        f" {'was' if count == 1 else 'were'} never read{which}"
    )
    if dropped:
        them = "it" if count == 1 else "them" if dropped == count else f"{dropped:,} of them"
        text += f": its kernel dropped {them}, for {how}, so the receive buffer had no room"
    shown = found.known or found.some
    writers = {scene.carriers[d.first_frame] for d in shown if d.first_frame in scene.carriers}
    return Finding(
        "unread_datagrams", row.connection, Severity.HIGH if dropped else Severity.MEDIUM,
        f"{text}.",
        "Let its program read sooner, or give it a larger SO_RCVBUF: UDP has no window, and tells"
        " the sender nothing." if dropped else
        "Read until nothing is left before closing. A send that succeeds says nothing of the"
        " reader: let it answer.",
        "man 7 udp; man 7 socket", tuple(unit.frame for unit in shown[:CITED]),
        (*islice(sorted(writers), CITED), *proof),
    )  # fmt: skip


def _named(scene: Scene, socket: Socket, direction: Direction) -> str:
    last = scene.call(socket.calls[-1])
    of = next((scene.call(n) for n in reversed(socket.calls) if scene.call(n).fd is not None), last)
    return f"the {direction.receiver}'s socket {socket.local} ({of.actor}, descriptor {of.fd})"

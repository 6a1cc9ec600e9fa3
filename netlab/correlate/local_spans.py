"""Unix sockets: calls of one end <-> calls of the other, with no frames between.

Bytes of a stream pair are laid end to end on both sides and overlap; messages of datagram and
seqpacket sockets are matched one to one, in order per receiving socket, by sender address and
length. Unix sockets lose nothing, so what was sent and not read is still queued, or went with a
close. Pairs are known by the peer's inode (SO_PEERCRED has no such thing; the probe asks sock_diag,
socketpair and accept tell), else by the bound path for messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from netlab.correlate.call_ranges import CallRanges, StreamFacts, place_calls
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import INBOUND, MSG_PEEK, MSG_TRUNC, OUTBOUND, CallRecord
from netlab.model.tables import Connection, Direction, Role, Side, Span, Unmatched

_NO_FRAMES = StreamFacts()


@dataclass(slots=True)
class LocalJoin:
    """The outcome: everything `join` adds to the tables for Unix sockets."""

    calls: list[CallRecord]
    connections: list[Connection]
    spans: list[Span] = field(default_factory=list)
    ranges: dict[int, tuple[Direction, int, int]] = field(default_factory=dict)
    of_call: dict[int, tuple[int, Side]] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    reads: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # socket -> (recv, send)

    def sources(self) -> dict[int, list[int]]:
        """For each call that received: the calls whose bytes it got, in order."""
        found: dict[int, list[int]] = {}
        for links in self.reads.values():
            for reader, sender in links:
                found.setdefault(reader, []).append(sender)
        return found


def join_local(
    sockets: Sequence[Socket], connections: list[Connection], calls: list[CallRecord]
) -> LocalJoin:
    """Match the calls of all Unix sockets; appends to `connections`."""
    join = LocalJoin(calls, connections)
    by_inode = {(socket.host, socket.inode): socket for socket in sockets}
    for socket in sockets:  # whoever knows its peer tells the peer
        if socket.peer_inode is not None:
            other = by_inode.get((socket.host, socket.peer_inode))
            if other is not None and other.peer_inode is None:
                other.peer_inode = socket.inode
    done: set[int] = set()
    for socket in sockets:
        if not socket.is_stream or socket.listens or id(socket) in done:
            continue
        peer = by_inode.get((socket.host, socket.peer_inode or 0))
        done.update((id(socket), id(peer)))
        _stream_pair(join, socket, peer)
    _messages(join, [s for s in sockets if not s.is_stream], by_inode)
    return join


def _new_connection(join: LocalJoin, client: Socket, server: Socket | None) -> Connection:
    row = Connection(
        len(join.connections), None, "unix", client.local or "unix:", None,
        (server.local if server is not None else client.peer) or "unix:", None, None, None,
    )  # fmt: skip
    join.connections.append(row)
    return row


def _stream_pair(join: LocalJoin, one: Socket, other: Socket | None) -> None:
    client, server = one, other
    if one.accepted_by is not None:
        client, server = other or one, one
    elif other is None and not one.calls:
        return
    row = _new_connection(join, client, server if server is not client else None)
    sides = [(client, Side.CLIENT)]
    if server is not None and server is not client:
        sides.append((server, Side.SERVER))
    if client is one and server is one:  # an accepted socket whose peer is not recorded
        sides = [(one, Side.SERVER)]
    laid: dict[Side, tuple[CallRanges, CallRanges]] = {}
    for socket, side in sides:
        socket.connection, socket.side = row.connection, side
        for number in socket.calls:
            join.of_call[number] = row.connection, side
        laid[side] = (
            place_calls(socket.calls, join.calls, outbound=True, born=_born(socket),
                        inline=True, facts=_NO_FRAMES),
            place_calls(socket.calls, join.calls, outbound=False, born=_born(socket),
                        inline=True, facts=_NO_FRAMES),
        )  # fmt: skip
    for sender, receiver in ((Side.CLIENT, Side.SERVER), (Side.SERVER, Side.CLIENT)):
        sent = laid[sender][0] if sender in laid else None
        read = laid[receiver][1] if receiver in laid else None
        ends = {side: socket for socket, side in sides}
        direction_spans(join, row, sender.outbound, sent, read, ends.get(receiver))
    row.client_bytes = laid[Side.CLIENT][0].stop if Side.CLIENT in laid else 0
    row.server_bytes = laid[Side.SERVER][0].stop if Side.SERVER in laid else 0


def _born(socket: Socket) -> bool:
    return socket.made or bool(socket.connects)


def direction_spans(
    join: LocalJoin,
    row: Connection,
    direction: Direction,
    sent: CallRanges | None,
    read: CallRanges | None,
    reader: Socket | None,
) -> None:
    """Link the calls of one direction of a stream by the bytes they have in common."""
    number = row.connection
    for ranges, what in ((sent, What.SENT_NOT_PLACED), (read, What.READ_NOT_PLACED)):
        for item in ranges.unplaced if ranges is not None else ():
            join.unmatched.append(
                Unmatched(number, direction, item.start, item.stop, item.bytes, what,
                          item.reason, item.call)
            )  # fmt: skip
        if ranges is not None:
            for call, (start, stop) in ranges.ranges.items():
                join.ranges[call] = direction, start, stop
    links = join.reads.setdefault(id(reader), []) if reader is not None else []
    for start, stop, call in sent.owners if sent is not None else ():
        at = start
        for a, b, peer in read.owners.overlaps(start, stop) if read is not None else ():
            gap(join, number, direction, at, a, call, _why_unread(join, read, reader, at))
            join.spans.append(Span(call, None, peer, direction, a, b, Role.LOCAL))
            join.spans.append(Span(peer, None, call, direction, a, b, Role.LOCAL))
            links.append((peer, call))
            at = b
        gap(join, number, direction, at, stop, call, _why_unread(join, read, reader, at))
    for start, stop, call in read.owners if read is not None else ():
        at = start
        for a, b, _ in sent.owners.overlaps(start, stop) if sent is not None else ():
            _unsent(join, number, direction, at, a, call, sent)
            at = b
        _unsent(join, number, direction, at, stop, call, sent)


def gap(
    join: LocalJoin, number: int, way: Direction, start: int, stop: int, call: int, why: Reason
) -> None:
    """List bytes that were sent and that nobody read."""
    if start < stop:
        join.unmatched.append(
            Unmatched(number, way, start, stop, stop - start, What.SENT_NOT_READ, why, call)
        )


def _unsent(
    join: LocalJoin,
    number: int,
    way: Direction,
    start: int,
    stop: int,
    call: int,
    sent: CallRanges | None,
) -> None:
    if start < stop:
        why = (
            Reason.NO_PEER
            if sent is None
            else (Reason.SHARED if sent.unplaced else Reason.STILL_INSIDE)
        )
        join.unmatched.append(
            Unmatched(number, way, start, stop, stop - start, What.READ_NOT_CAPTURED, why, call)
        )


def _why_unread(join: LocalJoin, read: CallRanges | None, reader: Socket | None, at: int) -> Reason:
    if read is None or reader is None:
        return Reason.NO_PEER
    if read.unplaced:
        first = read.unplaced[0]
        if first.start is None or first.start <= at:
            return first.reason
    return Reason.CLOSED_UNREAD if reader.last_close is not None else Reason.STILL_QUEUED


# --- messages


@dataclass(slots=True)
class _Message:
    call: int
    sender: Socket
    length: int
    read_by: int | None = None
    ambiguous: bool = False


def _messages(
    join: LocalJoin, sockets: Sequence[Socket], by_inode: dict[tuple[str, int], Socket]
) -> None:
    by_path = {
        (s.host, s.local): s for s in sockets if s.local and s.local not in ("unix:", "unix:@")
    }
    inbox: dict[int, list[_Message]] = {}
    homeless: list[_Message] = []
    for socket in sockets:
        peer = by_inode.get((socket.host, socket.peer_inode or 0))
        for number in socket.calls:
            record = join.calls[number - 1]
            if record.op not in OUTBOUND or record.errno is not None or record.result is None:
                continue
            to = by_path.get((socket.host, record.address)) if record.address else peer
            if to is None and not record.address and socket.peer:
                to = by_path.get((socket.host, socket.peer))
            message = _Message(number, socket, record.result)
            if to is None:
                homeless.append(message)
            else:
                inbox.setdefault(id(to), []).append(message)
    for message in homeless:
        if message.length:
            join.unmatched.append(
                Unmatched(None, None, None, None, message.length, What.SENT_NOT_READ,
                          Reason.NO_PEER, message.call)
            )  # fmt: skip
    rows: dict[frozenset[int], Connection] = {}
    lengths: dict[tuple[int, Direction], int] = {}
    for socket in sockets:
        messages = sorted(inbox.get(id(socket), []), key=lambda m: m.call)
        _deliver(join, socket, messages)
        for message in messages:
            _message_link(join, rows, lengths, socket, message)


def _deliver(join: LocalJoin, receiver: Socket, messages: list[_Message]) -> None:
    """Give each read the first message that fits; mark those whose order is not known."""
    for before, after in pairwise(messages):
        a, b = join.calls[before.call - 1], join.calls[after.call - 1]
        overlap = b.entered_ns < (a.returned_ns or b.entered_ns + 1)
        same = before.length == after.length and before.sender.local == after.sender.local
        if overlap and same and (a.pid, a.tid) != (b.pid, b.tid):
            before.ambiguous = after.ambiguous = True
    at = 0
    for number in receiver.calls:
        record = join.calls[number - 1]
        if record.op not in INBOUND or record.errno is not None or record.result is None:
            continue
        if record.flags & MSG_PEEK or (record.result == 0 and receiver.kind == "SOCK_SEQPACKET"):
            continue
        while at < len(messages) and messages[at].read_by is not None:
            at += 1
        found = _first_fit(join, messages, at, record)
        if found is not None:
            found.read_by = number
            continue
        if record.result:
            join.unmatched.append(
                Unmatched(None, None, None, None, record.result, What.READ_NOT_CAPTURED,
                          Reason.NO_PEER, number)
            )  # fmt: skip


def _first_fit(
    join: LocalJoin, messages: list[_Message], at: int, record: CallRecord
) -> _Message | None:
    for place in range(at, len(messages)):
        message = messages[place]
        sent = join.calls[message.call - 1]
        if record.returned_ns is not None and sent.entered_ns > record.returned_ns:
            return None
        if message.read_by is None and _fits(message, record):
            return message
    return None


def _fits(message: _Message, record: CallRecord) -> bool:
    if record.address and record.address != "unix:" and record.address != message.sender.local:
        return False
    result = record.result or 0
    cut = record.requested_bytes is None or record.requested_bytes <= result
    return message.length == result or (message.length > result and cut)


def _message_link(
    join: LocalJoin,
    rows: dict[frozenset[int], Connection],
    lengths: dict[tuple[int, Direction], int],
    receiver: Socket,
    message: _Message,
) -> None:
    key = frozenset((id(message.sender), id(receiver)))
    row = rows.get(key)
    if row is None:
        row = rows[key] = _new_connection(join, message.sender, receiver)
        message.sender.side = Side.CLIENT
        for socket, side in ((receiver, Side.SERVER), (message.sender, Side.CLIENT)):
            if socket.peer_inode is not None or socket.peer:
                socket.connection, socket.side = row.connection, side
    from_client = row.client == (message.sender.local or "unix:") and (
        message.sender.connection != row.connection or message.sender.side is Side.CLIENT
    )
    way = Direction.C2S if from_client else Direction.S2C
    start = lengths.get((row.connection, way), 0)
    stop = lengths[row.connection, way] = start + message.length
    if way is Direction.C2S:
        row.client_bytes = stop
    else:
        row.server_bytes = stop
    join.of_call[message.call] = row.connection, way.sender
    join.ranges[message.call] = way, start, stop
    number = row.connection
    if message.read_by is None:
        closed = receiver.last_close is not None
        gap(join, number, way, start, stop, message.call,
             Reason.CLOSED_UNREAD if closed else Reason.STILL_QUEUED)  # fmt: skip
        return
    reader = message.read_by
    join.of_call[reader] = number, way.receiver
    record = join.calls[reader - 1]
    if message.ambiguous:
        for call, what, count in (
            (message.call, What.SENT_NOT_READ, message.length),
            (reader, What.READ_NOT_PLACED, record.result or 0),
        ):
            if count:
                join.unmatched.append(
                    Unmatched(number, way, None, None, count, what, Reason.SHARED, call)
                )
        return
    join.ranges[reader] = way, start, stop
    join.spans.append(Span(message.call, None, reader, way, start, stop, Role.LOCAL))
    join.spans.append(Span(reader, None, message.call, way, start, stop, Role.LOCAL))
    join.reads.setdefault(id(receiver), []).append((reader, message.call))
    kept = record.result or 0
    if record.flags & MSG_TRUNC and record.requested_bytes is not None:
        kept = min(kept, record.requested_bytes)
    if kept < message.length:
        join.unmatched.append(
            Unmatched(number, way, start + kept, stop, message.length - kept,
                      What.TRUNCATED, Reason.TRUNCATED, reader)
        )  # fmt: skip

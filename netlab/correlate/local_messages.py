"""Messages of Unix sockets (datagram and seqpacket): calls that sent <-> calls that read.

Each message goes into the queue of the socket that its call's address, or the sender's peer, named
at that time; `local_inbox` says which read took it. The kernel tells a reader the sender's name,
which keeps named senders apart, also from those that are not recorded. A queue of which calls may
be missing, or that may have lost something, is certain only up to there: the recording of a process
stopped, a filter was set, the reader connected anew. A message of which it is not known where it
went leaves every queue open that it may be in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import field
from itertools import zip_longest

from netlab.correlate.call_ranges import Stop
from netlab.correlate.local_ends import Aim, Ends
from netlab.correlate.local_inbox import Message, Reading, Readings, nothing_known, read_in_order
from netlab.correlate.local_join import LocalJoin, gap
from netlab.correlate.reasons import Reason, What
from netlab.correlate.socket_options import options_of
from netlab.correlate.sockets import Socket
from netlab.model.call import MSG_PEEK, MSG_TRUNC, CallRecord, is_inbound, is_outbound
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Direction, Side, Unmatched

_FOREVER = 1 << 63
_UNNAMED = "unix:"
_TELL_SENDER = frozenset({"recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into"})


@dataclass(slots=True)
class _Inbox:
    """The queue of one socket: what recorded calls put there, and what they took."""

    reader: Socket
    messages: list[Message] = field(default_factory=list)
    unfinished: bool = False  # a send never returned: its message may be here
    unsure: bool = False  # its sender connected meanwhile: a message may be here or elsewhere
    readings: Readings = field(default_factory=Readings)


def join_messages(join: LocalJoin, sockets: Sequence[Socket], ends: Ends) -> None:
    """Match the messages of all sockets that keep their borders."""
    inboxes = {id(socket): _Inbox(socket) for socket in sockets}
    senders: dict[int, Socket] = {}
    strays: dict[Aim, Reason] = {}
    for socket in sockets:
        _post(join, socket, ends, inboxes, senders, strays)
    sent: list[tuple[Message, _Inbox]] = []
    for inbox in inboxes.values():
        inbox.messages.sort(key=lambda message: message.call)
        inbox.readings = _read(join, inbox, _unsure_peer(inbox, ends, strays))
        sent += [(message, inbox) for message in inbox.messages]
    sent.sort(key=lambda item: item[0].call)
    rows = _Rows(join, ends)
    for message, inbox in sent:
        rows.add(message, senders[message.call], inbox)
    for inbox in inboxes.values():
        join.reads.setdefault(id(inbox.reader), []).sort()
        for read, reason in inbox.readings.unsure.items():
            if isinstance(read, Reading) and read.result:
                join.unmatched.append(
                    Unmatched(None, None, None, None, read.result, What.READ_NOT_CAPTURED, reason,
                              read.call)
                )  # fmt: skip


def _post(
    join: LocalJoin, socket: Socket, ends: Ends, inboxes: dict[int, _Inbox],
    senders: dict[int, Socket], strays: dict[Aim, Reason],
) -> None:  # fmt: skip
    """Put what one socket sent into the queues of those it was for."""
    by_message = socket.kind == "SOCK_DGRAM"
    peers = ends.peers(socket) if by_message else [(0, ends.other(socket))]
    for number in socket.calls:
        record = join.calls[number - 1]
        if not is_outbound(record) or record.errno is not None:
            continue
        for length, address in _messages(record):
            if address:
                to = ends.owner(socket.host, address, record)
            elif by_message and record.witness == "kernel":
                to = None  # its address stands behind a pointer, if it has one
            else:
                possible = _peers_during(join, number, peers)
                to = possible[0] if len(possible) == 1 else None
                for peer in possible if to is None else ():
                    if id(peer) in inboxes:
                        inboxes[id(peer)].unsure = True
            inbox = inboxes.get(id(to))
            if length is None:
                if inbox is not None:
                    inbox.unfinished = True
            elif inbox is not None:
                inbox.messages.append(
                    Message(number, socket.local or _UNNAMED, length, record.entered_ns,
                            _returned(record))
                )  # fmt: skip
                senders[number] = socket
            elif length:
                reason = Reason.PEER_UNSURE
                if to is None and by_message:
                    reason = _astray(ends, ends.aimed_at(socket, number, address), strays)
                elif to is None:
                    reason = ends.why_alone(socket)
                join.unmatched.append(
                    Unmatched(None, None, None, None, length, What.SENT_NOT_READ, reason, number)
                )


def _messages(record: CallRecord) -> list[tuple[int | None, str | None]]:
    """The length and the address of each message that a call moved; one has it whole."""
    if not record.message_bytes:
        return [(record.result, record.address)]
    return [
        (length, (address or None) if address is not None else record.address)
        for length, address in zip_longest(record.message_bytes, record.message_addresses)
    ]


def _peers_during(
    join: LocalJoin, number: int, peers: list[tuple[int, Socket | None]]
) -> list[Socket | None]:
    """Every peer that a socket had during a call; `peers` are (connect, peer from then on)."""
    record = join.calls[number - 1]
    low = high = bisect_right(peers, number, key=lambda item: item[0])
    while low > 1 and _returned(join.calls[peers[low - 1][0] - 1]) > record.entered_ns:
        low -= 1
    while high < len(peers) and join.calls[peers[high][0] - 1].entered_ns < _returned(record):
        high += 1
    found = [peer for _, peer in peers[max(low - 1, 0) : high]]
    return [peer for place, peer in enumerate(found) if all(peer is not p for p in found[:place])]


def _returned(record: CallRecord) -> int:
    return record.returned_ns if record.returned_ns is not None else _FOREVER


def _astray(ends: Ends, aim: Aim, strays: dict[Aim, Reason]) -> Reason:
    if aim not in strays:
        strays[aim] = ends.why_astray(aim)
    return strays[aim]


def _unsure_peer(inbox: _Inbox, ends: Ends, strays: dict[Aim, Reason]) -> Reason | None:
    """Why others than the known senders may have written to this socket."""
    reader = inbox.reader
    if reader.kind == "SOCK_SEQPACKET":
        return ends.why_alone(reader) if ends.other(reader) is None else None
    reached = inbox.unsure or any(ends.may_reach(aim, reader) for aim in strays)
    return Reason.PEER_UNSURE if reached else None


def _read(join: LocalJoin, inbox: _Inbox, unsure_peer: Reason | None) -> Readings:
    """What is certain of one queue."""
    reader = inbox.reader
    records = [(n, join.calls[n - 1]) for n in reader.calls if is_inbound(join.calls[n - 1])]
    reads = [
        read for number, record in records for read in _readings(number, record)
        if record.errno is None and record.result is not None and not record.flags & MSG_PEEK
    ]  # fmt: skip
    surplus = len(reads) - len(inbox.messages)
    if reader.kind == "SOCK_SEQPACKET" and surplus > 0:
        last_ns = max((read.entered_ns for read in reads if read.result), default=-1)
        ends = [read for read in reads if not read.result and read.returned_ns >= last_ns]
        del ends[:-surplus]  # nothing was read: an empty message, or the end
        reads = [read for read in reads if read not in ends]
    doubt = _doubt(join, reader) or unsure_peer
    if doubt is not None:
        return nothing_known(inbox.messages, reads, doubt)
    empties = [
        (record.entered_ns, _returned(record)) for _, record in records
        if record.errno == "EAGAIN" and not record.flags & MSG_PEEK
    ]  # fmt: skip
    stops = [join.stop_of(reader)]
    stops += [  # it may have taken one, just before its process was killed
        Stop(record.entered_ns, Reason.STILL_INSIDE) for _, record in records
        if record.returned_ns is None and not record.flags & MSG_PEEK
    ]  # fmt: skip
    stop = min((s for s in stops if s is not None), key=lambda s: s.time_ns, default=None)
    known = len(reads)
    if stop is not None:
        late = (place for place, read in enumerate(reads) if read.returned_ns > stop.time_ns)
        known = next(late, known)
        empties = [empty for empty in empties if empty[1] <= stop.time_ns]
    found = _in_lanes(inbox, reads[:known], empties)
    if stop is not None:
        for read in reads[known:]:
            found.unsure[read] = stop.reason
        for message in inbox.messages:
            if message not in found.certain:
                found.unsure.setdefault(message, stop.reason)
    return found


def _readings(number: int, record: CallRecord) -> list[Reading]:
    found = []
    for result, told in _messages(record):
        if told is None and record.witness == "probe" and record.op in _TELL_SENDER:
            told = _UNNAMED  # of a system call it may be that the caller did not ask
        if record.kind != "SOCK_DGRAM":
            told = None  # there is one sender only, and none is told
        taken = result or 0
        cut = (  # of several it is not known which asked for how much
            bool(record.message_bytes)
            or record.requested_bytes is None
            or record.requested_bytes <= taken
        )
        found.append(Reading(number, told, taken, cut, record.entered_ns, _returned(record)))
    return found


def _doubt(join: LocalJoin, reader: Socket) -> Reason | None:
    """Why nothing in the queue of this socket is certain."""
    if not reader.made and reader.accepted_by is None:
        return Reason.PROBE_LATE  # what was in it before is not known
    connects = [n for n in reader.connects if join.calls[n - 1].errno is None]
    paired = all(join.calls[n - 1].op != "socket" for n in reader.calls)
    if reader.kind == "SOCK_DGRAM" and len(connects) + paired > 1:
        return Reason.PEER_CHANGED  # Linux unix_dgram_disconnected
    options = options_of(reader.calls, join.calls)
    if any(option.name in ("SO_ATTACH_FILTER", "SO_ATTACH_BPF") for option in options):
        return Reason.FILTERED
    return None


def _in_lanes(inbox: _Inbox, reads: list[Reading], empties: list[tuple[int, int]]) -> Readings:
    """Each sender's messages by themselves where every read was told its sender."""
    surplus = Reason.STILL_INSIDE if inbox.unfinished else Reason.UNSEEN_SENDER
    if any(read.sender is None for read in reads):
        return read_in_order(inbox.messages, reads, empties, surplus=surplus)
    found = Readings()
    lanes: dict[str | None, tuple[list[Message], list[Reading]]] = {}
    for message in inbox.messages:
        lanes.setdefault(message.sender, ([], []))[0].append(message)
    for read in reads:
        lanes.setdefault(read.sender, ([], []))[1].append(read)
    for messages, theirs in lanes.values():
        lane = read_in_order(
            messages, theirs, empties, surplus=surplus if messages else Reason.NO_PEER
        )
        found.certain.update(lane.certain)
        found.unsure.update(lane.unsure)
    return found


class _Rows:
    """The conversations of pairs of sockets, and what they exchanged so far."""

    def __init__(self, join: LocalJoin, ends: Ends) -> None:
        self.join, self.ends = join, ends
        self._rows: dict[frozenset[int], tuple[Connection, Socket]] = {}
        self._lengths: dict[tuple[int, Direction], int] = {}

    def add(self, message: Message, sender: Socket, inbox: _Inbox) -> None:
        """Give a message its place; messages come in order."""
        row, client = self._row(sender, inbox.reader)
        way = Direction.C2S if sender is client else Direction.S2C
        start = self._lengths.get((row.connection, way), 0)
        stop = self._lengths[row.connection, way] = start + message.length
        if way is Direction.C2S:
            row.client_bytes = stop
        else:
            row.server_bytes = stop
        self._place(message.call, row, way.sender, way, start, stop)
        read = inbox.readings.certain.get(message)
        if read is not None:
            self._read(row, way, start, message, inbox.reader, read)
            return
        closed = inbox.reader.last_close is not None
        why = inbox.readings.unsure.get(
            message, Reason.CLOSED_UNREAD if closed else Reason.STILL_QUEUED
        )
        gap(self.join, row.connection, way, start, stop, message.call, why)

    def _row(self, sender: Socket, reader: Socket) -> tuple[Connection, Socket]:
        key = frozenset((id(sender), id(reader)))
        found = self._rows.get(key)
        if found is None:
            client, server = sender, reader
            if sender.accepted_by is not None:
                client, server = reader, sender
            row = self.join.new_connection(client.local, server.local or client.peer)
            found = self._rows[key] = row, client
            for socket, other, side in (
                (server, client, Side.SERVER), (client, server, Side.CLIENT),
            ):  # fmt: skip
                if self._has_only(socket, other):
                    socket.connection, socket.side = row.connection, side
        return found

    def _has_only(self, socket: Socket, other: Socket) -> bool:
        if socket.kind != "SOCK_DGRAM":
            return True
        return all(peer is other for _, peer in self.ends.peers(socket) or ((0, None),))

    def _read(
        self, row: Connection, way: Direction, start: int, message: Message, socket: Socket,
        read: Reading,
    ) -> None:  # fmt: skip
        join, stop = self.join, start + message.length
        self._place(read.call, row, way.receiver, way, start, stop)
        join.link(message.call, read.call, way, start, stop)
        join.reads.setdefault(id(socket), []).append((read.call, message.call))
        record = join.calls[read.call - 1]
        kept = read.result
        one = not record.message_bytes
        if one and record.flags & MSG_TRUNC and record.requested_bytes is not None:
            kept = min(kept, record.requested_bytes)
        if kept < message.length:
            join.unmatched.append(
                Unmatched(row.connection, way, start + kept, stop, message.length - kept,
                          What.TRUNCATED, Reason.TRUNCATED, read.call)
            )  # fmt: skip

    def _place(
        self, call: int, row: Connection, side: Side, way: Direction, start: int, stop: int
    ) -> None:
        """Say where a call belongs; of several messages in a row it has all, else the first."""
        join = self.join
        if join.of_call.get(call) in (None, (row.connection, side)):
            before = join.ranges.get(call)
            join.of_call[call] = row.connection, side
            if before is None or before[2] == start:
                join.ranges[call] = way, start if before is None else before[1], stop

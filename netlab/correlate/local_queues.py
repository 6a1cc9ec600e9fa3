"""The connects and accepts of Unix sockets -> how many connections waited in a listener's queue.

A connect that succeeds puts its connection into the queue, an accept takes one out; while the queue
holds more than the backlog, connect waits for an accept (unix_stream_connect in Linux), unless it
is not to wait: then it fails with EAGAIN (man 2 connect). No handshake, and nothing on the way.
Read first: man 7 unix, man 2 listen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from netlab.correlate.admissions import backlog_of
from netlab.correlate.call_moves import bound_ns
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.recording import Host
from netlab.model.records import dataclass

_FOREVER = 1 << 63


@dataclass(slots=True)
class LocalQueue:
    """The queue of one Unix listener. Times are in order; `accepts` goes with `taken_ns`."""

    listener: Socket
    backlog: int | None  # None: it is not known
    begun_ns: list[int] = field(default_factory=list)  # the earliest that each came
    came_ns: list[int] = field(default_factory=list)  # the latest
    taken_ns: list[int] = field(default_factory=list)  # the earliest that each left: the accept
    gone_ns: list[int] = field(default_factory=list)  # the latest
    accepts: list[int] = field(default_factory=list)
    strangers: bool = False  # connections came from clients that the recording does not show

    def least(self, time_ns: int) -> int:
        """So many connections waited at least, just before a moment."""
        return bisect_left(self.came_ns, time_ns) - bisect_left(self.taken_ns, time_ns)

    def is_full(self, time_ns: int) -> bool:
        """Whether it surely was, just before a moment."""
        return self.backlog is not None and self.least(time_ns) > self.backlog

    def had_room(self, time_ns: int) -> bool:
        """Whether it surely had, for one that asked at a moment."""
        if self.backlog is None or self.strangers:
            return False
        most = bisect_left(self.begun_ns, time_ns) - bisect_right(self.gone_ns, time_ns)
        return most <= self.backlog

    def accepts_between(self, since_ns: int, until_ns: int) -> list[int]:
        """The accepts that were entered in a stretch of time and returned a connection."""
        low, high = bisect_left(self.taken_ns, since_ns), bisect_right(self.taken_ns, until_ns)
        return self.accepts[low:high]


class LocalQueues:
    """The queues of all Unix listeners of a recording.

    `made`: for each client's socket, by id, the accepted one at its other end, where it is known.
    """

    def __init__(
        self,
        sockets: Iterable[Socket],
        made: Mapping[int, Socket],
        calls: list[CallRecord],
        hosts: Sequence[Host],
    ) -> None:
        self._calls = calls
        unix = [s for s in sockets if s.family == "AF_UNIX" and s.kind != "SOCK_DGRAM"]
        self._listeners: dict[tuple[str, str], list[Socket]] = {}
        self._queues: dict[int, LocalQueue] = {}
        for socket in unix:
            if socket.listens and socket.local is not None:
                self._listeners.setdefault((socket.host, socket.local), []).append(socket)
                asked = {calls[n - 1].args.strip() for n in socket.calls
                         if calls[n - 1].op == "listen"}  # fmt: skip
                one = asked.pop() if len(asked) == 1 else ""
                self._queues[id(socket)] = LocalQueue(socket, backlog_of(one, socket.host, hosts))
        known = set()
        for socket in unix:
            if socket.connects and not socket.listens:
                other = made.get(id(socket))
                known.add(id(other))
                self._came(socket, other)
        for queue in self._queues.values():
            listener = queue.listener
            pairs = sorted((calls[n - 1].entered_ns, n) for n in listener.accepts)
            queue.taken_ns = [at_ns for at_ns, _ in pairs]
            queue.accepts = [number for _, number in pairs]
            queue.gone_ns = sorted(
                _FOREVER if (at_ns := bound_ns(calls[n - 1])) is None else at_ns
                for n in listener.accepts
            )
            queue.strangers = any(id(one) not in known for one in listener.accepted)
            queue.begun_ns.sort()
            queue.came_ns.sort()

    def queue_of(self, client: Socket, connect: int) -> LocalQueue | None:
        """The queue that a connect was for; None: its listener is not known, or not which."""
        record = self._calls[connect - 1]
        address = record.address or client.peer or ""
        found = [
            one for one in self._listeners.get((client.host, address), ())
            if not self._is_over(one, record.entered_ns)
        ]  # fmt: skip
        return self._queues[id(found[0])] if len(found) == 1 else None

    def _is_over(self, listener: Socket, time_ns: int) -> bool:
        """Whether it had been closed by then, or did not listen yet."""
        last = listener.last_close
        if last is not None and self._calls[last - 1].entered_ns < time_ns:
            return True
        first = listener.listened_by
        return first is not None and self._calls[first - 1].entered_ns > time_ns

    def _came(self, client: Socket, made: Socket | None) -> None:
        number = client.connects[-1]
        record = self._calls[number - 1]
        if record.errno is not None:
            return
        if made is not None and made.listener is not None:
            queue = self._queues.get(id(made.listener))
        else:
            queue = self.queue_of(client, number)
        if queue is None:
            return
        queue.begun_ns.append(record.entered_ns)
        returned_ns = bound_ns(record)
        if returned_ns is not None:
            if made is not None and made.accepted_by is not None:  # it was there by then
                accept = self._calls[made.accepted_by - 1]
                returned_ns = min(returned_ns, max(accept.entered_ns, record.entered_ns))
            queue.came_ns.append(returned_ns)

"""Sockets whose bytes may have been moved without a call: what their calls say is checked.

A process that set up an io_uring (man 7 io_uring) may send and receive through it on any socket
that it holds, and no witness sees that. So the calls of such a socket have their places only where
they account for every byte of the stream; else some byte went another way, nobody knows which.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.correlate.call_ranges import CallRanges
from netlab.correlate.reasons import Reason
from netlab.correlate.sockets import Socket
from netlab.correlate.tcp_spans import TcpJoin
from netlab.model.call import CallRecord, Inheritance
from netlab.model.recording import Loss


class UnseenBytes:
    """Knows the processes that may move bytes unseen, and since when."""

    def __init__(
        self, losses: Iterable[Loss], calls: list[CallRecord], forks: Iterable[Inheritance]
    ) -> None:
        self._calls = calls
        self._since_ns: dict[int, int] = {}
        for loss in losses:
            if loss.what == "bytes" and loss.pid is not None:
                since_ns = loss.since_ns or 0
                self._since_ns[loss.pid] = min(since_ns, self._since_ns.get(loss.pid, since_ns))
        self._inherited: dict[int, set[int]] = {}  # by process that may: what it was born with
        for item in sorted(forks, key=lambda one: one.time_ns) if self._since_ns else ():
            if self._since_ns.get(item.parent_pid, item.time_ns) < item.time_ns:  # with the ring
                self._since_ns.setdefault(item.pid, item.time_ns)
            if item.pid in self._since_ns:
                self._inherited.setdefault(item.pid, set()).update(item.inodes)

    def since_ns(self, socket: Socket) -> int | None:
        """From when on the socket's bytes may have moved unseen; None: all have their calls."""
        if not self._since_ns:
            return None
        pids = {self._calls[n - 1].pid for n in socket.calls} & self._since_ns.keys()
        pids |= {pid for pid, inodes in self._inherited.items() if socket.inode in inodes}
        return min((self._since_ns[pid] for pid in pids), default=None)

    def reason_at(self, listeners: Iterable[Socket]) -> Reason | None:
        """Why no call is known of a connection to one of these listeners, if this is why."""
        uring = any(self.since_ns(listener) is not None for listener in listeners)
        return Reason.IO_URING if uring else None

    def doubt(self, join: TcpJoin) -> None:
        """Take back the places of calls that do not account for their stream."""
        if not self._since_ns:
            return
        for direction, stream in join.streams.items():
            length = max(stream.end, stream.half.fin_off or 0)
            sender, receiver = join.ends.get(direction.sender), join.ends.get(direction.receiver)
            if sender is not None and self.since_ns(sender.socket) is not None:
                _doubt(sender.outbound, length)
            if receiver is not None and self.since_ns(receiver.socket) is not None:
                _doubt(receiver.inbound, length)


def _doubt(ranges: CallRanges, length: int) -> None:
    known = ranges.stop == length and ranges.left is None and not ranges.unplaced
    if not known:
        ranges.withdraw(0, Reason.IO_URING)
        ranges.unplaced = [
            type(item)(item.call, item.bytes, Reason.IO_URING, item.start, item.stop)
            for item in ranges.unplaced
        ]

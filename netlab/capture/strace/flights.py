"""Messages that carry descriptors and were not received yet (SCM_RIGHTS, man 7 unix).

Where strace does not name what a received descriptor leads to, the message that carried it tells:
those of one Unix socket arrive in the order in which they were sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.capture.descriptors import Descriptors, Opened, OpenSocket

Carried = list[Opened | None]


class Flights:
    """What is under way between the processes of one log."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._under_way: list[tuple[OpenSocket, Carried]] = []

    def send(self, line: OpenSocket, carried: Carried) -> None:
        """A message left by the socket `line`."""
        for opened in carried:
            if opened is not None:
                self._descriptors.hold(opened)
        self._under_way.append((line, carried))

    def receive(self, line: OpenSocket, shown: Sequence[Opened | None]) -> Carried | None:
        """The message that a socket received, of which `shown` is known; None: not known which.

        What it carries stays held until `done`.
        """
        fitting = [
            place
            for place, (sender, carried) in enumerate(self._under_way)
            if len(carried) == len(shown)
            and all(
                one is None or other is None or one is other
                for one, other in zip(shown, carried, strict=True)
            )
            and _may_be(sender, line)
        ]
        sure = [place for place in fitting if _is_pair(self._under_way[place][0], line)]
        if not sure and len(fitting) != 1:
            return None
        return self._under_way.pop((sure or fitting)[0])[1]

    def done(self, carried: Carried) -> None:
        """What a message carried is in its receiver's table now."""
        for opened in carried:
            if opened is not None:
                self._descriptors.release(opened)


def _is_pair(sender: OpenSocket, receiver: OpenSocket) -> bool:
    return sender.peer_inode in _numbers(receiver) or receiver.peer_inode in _numbers(sender)


def _may_be(sender: OpenSocket, receiver: OpenSocket) -> bool:
    if sender is receiver:
        return False
    if sender.peer_inode is not None:
        return sender.peer_inode in _numbers(receiver)
    return receiver.peer_inode is None or receiver.peer_inode in _numbers(sender)


def _numbers(socket: OpenSocket) -> tuple[int, ...]:
    kernel = socket.kernel_inode
    return (socket.inode,) if kernel is None else (socket.inode, kernel)

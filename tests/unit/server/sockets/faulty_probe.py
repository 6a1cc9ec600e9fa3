"""A probe whose sockets fail as a test says: what the kernel does only when it is short of much."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import Any

from netlab.server.plain import PlainProbe


class FaultyProbe(PlainProbe):
    """Before a call of that name is made, the next of its `faults` is raised instead."""

    def __init__(self, **faults: list[int]) -> None:
        self.faults = {name: deque(numbers) for name, numbers in faults.items()}
        self.calls = dict.fromkeys(("accept", "recv", "send"), 0)

    def meet(self, name: str) -> None:
        self.calls[name] += 1
        left = self.faults.get(name)
        if left:
            number = left.popleft()
            if number:
                kind: type[OSError] = OSError
                if number == errno.EAGAIN:
                    kind = BlockingIOError
                raise kind(number, os.strerror(number))

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        probe = self

        class Faulty(socket.socket):
            def accept(self) -> tuple[socket.socket, Any]:
                probe.meet("accept")
                descriptor, address = self._accept()  # type: ignore[attr-defined]
                return Faulty(self.family, self.type, self.proto, fileno=descriptor), address

            def recv(self, *arguments: Any) -> bytes:
                probe.meet("recv")
                return super().recv(*arguments)

            def send(self, *arguments: Any) -> int:
                probe.meet("send")
                return super().send(*arguments)

        return Faulty(family, kind, protocol)

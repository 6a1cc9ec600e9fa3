"""Which socket had an inode when: the kernel gives the number of a closed one away again."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord


class Lives:
    """The sockets that calls were made on, by host and inode; each lives from its first call on."""

    def __init__(self, sockets: Iterable[Socket], records: Sequence[CallRecord]) -> None:
        self._lives: dict[tuple[str, int], list[tuple[int, Socket]]] = defaultdict(list)
        for socket in sockets:
            if socket.calls:
                since_ns = records[socket.calls[0] - 1].entered_ns
                self._lives[socket.host, socket.inode].append((since_ns, socket))
        for lives in self._lives.values():
            lives.sort(key=lambda life: life[0])

    def maybe_socket(self, host: str, inode: int, time_ns: int) -> Socket | None:
        """Whose inode it was then; None when none of its calls was recorded by that time."""
        lives = self._lives.get((host, inode), [])
        place = bisect_right(lives, time_ns, key=lambda life: life[0])
        return lives[place - 1][1] if place else None

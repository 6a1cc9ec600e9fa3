"""The message queues that studies of IPC make, and the TCP connection of a host with itself.

Each is made in one way, whoever uses it: as the end of a talk, to outlive a peer, or to race.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.sockets import as_eagain, listening
from netlab.studies.study import PORT


def posix_queue(
    most_bytes: int, *, blocks: bool = False, messages: int = 0, name: str | None = None
) -> Any:
    """A queue for messages of so many bytes; `messages`: how many it holds, else the kernel's own
    number.

    Without a name it is nobody's but of who has it open, also of later children, and nothing stays
    behind. One with a name must be unlinked.
    """
    import posix_ipc

    more = {"max_messages": messages} if messages else {}
    queue = posix_ipc.MessageQueue(
        name, posix_ipc.O_CREX, mode=0o600, max_message_size=most_bytes, **more
    )
    if name is None:
        queue.unlink()
    queue.block = blocks
    return queue


def sysv_queue(most_bytes: int) -> Any:
    """A queue for messages of so many bytes. It stays in the kernel until it is removed."""
    import sysv_ipc

    return sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX, mode=0o600, max_message_size=most_bytes)


def posix_calls(queue: Any) -> tuple[Callable[[bytes], int], Callable[[], bytes]]:
    """Send and receive without waiting, with the kernel's EAGAIN; send tells how many bytes."""
    import posix_ipc

    def send(data: bytes) -> int:
        as_eagain(lambda: queue.send(data), posix_ipc.BusyError)()
        return len(data)

    return send, as_eagain(lambda: queue.receive()[0], posix_ipc.BusyError)


def sysv_calls(queue: Any) -> tuple[Callable[[bytes], int], Callable[[], bytes]]:
    """The same of the other kind."""
    import sysv_ipc

    def send(data: bytes) -> int:
        as_eagain(lambda: queue.send(data, block=False), sysv_ipc.BusyError)()
        return len(data)

    return send, as_eagain(lambda: queue.receive(block=False)[0], sysv_ipc.BusyError)


def tcp_pair(probe: Probe, port: int = PORT) -> tuple[Any, Any, Any]:
    """A listener, one end, and the other, which it has accepted; port 0: any that is free."""
    listener = listening(probe, port=port)
    one = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.connect(("127.0.0.1", port or listener.getsockname()[1]))
    other, _ = listener.accept()
    return listener, one, other

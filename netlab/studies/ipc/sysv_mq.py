"""A System V message queue: who asks for a type, gets that type."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.queues import sysv_queue
from netlab.studies.study import Expect, Params, Study, Topic
from netlab.studies.talks import limit

SENT = (("blue", 3), ("red", 1), ("green", 2), ("pink", 1))
ANY, OF_TWO, AT_MOST_TWO = 0, 2, -2
PIECE = 1024


def lacks() -> str:
    """Python's own library has no message queues."""
    return "" if find_spec("sysv_ipc") else "the package sysv_ipc: pip install netlab[ipc]"


def client(probe: Probe, p: Params) -> Any:
    """A child sends messages of several types; its parent asks for them by type."""
    import sysv_ipc

    queue = sysv_queue(PIECE)
    notes = probe.notes("sysv", queue.id)

    def send(text: str, kind: int) -> int:
        queue.send(text, block=False, type=kind)
        return len(text)

    def child() -> None:
        for text, kind in SENT:
            notes.call("msgsnd", len(text), lambda text=text, kind=kind: send(text, kind))  # type: ignore[misc]

    try:
        found: dict[str, Any] = {"child": ended(forked(probe, "child", child))}
        found["order"] = " ".join(
            notes.call(
                "msgrcv", PIECE, lambda kind=kind: queue.receive(block=False, type=kind)[0]  # type: ignore[misc]
            ).decode()
            for kind in (OF_TWO, AT_MOST_TWO, ANY, ANY)
        )  # fmt: skip
        pieces = 0
        try:
            while True:
                queue.send(bytes(PIECE), block=False)
                pieces += 1
        except sysv_ipc.BusyError:
            found["bytes"] = pieces * PIECE
    finally:
        queue.remove()
    return found


STUDY = Study(
    name="sysv-mq",
    topic=Topic.IPC,
    question="Can a receiver choose which message of a queue it gets?",
    setup="A child sends blue (type 3), red (1), green (2) and pink (1) to a System V queue "
    "and ends. Its parent asks for type 2, then for -2, then twice for 0. Then the queue is filled "
    "with messages of 1,024 bytes.",
    prediction="Yes. Type 2: the first message of that type, green, past the others. -2: of the "
    "types up to 2 the lowest, red. 0: whatever is first. So one queue serves several receivers, "
    "each with a type of its own, such as its pid. Its limit is in bytes. It is no descriptor: "
    "select, poll and epoll cannot wait for it, and it stays until it is removed (`ipcs -q`).",
    client=client,
    lacks=lacks,
    expects=(
        Expect("what msgrcv() of 2, -2, 0 and 0 gave", Kind.WORD,
               lambda p: "green red blue pink", told("order"), "man 2 msgrcv: msgtyp"),
        Expect("bytes that fit", Kind.SIZE, lambda p: limit("kernel/msgmnb") // PIECE * PIECE,
               told("bytes"), "man 2 msgsnd: MSGMNB, /proc/sys/kernel/msgmnb"),
    ),
    next="`ipcs -l` shows the limits. Then `netlab study peer-death`.",
)  # fmt: skip

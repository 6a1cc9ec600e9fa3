"""A POSIX message queue: borders, priorities, a limit, and a life of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.queues import posix_queue
from netlab.studies.sockets import as_eagain
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

SIZE = 100  # of the longest message
SENT = ((b"first", 1), (b"second", 1), (b"urgent", 9))


def lacks() -> str:
    """Python's own library has no message queues."""
    return "" if find_spec("posix_ipc") else "the package posix_ipc: pip install netlab[ipc]"


def client(probe: Probe, p: Params) -> Any:
    """A child makes a queue, fills it and ends; its parent opens the queue by name."""
    import posix_ipc

    name = f"/netlab-study-{os.getpid()}"

    def child() -> int:
        queue = posix_queue(SIZE, messages=p.room, name=name)
        for message, priority in SENT:
            _send(probe, queue, message, priority)
        taken = len(SENT)
        while _send(probe, queue, b"more", 0):
            taken += 1
        return taken

    found: dict[str, Any] = {"taken": ended(forked(probe, "child", child))}
    queue = posix_ipc.MessageQueue(name)
    queue.block = False
    try:
        notes = probe.notes("mqueue", os.fstat(queue.mqd).st_ino, queue.mqd)
        take: Callable[[], bytes] = lambda: queue.receive()[0]  # noqa: E731
        found["order"] = " ".join(
            notes.call("mq_receive", SIZE, take).decode() for _ in range(len(SENT))
        )
        try:
            queue.send(bytes(SIZE + 1))
            found["too long"] = "taken"
        except ValueError:  # the package's word for EMSGSIZE
            found["too long"] = "EMSGSIZE"
    finally:
        queue.close()
        posix_ipc.unlink_message_queue(name)
    return found


def _send(probe: Probe, queue: Any, message: bytes, priority: int) -> bool:
    """Whether there was room."""
    import posix_ipc

    notes = probe.notes("mqueue", os.fstat(queue.mqd).st_ino, queue.mqd)

    def send() -> int:
        queue.send(message, priority=priority)
        return len(message)

    try:
        notes.call("mq_send", len(message), as_eagain(send, posix_ipc.BusyError))
    except BlockingIOError:
        return False
    return True


def refused(evidence: Evidence) -> str | None:
    """By which errno the last send failed, as it was recorded."""
    call = evidence.call("mq_send", -1)
    return call.errno if call is not None else None


STUDY = Study(
    name="posix-mq",
    topic=Topic.IPC,
    question="What does a POSIX message queue have that a pipe has not?",
    setup="A child makes a queue for {room} messages, sends `first`, `second` and `urgent` (of a "
    "higher priority), sends more until there is no room, and ends. Then its parent opens the "
    "queue by its name and receives.",
    prediction="Borders: one receive is one message. Priorities: `urgent` comes first, though it "
    "was sent last. A limit in messages, {room} here, not in bytes. A name, so that any process "
    "with the right to may open it, kin or not. And a life of its own: the messages are there "
    "after their sender has ended, until somebody unlinks the queue.",
    parameters=(Parameter("room", Kind.COUNT, 10, 3, 10, "messages that it may hold"),),
    client=client,
    lacks=lacks,
    expects=(
        Expect("messages that it took until EAGAIN", Kind.COUNT, lambda p: p.room,
               told("taken"), "man 3 mq_send; mq_maxmsg of man 3 mq_getattr"),
        Expect("the send after those", Kind.WORD, lambda p: "EAGAIN", refused, "man 3 mq_send"),
        Expect("what came out, after the sender's end", Kind.WORD,
               lambda p: "urgent first second", told("order"),
               "man 3 mq_receive: the oldest of the highest priority; man 7 mq_overview: kernel "
               "persistence"),
        Expect("a message of one byte too many", Kind.WORD, lambda p: "EMSGSIZE",
               told("too long"), "man 3 mq_send"),
    ),
    next="`netlab study sysv-mq`: the older kind, which knows types in place of priorities.",
)  # fmt: skip

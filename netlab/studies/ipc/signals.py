"""What a signal can say: its number, and for the standard ones not even how often."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

FIRST, SECOND = signal.SIGRTMIN, signal.SIGRTMIN + 1


def client(probe: Probe, p: Params) -> Any:
    """Blocks the signals, lets a child send them, and then takes what is there."""
    wanted = {signal.SIGUSR1, FIRST, SECOND}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    us = os.getpid()

    def child() -> None:
        for number in (SECOND, FIRST, signal.SIGUSR1):
            for _ in range(p.times):
                os.kill(us, number)

    pid = forked(probe, "child", child)
    ended(pid)
    taken = []
    while (came := signal.sigtimedwait(wanted, 0)) is not None:
        taken.append((came.si_signo, came.si_pid))
    often = Counter(number for number, _ in taken)
    return {
        "SIGUSR1": often[signal.SIGUSR1],
        "real-time": often[FIRST] + often[SECOND],
        "in order": [number for number, _ in taken if number >= FIRST]
        == p.times * [FIRST] + p.times * [SECOND],
        "sender": all(sender == pid for _, sender in taken),
    }


STUDY = Study(
    name="signal",
    topic=Topic.IPC,
    question="One process sends another the same signal {times} times. How many arrive?",
    setup="A process blocks SIGUSR1 and two real-time signals, as if it were busy. Its child sends "
    "{times} of each: first SIGRTMIN+1, then SIGRTMIN, then SIGUSR1. Then the process takes what "
    "is pending.",
    prediction="One SIGUSR1: a standard signal is a bit, pending or not. Real-time signals queue: "
    "all of them come, the lower number first, whichever was sent first. The kernel adds who sent "
    "it. There is no room for a message (sigqueue() adds one number): a signal says that "
    "something happened; what it was stands elsewhere.",
    parameters=(Parameter("times", Kind.COUNT, 10, 1, 500, "that each is sent"),),
    client=client,
    connection=None,
    expects=(
        Expect("SIGUSR1 that arrived", Kind.COUNT, lambda p: 1, told("SIGUSR1"),
               "man 7 signal: standard signals do not queue"),
        Expect("real-time signals that arrived", Kind.COUNT, lambda p: 2 * p.times,
               told("real-time"), "man 7 signal: multiple instances can be queued"),
        Expect("the lower number came first", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if told("in order")(e) else "no",
               "man 7 signal: starting with the lowest-numbered signal"),
        Expect("each said which process had sent it", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if told("sender")(e) else "no", "man 2 sigaction: si_pid"),
    ),
    next="`netlab study posix-mq`: a queue that has room for messages.",
)  # fmt: skip

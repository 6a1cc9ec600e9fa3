"""How much fits into a pipe, and what happens then."""

from __future__ import annotations

import mmap
import os
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.family import ended, forked
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

PAGES = 16  # PIPE_DEF_BUFFERS of Linux
CAPACITY = PAGES * mmap.PAGESIZE
LONG = 2 * CAPACITY  # of the write that blocks


def client(probe: Probe, p: Params) -> Any:
    """Fills a pipe that does not block, then one that does, while a child sleeps."""
    reader, writer = probe.pipe()
    found = {"first": writer.write(bytes(CAPACITY + 1000))}
    found["full"] = trial(writer.write, b"n")["error"]
    reader.read(1)
    found["one byte read"] = trial(writer.write, b"n")["error"]
    reader.read(mmap.PAGESIZE - 1)
    found["a page read"] = writer.write(bytes(mmap.PAGESIZE))

    for end in (reader, writer):
        os.set_blocking(end.fileno(), True)

    def child() -> None:
        time.sleep(p.pause / 1e9)
        left = CAPACITY + LONG
        while left:
            left -= len(reader.read(left))

    pid = forked(probe, "child", child)
    found["blocking"] = trial(writer.write, bytes(LONG))["took_ns"]
    ended(pid)
    writer.close()
    reader.close()
    return found


STUDY = Study(
    name="pipe-capacity",
    topic=Topic.IPC,
    question="Nobody reads from a pipe. How much can be written, and what then?",
    setup="A process fills a pipe that does not block, reads one byte, writes, reads the rest of "
    "the page, writes. Then the pipe is made blocking, the process writes 131,072 bytes more, and "
    "a child reads all after {pause}.",
    prediction="16 pages, 65,536 bytes where a page has 4,096: of one long write that much is "
    "taken, then EAGAIN. One byte read makes no room, since the kernel keeps a pipe in pages: only "
    "a whole page that was read is free again. A write() that blocks sleeps until the reader "
    "comes. A full pipe is the slow reader's way to stop the fast writer.",
    parameters=(Parameter("pause", Kind.TIME, 200 * MS, 50 * MS, 2000 * MS, "of the reader"),),
    client=client,
    expects=(
        Expect("bytes that the long write took", Kind.SIZE, lambda p: CAPACITY, told("first"),
               "man 7 pipe: the capacity is 16 pages"),
        Expect("one byte more", Kind.WORD, lambda p: "EAGAIN", told("full"),
               "man 7 pipe: O_NONBLOCK, n <= PIPE_BUF"),
        Expect("one byte, after one was read", Kind.WORD, lambda p: "EAGAIN",
               told("one byte read"), "pipe_write() of Linux: a slot holds a page"),
        Expect("a page, after a page was read", Kind.SIZE, lambda p: mmap.PAGESIZE,
               told("a page read"), "the same"),
        Expect("a write() that blocks took", Kind.TIME, lambda p: p.pause, told("blocking"),
               "man 7 pipe: write blocks until sufficient data has been read",
               less=TURN_NS, more=3 * TURN_NS,
               because="the child's pause may begin a turn before or after the write(); a turn for "
               "each of them when it is over"),
    ),
    next="`netlab study zero-window`: the same, between two machines.",
    cause="send_buffer",
    waits_on="client write",
)  # fmt: skip

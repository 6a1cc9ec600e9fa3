"""Why a send of datagrams, or a wait for room for them, took as long as it took."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.model.call import POLLOUT
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

CLIENT, SERVER = "127.0.0.1:4000", "127.0.0.1:5000"
C: dict[str, Any] = {"kind": "SOCK_DGRAM", "local": CLIENT, "peer": SERVER}
SIZES = [*range(1001, 1009), 1009]  # each datagram has its own, by which it is found


def queued(*, polls: bool = False, buffer: int = 8_000, leave_first: bool = False) -> Play:
    """Eight datagrams lie in the queue of the client's link, which sends one in 10 ms; a send, or a
    wait for room, takes until five have left.

    `leave_first`: all had left before.
    """
    play = Play(wired=True)
    play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, SO_SNDBUF, {buffer}", **C)
    for size in SIZES[:8]:
        play.did("client", "send", size, size=size, **C)
    if leave_first:
        for size in SIZES[:8]:
            play.datagram(CLIENT, SERVER, size)
    wait = (
        play.wait("client", (INODE["client"], POLLOUT), op="poll", args="nfds=1, timeout=-1")
        if polls
        else play.call("client", "send", SIZES[8], size=SIZES[8], **C)
    )
    with wait:
        for size in SIZES[:5]:
            play.now_ns += 10 * MS
            if not leave_first:
                play.datagram(CLIENT, SERVER, size)
    for size in () if leave_first else SIZES[5:8]:
        play.now_ns += 10 * MS
        play.datagram(CLIENT, SERVER, size)
    play.now_ns += 10 * MS
    if not polls:
        play.datagram(CLIENT, SERVER, SIZES[8])
    return play


@pytest.mark.parametrize("polls", [False, True])
def test_a_buffer_full_of_datagrams_in_the_queue_of_its_own_link(polls: bool) -> None:
    tables, rows = told(queued(polls=polls))
    wait = number_of(tables, "poll") if polls else number_of(tables, "send", 9)
    assert causes(rows, wait) == [("wire_queue", 50)]
    said = of(rows, wait, "wire_queue")
    assert said.certainty == "inferred"
    assert said.frames == (1, 5)
    assert said.text == (
        "with the send buffer full, because datagrams of the same socket lay in the queue of the"
        " client's own link, until frame 5 left it"
    )


@pytest.mark.parametrize("other", [{"leave_first": True}, {"buffer": 200_000}])
@pytest.mark.parametrize(("polls", "cause"), [(False, "scheduler"), (True, "unknown")])
def test_a_buffer_that_cannot_have_been_full(
    other: dict[str, Any], polls: bool, cause: str
) -> None:
    """Nothing lay in the queue, or too little to fill it."""
    tables, rows = told(queued(polls=polls, **other))
    wait = number_of(tables, "poll") if polls else number_of(tables, "send", 9)
    assert causes(rows, wait) == [(cause, 50)]

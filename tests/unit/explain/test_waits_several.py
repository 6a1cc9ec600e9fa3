"""Why a wait took as long as it took that reported several descriptors at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.model.call import POLLIN
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

PIPE = None  # a descriptor of which the recording has no calls


def came(play: Play, *ready: int | None, late_ms: int = 0) -> None:
    """The server's send wakes a poll after 40 ms, which returns `late_ms` after it came."""
    wait = {"op": "poll", "args": f"nfds={len(ready)}"}
    with play.wait("client", *((inode, POLLIN) for inode in ready), **wait):  # type: ignore[misc]
        play.now_ns += 40 * MS
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10)
        play.now_ns += late_ms * MS
    play.did("client", "recv", 10, size=10)


def alone(play: Play) -> None:
    came(play, INODE["client"])


def beside_a_pipe(play: Play) -> None:
    came(play, INODE["client"], PIPE)


def beside_a_pipe_and_late(play: Play) -> None:
    came(play, INODE["client"], PIPE, late_ms=150)


@pytest.mark.parametrize(
    ("scenes", "expected", "certainty", "said"),
    [
        (alone, [("peer_app", 40)], "observed", ""),
        (beside_a_pipe, [("peer_app", 40)], "inferred", "unless descriptor 9 was ready first"),
        (beside_a_pipe_and_late, [("unknown", 40), ("scheduler", 150)], "unknown",
         "descriptor 9 may have been ready already"),
    ],
)  # fmt: skip
def test_a_wait_that_a_descriptor_ended_of_which_no_moment_is_known(
    scenes: Callable[[Play], None], expected: list[tuple[str, int]], certainty: str, said: str
) -> None:
    """Both were ready; which of them ended it is not recorded."""
    play = Play(wired=True)
    play.handshake()
    scenes(play)
    tables, rows = told(play)
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == expected
    row = of(rows, poll, expected[0][0])
    assert row.certainty == certainty
    assert said in row.text


def test_of_two_that_are_known_the_first_ended_it() -> None:
    play = Play(wired=True)
    play.handshake()
    pair = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
    play.did("client", "socketpair", 0, inode=300, new_inode=301, fd=6, **pair)
    ready = (INODE["client"], POLLIN), (300, POLLIN)
    with play.wait("client", *ready, op="poll", args="nfds=2"):
        play.now_ns += 40 * MS
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10)
        play.now_ns += 30 * MS
        play.did("client", "send", 1, size=1, inode=301, fd=7, tid=11, **pair)
        play.now_ns += 150 * MS
    play.did("client", "recv", 10, size=10)
    play.did("client", "recv", 1, size=1, inode=300, fd=6, **pair)
    tables, rows = told(play)
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("peer_app", 40), ("scheduler", 180)]
    assert of(rows, poll, "peer_app").certainty == "observed"

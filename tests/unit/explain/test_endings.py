"""Where the end of a process is put that nobody saw begin."""

from __future__ import annotations

import pytest

from netlab.explain.endings import process_ends
from tests.playbook import Play
from tests.waits_told import MS


@pytest.mark.parametrize(
    ("how", "by_ms", "later_ms"),
    [
        ("SIGKILL", 80, 60),  # its FIN shows it
        ("SIGKILL", 30, 30),  # when it was seen to be gone: the FIN is too late to be its own
        ("status 0", 30, 0),  # it may have worked on by itself, or not
        ("status 0", 80, 60),
    ],
)
def test_the_end_of_a_process_stands_at_what_shows_it(how: str, by_ms: int, later_ms: int) -> None:
    play = Play()
    play.handshake()
    alive_ns = play.now_ns
    play.did("server", "exit", None, inode=None, fd=None, inside=True, args=how,
             returned_by_ns=play.now_ns + by_ms * MS)  # fmt: skip
    play.now_ns += 60 * MS
    play.fin("s>c", 0)
    tables = play.tables()
    ((number, ended_ns),) = process_ends(tables, tables.calls).items()
    assert tables.calls[number - 1].op == "exit"
    assert round((ended_ns - alive_ns) / MS) == later_ms

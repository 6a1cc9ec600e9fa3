"""Whose an end is that has no name: program, process, descriptor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.model.tables import Side
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import why_lines
from netlab.show.views.ends import end_name
from netlab.show.views.why import why
from tests.playbook import Play
from tests.waits_told import MS

U: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_STREAM", "local": "unix:", "peer": "unix:"}
A: dict[str, Any] = {**U, "inode": 1, "fd": 3}
B: dict[str, Any] = {**U, "inode": 2, "fd": 4}


def pair() -> Play:
    play = Play()
    play.did("client", "socketpair", 0, new_inode=2, **A)
    return play


def names(play: Play, connection: int = 0) -> tuple[str, str]:
    tables = play.tables()
    calls = [call for call in tables.calls if call.connection == connection]
    row = tables.connections[connection]
    return end_name(row, Side.CLIENT, calls), end_name(row, Side.SERVER, calls)


def talk(play: Play, **reader: Any) -> None:
    with play.call("server", "recv", 3, size=100, **{**B, **reader}):
        play.now_ns += 30 * MS
        play.did("client", "send", 3, size=3, **A)


def test_the_ends_of_a_pair_are_those_who_use_them() -> None:
    play = pair()
    talk(play)
    assert names(play) == ("client (pid 10, descriptor 3)", "server (pid 20, descriptor 4)")
    text = [plain(line) for line in why_lines(why(play.tables(), play.raw, "a"), 80)]
    assert text[:2] == [
        "connection 0  client (pid 10, descriptor 3)",
        "              to server (pid 20, descriptor 4)  unix",
    ]


def test_a_name_that_has_its_process_does_not_say_it_twice() -> None:
    play = pair()
    talk(play, pid=21)
    play.calls = [
        replace(call, actor="server/child-21") if call.pid == 21 else call for call in play.calls
    ]
    assert names(play)[1] == "server/child-21 (descriptor 4)"


@pytest.mark.parametrize(("readers", "more"), [(2, ""), (4, " and 2 more")])
def test_of_many_who_share_an_end_a_few_are_named(readers: int, more: str) -> None:
    play = pair()
    for pid in range(21, 21 + readers):
        talk(play, pid=pid)
    assert names(play)[1] == (
        f"server (pid 21, descriptor 4) and server (pid 22, descriptor 4){more}"
    )


def test_who_only_closes_holds_it_too() -> None:
    play = pair()
    play.did("server", "close", 0, **B)
    assert names(play)[1] == "server (pid 20, descriptor 4)"


def test_a_path_is_a_name() -> None:
    play = pair()
    talk(play)
    row = replace(play.tables().connections[0], server="unix:/run/a.sock")
    assert end_name(row, Side.SERVER, play.tables().calls) == "unix:/run/a.sock"


def test_where_nobody_answered_it_is_whom_the_connect_asked() -> None:
    play = Play()
    path = "unix:/run/nobody.sock"
    play.did("client", "connect", None, errno="ENOENT", address=path, args=path,
             **{**A, "peer": None})  # fmt: skip
    assert names(play)[1] == path


def test_an_address_stays_one() -> None:
    play = Play()
    play.handshake()
    play.did("client", "send", 3, size=3)
    assert names(play) == ("127.0.0.1:40000", "127.0.0.1:80")

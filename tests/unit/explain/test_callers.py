"""Names of calls where "client" and "server" do not say who: in a proxy's recording."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.callers import program_of
from netlab.show.views.why import why
from tests.playbook import Play
from tests.waits_told import MS

FRONT: dict[str, Any] = {"local": "127.0.0.1:40000", "peer": "127.0.0.1:80"}
BACK: dict[str, Any] = {"local": "127.0.0.1:40001", "peer": "127.0.0.1:80"}


def named(front: str, back: str) -> list[str]:
    """How two clients are named that wait for an answer, each on its connection, and in vain."""
    play = Play(wired=True)
    for number, (actor, ends) in enumerate([(front, FRONT), (back, BACK)]):
        pid = 10 + number
        own = {"pid": pid, "tid": pid, "actor": actor, "inode": 100 + number, **ends}
        port = 40000 + number
        with play.call("client", "connect", 0, address="127.0.0.1:80", **own):
            play.syn(sport=port), play.synack(sport=port), play.ack("c>s", 0, sport=port)
        with play.call("client", "send", 5, size=5, **own):
            play.data("c>s", 0, 5, sport=port)
        none = {**own, "inode": None, "fd": None, "local": None, "peer": None}
        with play.call("client", "poll", 0, args="nfds=2, timeout=9", **none):
            play.now_ns += (30 + number) * MS
        with play.call("client", "recv", 5, size=5, **own):
            play.now_ns += (20 + number) * MS
            play.data("s>c", 0, 5, 5, sport=port)
    return [one.name.split(" #")[0] for one in why(play.tables(), play.raw, "x").sentences][:4]


@pytest.mark.parametrize(
    ("front", "back", "names"),
    [
        ("client", "client", ["client poll", "client poll", "client recv", "client recv"]),
        (
            "client/curl-10", "client/curl-11",
            ["[1] client/curl-11 poll", "[0] client/curl-10 poll", "[1] client recv",
             "[0] client recv"],
        ),
        (
            "client", "server/nginx-11",
            ["[1] server/nginx-11 poll", "[0] client poll", "[1] client (server/nginx) recv",
             "[0] client recv"],
        ),
    ],
)  # fmt: skip
def test_who_waited_is_told_where_the_side_does_not_say_it(
    front: str, back: str, names: list[str]
) -> None:
    assert named(front, back) == names


@pytest.mark.parametrize(
    ("actor", "program"),
    [
        ("server/nginx-5529", "server/nginx"),
        ("client-2/x/y-z-17", "client-2/x/y-z"),
        ("server/5529", "server/..."),
        ("server", "server"),
        ("client-2", "client-2"),
        ("client/curl", "client/curl"),
    ],
)
def test_a_program_is_its_processes_without_their_numbers(actor: str, program: str) -> None:
    assert program_of(actor) == program

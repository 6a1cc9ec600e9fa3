"""Whose connection a wait stands under that tells of none itself."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.show.views.why import why
from tests.playbook import Play
from tests.waits_told import MS

NONE: dict[str, Any] = {"inode": None, "fd": None, "local": None, "peer": None}
OTHER: dict[str, Any] = {"inode": 77, "fd": 9, "local": "127.0.0.1:9", "kind": "SOCK_DGRAM"}


@pytest.mark.parametrize(
    ("nfds", "behind", "is_its_own"),
    [(1, {}, True), (2, {}, False), (1, OTHER, False)],
)
def test_a_poll_of_one_socket_in_vain_is_its_connections(
    nfds: int, behind: dict[str, Any], is_its_own: bool
) -> None:
    """Not one of several, nor one between calls on different sockets: those are an event loop's."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 5, size=5):
        play.data("c>s", 0, 5)
    with play.call("client", "poll", 0, args=f"nfds={nfds}, timeout=250", **NONE):
        play.now_ns += 250 * MS
    play.did("client", "recv", None, size=10, errno="EAGAIN", **behind)
    tables = play.tables()
    view = why(tables, play.raw, "x")
    waits = {
        bar.side: item.ns for one in view.connections if one.connection == 0
        for bar in one.bars for item in bar.slices if item.cause == "timer"
    }  # fmt: skip
    assert list(waits) == (["client"] if is_its_own else [])
    rest = [item.cause for bar in view.others for item in bar.slices]
    assert ("timer" in rest) is not is_its_own
    alone = why(tables, play.raw, "x", tables.connections[0])
    assert alone.calls - sum(call.connection == 0 for call in tables.calls) == is_its_own

"""Bytes that were sent again, told from a packet that was captured twice."""

from __future__ import annotations

import pytest
from playbook import Play

from netlab.show.views.copies import Copies

MS = 1_000_000


@pytest.mark.parametrize(
    ("ip_ids", "later_ns", "sign"),
    [
        ((7, 7), 0, "≡"),
        ((7, 7), 40_000, "≡"),
        ((7, 7), 11 * MS, "↻"),  # no timer is that short: this stack numbers badly
        ((7, 8), 40_000, "↻"),
        ((0, 0), 40_000, "↻"),  # 0 means nothing
        ((0, 0), 0, "≡"),  # but nobody resends at the very same moment
    ],
)
def test_what_comes_a_second_time(ip_ids: tuple[int, int], later_ns: int, sign: str) -> None:
    play = Play()
    play.handshake(calls=False)
    first = play.packets[play.data("c>s", 0, 100) - 1]
    again = play.packets[play.data("c>s", 0, 100) - 1]
    first.ip_id, again.ip_id = ip_ids
    again.time_ns = first.time_ns + later_ns
    tables, copies = play.tables(), Copies()
    signs = [
        copies.sign(packet, segment, False)
        for packet, segment in zip(tables.packets, tables.segments, strict=True)
    ]
    assert signs == ["", "", "", "", sign]

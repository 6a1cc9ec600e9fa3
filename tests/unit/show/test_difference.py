"""Findings of two recordings side by side: of one that both have, what each says."""

from __future__ import annotations

import pytest

from netlab.show.terminal.difference import difference_lines
from netlab.show.terminal.lines import plain
from netlab.show.views.difference import difference
from netlab.show.views.why import Why, why
from tests.playbook import Play
from tests.waits_told import MS


def resent(after_ms: int) -> Why:
    """A segment that was lost and came that much later; 0: none was lost."""
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "recv", 100, size=100):
        with play.call("client", "send", 100, size=100):
            play.data("c>s", 0, 100, way="drop" if after_ms else "carry")
        if after_ms:
            play.now_ns += after_ms * MS
            play.data("c>s", 0, 100)
    return why(play.tables(), play.raw, f"{after_ms}.pcapng")


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "said", "not_said"),
    [
        (210, 410, ("1 1 loss_recovery, in A: Losses cost 210", "in B: Losses cost 410"), ()),
        (210, 210, ("1 1 loss_recovery: Losses cost 210",), ("in B:",)),
        (210, 0, ("1 0 loss_recovery: Losses cost 210",), ("in A:", "in B:")),
        (0, 410, ("0 1 loss_recovery: Losses cost 410",), ("in A:", "in B:")),
    ],
)
def test_of_a_finding_that_both_have_each_is_said(
    first_ms: int, second_ms: int, said: tuple[str, ...], not_said: tuple[str, ...]
) -> None:
    view = difference(resent(first_ms), resent(second_ms))
    text = " ".join(" ".join(map(plain, difference_lines(view, 80))).split())
    for part in said:
        assert part in text
    for part in not_said:
        assert part not in text

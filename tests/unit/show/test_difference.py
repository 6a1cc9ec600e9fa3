"""Two recordings side by side: of a finding that both have, what each says; what waits compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def looked_round(pids: Sequence[int], ms: int, *, answer_ms: int) -> Why:
    """Workers that each wait so long in vain, beside a client that waits for its answer."""
    play = Play(wired=True)
    play.handshake()
    none: dict[str, Any] = {"inode": None, "fd": None, "local": None, "peer": None}
    for pid in pids:
        actor = f"server/worker-{pid}"
        with play.call(
            "server", "poll", 0, args="nfds=3, timeout=1", pid=pid, tid=pid, actor=actor, **none
        ):
            play.now_ns += ms * MS
    with play.call("client", "recv", 5, size=5):
        play.now_ns += answer_ms * MS
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5)
    return why(play.tables(), play.raw, "x")


def test_processes_of_a_program_are_compared_together_and_idle_waits_come_last() -> None:
    view = difference(
        looked_round([70, 71], 1000, answer_ms=50), looked_round([90], 5000, answer_ms=80)
    )
    waits = [row for row in view.causes if row.cause in ("timer", "peer_app")]
    assert [(row.side, row.cause, row.idle) for row in waits] == [
        ("client", "peer_app", False),
        ("server/worker", "timer", True),
    ]
    assert waits[1].first_ns // MS == 2000
    assert waits[1].second_ns // MS == 5000
    lines = [plain(line) for line in difference_lines(view, 80)]
    place = next(n for n, line in enumerate(lines) if line.startswith("Idle waits"))
    assert any(line.startswith("client peer_app") for line in lines[:place])
    assert lines[place + 1].startswith("server/worker timer")

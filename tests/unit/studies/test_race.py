"""The lines that studies time: whatever carries them, messages come whole, in order, to the end."""

from __future__ import annotations

import pytest

from netlab.server.plain import PlainProbe
from netlab.studies.family import ended, forked
from netlab.studies.race import BLOCKING, KINDS, SHARED, SPINNING, TCP, lines

SIZES = (1, 61, 4093, 32_749)
TIMES = 7


@pytest.mark.parametrize("how", [BLOCKING, SPINNING])
@pytest.mark.parametrize("kind", KINDS)
def test_messages_come_whole_and_in_order(kind: str, how: str) -> None:
    here, there = lines(kind, how)
    messages = [bytes([number]) * size for number in range(TIMES) for size in SIZES]

    def child() -> None:
        if (kind, how) != (SHARED, SPINNING):
            here.close()
        for message in messages:
            there.put(message)
        there.close()

    pid = forked(PlainProbe(), "child", child)
    if (kind, how) != (SHARED, SPINNING):
        there.close()
    assert [here.get() for _ in messages] == messages
    assert here.get() == b""
    here.close()
    assert ended(pid) == 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != SHARED])
def test_the_end_of_a_process_is_the_end_of_its_line(kind: str) -> None:
    here, there = lines(kind, BLOCKING)
    pid = forked(PlainProbe(), "child", here.close)
    there.close()
    assert ended(pid) == 0
    assert here.get() == b""
    here.close()


def test_a_child_that_raises_is_told_from_one_that_returns(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def raises() -> None:
        raise ValueError(TCP)

    probe = PlainProbe()
    pid = forked(probe, "child", raises)
    with pytest.raises(ChildProcessError):
        ended(pid)
    assert "ValueError: TCP" in capfd.readouterr().err
    assert ended(forked(probe, "child", lambda: 7)) == 7
    assert ended(forked(probe, "child", lambda: None)) == 0

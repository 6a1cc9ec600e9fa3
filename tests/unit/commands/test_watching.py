"""The progress bar: what it says, when it is there, and that nobody pays who does not look."""

from __future__ import annotations

import io
import threading

import pytest

from netlab.commands.watching import Watch, watching
from netlab.model.progress import SILENT


class Seen(io.StringIO):
    """Notes that something was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def flush(self) -> None:
        self.drawn.set()


def test_rows_pass_as_they_are_where_nobody_listens() -> None:
    rows = [1, 2, 3]
    assert SILENT.over("counting", rows) is rows


def test_without_a_terminal_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as progress:
        assert progress is SILENT
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("number", [0, 1, 7, 255, 1_000, 10_007])
def test_every_row_passes_once_and_is_counted(number: int) -> None:
    watch = Watch(io.StringIO())
    rows = watch.over("counting", range(number))
    assert list(rows) == list(range(number))
    if number:
        assert "100%" in watch.text(80)


def test_half_way_is_said_in_the_middle() -> None:
    watch = Watch(io.StringIO())
    rows = iter(watch.over("decoding", range(101)))
    for _ in range(51):
        next(rows)
    text = watch.text(80)
    assert text.startswith("decoding ")
    assert " 50% " in text
    assert text.count("█") == text.count("░") or text.count("█") == 11
    assert len(watch.text(20)) < 20


def test_what_nobody_can_measure_has_its_name_and_its_time() -> None:
    watch = Watch(io.StringIO())
    watch.step("reading")
    assert watch.text(80).startswith("reading …  0.")


def test_it_is_drawn_and_wiped_out() -> None:
    out = Seen()
    watch = Watch(out, after_s=0)
    watch.step("reading")
    watch.start()
    assert out.drawn.wait(10)
    watch.stop()
    watch.stop()
    assert out.getvalue().startswith("\rreading …")
    assert out.getvalue().endswith("\r\x1b[K")


def test_what_is_over_soon_is_never_drawn() -> None:
    out = io.StringIO()
    watch = Watch(out)
    watch.start()
    watch.stop()
    assert out.getvalue() == ""

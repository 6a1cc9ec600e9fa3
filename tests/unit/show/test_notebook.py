"""The Python interface: frames, objects, and how they show themselves."""

from __future__ import annotations

import doctest
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest
import show_story
from rich.console import Console

from netlab.model.errors import UsageError
from netlab.model.tables import RECORDS, columns
from netlab.show import notebook
from netlab.show.notebook import Recording


def recording() -> Recording:
    story = show_story.echo()
    return Recording(story.tables, story.raw, "/somewhere/echo.pcapng")


@pytest.mark.parametrize("table", RECORDS)
def test_each_table_is_a_frame_made_once(table: str) -> None:
    rec = recording()
    frame = getattr(rec, table)
    assert frame.columns == [column.name for column in columns(table)]
    assert frame.height == len(getattr(rec.tables, table))
    assert getattr(rec, table) is frame


def test_objects() -> None:
    rec = recording()
    connection = rec.connection("tcp.0")
    assert repr(connection) == "Connection(0, tcp, '127.0.0.1:40112', '127.0.0.1:7777')"
    assert len(connection.packets) == 10
    assert [call.op for call in connection.calls][:2] == ["connect", "accept"]
    assert rec.call(6).frames == [4, 5]
    assert rec.packet(4).row.payload_len_bytes == 100
    assert rec.unmatched == []


@pytest.mark.parametrize("wrong", [0, 16])
def test_numbers_that_are_not_there_are_usage_errors(wrong: int) -> None:
    with pytest.raises(UsageError, match="its calls are #1 to #15"):
        recording().call(wrong)
    with pytest.raises(UsageError, match="its frames are 1 to 10"):
        recording().packet(wrong or 99)


def test_rich_and_jupyter_show_the_same_words() -> None:
    rec = recording()
    for thing, word in (
        (rec, "byte ledger"),
        (rec.connection(0), "connect"),
        (rec.call(6), "send"),
    ):
        out = StringIO()
        Console(file=out, width=100).print(thing)
        assert word in out.getvalue()
        assert word in thing._repr_html_()


def test_show_prints_what_rich_would(capsys: pytest.CaptureFixture[str]) -> None:
    rec = recording()
    for thing in (rec, rec.connection(0), rec.call(6), rec.packet(4)):
        thing.show()
        shown = capsys.readouterr().out
        out = StringIO()
        Console(file=out, width=100).print(thing)
        assert shown.splitlines() == [line.rstrip() for line in out.getvalue().splitlines()]
        assert len(repr(thing).splitlines()) == 1


def test_html_is_escaped() -> None:
    story = show_story.echo()
    rec = Recording(story.tables, story.raw, "<script>alert(1)</script>\x1b")
    page = rec._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_the_docstring_is_true() -> None:
    tests = doctest.DocTestFinder().find(notebook, extraglobs={"path": "echo.pcapng"})
    runner = doctest.DocTestRunner()

    def canned(path: str | Path) -> Recording:
        rec = recording()
        rec.path = str(path)
        return rec

    with patch("netlab.read", canned, create=True):
        for test in tests:
            runner.run(test)
    assert runner.tries >= 6
    assert runner.failures == 0

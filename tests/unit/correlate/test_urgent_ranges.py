"""Which stream bytes a reader got when urgent data was among them, and when that is not known."""

from __future__ import annotations

from typing import Any

import pytest
from playbook import INODE, Play

from netlab.correlate import call_join
from netlab.correlate.call_layout import UrgentMark
from netlab.correlate.ledger import ledger_mismatches
from netlab.model.tables import Direction, Tables

Ranges = list[tuple[int | None, int | None]]


class UrgentPlay(Play):
    """A play whose client sends urgent bytes; the marks stand in for the URG pointer of frames."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[UrgentMark] = []
        self.at = 0

    def sends(self, count: int, *, urgent: bool = False) -> None:
        flags = {"flags": 1, "args": "MSG_OOB"} if urgent else {}
        with self.call("client", "send", count, **flags):
            self.data("c>s", self.at, self.at + count)
        if urgent:
            self.marks.append(UrgentMark(self.at, self.now_ns - 1, self.now_ns - 1))
        self.at += count

    def inlines(self, value: object, **more: Any) -> None:
        args = f"SOL_SOCKET, SO_OOBINLINE, {value}"
        self.did("server", "setsockopt", 0, args=args, **more)

    def reads(self, count: int, **more: Any) -> None:
        self.did("server", "recv", count, **more)

    def read_ranges(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Ranges, Tables]:
        marks = {(0, Direction.C2S): tuple(self.marks)}
        monkeypatch.setattr(call_join, "urgent_marks", lambda *_: marks)
        tables = self.tables()
        assert ledger_mismatches(tables) == []
        return [(c.start, c.stop) for c in tables.calls if c.op == "recv" and c.result], tables


def started() -> UrgentPlay:
    play = UrgentPlay()
    play.handshake()
    return play


def abc_urgent_def() -> UrgentPlay:
    play = started()
    play.sends(3)
    play.sends(1, urgent=True)
    play.sends(3)
    return play


def test_the_option_counts_as_it_was_when_the_urgent_byte_was_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = abc_urgent_def()
    play.reads(3)
    play.reads(3)
    play.inlines(1)
    play.sends(3)
    play.reads(3)
    ranges, tables = play.read_ranges(monkeypatch)
    assert ranges == [(0, 3), (4, 7), (7, 10)]
    assert [(u.start, u.stop, u.reason) for u in tables.unmatched] == [
        (3, 4, "urgent byte not read")
    ]


@pytest.mark.parametrize("value", [1, "0x01000000"])
def test_with_the_option_the_urgent_byte_is_read_in_line(
    monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    play = started()
    play.inlines(value)
    play.sends(3)
    play.sends(1, urgent=True)
    play.sends(3)
    play.reads(3)
    play.reads(4)
    assert play.read_ranges(monkeypatch)[0] == [(0, 3), (3, 7)]


@pytest.mark.parametrize("value", [0, "0x00000000"])
def test_switched_off_again_the_option_skips(
    monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    play = started()
    play.inlines(1)
    play.inlines(value)
    play.sends(3)
    play.sends(1, urgent=True)
    play.sends(3)
    play.reads(3)
    play.reads(3)
    assert play.read_ranges(monkeypatch)[0] == [(0, 3), (4, 7)]


def test_an_option_switched_on_while_reading_stands_at_the_byte_leaves_it_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = abc_urgent_def()
    play.reads(3)
    play.did("server", "recv", None, errno="EAGAIN")  # this one may have skipped it
    play.inlines(1)
    play.reads(3)
    assert play.read_ranges(monkeypatch)[0] == [(0, 3), (None, None)]


def test_a_byte_that_is_read_twice_has_no_range_the_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = abc_urgent_def()
    play.reads(3)
    play.reads(1, flags=1, args="MSG_OOB")
    play.inlines(1)
    play.reads(4)
    assert play.read_ranges(monkeypatch)[0] == [(0, 3), (3, 4), (None, None)]


def test_an_accepted_socket_inherits_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    play = UrgentPlay()
    play.inlines(1, inode=INODE["listener"], fd=3, peer=None)
    play.handshake()
    play.sends(1, urgent=True)
    play.sends(3)
    play.reads(4)
    assert play.read_ranges(monkeypatch)[0] == [(0, 4)]


def test_what_is_inherited_is_not_known_when_the_listener_changed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = UrgentPlay()
    play.did("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn(), play.synack(), play.ack("c>s", 0)
    play.inlines(1, inode=INODE["listener"], fd=3, peer=None)
    with play.accept():
        pass
    play.sends(1, urgent=True)
    play.sends(3)
    play.reads(3)
    assert play.read_ranges(monkeypatch)[0] == [(None, None)]

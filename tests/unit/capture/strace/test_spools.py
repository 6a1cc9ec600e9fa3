"""A folder of logs, read while they grow: all comes out once, and nothing waits for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from netlab.capture.strace import spools
from netlab.capture.strace.outer_pids import pair_text
from netlab.capture.strace.spools import LOG, PIDS, StraceSpools, spool_name

BEGIN = '700 1700000000.000000001 execve("/bin/x", [], 0x7ffc /* 9 vars */) = 0 <0.000100000>\n'
FLAGS = "child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f"
FORK = f"700 1700000000.100000001 clone({FLAGS}) = 9 <0.000200000>\n"


def call(second: int, tid: int = 700) -> str:
    socket = "3<TCP:[10.0.0.1:80->10.0.0.2:4000]>"
    stamp = f"17000000{second:02}.500000000"
    return f'{tid} {stamp} sendto({socket}, ""..., 97, 0, NULL, 0) = 97 <0.000100000>\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / spool_name("client-1", "a+b/c", LOG)
    (tmp_path / spool_name("client-1", "a+b/c", PIDS)).touch()
    return path


def grow(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_calls_come_out_once_with_the_names_of_the_log(tmp_path: Path, log: Path) -> None:
    reader = StraceSpools(tmp_path)
    assert reader.poll() == []
    grow(log, BEGIN + call(1) + call(2)[:31])
    first = reader.poll()
    grow(log, call(2)[31:] + call(3))
    second = reader.poll()
    last = reader.finish()
    found = [*first, *second, *last]
    assert [one.entered_ns // 1_000_000_000 % 100 for one in found] == [1, 2, 3]
    assert {(one.host, one.actor, one.pid, one.result) for one in found} == {
        ("client-1", "a+b/c", 700, 97),
    }  # fmt: skip
    assert reader.losses == []
    assert reader.lengths_bytes == {"a+b/c": log.stat().st_size}


def test_a_number_that_is_noted_later_is_waited_for(tmp_path: Path, log: Path) -> None:
    reader = StraceSpools(tmp_path)
    notes = tmp_path / spool_name("client-1", "a+b/c", PIDS)
    grow(notes, pair_text(700, 2).decode())
    grow(log, BEGIN + FORK + call(1, 731) + call(2))
    assert reader.poll() == []
    grow(notes, pair_text(731, 9).decode())
    found = [*reader.poll(), *reader.finish()]
    assert [one.pid for one in found] == [731, 700]


def test_one_that_never_is_does_not_hold_up_a_busy_log(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    reader = StraceSpools(tmp_path)
    grow(log, BEGIN + FORK)
    found = []
    for second in range(1, 31):
        grow(log, call(second))
        found += reader.poll()
        now[0] += spools._PATIENCE_S / 10
    assert len(found) >= 18  # it goes on a second after it was held up
    found += reader.finish()
    assert [one.entered_ns // 1_000_000_000 % 100 for one in found] == list(range(1, 31))


@pytest.mark.parametrize("inside", [True, False])
def test_a_half_of_a_call_is_one_that_never_returned(
    tmp_path: Path, log: Path, inside: bool
) -> None:
    """With a process namespace of its own, and without."""
    if not inside:
        (tmp_path / spool_name("client-1", "a+b/c", PIDS)).unlink()
    grow(log, BEGIN + call(1) + "700 1700000002.500000000 accept4(4<TCP:[0.0.0.0:80]>, ")
    reader = StraceSpools(tmp_path)
    found = [*reader.poll(), *reader.finish()]
    assert [(one.op, one.returned_ns is None) for one in found] == [
        ("sendto", False), ("accept4", True),
    ]  # fmt: skip
    assert reader.losses == []


def test_a_line_that_was_cut_where_a_block_ends_is_a_loss(tmp_path: Path, log: Path) -> None:
    half = "700 1700000002.500000000 accept4(4<TCP:[0.0.0.0:"
    text = BEGIN
    while len(text) + len(half) < 2 * 4096 - 200:
        text += call(1)
    fill = 2 * 4096 - len(text) - len(half)
    text += f"700 1700000001.600000000 close(5</{'x' * (fill - 55)}>) = 0 <0.000100000>\n"
    assert len(text + half) == 2 * 4096
    grow(log, text + half)
    reader = StraceSpools(tmp_path)
    reader.poll()
    reader.finish()
    (loss,) = reader.losses
    assert (loss.witness, loss.what, loss.actor) == ("strace", "calls", "a+b/c")
    assert loss.reason.startswith("the log ends within a line: 700 1700000002.5")


def test_what_is_no_file_is_a_loss_and_keeps_nobody(tmp_path: Path, log: Path) -> None:
    os.mkfifo(log)
    reader = StraceSpools(tmp_path)
    assert reader.poll() == []
    assert reader.finish() == []
    assert [loss.reason for loss in reader.losses] == [
        "the log cannot be read on: it is not a file"
    ]

"""Threads that a signal stopped, as strace tells it: since when, until when, and which."""

from __future__ import annotations

import pytest

from netlab.capture.strace.asked import strace_options
from netlab.model.call import CallRecord
from tests.unit.capture.strace.test_reader import EXEC, SOCKET, START_NS, at, log

SIGCONT = "--- SIGCONT {si_signo=SIGCONT, si_code=SI_USER, si_pid=9, si_uid=0} ---"
CLONE = "clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, exit_signal=0}, 88) = 11 <0.000010>"
MS = 1_000_000


def stops(*lines: str) -> list[CallRecord]:
    reader = log(EXEC, SOCKET, *lines)
    assert reader.faults == []
    return [record for record in reader.calls if record.op == "stop"]


def told(record: CallRecord) -> tuple[int, str, float, float | None]:
    until_ns = record.returned_ns
    return (
        record.tid, record.args, (record.entered_ns - START_NS) / MS,
        None if until_ns is None else (until_ns - START_NS) / MS,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"])
def test_a_stop_lasts_from_its_line_to_that_of_the_signal_that_ends_it(name: str) -> None:
    (stop,) = stops(
        at(10, 2, "read(3,  <unfinished ...>"),
        at(10, 5, "<... read resumed>0x7ffe, 10) = ? ERESTARTSYS (To be restarted) <0.003000>"),
        at(10, 5.1, f"--- {name} {{si_signo={name}, si_code=SI_USER, si_pid=9, si_uid=0}} ---"),
        at(10, 5.2, f"--- stopped by {name} ---"),
        at(10, 50, SIGCONT),
        at(10, 50.1, 'read(3, "x", 10) = 1 <0.000010>'),
    )
    assert told(stop) == (10, name, 5.2, 50.0)


def test_each_thread_of_a_process_is_stopped_and_one_signal_ends_it_for_all() -> None:
    found = stops(
        at(10, 2, CLONE),
        at(11, 3, "read(3,  <unfinished ...>"),
        at(10, 5, "--- stopped by SIGSTOP ---"),
        at(11, 5.1, "--- stopped by SIGSTOP ---"),
        at(10, 50, SIGCONT),
    )
    assert [told(stop) for stop in found] == [
        (10, "SIGSTOP", 5.0, 50.0), (11, "SIGSTOP", 5.1, 50.0),
    ]  # fmt: skip


def test_another_process_goes_on_for_itself() -> None:
    found = stops(
        at(10, 2, "fork() = 12 <0.000010>"),
        at(12, 3, "getpid() = 12 <0.000010>"),
        at(10, 5, "--- stopped by SIGSTOP ---"),
        at(12, 6, SIGCONT),
        at(10, 50, SIGCONT),
    )
    assert [told(stop) for stop in found] == [(10, "SIGSTOP", 5.0, 50.0)]


def test_one_that_is_killed_while_it_is_stopped_was_so_until_then() -> None:
    (stop,) = stops(
        at(10, 5, "--- stopped by SIGSTOP ---"), at(10, 40, "+++ killed by SIGKILL +++")
    )
    assert told(stop) == (10, "SIGSTOP", 5.0, 40.0)


def test_one_that_is_stopped_still_has_no_end() -> None:
    (stop,) = stops(at(10, 5, "--- stopped by SIGSTOP ---"))
    assert told(stop) == (10, "SIGSTOP", 5.0, None)


@pytest.mark.parametrize(
    "text",
    [
        SIGCONT,
        "--- SIGSTOP {si_signo=SIGSTOP, si_code=SI_USER, si_pid=9, si_uid=0} ---",
        "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=9, si_uid=0} ---",
    ],
)
def test_a_signal_alone_stops_nobody(text: str) -> None:
    assert stops(at(10, 5, text), at(10, 50, SIGCONT)) == []


def test_strace_is_asked_for_these_signals_and_no_others() -> None:
    options = strace_options()
    assert any(one.startswith("signal=SIGSTOP,SIGTSTP,SIGTTIN,SIGTTOU,SIGCONT,") for one in options)

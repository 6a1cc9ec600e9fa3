"""Becoming a child, and what a process can know of others."""

from __future__ import annotations

import os
import pwd
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from netlab.model.errors import UsageError
from netlab.server.family.pid_file import PidFile
from netlab.server.family.process import (
    ORPHANED,
    begin_child,
    fork,
    leave_within,
    rss_bytes,
    started_ticks,
    take_identity,
)


def in_child(action: Callable[[], object]) -> int:
    """The exit status of a child that does something: 0 when it returned true."""
    pid = fork()
    if pid == 0:
        status = 99
        try:
            status = 0 if action() else 1
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_child_begins_with_no_handlers_of_its_parent() -> None:
    parent = os.getpid()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:

        def action() -> bool:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            assert signal.SIGTERM in blocked
            begin_child("a-child-with-a-long-name", parent)
            return (
                signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
                and signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
                and not signal.pthread_sigmask(signal.SIG_BLOCK, ())
                and Path("/proc/self/comm").read_text() == "a-child-with-a-\n"
            )

        assert in_child(action) == 0
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_child_whose_parent_is_gone_already_ends() -> None:
    assert in_child(lambda: begin_child("orphan", 1 << 30)) == 0


def test_a_stuck_orphan_is_ended_by_its_alarm() -> None:
    parent = os.getpid()

    def action() -> None:
        begin_child("stuck", parent)
        os.kill(os.getpid(), ORPHANED)
        assert 4 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5
        leave_within(0.0)
        sum(range(1 << 60))  # in C: no handler of Python's would ever run

    assert in_child(action) == -signal.SIGALRM


def test_who_leaves_in_order_is_not_hurried() -> None:
    parent = os.getpid()

    def action() -> bool:
        begin_child("well", parent)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        leave_within(100.0)
        os.kill(os.getpid(), ORPHANED)  # late
        return signal.getitimer(signal.ITIMER_REAL)[0] > 90

    assert in_child(action) == 0


def test_the_death_of_a_parent_is_told() -> None:
    reader, writer = os.pipe()
    told = os.fork()
    if told == 0:  # the parent that is to die
        me = os.getpid()
        if fork() == 0:
            begin_child("child", me)
            os.write(writer, b"r")
            end_s = time.monotonic() + 20
            while not signal.getitimer(signal.ITIMER_REAL)[0] and time.monotonic() < end_s:
                pass
            os._exit(0)
        os.close(writer)
        signal.sigtimedwait((), 20)
        os._exit(0)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"r"
        os.kill(told, signal.SIGKILL)
        os.waitpid(told, 0)
        assert select.select([reader], [], [], 20)[0]
        assert os.read(reader, 1) == b""  # the child is gone too
    finally:
        os.close(reader)


def test_what_is_known_of_a_process() -> None:
    assert 1 << 20 < (rss_bytes(os.getpid()) or 0) < 1 << 34
    ticks = started_ticks(os.getpid())
    assert ticks is not None
    began_s = ticks / os.sysconf("SC_CLK_TCK")
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - began_s < 86_400
    assert rss_bytes(1 << 30) is None
    assert started_ticks(1 << 30) is None


@pytest.mark.parametrize(("user", "group"), [("no-such-user", ""), ("", "no-such-group")])
def test_nobody_becomes_who_does_not_exist(user: str, group: str) -> None:
    with pytest.raises(UsageError, match="no-such"):
        take_identity(user, group)


def test_to_stay_who_we_are_needs_no_right() -> None:
    take_identity("", "")
    take_identity(pwd.getpwuid(os.getuid()).pw_name, "")


@pytest.mark.root
def test_another_user_for_good() -> None:
    def action() -> bool:
        take_identity("nobody", "")
        nobody = pwd.getpwnam("nobody")
        assert os.getresuid() == (nobody.pw_uid,) * 3
        assert os.getresgid() == (nobody.pw_gid,) * 3
        try:
            os.setuid(0)
        except PermissionError:
            return True
        return False

    assert in_child(action) == 0


def test_a_pid_file_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        PidFile(str(tmp_path / "nowhere" / "pid"))
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(UsageError, match="link"):
        PidFile(str(tmp_path / "link"))


def test_a_pid_file_with_nonsense_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("nonsense")
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    assert not path.exists()


def test_a_pid_file_of_another_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    file = PidFile(str(path))
    file.write()
    path.unlink()
    path.write_text("1\n")
    file.remove()
    assert path.read_text() == "1\n"

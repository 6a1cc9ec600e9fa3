"""Where copy, signal and network would be tempting and are wrong: what is named in their place."""

from __future__ import annotations

import pytest

from netlab.model.tables import Wait
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, told

FULL = 1460


def opened(*, window: int = 512) -> Play:
    play = Play(wired=True, window=window)
    play.handshake()
    return play


def total_ns(rows: list[Wait], call: int, cause: str) -> int:
    return sum(row.stop_ns - row.start_ns for row in rows if (row.call, row.cause) == (call, cause))


# --- copy: the kernel works for so long as so many bytes take, and no longer


@pytest.mark.parametrize("size", [3, 1000])
def test_a_thread_that_did_not_run_is_not_the_kernel_at_work(size: int) -> None:
    play = opened()
    with play.call("server", "send", size, size=size):
        play.data("s>c", 0, size)
    play.now_ns += 5 * MS
    with play.call("client", "recv", size, size=4096):  # what it wants is there
        play.now_ns += 30 * MS
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("scheduler", 30)]
    assert total_ns(rows, recv, "copy") <= 20_000 + size


def test_a_send_without_room_is_not_the_kernel_at_work() -> None:
    play = opened(window=512)  # 65,536 bytes
    with play.call("client", "send", 700_000, size=700_000):
        at = 0
        while at + FULL <= 65_536:
            play.data("c>s", at, at + FULL)
            at += FULL
        play.ack("s>c", at, window=0)
        play.now_ns += 200 * MS
        play.did("server", "recv", at, size=1 << 20)
        play.ack("s>c", at, window=8192)
        while at < 700_000:
            stop = min(at + FULL, 700_000)
            play.data("c>s", at, stop)
            at = stop
    tables, rows = told(play)
    send = number_of(tables, "send")
    assert causes(rows, send, least_ms=10) == [("peer_window", 200)]
    assert total_ns(rows, send, "copy") <= MS


def test_a_wait_that_nothing_explains_is_unknown_and_no_copy() -> None:
    play = opened()
    with play.call("client", "recv", None, size=100, errno="ECONNRESET"):
        play.now_ns += 30 * MS  # no reset came
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("unknown", 30)]
    assert total_ns(rows, recv, "copy") == 0


# --- signal: it ends a call that says so, or a process that waits for nothing else


def killed(play: Play, how: str = "SIGKILL") -> None:
    """The end of the client's process, in which its calls still are."""
    play.now_ns += 50 * MS
    with play.call("client", "exit", None, inode=None, fd=None, local=None, peer=None, args=how,
                   inside=True):  # fmt: skip
        pass


def test_what_a_killed_process_waited_for_is_not_the_signal() -> None:
    play = opened()
    with play.call("client", "recv", None, size=100, inside=True):
        killed(play)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [("peer_app", 50)]


def test_a_poll_of_descriptors_in_a_killed_process_waited_for_those() -> None:
    play = opened()
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    with play.wait("client", op="poll", args="nfds=1, timeout=-1", inside=True):
        killed(play, "SIGTERM")
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("peer_app", 50)]


@pytest.mark.parametrize(("errno", "expected"), [("EAGAIN", "timer"), ("EINTR", "signal")])
def test_a_time_that_was_up_is_no_signal(errno: str, expected: str) -> None:
    play = opened()
    with play.call("client", "recv", None, size=100, errno=errno):
        play.now_ns += 50 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [(expected, 50)]


# --- network: a frame is on its way, and nothing else keeps who waits


def test_what_is_here_already_is_not_on_the_wire() -> None:
    play = opened()
    with play.call("server", "send", 50, size=50):
        play.data("s>c", 0, 50)
    play.now_ns += 5 * MS
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += 30 * MS
    tables, rows = told(play)
    assert total_ns(rows, number_of(tables, "recv"), "network") == 0


def test_what_was_not_sent_yet_is_not_on_the_wire() -> None:
    play = opened()
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += 30 * MS
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50)  # arrives a third of a microsecond later
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert total_ns(rows, recv, "network") == 300


def test_what_the_wire_lost_is_not_on_it() -> None:
    play = opened()
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50, way="drop")
        play.now_ns += 200 * MS
        play.data("s>c", 0, 50)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("tail_loss_probe", 200)]
    assert total_ns(rows, recv, "network") < MS


def test_between_two_ends_of_a_unix_socket_there_is_no_wire() -> None:
    unix = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
    play = Play()
    play.did("client", "socketpair", 0, new_inode=2, **{**unix, "inode": 1})
    with play.call("server", "recv", 3, size=100, **{**unix, "inode": 2}):
        play.now_ns += 30 * MS
        play.did("client", "send", 3, size=3, **{**unix, "inode": 1})
    _, rows = told(play)
    assert "network" not in {row.cause for row in rows}

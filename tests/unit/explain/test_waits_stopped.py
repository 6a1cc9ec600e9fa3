"""A thread that a signal stopped: who waited for it waited for that, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netlab.explain.stopped import stop_text
from netlab.explain.waits import explained
from netlab.model.call import STOP
from netlab.show.views.why_sentences import sentence
from tests.playbook import ADDRESS, INODE, PID, Play, number_of
from tests.waits_told import MS, causes, of, told


def stop(play: Play, side: str, ms: int, **more: object) -> None:
    """As strace tells it: between two calls of a thread."""
    with play.call(
        side, STOP, None, inode=None, fd=None, local=None, peer=None, family=None, kind=None,
        args="SIGSTOP", **more,
    ):  # fmt: skip
        play.now_ns += ms * MS


def answers_late(*, stopped_ms: int = 40, pid: int | None = None) -> Play:
    """The client waits for 60 ms; 40 of them its peer is stopped, or another process of it is."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "recv", 10, size=10):
        play.now_ns += 10 * MS
        if stopped_ms:
            own = PID["server"] if pid is None else pid
            stop(play, "server", stopped_ms, pid=own, tid=own)
        play.now_ns += (50 - stopped_ms) * MS
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10)
    return play


def test_who_waits_for_a_program_that_is_stopped_waits_for_the_signal() -> None:
    tables, rows = told(answers_late())
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 10), ("signal", 40), ("peer_app", 10)]
    named = of(rows, recv, "signal")
    assert named.certainty == "observed"
    assert named.text == "in which SIGSTOP had stopped the server's process (server stop #5)"
    assert named.calls == (number_of(tables, STOP),)


def test_a_process_without_a_side_is_named_as_what_it_is() -> None:
    """As that of a thread that was stopped before it had used a socket."""
    stopped = Play(wired=True)
    stopped.handshake()
    stop(stopped, "server", 10)
    (call,) = (one for one in stopped.tables().calls if one.op == STOP)
    alone = replace(call, side=None, actor="server/python3-20")
    assert stop_text(alone) == (
        f"in which SIGSTOP had stopped the process server/python3-20 (stop #{call.call})"
    )


def test_a_stop_of_another_process_is_none_of_its_business() -> None:
    tables, rows = told(answers_late(pid=77))
    assert {cause for cause, _ in causes(rows, number_of(tables, "recv"))} == {"peer_app"}


def test_where_nobody_saw_a_stop_the_program_had_not_sent_and_no_more_is_said() -> None:
    tables, rows = told(answers_late(stopped_ms=0))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 60)]
    assert of(rows, recv, "peer_app").text.startswith("before the server's program called send #")


def test_the_stop_itself_is_the_signal_up_to_its_end() -> None:
    tables, rows = told(answers_late())
    assert causes(rows, number_of(tables, STOP)) == [("signal", 40)]
    play = Play(wired=True)
    play.handshake()
    stop(play, "server", 30, inside=True)
    tables, rows = told(play)
    assert {row.cause for row in rows if row.call == number_of(tables, STOP)} <= {"signal"}


def shut_window(*, stopped: bool) -> Play:
    """A send that a closed window holds up for 40 ms, while its reader is stopped or is not."""
    play = Play(wired=True, window=512)
    play.handshake()
    play.did("server", "recv", None, size=100, errno="EAGAIN")
    full = 1460
    with play.call("client", "send", 90_000, size=90_000):
        for at in range(0, 44 * full, full):
            play.data("c>s", at, at + full)
        play.ack("s>c", 44 * full, window=0)
        if stopped:
            stop(play, "server", 40)
        else:
            play.now_ns += 40 * MS
        with play.call("server", "recv", 44 * full, size=44 * full, inode=INODE["server"]):
            play.ack("s>c", 44 * full, window=512)
    return play


def test_a_window_that_is_shut_names_the_stop_of_its_reader() -> None:
    tables, rows = told(shut_window(stopped=True))
    held = of(rows, number_of(tables, "send"), "peer_window")
    number = number_of(tables, STOP)
    assert f"and SIGSTOP had stopped it (server stop #{number})" in held.text
    assert number in held.calls
    play = shut_window(stopped=True)
    scene = explained(play.tables(), play.raw)
    said = sentence(scene, scene.call(number_of(scene.tables, "send")))
    assert said.advice.startswith("Find out who stopped the program that was to read")
    tables, rows = told(shut_window(stopped=False))
    assert "stop" not in of(rows, number_of(tables, "send"), "peer_window").text


@pytest.mark.parametrize("takers", [1, 2])
def test_a_client_in_the_queue_of_a_listener_that_is_stopped_waits_for_the_signal(
    takers: int,
) -> None:
    """Where nobody else accepts from it: another process could have."""
    play = Play(wired=True)
    listener = {"inode": INODE["listener"], "fd": 3, "peer": None}
    play.did("server", "listen", 0, args="16", **listener)
    if takers == 2:
        play.did("server", "accept", 6, new_inode=777, address="127.0.0.1:40001", pid=88, tid=88,
                 **listener)  # fmt: skip
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.call("client", "recv", 5, size=5):
        play.now_ns += 5 * MS
        stop(play, "server", 40)
        play.now_ns += 5 * MS
        with play.accept():
            pass
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    expected = [("accept_queue", 5), ("signal", 40), ("accept_queue", 5)]
    assert causes(rows, recv) == (expected if takers == 1 else [("accept_queue", 50)])

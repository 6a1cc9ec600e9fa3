"""Waits that their timer ended: what had not come by then, and who else waited for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import POLLIN
from netlab.model.tables import Tables, Wait
from netlab.model.wire import Arrival
from netlab.show.views.why_sentences import why_call
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

TIMED = "until its time was up"


def polls(play: Play, ms: int, args: str = "nfds=1, timeout=100", op: str = "poll") -> None:
    """A wait of the client's that reported nothing, as strace shows it."""
    with play.call("client", op, 0, inode=None, fd=None, local=None, peer=None, family=None,
                   kind=None, args=args):  # fmt: skip
        play.now_ns += ms * MS


def receives(play: Play, ms: int) -> None:
    """A read of the client's with SO_RCVTIMEO that returned nothing."""
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += ms * MS


def lost_answer(wait: Any, *, way: str = "drop", spare_ms: int = 50, **more: Any) -> Play:
    """The client asks and its answer is lost; it waits twice in vain, and then reads it.

    Meanwhile the server waits for its next question.
    """
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 8, size=8):
        play.data("c>s", 0, 8)
    play.did("server", "recv", 8, size=100)
    with play.call("server", "send", 5, size=5):
        first = play.data("s>c", 0, 5, 8, way=way)
    with play.call("server", "recv", 8, size=100):
        wait(play, 100, **more)
        wait(play, 100, **more)
        with play.call("client", "recv", 5, size=10):
            play.now_ns += 10 * MS
            if way == "drop":
                play.data("s>c", 0, 5, 8)
            else:
                play.arrives(first)
        play.now_ns += spare_ms * MS
        with play.call("client", "send", 8, size=8):
            play.data("c>s", 8, 16, 5)
    return play


def second_recv(tables: Tables, rows: list[Wait]) -> list[tuple[str, int]]:
    return causes(rows, number_of(tables, "recv", 2, "server"))


@pytest.mark.parametrize("wait", [polls, receives])
def test_who_waits_for_a_peer_whose_timer_ended_its_wait_waits_for_what_that_wanted(
    wait: Any,
) -> None:
    play = lost_answer(wait)
    tables, rows = told(play)
    assert second_recv(tables, rows) == [
        ("tail_loss_probe", 100), ("tail_loss_probe", 100), ("tail_loss_probe", 10),
        ("peer_app", 50),
    ]  # fmt: skip
    sure = "inferred" if wait is polls else "observed"
    parts = [row for row in rows if row.call == number_of(tables, "recv", 2, "server")]
    first = next(row for row in parts if row.cause == "tail_loss_probe")
    assert first.certainty == sure
    op = "poll" if wait is polls else "recv"
    timed_out = number_of(tables, op, 1, "client")
    assert first.text.endswith(f"(inside client {op} #{timed_out})")
    timer = of(rows, timed_out, "timer")
    send = number_of(tables, "send", 1, "server")
    assert timer.text.startswith(
        f"{TIMED}: what server send #{send} wrote had not come by then (frame "
    )
    assert "was dropped by the wire" in timer.text
    assert timer.calls == (send,)
    assert timer.frames


@pytest.mark.parametrize("wait", [polls, receives])
def test_a_frame_that_was_on_its_way_is_the_wires(wait: Any) -> None:
    tables, rows = told(lost_answer(wait, way="hold"))
    assert second_recv(tables, rows) == [
        ("network", 100), ("network", 100), ("network", 10), ("peer_app", 50)
    ]  # fmt: skip


def test_the_loss_cost_all_of_it() -> None:
    play = lost_answer(receives)
    tables = play.tables()
    found = findings_of(explained(tables, play.raw), None)
    one = next(one for one in found if one.kind == "loss_recovery")
    assert one.text.startswith("Losses cost 210.")


def test_a_loss_that_nobody_else_waited_for_cost_the_waits_that_gave_up() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "send", 5, size=5):
        play.data("s>c", 0, 5, way="drop")
    receives(play, 100)
    play.now_ns += 110 * MS
    play.data("s>c", 0, 5)
    play.did("client", "recv", 5, size=10)
    found = findings_of(explained(play.tables(), play.raw), None)
    one = next(one for one in found if one.kind == "loss_recovery")
    assert one.text.startswith("Losses cost 100.")


def loops(play: Play, ms: int, known: bool = True) -> None:
    """A turn of the client's event loop in which nothing happened."""
    if known and not any(call and call.op == "epoll_ctl" for call in play.calls):
        play.did("client", "epoll_create1", 4, inode=None, fd=None, local=None, peer=None,
                 family=None, kind=None)  # fmt: skip
        play.watch("client", INODE["client"], POLLIN)
    with play.wait("client", args="timeout=100, maxevents=64"):
        play.now_ns += ms * MS


@pytest.mark.parametrize(
    ("wait", "more", "knows"),
    [(loops, {}, True), (loops, {"known": False}, False),
     (polls, {"args": "nfds=2, timeout=100"}, True), (polls, {"args": "timeout=100"}, False)],
)  # fmt: skip
def test_a_wait_for_several_was_for_the_one_to_which_something_was_owed(
    wait: Any, more: dict[str, Any], knows: bool
) -> None:
    tables, rows = told(lost_answer(wait, **more))
    found = second_recv(tables, rows)
    assert (found[0] == ("tail_loss_probe", 100)) is knows
    if knows:
        parts = [row for row in rows if row.call == number_of(tables, "recv", 2, "server")]
        first = next(row for row in parts if row.cause == "tail_loss_probe")
        assert first.certainty == "inferred"


@pytest.mark.parametrize("args", ["nfds=0, timeout=100", "timeout=100, maxevents=8"])
def test_a_wait_for_nothing_or_for_nobody_knows_what_may_be_its_programs_will(args: str) -> None:
    tables, rows = told(lost_answer(polls, args=args))
    assert second_recv(tables, rows) == [
        ("peer_app", 200), ("tail_loss_probe", 10), ("peer_app", 50)
    ]  # fmt: skip
    assert of(rows, number_of(tables, "poll", 1, "client"), "timer").text == TIMED


@pytest.mark.parametrize(("highest", "knows"), [(6, True), (4, False)])
def test_a_select_names_its_highest_descriptor(highest: int, knows: bool) -> None:
    args = f"nfds={highest}, timeout=0.1"
    tables, rows = told(lost_answer(polls, args=args, op="pselect6"))
    assert (second_recv(tables, rows)[0] == ("tail_loss_probe", 100)) is knows


def test_a_program_that_looks_round_while_nothing_was_sent_does_as_it_likes() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 8, size=8):
        play.data("c>s", 0, 8)
    play.did("server", "recv", 8, size=100)
    with play.call("server", "recv", 8, size=100):
        receives(play, 100)
        with play.call("client", "send", 8, size=8):
            play.data("c>s", 8, 16)
    tables, rows = told(play)
    assert second_recv(tables, rows) == [("peer_app", 100)]
    assert of(rows, number_of(tables, "recv", 1, "client"), "timer").text == TIMED


# --- room


FULL = 1460


def no_room(*, closed: bool = True, poll: bool = False) -> Play:
    """A reader that does not read for 250 ms, and a writer whose time is up three times."""
    play = Play(wired=True, window=512)
    play.handshake()
    play.ack("s>c", 0)
    size, queued = 44 * FULL, 50 * FULL if closed else 44 * FULL
    with play.call("client", "send", queued, size=1 << 22):
        for at in range(0, size, FULL):
            play.data("c>s", at, at + FULL)
    play.ack("s>c", size, window=0 if closed else 512)
    for _ in range(3):
        if poll:
            polls(play, 80)
        else:
            with play.call("client", "send", None, size=1 << 22, errno="EAGAIN"):
                play.now_ns += 80 * MS
    play.did("server", "recv", size, size=size)
    play.ack("s>c", size, window=512)
    for at in range(size, queued, FULL):
        play.data("c>s", at, at + FULL)
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    return play


@pytest.mark.parametrize("poll", [False, True])
def test_sends_that_gave_up_waited_for_the_window_too(poll: bool) -> None:
    play = no_room(poll=poll)
    tables = play.tables()
    scene = explained(tables, play.raw)
    one = next(one for one in findings_of(scene, None) if one.kind == "zero_window")
    assert one.text.startswith("The sender stood still for 240.")
    gave_up = number_of(tables, "poll" if poll else "send", 1 if poll else 2, "client")
    (timer,) = [part for part in scene.explained[gave_up] if part.cause == "timer"]
    assert timer.text.startswith(
        f"{TIMED}: with the send buffer full, because the window of the server was closed: its"
        " program first read with server recv"
    )


def test_a_send_that_gave_up_for_a_reason_that_no_frame_shows_says_no_more() -> None:
    play = no_room(closed=False)
    tables = play.tables()
    scene = explained(tables, play.raw)
    assert not any(one.kind == "zero_window" for one in findings_of(scene, None))
    parts = scene.explained[number_of(tables, "send", 2, "client")]
    assert [part.text for part in parts if part.cause == "timer"] == [TIMED]


# --- datagrams


U = {"kind": "SOCK_DGRAM"}


def asks_again(*, question: str = "carry", answer: str | None = "carry") -> Play:
    """A client whose question, or its answer, is lost, and that asks again after 250 ms."""
    play = Play(wired=True)
    client, server = ADDRESS["client"], ADDRESS["server"]
    with play.call("server", "recvfrom", 3, size=100, address=client, **U):
        with play.call("client", "sendto", 3, size=3, address=server, **U):
            play.datagram(client, server, 3, way=question)
        if question == "drop":
            polls(play, 250)
            with play.call("client", "sendto", 3, size=3, address=server, **U):
                play.datagram(client, server, 3)
    if question == "drop":
        return play
    if answer is not None:
        with play.call("server", "sendto", 5, size=5, address=client, **U):
            play.datagram(server, client, 5, way=answer)
    with play.call("server", "recvfrom", 3, size=100, address=client, **U):
        polls(play, 250)
        with play.call("client", "sendto", 3, size=3, address=server, **U):
            play.datagram(client, server, 3)
    return play


@pytest.mark.parametrize(
    ("ways", "read", "frame"),
    [({"question": "drop"}, 1, 1), ({"answer": "drop"}, 2, 2)],
)
def test_a_lost_datagram_keeps_both_waiting_until_the_programs_time_is_up(
    ways: dict[str, Any], read: int, frame: int
) -> None:
    tables, rows = told(asks_again(**ways))
    recv, poll = number_of(tables, "recvfrom", read, "server"), number_of(tables, "poll")
    assert causes(rows, recv) == [("timer", 250)]
    wait = of(rows, recv, "timer")
    assert wait.text == (
        f"because frame {frame} was dropped by the wire, {TIMED} (inside client poll #{poll})"
    )
    assert wait.certainty == "inferred"
    assert of(rows, poll, "timer").text == f"{TIMED}: frame {frame} was dropped by the wire"


@pytest.mark.parametrize(
    ("ways", "read", "frame"),
    [({"question": "drop"}, 1, 1), ({"answer": "drop"}, 2, 2)],
)
def test_a_datagram_that_was_too_big_is_no_segment_that_was(
    ways: dict[str, Any], read: int, frame: int
) -> None:
    play = asks_again(**ways)
    play.packets[frame - 1]._arrival = Arrival(frame, "dropped", rule="mtu 1400")
    tables, rows = told(play)
    recv = number_of(tables, "recvfrom", read, "server")
    assert causes(rows, recv) == [("datagram_too_big", 250)]
    poll = number_of(tables, "poll")
    wait = of(rows, recv, "datagram_too_big")
    assert (wait.certainty, wait.frames) == ("inferred", (frame,))
    assert wait.text == (
        f"because frame {frame} did not pass the wire (mtu 1400), {TIMED} (inside client poll"
        f" #{poll})"
    )
    sentence = why_call(tables, play.raw, tables.calls[recv - 1])
    assert sentence.advice.startswith("Send smaller datagrams")
    assert "EMSGSIZE" in sentence.advice


@pytest.mark.parametrize("op", ["sendto", "sendmmsg"])
def test_a_wait_behind_what_sent_several_datagrams_was_for_their_answer(op: str) -> None:
    """sendmmsg, with which glibc asks for names, returns how many it sent, not how many bytes."""
    play = Play(wired=True)
    client, server = ADDRESS["client"], ADDRESS["server"]
    sizes = (30, 30) if op == "sendmmsg" else ()
    with play.call("client", op, 2 if sizes else 60, size=60, message_bytes=sizes, **U):
        for size in sizes or (60,):
            play.datagram(client, server, size, way="drop")
    polls(play, 250)
    play.did("client", "recvfrom", None, size=100, errno="EAGAIN", **U)
    tables, rows = told(play)
    wait = of(rows, number_of(tables, "poll"), "timer")
    assert wait.text.startswith(f"{TIMED}: ")
    assert wait.text.endswith("dropped by the wire")


def test_a_datagram_that_was_not_answered_was_not_lost() -> None:
    tables, rows = told(asks_again(answer=None))
    assert causes(rows, number_of(tables, "recvfrom", 2, "server")) == [("peer_app", 250)]
    assert of(rows, number_of(tables, "poll"), "timer").text == TIMED


@pytest.mark.parametrize("way", ["drop", "carry"])
def test_a_wait_for_a_handshake_says_what_became_of_the_syn(way: str) -> None:
    """A connect with a time-out of the program's own: it does not wait, a poll does."""
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="EINPROGRESS", address=ADDRESS["server"]):
        syn = play.syn(way=way)
    if way == "carry":
        play.synack()
    polls(play, 100)
    tables, rows = told(play)
    timer = of(rows, number_of(tables, "poll"), "timer")
    lost = way == "drop"
    dropped = f": the SYN of frame {syn} was dropped by the wire"
    assert timer.text == TIMED + (dropped if lost else "")
    assert timer.frames == ((syn,) if lost else ())
    assert timer.calls == ((number_of(tables, "connect"),) if lost else ())
    kinds = {one.kind: one for one in findings_of(explained(play.tables(), play.raw))}
    assert ("handshake_lost" in kinds) is lost
    if lost:
        assert "1 SYN and 0 SYN-ACKs were sent, 1 of them lost on the wire; none was answered." in (
            kinds["handshake_lost"].text
        )


@pytest.mark.parametrize("way", ["drop", ""])
def test_a_read_that_a_signal_interrupted_says_what_had_not_come(way: str) -> None:
    play = Play(wired=True)
    play.handshake()
    if way:
        with play.call("server", "send", 5, size=5):
            lost = play.data("s>c", 0, 5, way=way)
    with play.call("client", "recv", None, size=10, errno="EINTR"):
        play.now_ns += 100 * MS
    tables, rows = told(play)
    wait = of(rows, number_of(tables, "recv"), "signal")
    assert wait.certainty == "observed"
    said = "until a signal interrupted it"
    if way:
        send = number_of(tables, "send")
        assert wait.text.startswith(f"{said}: what server send #{send} wrote had not come by then")
        assert (wait.frames, wait.calls) == ((lost,), (send,))
    else:
        assert wait.text == said


def test_a_connect_that_a_signal_interrupted_says_what_became_of_the_syn() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="EINTR", address=ADDRESS["server"]):
        syn = play.syn(way="drop")
        play.now_ns += 100 * MS
    tables, rows = told(play)
    wait = of(rows, number_of(tables, "connect"), "signal")
    assert wait.text == (
        f"until a signal interrupted it: the SYN of frame {syn} was dropped by the wire"
    )


@pytest.mark.parametrize("option", ["", "SOL_SOCKET, SO_RCVTIMEO, 1"])
@pytest.mark.parametrize("witness", ["strace", "probe"])
def test_a_call_of_a_socket_that_does_not_block_has_no_timer(witness: str, option: str) -> None:
    """It was late for another reason; the probe's calls are Python's, which waits inside them."""
    play = Play(wired=True)
    play.handshake()
    if option:
        play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 7 * MS
    play.calls = [replace(one, witness=witness) for one in play.calls]
    tables, rows = told(play)
    cause = "timer" if option or witness == "probe" else "scheduler"
    assert [found for found, _ in causes(rows, number_of(tables, "recv"))][:1] == [cause]


@pytest.mark.parametrize("accepts", ["late", "before", "never"])
def test_a_read_in_vain_says_that_nobody_had_accepted(accepts: str) -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    if accepts == "before":
        with play.accept():
            pass
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 50 * MS
    if accepts == "late":
        with play.accept():
            pass
    tables, rows = told(play)
    timer = of(rows, number_of(tables, "recv"), "timer")
    said = TIMED
    if accepts == "late":
        said += ": the connection stood in the accept queue, before server accept #4 was called"
    assert timer.text == said
    assert timer.calls == ((4,) if accepts == "late" else ())

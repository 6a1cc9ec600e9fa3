"""Why a stack held bytes that a program had written: each rule where it speaks and where not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import POLLIN, POLLOUT
from netlab.show.views.why_sentences import sentence
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

MSG_MORE = 0x8000
FULL = 1460  # the MSS that both SYNs of a play offer, without timestamps


def two_writes(delay_ms: int, *, option: str = "", at_receiver: bool = True) -> Play:
    """The client writes 64 and 65 bytes; the second leaves once the first is acknowledged.

    `at_receiver`: the ACK is late because its sender waits; else because it is long on its way.
    """
    play = Play(wired=True)
    play.handshake()
    if option:
        play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "send", 64, size=64):
        play.data("c>s", 0, 64)
    play.did("server", "recv", 64, size=4096)
    with play.call("server", "recv", 65, size=4096):
        play.did("client", "send", 65, size=65)
        if at_receiver:
            play.now_ns += delay_ms * MS
            play.ack("s>c", 64)
        else:
            ack = play.ack("s>c", 64, way="hold")
            play.now_ns += delay_ms * MS
            play.arrives(ack)
        play.data("c>s", 64, 129)
    return play


def test_nagle_against_a_delayed_ack() -> None:
    tables, rows = told(two_writes(40))
    recv = number_of(tables, "recv", 2, "server")
    assert causes(rows, recv) == [("delayed_ack", 40)]
    wait = of(rows, recv, "delayed_ack")
    second = number_of(tables, "send", 2, "client")
    assert wait.certainty == "observed"
    assert wait.calls == (second,)
    assert f"Nagle held client send #{second} (65 bytes) until the ACK that the server" in wait.text


def test_nagle_over_a_long_wire_delays_no_ack() -> None:
    tables, rows = told(two_writes(40, at_receiver=False))
    assert causes(rows, number_of(tables, "recv", 2, "server")) == [("nagle", 40)]


def test_with_nodelay_nobody_says_nagle() -> None:
    tables, rows = told(two_writes(40, option="SOL_TCP, TCP_NODELAY, 1"))
    found = causes(rows, number_of(tables, "recv", 2, "server"))
    assert not {"nagle", "delayed_ack"} & {cause for cause, _ in found}


@pytest.mark.parametrize(("option", "held"), [("SOL_TCP, TCP_NODELAY, 1", False), ("", True)])
def test_nodelay_that_the_listener_had_is_inherited(option: str, held: bool) -> None:
    play = Play(wired=True)
    if option:
        play.did("server", "setsockopt", 0, args=option, inode=INODE["listener"], fd=3, peer=None)
    play.handshake()
    with play.call("server", "send", 64, size=64):
        play.data("s>c", 0, 64)
    play.did("client", "recv", 64, size=4096)
    with play.call("client", "recv", 65, size=4096):
        play.did("server", "send", 65, size=65)
        play.now_ns += 40 * MS
        play.ack("c>s", 64)
        play.data("s>c", 64, 129)
    tables, rows = told(play)
    found = causes(rows, number_of(tables, "recv", 2, "client"))
    assert (found == [("delayed_ack", 40)]) is held


def corked(ms: int, *, flags: int = 0) -> Play:
    play = Play(wired=True)
    play.handshake()
    if not flags:
        play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 1")
    with play.call("server", "recv", 101, size=4096):
        play.did("client", "send", 101, size=101, flags=flags)
        play.now_ns += ms * MS
        if flags:
            play.did("client", "send", 3, size=3)
            play.data("c>s", 0, 104)
        else:
            with play.call("client", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 0"):
                play.data("c>s", 0, 101)
    return play


def test_cork_holds_until_it_is_taken_out() -> None:
    tables, rows = told(corked(75))
    recv = number_of(tables, "recv", 1, "server")
    assert causes(rows, recv) == [("cork", 75)]
    assert of(rows, recv, "cork").certainty == "observed"


def test_msg_more_holds_and_is_only_inferred() -> None:
    play = corked(75, flags=MSG_MORE)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "server")
    found = dict(causes(rows, recv))
    assert found.get("cork") == 75
    assert of(rows, recv, "cork").certainty == "inferred"


@pytest.mark.parametrize("queued", [70_080, 700_800])
def test_a_send_that_sleeps_because_nobody_reads(queued: int) -> None:
    play = Play(wired=True, window=512)  # 65,536 bytes
    play.handshake()
    with play.call("client", "send", queued, size=queued):
        at = 0
        while at + FULL <= 65_536 and at + FULL <= queued:
            play.data("c>s", at, at + FULL)
            at += FULL
        play.ack("s>c", at, window=0)
        play.now_ns += 90 * MS
        with play.call("server", "recv", at, size=at):
            play.ack("s>c", at, window=512)
    tables, rows = told(play)
    send = number_of(tables, "send", 1, "client")
    recv = number_of(tables, "recv", 1, "server")
    assert causes(rows, send) == [("peer_window", 90)]
    wait = of(rows, send, "peer_window")
    assert wait.certainty == "observed"
    assert recv in wait.calls
    assert "its program first read with server recv" in wait.text


def all_sent(*, at_receiver: bool = False, size: int = 30 * FULL) -> Play:
    """A send that found room for less than all; what it took left, and a poll waits for room."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)  # the first window that is scaled
    with play.call("client", "send", size, size=2 * size):
        for at in range(0, size, FULL):
            play.data("c>s", at, at + FULL)
    with play.wait("client", (INODE["client"], POLLOUT), args="timeout=-1, maxevents=64"):
        if at_receiver:
            play.now_ns += 40 * MS
            play.ack("s>c", size)
        else:
            ack = play.ack("s>c", size, way="hold")
            play.now_ns += 40 * MS
            play.arrives(ack)
    return play


def test_a_buffer_too_small_for_the_way_there_and_back() -> None:
    tables, rows = told(all_sent())
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("send_buffer", 40)]
    told_so = of(rows, wait, "send_buffer")
    assert told_so.certainty == "observed"
    assert told_so.text == "because the send buffer was full of what was sent and not acknowledged"


def test_a_buffer_that_a_delayed_ack_keeps_full() -> None:
    tables, rows = told(all_sent(at_receiver=True))
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("delayed_ack", 40)]
    assert "the server delayed its ACK" in of(rows, wait, "delayed_ack").text


@pytest.mark.parametrize(
    ("early_ms", "bound_ms", "expected"),
    [
        (20, 5, [("peer_window", 40), ("peer_window", 20)]),
        (20, 0, [("peer_window", 40), ("scheduler", 20)]),
        (0, 5, [("peer_window", 40)]),
    ],
)
def test_an_ack_between_the_bounds_of_a_return_may_have_ended_it(
    early_ms: int, bound_ms: int, expected: list[tuple[str, int]]
) -> None:
    """An ACK comes 40 ms after the buffer was full, and one between the bounds of the return."""
    play = Play(wired=True, window=512)
    play.handshake()
    with play.call("client", "send", 90_000, size=90_000):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", 43 * FULL, window=0)
        play.now_ns += 40 * MS
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += early_ms * MS
    sent = play.calls[-1]
    assert sent.returned_ns is not None
    play.calls[-1] = replace(sent, returned_by_ns=sent.returned_ns + bound_ms * MS)
    play.now_ns += MS
    play.ack("s>c", 44 * FULL, window=512)
    for at in range(44 * FULL, 90_000, FULL):
        play.data("c>s", at, min(at + FULL, 90_000))
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "send")) == expected


def one_of_two(*, silent_ms: int) -> Play:
    """A send that sleeps with ten segments out; five are acknowledged, and then it goes on."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    size = 40 * FULL
    with play.call("client", "send", size, size=size):
        for at in range(0, 10 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        ack = play.ack("s>c", 5 * FULL, way="hold")
        play.now_ns += 20 * MS
        play.arrives(ack)
        play.now_ns += silent_ms * MS
        if silent_ms:
            play.ack("s>c", 10 * FULL)
        for at in range(10 * FULL, size, FULL):
            play.data("c>s", at, at + FULL)
    return play


def test_a_sender_that_is_silent_though_an_ack_made_room_has_nothing_in_its_buffer() -> None:
    tables, rows = told(one_of_two(silent_ms=10))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("send_buffer", 30)]
    assert of(rows, send, "send_buffer").certainty == "inferred"


def test_one_that_goes_on_at_once_had_it_held_by_the_congestion_window() -> None:
    tables, rows = told(one_of_two(silent_ms=0))
    assert causes(rows, number_of(tables, "send")) == [("cwnd", 20)]


def test_what_was_out_while_a_loss_was_repaired_is_no_measure_of_the_congestion_window() -> None:
    """Of 24 segments out then, SACK had told of 22; the loss has made cwnd 7 of them."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    size = 60 * FULL
    with play.call("client", "send", size, size=size):
        play.data("c>s", 0, FULL, way="drop")
        for at in range(FULL, 20 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        for last in (2, 3, 4, 20):
            sacked = play.sack_option("c>s", (FULL, last * FULL))
            play.ack("s>c", 0, options=sacked)
        play.data("c>s", 0, FULL)
        for at in range(20 * FULL, 24 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", 24 * FULL)
        for at in range(24 * FULL, size, 7 * FULL):
            for start in range(at, min(at + 7 * FULL, size), FULL):
                play.data("c>s", start, start + FULL)
            if at + 7 * FULL < size:
                ack = play.ack("s>c", at + 7 * FULL, way="hold")
                play.now_ns += 20 * MS
                play.arrives(ack)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "send")) == [("cwnd", 100)]


def test_a_buffer_is_not_blamed_for_what_the_window_holds() -> None:
    """As in the send that nobody reads: bytes are left that the window does not let go."""
    play = Play(wired=True, window=512)
    play.handshake()
    with play.call("client", "send", 90_000, size=90_000):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += 40 * MS
        play.ack("s>c", 44 * FULL, window=512)
    tables, rows = told(play)
    send = number_of(tables, "send")
    assert causes(rows, send) == [("peer_window", 40)]
    assert of(rows, send, "peer_window").text.startswith("with the send buffer full, because the")


@pytest.mark.parametrize("timer", ["0x00000000000000000100000000000000", "0x" + 32 * "0", "0x..."])
def test_a_send_that_its_timer_ended_waited_for_the_window_until_then(timer: str) -> None:
    """The last ACK came long before it returned, with less than it was given: the wait was for the
    window, and the timer ended it, as of the send behind it that gets nothing in."""
    play = Play(wired=True, window=512)
    play.handshake()
    play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, SO_SNDTIMEO, {timer}")
    with play.call("client", "send", 90_000, size=1 << 22):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += 40 * MS
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += 130 * MS
    with play.call("client", "send", None, size=1 << 22, errno="EAGAIN"):
        play.now_ns += 170 * MS
    tables, rows = told(play)
    send, second = (number_of(tables, "send", place) for place in (1, 2))
    timed = timer != "0x" + 32 * "0"  # "0x...": its value is not shown
    rest = [("timer", 170)] if timed else [("peer_window", 40), ("unknown", 130)]
    assert causes(rows, send) == rest
    assert causes(rows, second) == [("timer", 170)]
    if timed:
        said = [(row.text, row.certainty) for row in rows if row.cause == "timer"]
        text = "with the send buffer full, because the window of the server was closed"
        assert said == [(f"until its time was up: {text}: its program never read", "inferred")] * 2


@pytest.mark.parametrize("room_after_ms", [60, 0])
def test_a_timer_ended_what_made_no_more_room(room_after_ms: int) -> None:
    """Before the last ACK that made room it waited for that one, and was not given up."""
    play = Play(wired=True, window=512)
    play.handshake()
    option = "SOL_SOCKET, SO_SNDTIMEO, 0x00000000000000000100000000000000"
    play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "send", 90_000, size=1 << 22):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", 22 * FULL, window=171)  # the right edge stays where it was
        play.now_ns += room_after_ms * MS
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += 100 * MS
    tables, rows = told(play)
    found = causes(rows, number_of(tables, "send"))
    before = [("peer_window", room_after_ms)] if room_after_ms else []
    assert found == [*before, ("timer", 100)]


def cut_short(*, flags: int = 0, behind_ms: float | None = None, before: bool = False) -> Play:
    """A send of 30 ms takes a part, while ACKs come; another finds no room at once, or later."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    if before:
        play.did("client", "send", None, size=1 << 22, errno="EAGAIN")
    with play.call("client", "send", 44 * FULL, size=1 << 22, flags=flags):
        for at in range(0, 40 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.now_ns += 10 * MS
        play.ack("s>c", 40 * FULL, window=0)
        play.now_ns += 20 * MS
    if behind_ms is not None:
        with play.call("client", "send", None, size=1 << 22, errno="EAGAIN"):
            play.now_ns += int(behind_ms * MS)
    return play


@pytest.mark.parametrize("how", [{"flags": 0x40}, {"behind_ms": 0.1}, {"before": True}])
def test_a_send_that_does_not_wait_was_not_kept_waiting(how: dict[str, Any]) -> None:
    """Whoever is told not to wait (MSG_DONTWAIT), or is known not to, copies or does not run."""
    tables, rows = told(cut_short(**how))
    send = number_of(tables, "send", 2 if how.get("before") else 1)
    assert causes(rows, send) == [("scheduler", 30)]
    assert of(rows, send, "scheduler").certainty == "inferred"


@pytest.mark.parametrize("behind_ms", [None, 200])
def test_a_send_of_which_that_is_not_known_is_unknown(behind_ms: float | None) -> None:
    """A send that its timer ended fails later with the same error."""
    tables, rows = told(cut_short(behind_ms=behind_ms))
    found = dict(causes(rows, number_of(tables, "send", 1)))
    assert found.get("unknown") == 20
    assert "scheduler" not in found


@pytest.mark.parametrize("how", ["SO_SNDTIMEO", "SIGTERM", "status 0"])
def test_a_send_that_ended_while_its_oldest_bytes_were_lost_waited_for_those(how: str) -> None:
    """Sent again once, lost once more: nothing came back until its timer, or a signal, ended it."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    timed = how == "SO_SNDTIMEO"
    if timed:
        option = "SOL_SOCKET, SO_SNDTIMEO, 0x00000000000000000100000000000000"
        play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "send", 50_000, size=1 << 22):
        for at in range(0, 10 * FULL, FULL):
            play.data("c>s", at, at + FULL, way="drop")
        play.now_ns += 300 * MS
        again = play.data("c>s", 0, FULL, way="drop")
        play.now_ns += 200 * MS
    if not timed:
        play.did("client", "exit", None, inode=None, fd=None, inside=True, args=how,
                 local=None, peer=None, family=None, kind=None)  # fmt: skip
    tables, rows = told(play)
    send = number_of(tables, "send")
    if how == "status 0":  # what ended it, and when, is not known
        assert causes(rows, send) == [("unknown", 500)]
        return
    if timed:  # the longer of the two, said once
        assert causes(rows, send) == [("timer", 500)]
        wait = of(rows, send, "timer")
        assert wait.certainty == "inferred"
        assert wait.text.startswith("until its time was up: with the send buffer full, because ")
        assert again in wait.frames
        return
    assert causes(rows, send) == [("rto", 300), ("rto", 200)]
    last = [row for row in rows if row.call == send][-1]
    assert last.certainty == "inferred"
    assert last.text == (
        f"with the send buffer full, because frame {again} was dropped by the wire, and by then it"
        " had not been sent again"
    )


def late_segment(
    *,
    late: int = 1,
    rtt_ms: int = 10,
    last: bool = False,
    room: int | None = None,
    out: int = 12,
    lies_ms: int = 0,
) -> Play:
    """A send of 40 segments: 12 leave, and 30 ms later one more or some, before any ACK comes.

    `room`: for how many the peer's window had room. `lies_ms`: how long before the late ones all
    others had come, of which the last is long on its way else.
    """
    play = Play(wired=True)
    with play.call("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None):
        pass
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.now_ns += rtt_ms * MS
        play.synack()
        play.ack("c>s", 0)
    with play.accept():
        pass
    play.ack("s>c", 0, window=512 if room is None else -(-room * FULL // 128))
    size = (out + late if last else 40) * FULL
    with play.call("client", "send", size, size=size):
        for at in range(0, (out - 1) * FULL, FULL):
            play.data("c>s", at, at + FULL)
        held = play.data("c>s", (out - 1) * FULL, out * FULL, way="hold")
        play.now_ns += (30 - lies_ms) * MS
        if lies_ms:
            play.arrives(held)
            play.now_ns += lies_ms * MS
        for at in range(out * FULL, (out + late) * FULL, FULL):
            play.data("c>s", at, at + FULL)
        if not lies_ms:
            play.arrives(held)
        play.ack("s>c", (out + 1) * FULL)
        for at in range((out + late) * FULL, size, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", size)
    return play


@pytest.mark.parametrize("late", [1, 3, 6])
def test_a_probe_sends_what_the_stack_keeps_of_the_congestion_window(late: int) -> None:
    tables, rows = told(late_segment(late=late))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("cwnd", 30)]
    wait = of(rows, send, "cwnd")
    first = 17
    frames = f"frame {first}" if late == 1 else f"frames {first} to {first + late - 1}"
    assert wait.text.endswith(f"until a tail loss probe sent {frames}")
    assert wait.certainty == "inferred"


@pytest.mark.parametrize(("room", "first"), [(None, "cwnd"), (13, "peer_window")])
def test_an_ack_that_only_a_probe_brought_was_delayed(room: int | None, first: str) -> None:
    tables, rows = told(late_segment(room=room, lies_ms=20))
    send = number_of(tables, "send")
    assert causes(rows, send) == [(first, 10), ("delayed_ack", 20)]
    wait = of(rows, send, "delayed_ack")
    assert "the server delayed its ACK of all that had come, until a tail loss probe" in wait.text
    assert wait.certainty == "inferred"


def test_a_probe_is_known_where_the_handshake_took_a_second_syn() -> None:
    """Its second is no round trip; the last ACK tells of one."""
    play = Play(wired=True)
    with play.call("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None):
        pass
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(way="drop")
        play.now_ns += 1000 * MS
        play.syn()
        play.synack()
        play.ack("c>s", 0)
    with play.accept():
        pass
    play.ack("s>c", 0)
    with play.call("client", "send", 40 * FULL, size=40 * FULL):
        play.data("c>s", 0, FULL)
        play.ack("s>c", FULL)
        for at in range(FULL, 12 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        held = play.data("c>s", 12 * FULL, 13 * FULL, way="hold")
        play.now_ns += 8 * MS
        for at in range(13 * FULL, 15 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.arrives(held)
        play.ack("s>c", 15 * FULL)
        for at in range(15 * FULL, 40 * FULL, FULL):
            play.data("c>s", at, at + FULL)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "send")) == [("cwnd", 8)]


@pytest.mark.parametrize(("late", "out"), [(1, 12), (3, 12), (1, 4)])
def test_a_probe_sends_what_the_stack_keeps_of_the_peers_window(late: int, out: int) -> None:
    tables, rows = told(late_segment(late=late, out=out, room=out + late))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("peer_window", 30)]
    wait = of(rows, send, "peer_window")
    assert "because less than a third of the window of the server was free, and" in wait.text
    assert wait.certainty == "inferred"


@pytest.mark.parametrize(
    "other", [{"late": 7}, {"rtt_ms": 20}, {"last": True}, {"late": 3, "last": True}, {"out": 4}]
)
def test_what_a_probe_would_not_send_so_its_thread_sent(other: dict[str, Any]) -> None:
    """More than a third, sooner than two round trips, all that there was, or with both windows
    open."""
    tables, rows = told(late_segment(**other))
    assert causes(rows, number_of(tables, "send")) == [("scheduler", 30)]


@pytest.mark.parametrize(("late_ms", "found"), [(0, [("nagle", 40)]), (30, [])])
def test_new_bytes_that_leave_may_end_a_wait_for_room(
    late_ms: int, found: list[tuple[str, int]]
) -> None:
    """A small segment is held behind another until a probe sends it; no ACK comes before that."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NOTSENT_LOWAT, 16384")
    with play.call("client", "send", 1000, size=1000):
        play.data("c>s", 0, 1000)
    with play.call("client", "send", 40_000, size=40_000):
        for at in range(1000, 1000 + 27 * FULL, FULL):
            play.data("c>s", at, at + FULL)
    with play.wait("client", (INODE["client"], POLLOUT), args="timeout=-1, maxevents=64"):
        play.now_ns += 40 * MS
        probe = play.data("c>s", 1000 + 27 * FULL, 41_000)
        play.now_ns += late_ms * MS
    play.ack("s>c", 41_000)
    tables, rows = told(play)
    poll = number_of(tables, "epoll_wait")
    if not found:
        assert causes(rows, poll) == [("unknown", 70)]
        return
    assert causes(rows, poll) == found
    wait = of(rows, poll, "nagle")
    assert f"until a tail loss probe sent it (frame {probe})" in wait.text
    assert "or more not sent than TCP_NOTSENT_LOWAT allows, because Nagle" in wait.text


@pytest.mark.parametrize("acked_first", [False, True])
def test_nagle_holds_new_data_until_the_probe_that_sends_it(acked_first: bool) -> None:
    """The ACK for which Nagle waits comes after a timer has sent the bytes, or before."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 10, size=10):
        first = play.data("c>s", 0, 10)
    play.did("server", "recv", 10, size=10)
    with play.call("server", "recv", 10, size=10):
        play.did("client", "send", 10, size=10)
        play.now_ns += 210 * MS
        if acked_first:
            play.ack("s>c", 10)
        probe = play.data("c>s", 10, 20)
    play.ack("s>c", 20)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 2)
    if acked_first:
        assert causes(rows, recv) == [("delayed_ack", 210)]
        return
    assert causes(rows, recv) == [("nagle", 210)]
    assert of(rows, recv, "nagle").frames == (first, probe)
    assert f"tail loss probe sent it (frame {probe})" in of(rows, recv, "nagle").text


def test_a_probe_with_new_data_ended_the_hold_and_not_the_resend_after_it() -> None:
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 20, size=20, flags=0x100):
        with play.call("client", "send", 10, size=10):
            lost = play.data("c>s", 0, 10, way="drop")
        play.did("client", "send", 10, size=10)
        play.now_ns += 210 * MS
        probe = play.data("c>s", 10, 20)
        play.ack("s>c", 0, options=play.sack_option("c>s", (10, 20)))
        play.now_ns += 30 * MS
        play.data("c>s", 0, 10)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert of(rows, recv, "tail_loss_probe").frames == (lost, probe)
    assert "rto" not in dict(causes(rows, recv))


def test_a_window_smaller_than_a_segment_waits_for_the_probe_timer() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "recv", 2 * FULL, size=2 * FULL, flags=0x100):
        with play.call("client", "send", 2 * FULL, size=2 * FULL):
            play.data("c>s", 0, FULL)
        play.ack("s>c", FULL, window=4)  # 512 bytes
        play.now_ns += 211 * MS
        play.data("c>s", FULL, FULL + 512)
        play.ack("s>c", FULL + 512)
        play.data("c>s", FULL + 512, 2 * FULL)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "server")
    assert causes(rows, recv) == [("window_probe", 211)]


def test_what_fits_into_the_window_at_once_met_no_probe_timer() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "recv", 2 * FULL, size=2 * FULL, flags=0x100):
        with play.call("client", "send", 2 * FULL, size=2 * FULL):
            play.data("c>s", 0, FULL)
        play.ack("s>c", FULL, window=4)
        play.now_ns += 1 * MS
        play.data("c>s", FULL, FULL + 512)
        play.ack("s>c", FULL + 512)
        play.data("c>s", FULL + 512, 2 * FULL)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "server")
    assert not [row for row in rows if row.call == recv and row.cause == "window_probe"]


def closed_while_the_reader_reads(*, update_is_lost: bool) -> Play:
    """The window is closed, the reader reads all and waits in recv; its update may be lost."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0, window=2 * FULL // 128)
    with play.call("client", "send", 3 * FULL, size=3 * FULL):
        play.data("c>s", 0, FULL)
        play.data("c>s", FULL, 2 * FULL)
        play.ack("s>c", 2 * FULL, window=0)
    play.did("server", "recv", 2 * FULL, size=2 * FULL)
    with play.call("server", "recv", FULL, size=FULL):
        if update_is_lost:
            play.ack("s>c", 2 * FULL, window=500, way="drop")
        play.now_ns += 300 * MS
        play.ack("s>c", 2 * FULL, window=500)
        play.data("c>s", 2 * FULL, 3 * FULL)
    return play


def test_a_lost_window_update_is_not_the_readers_doing() -> None:
    tables, rows = told(closed_while_the_reader_reads(update_is_lost=True))
    recv = number_of(tables, "recv", 2, "server")
    assert causes(rows, recv) == [("window_probe", 300)]
    part = of(rows, recv, "window_probe")
    assert part.certainty == "inferred"
    assert "was dropped by the wire" in part.text


def test_a_reader_that_is_inside_recv_is_not_said_not_to_read() -> None:
    tables, rows = told(closed_while_the_reader_reads(update_is_lost=False))
    recv = number_of(tables, "recv", 2, "server")
    part = next(row for row in rows if row.call == recv and row.cause == "peer_window")
    assert part.certainty == "inferred"
    assert "did not read" not in part.text


def read_in_small_steps(*, small: int, inside_ms: int = 0) -> Play:
    """The window closes inside a read, which lasts so long; the program sleeps 50 ms before each
    of the small reads behind it, and the next one makes room to tell of."""
    play = Play(wired=True, window=512)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 90_000, size=90_000):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        with play.call("server", "recv", 500, size=500):
            play.ack("s>c", 44 * FULL, window=0)
            play.now_ns += inside_ms * MS
        for _ in range(small):
            play.now_ns += 50 * MS
            play.did("server", "recv", 500, size=500)
        play.now_ns += 50 * MS
        with play.call("server", "recv", 43 * FULL, size=43 * FULL):
            play.ack("s>c", 44 * FULL, window=512)
        for at in range(44 * FULL, 90_000, FULL):
            play.data("c>s", at, min(at + FULL, 90_000))
    return play


@pytest.mark.parametrize(
    ("small", "said"),
    [
        (0, "its program did not read between server recv #5 and server recv #6"),
        (1, "its program read no more than 500 bytes between server recv #5 and server recv #7"),
        (2, "its program read no more than 1,000 bytes with 2 calls between server recv #5 and"
            " server recv #8"),
    ],
)  # fmt: skip
def test_a_program_that_slept_between_its_reads_was_not_inside_the_first(
    small: int, said: str
) -> None:
    tables, rows = told(read_in_small_steps(small=small))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("peer_window", 50 * (small + 1))]
    wait = of(rows, send, "peer_window")
    assert wait.text.endswith(said)
    assert wait.certainty == "observed"
    assert {5, 6 + small} <= set(wait.calls)


def test_a_window_that_a_reader_filled_and_then_did_not_empty_is_told_in_two_parts() -> None:
    tables, rows = told(read_in_small_steps(small=1, inside_ms=30))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("peer_window", 30), ("peer_window", 100)]
    texts = [row.text for row in rows if row.call == send and row.stop_ns - row.start_ns > MS]
    assert texts[0].endswith("what had been sent filled it, while its program was inside server"
                             " recv #5")  # fmt: skip
    assert "no more than 500 bytes between" in texts[1]


def test_a_program_that_reads_all_the_time_is_said_to_read() -> None:
    """Reads of less than 2 ms each, one behind the other, while the window stays as it is."""
    play = Play(wired=True, window=512)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 90_000, size=90_000):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
        play.ack("s>c", 44 * FULL, window=0)
        for _ in range(8):
            with play.call("server", "recv", 500, size=500):
                play.now_ns += MS
        play.ack("s>c", 44 * FULL, window=512)
        for at in range(44 * FULL, 90_000, FULL):
            play.data("c>s", at, min(at + FULL, 90_000))
    tables, rows = told(play)
    wait = of(rows, number_of(tables, "send"), "peer_window")
    assert "while its program read on from server recv #5 to server recv #12" in wait.text
    assert wait.certainty == "inferred"


def test_a_full_congestion_window_ends_with_an_ack() -> None:
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)  # the first window that is scaled
    with play.call("server", "recv", 3 * FULL, size=3 * FULL, flags=0x100):
        with play.call("client", "send", 3 * FULL, size=3 * FULL):
            play.data("c>s", 0, FULL)
            play.data("c>s", FULL, 2 * FULL)
        ack = play.ack("s>c", 2 * FULL, way="hold")
        play.now_ns += 40 * MS
        play.arrives(ack)
        play.data("c>s", 2 * FULL, 3 * FULL)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "server")
    assert causes(rows, recv) == [("cwnd", 40)]
    assert of(rows, recv, "cwnd").certainty == "inferred"


@pytest.mark.parametrize(
    ("first_ms", "last_ms", "told_before", "expected"),
    [
        (8, 32, None, [("cwnd", 8), ("delayed_ack", 32)]),
        (0, 20, None, [("cwnd", 20)]),  # too soon for its timer
        (8, 32, "lost", [("cwnd", 40)]),  # it had told of the first, and that was lost
    ],
)
def test_an_ack_that_its_timer_sent_kept_the_congestion_window_full(
    first_ms: int, last_ms: int, told_before: str | None, expected: list[tuple[str, int]]
) -> None:
    """The timer runs since the first segment came, and what comes since waits for it as well."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)  # the first window that is scaled
    with play.call("server", "recv", 3 * FULL, size=3 * FULL, flags=0x100):
        with play.call("client", "send", 3 * FULL, size=3 * FULL):
            play.data("c>s", 0, FULL)
            held = play.data("c>s", FULL, 2 * FULL, way="hold")
        if told_before:
            play.ack("s>c", FULL, way="drop")
        play.now_ns += first_ms * MS
        play.arrives(held)
        play.now_ns += last_ms * MS
        play.ack("s>c", 2 * FULL)
        play.data("c>s", 2 * FULL, 3 * FULL)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "server")
    assert causes(rows, recv) == expected
    if ("delayed_ack", 32) in expected:
        wait = of(rows, recv, "delayed_ack")
        assert wait.certainty == "inferred"
        assert "of the client was full, and the server delayed its ACK" in wait.text
        scene = explained(tables, play.raw)
        assert not {"send_buffer", "nagle_delayed_ack"} & {f.kind for f in findings_of(scene)}
        assert sentence(scene, scene.call(recv)).advice == MECHANISMS[Cause.CWND].advice


def test_what_no_rule_explains_is_unknown() -> None:
    """All was acknowledged, the window is open, and the last segment left late."""
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "recv", 2 * FULL, size=2 * FULL, flags=0x100):
        with play.call("client", "send", 2 * FULL, size=2 * FULL):
            play.data("c>s", 0, FULL)
            play.ack("s>c", FULL)
        play.now_ns += 40 * MS
        play.data("c>s", FULL, 2 * FULL)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "server")) == [("unknown", 40)]


def test_a_small_send_cannot_have_waited_for_room() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
        play.now_ns += 10 * MS
        play.ack("s>c", 100)
        play.now_ns += 10 * MS
    tables, rows = told(play)
    assert [c for c, _ in causes(rows, number_of(tables, "send", 1, "client"))] == ["scheduler"]


def test_a_cork_that_is_out_holds_nothing() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 1")
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 0")
    with play.call("server", "recv", 101, size=4096):
        play.did("client", "send", 101, size=101)
        play.now_ns += 75 * MS
        play.data("c>s", 0, 101)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 75)]


def test_a_thread_that_does_not_run_while_it_takes_the_cork_out() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 1")
    with play.call("server", "recv", 101, size=4096):
        play.did("client", "send", 101, size=101)
        play.now_ns += 75 * MS
        with play.call("client", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 0"):
            play.now_ns += 20 * MS
            play.data("c>s", 0, 101)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("cork", 75), ("scheduler", 20)]
    assert "inside client setsockopt" in of(rows, recv, "scheduler").text


@pytest.mark.parametrize("way_ms", [20, 0])
def test_a_window_that_was_opened_already_is_not_the_readers_doing(way_ms: int) -> None:
    """Its program had read; what said so was on its way."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 3000, size=3000):
        play.data("c>s", 0, 1000)
        play.ack("s>c", 1000, window=0)
    play.now_ns += 30 * MS
    with play.call("server", "recv", 1000, size=1000):
        update = play.ack("s>c", 1000, window=512, way="hold")
    with play.call("server", "recv", 2000, size=4000):
        play.now_ns += way_ms * MS
        play.arrives(update)
        play.data("c>s", 1000, 3000)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 2)
    found = [row.text for row in rows if row.call == recv and row.cause == "peer_window"]
    assert all(f"on its way (frame {update})" in text for text in found), found
    assert causes(rows, recv) == ([("peer_window", way_ms)] if way_ms else [])


@pytest.mark.parametrize(("errno", "result"), [(None, 90_000), ("ECONNRESET", None)])
def test_a_send_that_a_reset_ended_waited_for_the_window_until_it_came(
    errno: str | None, result: int | None
) -> None:
    play = Play(wired=True, window=512)
    play.handshake()
    with play.call("client", "send", 44 * FULL, size=44 * FULL):
        for at in range(0, 44 * FULL, FULL):
            play.data("c>s", at, at + FULL)
    play.did("client", "send", 90_000 - 44 * FULL, size=90_000 - 44 * FULL)
    with play.call("client", "send", result, size=1 << 22, errno=errno):
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += 40 * MS
        play.ack("s>c", 44 * FULL, window=0)
        play.now_ns += 130 * MS
        play.rst("s>c", 0)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "send", 3)) == [("peer_window", 170)]


@pytest.mark.parametrize(("lies_ms", "is_slow"), [(0, False), (60, True)])
def test_a_reader_that_waits_in_epoll_did_not_keep_the_window_shut(
    lies_ms: int, is_slow: bool
) -> None:
    """What fills the window is on its way for 60 ms, or lies there; then it is read at once."""
    play = Play(wired=True, window=46)  # 128 times as many bytes: four segments
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 90_000, size=90_000):
        held = [play.data("c>s", at, at + FULL, way="hold") for at in range(0, 4 * FULL, FULL)]
        with play.wait("server", (INODE["server"], POLLIN)):
            play.now_ns += (60 - lies_ms) * MS
            for frame in held:
                play.arrives(frame)
            play.now_ns += lies_ms * MS
        play.did("server", "recv", 4 * FULL, size=90_000)
        play.ack("s>c", 4 * FULL)
        for at in range(4 * FULL, 90_000, FULL):
            play.data("c>s", at, min(at + FULL, 90_000))
            play.ack("s>c", min(at + FULL, 90_000))
    tables = play.tables()
    scene = explained(tables, play.raw)
    send = scene.call(number_of(tables, "send"))
    part = max(
        (one for one in scene.explained[send.call] if one.cause == "peer_window"),
        key=lambda one: one.length_ns,
    )
    assert ("its program had read all that had come" in part.text) is not is_slow
    larger = "Give its socket a larger SO_RCVBUF" in sentence(scene, send).advice
    assert larger is not is_slow

"""Why a wait took as long as it took that a failure ended: of a connect that went on, or a peer
that the kernel gave up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.explain.timed_out import home_of_poll
from netlab.explain.waits import explained
from netlab.model.call import POLLERR, POLLHUP, POLLIN, POLLOUT
from netlab.model.recording import Loss
from netlab.model.tables import Icmp, Packet, Side
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

FAILED = POLLOUT | POLLERR | POLLHUP
WAITS: list[dict[str, Any]] = [
    {"op": "poll", "args": "nfds=1, timeout=9000"},
    {"op": "epoll_wait", "args": "timeout=9000, maxevents=64"},
]
SELECT: dict[str, Any] = {"op": "select", "args": "nfds=6, timeout=9"}


def begun(play: Play, way: str = "carry") -> int:
    with play.call("client", "connect", None, errno="EINPROGRESS", address=ADDRESS["server"]):
        return play.syn(way=way)


@pytest.mark.parametrize(
    ("wait", "events"), [(WAITS[0], FAILED), (WAITS[1], FAILED), (SELECT, POLLOUT)]
)
def test_a_wait_for_a_connect_that_was_refused(wait: dict[str, Any], events: int) -> None:
    play = Play(wired=True)
    syn = begun(play)
    with play.wait("client", (INODE["client"], events), **wait):
        refusal = play.frame("s>c", "RA", 0, 1, way="hold")
        play.now_ns += 40 * MS
        play.arrives(refusal)
    tables, rows = told(play)
    poll = number_of(tables, wait["op"])
    assert causes(rows, poll) == [("refused", 40)]
    assert of(rows, poll, "refused").frames == (syn, refusal)
    assert of(rows, poll, "refused").certainty == "observed"


@pytest.mark.parametrize(
    ("wait", "events"), [(WAITS[0], FAILED), (WAITS[1], FAILED), (SELECT, POLLOUT)]
)
def test_a_wait_for_a_connect_that_nobody_answered(wait: dict[str, Any], events: int) -> None:
    play = Play(wired=True)
    first = begun(play, "drop")
    with play.wait("client", (INODE["client"], events), **wait):
        play.now_ns += 1000 * MS
        second = play.syn(way="drop")
        play.now_ns += 2000 * MS
    tables, rows = told(play)
    poll = number_of(tables, wait["op"])
    assert causes(rows, poll) == [("syn_retry", 1000), ("syn_retry", 2000)]
    frames = [row.frames for row in rows if row.call == poll and row.cause == "syn_retry"]
    assert frames == [(first, second), (second,)]


def test_the_end_of_an_old_connection_is_no_answer() -> None:
    """It has another number in mind and says so: a challenge ACK (RFC 5961 4.2)."""
    play = Play(wired=True)
    begun(play)
    with play.wait("client", (INODE["client"], FAILED), op="poll", args="nfds=1"):
        play.frame("s>c", "A", 500, 77_777)
        play.now_ns += 1000 * MS
        play.syn(way="drop")
        play.now_ns += 1000 * MS
    tables, rows = told(play)
    assert "scheduler" not in {cause for cause, _ in causes(rows, number_of(tables, "poll"))}


def test_a_connect_that_a_signal_interrupted_goes_on() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="EINTR", address=ADDRESS["server"]):
        play.syn(way="drop")
    with play.wait("client", (INODE["client"], FAILED), op="poll", args="nfds=1"):
        play.now_ns += 800 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("syn_retry", 800)]


def test_of_one_syn_nothing_is_said_of_others() -> None:
    play = Play(wired=True)
    syn = begun(play, "drop")
    with play.wait("client", (INODE["client"], FAILED), op="poll", args="nfds=1"):
        play.now_ns += 500 * MS
    tables, rows = told(play)
    part = of(rows, number_of(tables, "poll"), "syn_retry")
    assert part.text == f"because the SYN (frame {syn}) had no answer"


@pytest.mark.parametrize(
    ("name", "cause"), [("port unreachable", "refused"), ("host unreachable", "unreachable")]
)
@pytest.mark.parametrize("blocks", [True, False])
def test_a_connect_that_an_icmp_message_ended(blocks: bool, name: str, cause: str) -> None:
    play = Play()
    syn: int

    def error() -> None:
        play.now_ns += 30 * MS
        quoted = Packet(0, 0, None, "unknown", "lo", "", 66, 66, src="127.0.0.1", dst="127.0.0.1",
                        sport=40000, dport=80, protocol="TCP", ip_id=syn)  # fmt: skip
        play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                      _quoted=quoted, _icmp=Icmp(3, 0, name),
                      _port_unreachable=name == "port unreachable")  # fmt: skip

    if blocks:
        errno = "ECONNREFUSED" if cause == "refused" else "EHOSTUNREACH"
        with play.call("client", "connect", None, errno=errno, address=ADDRESS["server"]):
            syn = play.syn()
            error()
    else:
        syn = begun(play)
        with play.wait("client", (INODE["client"], FAILED), op="poll", args="nfds=1"):
            error()
    tables, rows = told(play)
    call = number_of(tables, "connect" if blocks else "poll")
    assert causes(rows, call) == [(cause, 30)]
    assert of(rows, call, cause).certainty == "observed"
    assert of(rows, call, cause).frames[-1] == syn + 1


@pytest.mark.parametrize("name", ["redirect", "source quench", "fragmentation needed"])
def test_a_message_that_is_no_error_ended_no_connect(name: str) -> None:
    play = Play(wired=True)
    syn = begun(play, "drop")
    with play.wait("client", (INODE["client"], FAILED), op="poll", args="nfds=1"):
        play.now_ns += 30 * MS
        quoted = Packet(0, 0, None, "unknown", "lo", "", 66, 66, src="127.0.0.1", dst="127.0.0.1",
                        sport=40000, dport=80, protocol="TCP", ip_id=syn)  # fmt: skip
        play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                      _quoted=quoted, _icmp=Icmp(5, 1, name))  # fmt: skip
        play.now_ns += 970 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("syn_retry", 1000)]


@pytest.mark.parametrize("spoke", ["ack", "data", "server"])
def test_an_answer_that_was_not_captured_was_one_all_the_same(spoke: str) -> None:
    play = Play(wired=True)
    begun(play)
    with play.wait("client", (INODE["client"], POLLOUT), op="poll", args="nfds=1"):
        play.now_ns += 1000 * MS
        if spoke == "ack":
            play.ack("c>s", 0)
        elif spoke == "data":
            play.data("c>s", 0, 10)
        else:
            play.data("s>c", 0, 10)
    tables, rows = told(play)
    assert {cause for cause, _ in causes(rows, number_of(tables, "poll"))} == {"unknown"}


@pytest.mark.parametrize("events", [POLLOUT, FAILED])
def test_where_frames_were_lost_only_an_error_is_a_failure(events: int) -> None:
    play = Play()
    play.raw.losses.append(Loss("packets", "frames", 3, "ring full"))
    begun(play)
    with play.wait("client", (INODE["client"], events), op="poll", args="nfds=1"):
        play.now_ns += 1000 * MS
        play.syn()
        play.now_ns += 2000 * MS
    tables, rows = told(play)
    found = {cause for cause, _ in causes(rows, number_of(tables, "poll"))}
    assert found == ({"syn_retry"} if events == FAILED else {"unknown"})


def test_a_wait_for_a_connect_that_was_answered_is_for_the_answer() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None)
    begun(play)
    with play.wait("client", (INODE["client"], POLLOUT), op="poll", args="nfds=1"):
        answer = play.synack(way="hold")
        play.now_ns += 30 * MS
        play.arrives(answer)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("network", 30)]


def test_a_wait_in_vain_for_a_connect_stands_under_its_connection() -> None:
    play = Play(wired=True)
    begun(play, "drop")
    with play.call("client", "poll", 0, args="nfds=1, timeout=100", inode=None, fd=None,
                   family=None, kind=None, local=None, peer=None):  # fmt: skip
        play.now_ns += 100 * MS
    tables = play.tables()
    scene = explained(tables, play.raw)
    poll = scene.call(number_of(tables, "poll"))
    assert home_of_poll(scene, poll) == (tables.connections[0].connection, Side.CLIENT)


# --- a peer that was there


def silent(option: str, failure: str | None, events: int, wait: dict[str, Any]) -> Play:
    """The peer vanishes; the kernel gives it up inside a wait of 2 s.

    `failure`: errno of the read behind it; empty: it returned bytes; None: there is none.
    """
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_KEEPALIVE, 1")
    if option:
        play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    play.did("server", "recv", 10, size=10)
    play.ack("s>c", 10)
    with play.wait("client", (INODE["client"], events), **wait):
        for _ in range(2):
            play.now_ns += 1000 * MS
            play.frame("c>s", "A", 10, 1, way="drop")  # a keep-alive: one before the next byte
    if failure is not None:
        play.did("client", "recv", None if failure else 0, size=10, errno=failure or None)
    return play


ALL = [(WAITS[0], POLLIN | POLLERR | POLLHUP), (WAITS[1], POLLIN | POLLERR | POLLHUP),
       (SELECT, POLLIN)]  # fmt: skip


@pytest.mark.parametrize(("wait", "events"), ALL)
@pytest.mark.parametrize("failure", ["ETIMEDOUT", "EHOSTUNREACH"])
@pytest.mark.parametrize(
    ("option", "cause"), [("", "keepalive"), ("SOL_TCP, TCP_USER_TIMEOUT, 2000", "user_timeout")]
)
def test_a_wait_that_ended_as_the_kernel_gave_up(
    option: str, cause: str, failure: str, wait: dict[str, Any], events: int
) -> None:
    tables, rows = told(silent(option, failure, events, wait))
    poll = number_of(tables, wait["op"])
    assert causes(rows, poll) == [(cause, 2000)]
    assert of(rows, poll, cause).certainty == "observed"


def test_without_a_call_behind_it_the_error_is_inferred() -> None:
    tables, rows = told(silent("", None, POLLIN | POLLERR | POLLHUP, WAITS[0]))
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("keepalive", 2000)]
    assert of(rows, poll, "keepalive").certainty == "inferred"


@pytest.mark.parametrize(
    ("failure", "events"), [(None, POLLIN), ("", POLLIN), ("ECONNRESET", POLLIN | POLLERR)]
)
def test_a_wait_that_something_else_ended_is_no_silence(failure: str | None, events: int) -> None:
    """It was readable for a reason that no frame shows, or its reset was not captured."""
    tables, rows = told(silent("", failure, events, WAITS[0]))
    assert causes(rows, number_of(tables, "poll")) == [("unknown", 2000)]


def waits_for_room(events: int, wait: dict[str, Any], *, acked: int, late_ms: int) -> Play:
    """A full buffer and a wait; an ACK may come in it, and a reset `late_ms` after that."""
    full = 1460
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 50 * full, size=1 << 22):
        for at in range(0, 44 * full, full):
            play.data("c>s", at, at + full)
    if not acked:
        play.ack("s>c", 44 * full, window=0)
    with play.wait("client", (INODE["client"], events), **wait):
        for nth in range(acked):
            play.now_ns += 20 * MS
            play.ack("s>c", (44 - acked + 1 + nth) * full, window=0)
        play.now_ns += late_ms * MS
        with play.call("server", "close", 0):
            play.rst("s>c", 0, 44 * full)
    return play


def test_a_read_that_failed_long_after_a_wait_for_room_did_not_end_that() -> None:
    """Only the read was given up, 5 s later: what came in between shows it."""
    full = 1460
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 50 * full, size=1 << 22):
        for at in range(0, 44 * full, full):
            play.data("c>s", at, at + full)
    with play.wait("client", (INODE["client"], POLLOUT), **WAITS[0]):
        play.now_ns += 80 * MS
        play.ack("s>c", 44 * full)
    with play.call("client", "recv", None, size=10, errno="ETIMEDOUT"):
        play.now_ns += 5000 * MS
    tables, rows = told(play)
    found = {cause for cause, _ in causes(rows, number_of(tables, "poll"))}
    assert not found & {"rto", "user_timeout", "keepalive"}


def test_a_select_for_writing_hears_of_an_error_as_of_room() -> None:
    play = silent("", None, POLLOUT, SELECT)
    play.did("client", "send", None, size=10, errno="ETIMEDOUT")
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "select")) == [("keepalive", 2000)]


def test_probes_of_a_closed_window_are_no_keep_alive() -> None:
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("client", "send", 1460, size=1460):
        play.data("c>s", 0, 1460)
    play.ack("s>c", 1460, window=0)
    play.did("client", "send", 3000, size=3000)
    with play.call("client", "recv", None, size=10, errno="ETIMEDOUT"):
        for _ in range(3):
            play.now_ns += 1000 * MS
            play.frame("c>s", "A", 1460, 1, way="drop")
        play.now_ns += 1000 * MS
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("rto", 4000)]
    assert of(rows, recv, "rto").text == "until 3 zero-window probes had no answer"


def test_a_user_timeout_that_was_taken_back_gave_nobody_up() -> None:
    play = silent("SOL_TCP, TCP_USER_TIMEOUT, 2000", "ETIMEDOUT", POLLIN | POLLERR, WAITS[0])
    place = next(at for at, one in enumerate(play.calls) if "USER_TIMEOUT" in one.args)
    again = replace(play.calls[place], args="SOL_TCP, TCP_USER_TIMEOUT, 0",
                    entered_ns=(play.calls[place].returned_ns or 0) + 100,
                    returned_ns=(play.calls[place].returned_ns or 0) + 200)  # fmt: skip
    play.calls.insert(place + 1, again)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("keepalive", 2000)]


@pytest.mark.parametrize("probes", [True, False])
def test_an_error_that_icmp_told_of_was_no_timer(probes: bool) -> None:
    """With IP_RECVERR a message fails the next call at once, though the peer is asked meanwhile."""
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_IP, IP_RECVERR, 1")
    with play.call("client", "send", 10, size=10):
        sent = play.data("c>s", 0, 10)
    play.ack("s>c", 10)
    with play.call("client", "recv", None, size=10, errno="EHOSTUNREACH"):
        play.now_ns += 1000 * MS
        if probes:
            play.frame("c>s", "A", 10, 1, way="drop")
        quoted = Packet(0, 0, None, "unknown", "lo", "", 66, 66, src="127.0.0.1", dst="127.0.0.1",
                        sport=40000, dport=80, protocol="TCP", ip_id=sent)  # fmt: skip
        play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                      _quoted=quoted, _icmp=Icmp(3, 1, "host unreachable"))  # fmt: skip
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("unknown", 1000)]


@pytest.mark.parametrize("for_room", [True, False])
def test_a_wait_for_room_that_a_reset_ended_waited_for_room(for_room: bool) -> None:
    events = POLLIN | POLLERR | POLLHUP | (POLLOUT if for_room else 0)
    tables, rows = told(waits_for_room(events, WAITS[0], acked=0, late_ms=50))
    expected = "peer_window" if for_room else "peer_app"
    assert [cause for cause, _ in causes(rows, number_of(tables, "poll"))] == [expected]


@pytest.mark.parametrize("acked", [0, 1, 2])
def test_a_select_for_room_that_a_reset_ended_waited_for_room(acked: int) -> None:
    """It reports no error; an ACK long before had not freed enough, or it had returned."""
    tables, rows = told(waits_for_room(POLLOUT, SELECT, acked=acked, late_ms=200))
    found = causes(rows, number_of(tables, "select"))
    assert sum(ms for cause, ms in found if cause == "peer_window") >= 200
    assert "scheduler" not in dict(found)


def test_a_reset_just_behind_the_ack_that_made_room_ended_nothing() -> None:
    play = waits_for_room(POLLOUT, SELECT, acked=1, late_ms=1)
    play.now_ns += 30 * MS
    play.calls[-2] = replace(play.calls[-2], returned_ns=play.now_ns)
    play.calls[-1] = replace(play.calls[-1], returned_ns=play.now_ns - MS)
    tables, rows = told(play)
    found = dict(causes(rows, number_of(tables, "select")))
    assert found["scheduler"] >= 29

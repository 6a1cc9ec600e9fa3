"""What to change about a wait, where its cause alone does not tell; and where nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.waits import explained
from netlab.model.call import POLLOUT
from netlab.model.wire import Arrival
from netlab.show.views.why_sentences import sentence
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS

UNIX: dict[str, Any] = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
NO_NAME: dict[str, Any] = {"kind": None, "local": None, "peer": None}
FULL = 1448
TCP_ONLY = ("tcp", "window", "NODELAY")


def advice(play: Play, op: str, nth: int = 1) -> str:
    scene = explained(play.tables(), play.raw)
    return sentence(scene, scene.call(number_of(scene.tables, op, nth))).advice


# --- room


def full(way: str) -> Play:
    """A write that waits for 30 ms, for its reader does not read."""
    play = Play()
    writer: dict[str, Any] = {**UNIX, "kind": "SOCK_STREAM", "inode": 1}
    reader: dict[str, Any] = {**UNIX, "kind": "SOCK_STREAM", "inode": 2}
    if way in ("unix", "pair of datagrams"):
        if way != "unix":
            writer["kind"] = reader["kind"] = "SOCK_DGRAM"
        play.did("client", "socketpair", 0, new_inode=2, **writer)
    elif way == "shared":
        writer |= {"kind": "SOCK_DGRAM", "local": None, "peer": None, "address": "unix:/q"}
        reader |= {"kind": "SOCK_DGRAM", "local": "unix:/q", "peer": None}
        play.did("server", "socket", 9, new_inode=2, family="AF_UNIX", kind="SOCK_DGRAM",
                 inode=None)  # fmt: skip
        play.did("server", "bind", 0, **reader, address="unix:/q")
        play.did("client", "socket", 9, new_inode=1, family="AF_UNIX", kind="SOCK_DGRAM",
                 inode=None)  # fmt: skip
    else:
        family = {"pipe": "pipe", "mq": "mqueue"}[way]
        writer = reader = {**NO_NAME, "family": family, "inode": 71}
        play.did("client", {"pipe": "pipe", "mq": "mq_open"}[way], 3, new_inode=71, **NO_NAME,
                 family=family, inode=None)  # fmt: skip
    play.did("client", "write", 60_000, size=60_000, **writer)
    with play.call("client", "write", 100, size=100, **writer):
        play.now_ns += 30 * MS
        play.did("server", "read", 60_000, size=60_000, **reader)
    return play


@pytest.mark.parametrize(
    ("way", "how"),
    [
        ("unix", "SO_SNDBUF where it is written"),
        ("pair of datagrams", "SO_SNDBUF where it is written"),
        ("shared", "net.unix.max_dgram_qlen"),
        ("pipe", "F_SETPIPE_SZ"), ("mq", "mq_maxmsg"),
    ],
)  # fmt: skip
def test_room_is_given_in_the_words_of_the_way(way: str, how: str) -> None:
    said = advice(full(way), "write", 2)
    assert said.startswith("Let its reader read sooner")
    assert how in said
    assert not any(word in said for word in TCP_ONLY)
    assert ("SNDBUF" in said) is (way not in ("pipe", "mq"))
    assert ("qlen" in said) is (way == "shared")


def test_a_tcp_socket_has_a_buffer_that_its_kernel_adapts() -> None:
    """A poll for room, which the ACK of all ends: it stands under no socket of its own."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    size = 30 * FULL
    with play.call("client", "send", size, size=2 * size):
        for at in range(0, size, FULL):
            play.data("c>s", at, at + FULL)
    with play.wait("client", (INODE["client"], POLLOUT), args="timeout=-1, maxevents=64"):
        ack = play.ack("s>c", size, way="hold")
        play.now_ns += 40 * MS
        play.arrives(ack)
    said = advice(play, "epoll_wait")
    assert "net.ipv4.tcp_wmem" in said
    assert "F_SETPIPE_SZ" not in said


# --- time


def silent(*, before: int = 0, read: int = 0, after: bool = True, how: str = "recv") -> Play:
    """A read that its time-out ended after 100 ms: bytes written before, read, and after it."""
    play = Play()
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_RCVTIMEO, 100 ms")
    if before:
        play.did("server", "send", before, size=before)
        play.data("s>c", 0, before)
        play.ack("c>s", before)
    if read:
        play.did("client", "recv", read, size=read)
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 100 * MS
    if after:
        play.now_ns += 30 * MS
        with play.call("server", "send", 5, size=5):
            play.data("s>c", before, before + 5)
        play.did("client", "recv", 5, size=10)
    return play


@pytest.mark.parametrize("before", [0, 7])
def test_a_time_out_to_which_nothing_was_sent_names_what_came_too_late(before: int) -> None:
    play = silent(before=before, read=before)
    said = advice(play, "recv", 2 if before else 1)
    send = number_of(play.tables(), "send", 2 if before else 1)
    assert said == (
        f"Nothing{' more' if before else ''} was sent to it by then; server send #{send} was made"
        " 30.0 ms later: let that be sent sooner, or allow more time (SO_RCVTIMEO)."
    )


def test_what_may_answer_a_later_question_did_not_come_too_late() -> None:
    play = silent(before=7, read=7, after=False)
    with play.call("client", "send", 3, size=3):
        play.data("c>s", 0, 3)
    play.did("server", "recv", 3, size=9)
    with play.call("server", "send", 5, size=5):
        play.data("s>c", 7, 12)
    said = advice(play, "recv", 2)
    assert said.startswith("Nothing more was sent to it by then: look at what the peer's program")


def test_where_nothing_came_later_either_its_peers_program_is_asked() -> None:
    said = advice(silent(before=7, read=7, after=False), "recv", 2)
    assert said.startswith("Nothing more was sent to it by then, nor later in this recording:")


def test_where_something_lay_there_unread_nothing_is_said() -> None:
    assert advice(silent(before=7, read=3), "recv", 2) == ""


def test_where_frames_show_bytes_that_no_call_wrote_nothing_is_said() -> None:
    play = silent(before=7, read=3)
    play.calls[:] = [one for one in play.calls if one.op != "send" or one.result != 7]
    assert advice(play, "recv", 2) == ""


def test_of_a_peer_without_calls_nothing_is_said() -> None:
    play = silent()
    play.calls[:] = [one for one in play.calls if one.actor == "client"]
    assert advice(play, "recv") == ""


def test_a_wait_whose_time_was_not_up_is_not_advised_as_one_that_was() -> None:
    play = silent()
    with play.wait("client", op="poll", args="nfds=1, timeout=500, ", inside=True):
        play.now_ns += 50 * MS
    play.did("server", "send", 5, size=5)
    scene = explained(play.tables(), play.raw)
    said = sentence(scene, scene.call(number_of(scene.tables, "poll")))
    assert [clause.cause for clause in said.clauses] == ["peer_app"]
    assert said.advice == MECHANISMS[Cause.PEER_APP].advice


def test_what_a_server_waited_for_is_no_answer() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 5, size=5):
        frame = play.data("c>s", 0, 5, way="hold")
    with play.call("server", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 100 * MS
    play.arrives(frame)
    play.did("server", "recv", 5, size=10)
    assert advice(play, "recv").startswith("What it waited for was on its way: allow more time")


@pytest.mark.parametrize("way", ["hold", "drop"])
def test_what_had_been_sent_is_mended_where_it_stood(way: str) -> None:
    """On its way it would have come; lost, it is for who loses segments."""
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "send", 5, size=5):
        frame = play.data("s>c", 0, 5, way=way)
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 100 * MS
    if way == "hold":
        play.arrives(frame)
    else:
        play.now_ns += 110 * MS
        play.data("s>c", 0, 5)
    play.did("client", "recv", 5, size=10)
    said = advice(play, "recv")
    if way == "hold":
        assert said == "The answer was on its way: allow more time than that takes."
    else:
        assert said == "Find out where segments are lost."


DGRAM: dict[str, Any] = {"kind": "SOCK_DGRAM"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [("", "UDP sends nothing again"), ("mtu 1400", "Send smaller datagrams")],
)
def test_a_lost_datagram_is_sent_again_by_nobody_but_the_program(rule: str, said: str) -> None:
    """Who asked, and whom it asked, wait for the same."""
    play = Play(wired=True)
    client, server = ADDRESS["client"], ADDRESS["server"]
    with play.call("server", "recvfrom", 3, size=100, address=client, **DGRAM):
        with play.call("client", "sendto", 3, size=3, address=server, **DGRAM):
            play.datagram(client, server, 3, way="drop")
        if rule:
            play.packets[0]._arrival = Arrival(1, "dropped", rule=rule)
        with play.call("client", "recvfrom", None, size=9, errno="EAGAIN", **DGRAM):
            play.now_ns += 250 * MS
        with play.call("client", "sendto", 3, size=3, address=server, **DGRAM):
            play.datagram(client, server, 3)
    assert advice(play, "recvfrom", 1).startswith(said)
    assert advice(play, "recvfrom", 2).startswith(said)


@pytest.mark.parametrize(
    ("way", "said"),
    [("drop", "Find out where the handshake is lost"), ("hold", "The SYN was on its way: allow")],
)
def test_a_connect_that_timed_out_had_lost_its_syn_or_had_too_little_time(
    way: str, said: str
) -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="EAGAIN", address=ADDRESS["server"]):
        syn = play.syn(way=way)
        play.now_ns += 100 * MS
    if way == "hold":
        play.arrives(syn)
        play.synack()
    assert advice(play, "connect").startswith(said)


@pytest.mark.parametrize("timed", [True, False])
def test_a_send_that_its_time_out_ended_waited_for_its_reader(timed: bool) -> None:
    """It took a part of what it was given; so may one do that a signal ended."""
    play = Play()
    mine: dict[str, Any] = {**UNIX, "kind": "SOCK_STREAM", "inode": 1}
    other: dict[str, Any] = {**UNIX, "kind": "SOCK_STREAM", "inode": 2}
    play.did("client", "socketpair", 0, new_inode=2, **mine)
    if timed:
        play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_SNDTIMEO, 50 ms", **mine)
    play.did("client", "send", 90_000, size=90_000, **mine)
    with play.call("client", "send", 70_000, size=90_000, **mine):
        play.now_ns += 20 * MS
        play.did("server", "recv", 60_000, size=60_000, **other)
        play.now_ns += 50 * MS
    scene = explained(play.tables(), play.raw)
    said = sentence(scene, scene.call(number_of(scene.tables, "send", 2)))
    found = [(clause.cause, round(clause.ns / MS)) for clause in said.clauses]
    assert found == [("timer" if timed else "unknown", 50), ("send_buffer", 20)]
    assert ("SO_SNDBUF where it is written" in said.advice) is timed


@pytest.mark.parametrize(("again", "said"), [(False, "The answer was on its way"), (True, "")])
def test_an_answer_seen_later_without_a_wire_was_on_its_way_or_answers_another_syn(
    again: bool, said: str
) -> None:
    play = Play()
    with play.call("client", "connect", None, errno="EAGAIN", address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 100 * MS
    if again:
        play.now_ns += 900 * MS
        play.syn()
    play.now_ns += 50 * MS
    play.synack()
    found = advice(play, "connect")
    assert found.startswith(said)
    assert bool(found) is bool(said)


def polled(*, written: int, read: int) -> Play:
    """A poll of one end of a pair that its time-out ended; what it had written, and was read."""
    play = Play()
    mine: dict[str, Any] = {**UNIX, "kind": "SOCK_STREAM", "inode": 1}
    other: dict[str, Any] = {**UNIX, "kind": "SOCK_STREAM", "inode": 2}
    play.did("client", "socketpair", 0, new_inode=2, **mine)
    play.did("client", "send", written, size=written, **mine)
    if read:
        play.did("server", "recv", read, size=read, **other)
    with play.wait("client", op="poll", args="nfds=1, timeout=50, "):
        play.now_ns += 50 * MS
    play.now_ns += 20 * MS
    play.did("server", "send", 3, size=3, **other)
    play.did("client", "recv", 3, size=9, **mine)
    return play


def test_a_poll_that_timed_out_may_have_been_for_room() -> None:
    said = advice(polled(written=9, read=9), "poll")
    assert said.startswith("Nothing was sent to it by then; server send #5 was made 20.0 ms later")
    assert "(poll's timeout)" in said
    assert advice(polled(written=9, read=5), "poll") == ""


def test_a_poll_of_nothing_is_a_pause() -> None:
    play = Play()
    play.handshake()
    with play.wait("client", op="poll", args="nfds=0, timeout=50, "):
        play.now_ns += 50 * MS
    assert advice(play, "poll") == ""

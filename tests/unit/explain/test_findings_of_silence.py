"""Findings about silence and about ports: idle time-outs, unused keep-alives, TIME-WAIT."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.recording import Host
from tests.playbook import ADDRESS, INODE, Play
from tests.waits_told import MS

REUSE = "SOL_SOCKET, SO_REUSEADDR, 1"


def of(play: Play, kind: str) -> list[Finding]:
    return [one for one in findings_of(explained(play.tables(), play.raw)) if one.kind == kind]


def spoken(*options: str) -> Play:
    """A connection over which something was said, in whole."""
    play = Play(wired=True)
    play.handshake()
    for option in options:
        play.did("server", "setsockopt", 0, args=option)
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    play.did("server", "recv", 100, size=4096)
    play.ack("s>c", 100)
    return play


def closed(play: Play) -> int:
    with play.call("server", "close", 0):
        return play.fin("s>c", 0, 100)


def timed_out(wait_ms: int, *, then_ms: int = 0) -> tuple[Play, int]:
    play = spoken()
    with play.wait("server", args=f"timeout={wait_ms}, maxevents=64"):
        play.now_ns += wait_ms * MS
    play.now_ns += then_ms * MS
    return play, closed(play)


def test_a_close_right_after_a_wait_in_vain_is_an_idle_time_out() -> None:
    play, fin = timed_out(3210)
    (one,) = of(play, "idle_timeout")
    assert f"The server closed the connection (frame {fin}) after 3.210 s without a byte" in (
        one.text
    )
    assert "right after server epoll_wait #6 had waited in vain" in one.text
    assert one.frames == (4, fin)
    assert one.calls == (6, 7)
    assert one.severity is Severity.LOW


def test_without_such_a_wait_a_round_silence_is_one() -> None:
    play = spoken()
    play.now_ns += 15_007 * MS
    fin = closed(play)
    (one,) = of(play, "idle_timeout")
    assert one.frames == (4, fin)
    assert one.calls == ()
    assert "in vain" not in one.text


def waited_in_vain(*, sender: str) -> Play:
    """Bytes that went down on their way, time and again, and the server that closes at last."""
    play = spoken()
    way = "c>s" if sender == "client" else "s>c"
    start, ack = (100, 0) if sender == "client" else (0, 100)
    if sender == "server":
        play.did("server", "send", 50, size=50)
    for _ in range(3):
        play.data(way, start, start + 50, ack, way="drop")
        play.now_ns += 1000 * MS
    with play.wait("server", args="timeout=2000, maxevents=64"):
        play.now_ns += 2000 * MS
    closed(play)
    return play


@pytest.mark.parametrize("sender", ["client", "server"])
def test_a_byte_that_did_not_come_and_one_sent_again_break_no_silence(sender: str) -> None:
    (one,) = of(waited_in_vain(sender=sender), "idle_timeout")
    assert "after 5.000 s without a byte" in one.text


def gave_up(
    *, late: bool, framed: bool = True, answered: bool = False, reads_on: bool = False
) -> Play:
    """A client that asked, waited for 2 s in a poll, and closed; the server answers after that."""
    play = Play(wired=True)
    play.handshake(capture=framed)
    with play.call("client", "send", 100, size=100):
        if framed:
            play.data("c>s", 0, 100)
    play.did("server", "recv", 100, size=4096)
    if answered:
        with play.call("server", "send", 50, size=50):
            if framed:
                play.data("s>c", 0, 50, 100)
        play.did("client", "recv", 50, size=50)
    with play.wait("client", op="poll", args="nfds=1, timeout=2000"):
        play.now_ns += 2000 * MS
    end = ("shutdown", "SHUT_WR") if reads_on else ("close", "")
    with play.call("client", end[0], 0, args=end[1]):
        if framed:
            play.fin("c>s", 100, 50 if answered else 0)
    if late:
        play.now_ns += 500 * MS
        with play.call("server", "send", 50, size=50):
            if framed:
                play.data("s>c", 0, 50, 101)
                if not reads_on:
                    play.answer_rst("c>s", 101)
    if reads_on:
        play.did("client", "recv", 50, size=50)
    return play


@pytest.mark.parametrize("framed", [True, False])
def test_who_gives_up_before_the_answer_is_the_cause_and_stands_first(framed: bool) -> None:
    play = gave_up(late=True, framed=framed)
    (one,) = of(play, "idle_timeout")
    assert one.severity is Severity.HIGH
    assert "after 2.00" in one.text
    assert "the server had not answered its last bytes. What the server sent came too late" in (
        one.text
    )
    assert one.advice.startswith("Find out what kept the server from answering")
    assert findings_of(explained(play.tables(), play.raw))[0] == one
    late = "(frame 6)" if framed else "(server send #8)"
    assert f"{late}." in one.text


@pytest.mark.parametrize("framed", [True, False])
def test_an_answer_to_who_had_only_ended_his_own_stream_is_not_late(framed: bool) -> None:
    (one,) = of(gave_up(late=True, framed=framed, reads_on=True), "idle_timeout")
    assert "too late" not in one.text
    assert one.text.startswith("The client ended its stream (")
    assert one.severity is Severity.LOW


@pytest.mark.parametrize("framed", [True, False])
def test_without_a_late_answer_it_is_less_grave_and_of_an_answer_that_came_nothing(
    framed: bool,
) -> None:
    (one,) = of(gave_up(late=False, framed=framed), "idle_timeout")
    assert one.severity is Severity.MEDIUM
    assert "too late" not in one.text
    (one,) = of(gave_up(late=False, framed=framed, answered=True), "idle_timeout")
    assert one.severity is Severity.LOW
    assert one.text.endswith("as an idle time-out does.")


@pytest.mark.parametrize(
    "play",
    [timed_out(900)[0], timed_out(3210, then_ms=200)[0]],
    ids=["a short silence", "a close that came later than its timer"],
)
def test_other_closes_are_no_idle_time_outs(play: Play) -> None:
    assert of(play, "idle_timeout") == []


def test_a_silence_of_no_round_length_is_nobodys_timer() -> None:
    play = spoken()
    play.now_ns += 13_210 * MS
    closed(play)
    assert of(play, "idle_timeout") == []


def silent(seconds: float, *options: str, probe: bool = False) -> Play:
    play = spoken(*options)
    play.now_ns += round(seconds * 1000) * MS
    if probe:
        play.frame("s>c", "A", 0, 101)
        play.frame("c>s", "A", 101, 1)
    with play.call("client", "send", 1, size=1):
        play.data("c>s", 100, 101)
    return play


ON, IDLE = "SOL_SOCKET, SO_KEEPALIVE, 1", "SOL_TCP, TCP_KEEPIDLE, 30"


def test_keep_alives_that_never_came() -> None:
    (one,) = of(silent(17, ON, IDLE), "keep_alive_unused")
    assert "Keep-alives of the server did nothing" in one.text
    assert "after 30 s of silence (TCP_KEEPIDLE, call #5)" in one.text
    assert "the longest was 17.000 s (from frame 5)" in one.text
    assert one.calls == (4,)


def test_without_an_option_the_hosts_setting_counts() -> None:
    (one,) = of(silent(4000, ON), "keep_alive_unused")
    assert "after 7,200 s of silence (the default of" in one.text
    play = silent(7, ON)
    host = Host("localhost", "6.1.0", (("net.ipv4.tcp_keepalive_time", "11"),))
    play.raw.description = replace(play.raw.description, hosts=(host,))
    (one,) = of(play, "keep_alive_unused")
    assert "after 11 s of silence (net.ipv4.tcp_keepalive_time)" in one.text


@pytest.mark.parametrize(
    "play",
    [
        silent(17),
        silent(17, ON, IDLE, "SOL_SOCKET, SO_KEEPALIVE, 0"),
        silent(0.9, ON, "SOL_TCP, TCP_KEEPIDLE, 1"),
        silent(4, ON, IDLE),
        silent(31, ON, IDLE),
        silent(31, ON, IDLE, probe=True),
    ],
    ids=["off", "off again", "no silence", "far from it", "long enough for a probe", "probes"],
)
def test_other_keep_alives_are_not_told(play: Play) -> None:
    assert of(play, "keep_alive_unused") == []


@pytest.mark.parametrize("how", ["a reset", "nothing", "an ACK"])
def test_a_peer_that_was_gone_would_have_been_found_sooner(how: str) -> None:
    play = spoken(ON, IDLE)
    play.now_ns += 4000 * MS
    with play.call("server", "send", 1, size=1):
        play.data("s>c", 0, 1, 100, way="drop" if how == "nothing" else "carry")
    if how == "a reset":
        play.answer_rst("c>s", 100)
    if how == "an ACK":
        play.ack("c>s", 1, at=100)
    assert len(of(play, "keep_alive_unused")) == (how != "an ACK")


def short_ones(count: int, *, first: str = "c>s", lived_ms: int = 3, reset: bool = False) -> Play:
    """Connections that one side closes first."""
    play = Play(wired=True)
    then = "s>c" if first == "c>s" else "c>s"
    for sport in range(41000, 41000 + count):
        play.frame("c>s", "S", 0, sport=sport, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=sport, options=play._offer())
        play.frame("c>s", "A", 1, 1, sport=sport)
        play.now_ns += lived_ms * MS
        play.frame(first, "FA", 1, 1, sport=sport)
        if reset:
            play.frame(then, "RA", 1, 2, sport=sport)
            continue
        play.frame(then, "FA", 1, 2, sport=sport)
        play.frame(first, "A", 2, 2, sport=sport)
    return play


def test_many_short_connections_that_the_client_closes_first_use_its_ports_up() -> None:
    (one,) = of(short_ones(23), "time_wait")
    assert "127.0.0.1 closed 23 short connections to port 80 of 127.0.0.1 first" in one.text
    assert "3.0 ms long in the median" in one.text
    assert one.frames[:2] == (4, 10)
    assert one.severity is Severity.LOW


@pytest.mark.parametrize(
    "play",
    [
        short_ones(22),
        short_ones(23, first="s>c"),
        short_ones(23, lived_ms=1001),
        short_ones(23, reset=True),
    ],
    ids=["few", "closed by the server", "long ones", "reset"],
)
def test_other_connections_wait_for_nobodys_port(play: Play) -> None:
    assert of(play, "time_wait") == []


def test_what_many_show_together_is_not_said_of_one() -> None:
    play = short_ones(23)
    scene = explained(play.tables(), play.raw)
    assert "time_wait" not in {one.kind for one in findings_of(scene, 0)}


def listener_made(play: Play, *options: str) -> None:
    """The server's listener, from its first call."""
    play.did("server", "socket", 3, inode=INODE["listener"], fd=3, local=None, peer=None)
    for option in options:
        play.did("server", "setsockopt", 0, args=option, inode=INODE["listener"], fd=3, peer=None)


def bound_again(
    *, first: str = "s>c", both: bool = True, later_s: int = 1, open_: bool = False,
    errno: str = "EADDRINUSE", address: str = ADDRESS["server"], kind: str = "SOCK_STREAM",
    before: tuple[str, ...] | None = None, now: tuple[str, ...] | None = (), tries: int = 1,
) -> Play:  # fmt: skip
    """A server that closes a connection and its listener, and binds the port anew.

    `before` and `now` are options of the two listeners; None: its first calls are not recorded.
    """
    play = Play(wired=True)
    if before is not None:
        listener_made(play, *before)
    play.handshake()
    sides = {"s>c": "server", "c>s": "client"}
    order = [first, "c>s" if first == "s>c" else "s>c"]
    for nth, direction in enumerate(order if both else order[:1]):
        with play.call(sides[direction], "close", 0):
            play.fin(direction, 0, nth)
    if not open_:
        play.did("server", "close", 0, inode=INODE["listener"], fd=3, peer=None)
    play.now_ns += later_s * 1000 * MS
    own: dict[str, Any] = {"fd": 3, "local": None, "peer": None, "kind": kind}
    if now is not None:
        play.did("server", "socket", 3, inode=900, **own)
        for option in now:
            play.did("server", "setsockopt", 0, args=option, inode=900, **own)
    for _ in range(tries):
        play.did("server", "bind", None, inode=900, address=address, errno=errno, **own)
        play.now_ns += 100 * MS
    return play


@pytest.mark.parametrize(("both", "state"), [(True, "TIME-WAIT"), (False, "FIN-WAIT-2")])
def test_who_closed_first_is_refused_its_port(both: bool, state: str) -> None:
    play = bound_again(both=both)
    (one,) = of(play, "bind_refused")
    bind = len(play.calls)
    assert f"server bind #{bind} was refused port 80 (EADDRINUSE): connection 0 was in" in one.text
    assert f"in {state} there, for up to 60 s, as the server had closed it first" in one.text
    assert one.frames == (4,)
    assert one.calls == (bind, 4)
    assert one.advice.startswith("Set SO_REUSEADDR")


@pytest.mark.parametrize(
    "play",
    [
        bound_again(first="c>s"),
        bound_again(later_s=61),
        bound_again(open_=True),
        bound_again(errno="EACCES"),
        bound_again(kind="SOCK_DGRAM"),
        bound_again(address="10.0.0.7:80"),
        bound_again(address="[::1]:80"),
        bound_again(address="[::]:80", now=("SOL_IPV6, IPV6_V6ONLY, 1",)),
        bound_again(before=(REUSE,), now=(REUSE,)),
        bound_again(before=None, now=(REUSE,)),
        bound_again(before=None, now=None),
        bound_again(before=("SOL_SOCKET, SO_REUSEPORT, 1",),
                    now=("SOL_SOCKET, SO_REUSEPORT, 1",)),
    ],
    ids=["the client closed first", "it is over", "the listener is open", "another error",
         "a datagram socket", "another address", "another family", "IPv6 alone", "both reuse it",
         "the other may", "both may", "both share it"],
)  # fmt: skip
def test_other_binds_are_refused_for_other_reasons(play: Play) -> None:
    assert of(play, "bind_refused") == []


@pytest.mark.parametrize(
    "play",
    [
        bound_again(before=(), now=(REUSE,)),
        bound_again(before=(REUSE,)),
        bound_again(before=(REUSE,), now=(REUSE, "SOL_SOCKET, SO_REUSEADDR, 0")),
        bound_again(address="0.0.0.0:80"),
        bound_again(address="[::]:80"),
        bound_again(before=(), now=None),
    ],
    ids=["not the other", "not this one", "off again", "every address", "both families",
         "whatever this one has"],
)  # fmt: skip
def test_one_socket_without_reuse_is_refused_the_port(play: Play) -> None:
    (one,) = of(play, "bind_refused")
    assert "in TIME-WAIT there" in one.text


def test_many_tries_to_bind_are_one_finding() -> None:
    play = bound_again(tries=50)
    (one,) = of(play, "bind_refused")
    first = len(play.calls) - 49
    assert (
        f"server bind #{first} was refused port 80 (EADDRINUSE), the first of 50 such tries in 4.9"
        in one.text
    )
    assert one.calls[:2] == (first, len(play.calls))


def test_a_client_is_told_to_choose_no_port() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "close", 0):
        play.fin("c>s", 0, 0)
    with play.call("server", "close", 0):
        play.fin("s>c", 0, 1)
    play.did("client", "socket", 3, inode=900, fd=3, local=None, peer=None)
    play.did("client", "bind", None, inode=900, fd=3, local=None, peer=None,
             address=ADDRESS["client"], errno="EADDRINUSE")  # fmt: skip
    (one,) = of(play, "bind_refused")
    assert "as the client had closed it first" in one.text
    assert one.advice.startswith("Leave bind out")

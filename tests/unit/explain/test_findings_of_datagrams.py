"""Datagrams that nobody read: what is proven of them, and where nothing is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.recording import Loss
from tests.playbook import Play, number_of
from tests.waits_told import MS

CLIENT, SERVER = "127.0.0.1:5000", "127.0.0.1:53"
C: dict[str, Any] = {"inode": 1, "local": CLIENT, "peer": None, "kind": "SOCK_DGRAM"}
S: dict[str, Any] = {"inode": 2, "local": "0.0.0.0:53", "peer": None, "kind": "SOCK_DGRAM"}


def sent(*lengths: int) -> Play:
    play = Play()
    play.did("server", "socket", 5, **S)
    play.did("server", "bind", 0, **S)
    for length in lengths:
        with play.call("client", "sendto", length, address=SERVER, **C):
            play.datagram(CLIENT, SERVER, length)
    play.now_ns += 100 * MS
    return play


def recv(play: Play, *lengths: int, **more: Any) -> None:
    for length in lengths:
        play.did("server", "recvfrom", length, size=2048, address=CLIENT, **{**S, **more})


def finds_nothing(play: Play, **more: Any) -> int:
    play.did("server", "recvfrom", None, size=2048, errno="EAGAIN", **{**S, **more})
    return len(play.calls)


def close(play: Play, after_ms: int = 100) -> None:
    play.now_ns += after_ms * MS
    play.did("server", "close", 0, **S)


def unread(play: Play) -> Finding | None:
    every = findings_of(explained(play.tables(), play.raw))
    return next((one for one in every if one.kind == "unread_datagrams"), None)


def found(play: Play) -> Finding:
    one = unread(play)
    assert one is not None
    return one


def test_what_lay_there_until_the_close() -> None:
    play = sent(10, 20, 30)
    recv(play, 10)
    close(play)
    one = found(play)
    assert one.text == (
        "2 datagrams (50 bytes) of the client reached the server's socket 0.0.0.0:53 (server,"
        " descriptor 5) and were never read."
    )
    assert (one.severity, one.frames, one.calls) == (Severity.MEDIUM, (2, 3), (4, 5))


@pytest.mark.parametrize("later_read", [True, False])
def test_what_came_just_before_the_close_was_dropped_only_if_a_later_one_was_read(
    later_read: bool,
) -> None:
    play = sent(10, 20, 30)
    play.now_ns -= 99 * MS
    recv(play, 10, *([30] if later_read else []))
    close(play, after_ms=1)
    one = unread(play)
    assert (one is not None and "its kernel dropped it" in one.text) is later_read


def test_what_was_dropped_before_one_that_was_read() -> None:
    play = sent(10, 20, 30)
    recv(play, 10, 30)
    close(play)
    one = found(play)
    assert one.text.startswith("1 datagram (20 bytes) of the client reached")
    assert one.text.endswith(
        "and was never read: its kernel dropped it, for later ones were read, so the receive buffer"
        " had no room."
    )
    assert (one.severity, one.frames) == (Severity.HIGH, (2,))


def test_what_was_not_there_when_nothing_was_left() -> None:
    play = sent(10, 20)
    recv(play, 10)
    empty = finds_nothing(play)
    one = found(play)
    assert f"server recvfrom #{empty} found nothing left to read" in one.text
    assert empty in one.calls
    assert one.severity is Severity.HIGH


def test_what_came_after_nothing_was_left_was_not_dropped() -> None:
    play = sent(10)
    recv(play, 10)
    finds_nothing(play)
    with play.call("client", "sendto", 20, address=SERVER, **C):
        play.datagram(CLIENT, SERVER, 20)
    close(play)
    one = found(play)
    assert "1 datagram (20 bytes)" in one.text
    assert "dropped" not in one.text


def test_of_those_alike_only_how_many_is_told() -> None:
    play = sent(10, 10, 10, 10, 10)
    recv(play, 10, 10)
    empty = finds_nothing(play)
    one = found(play)
    assert one.text.startswith("At least 3 datagrams (30 bytes) of the client reached")
    assert "(which of the 4 that came, is not known): its kernel dropped them" in one.text
    assert f"#{empty}" in one.text


def waits_in_vain(play: Play, *, sockets: int = 1, nfds: int = 1) -> int:
    """A poll for 500 ms that reported nothing, as strace shows it."""
    if sockets == 2:
        play.did("server", "socket", 6, **{**S, "inode": 3, "fd": 6, "local": None})
    with play.call("server", "poll", 0, inode=None, fd=None, local=None, peer=None, family=None,
                   kind=None, args=f"nfds={nfds}, timeout=500"):  # fmt: skip
        play.now_ns += 500 * MS
    play.calls = [replace(call, witness="strace") for call in play.calls]
    return len(play.calls)


def test_a_poll_of_the_only_socket_shows_it_too() -> None:
    """As the time-out of a Python socket waits."""
    play = sent(10, 10, 10)
    recv(play, 10)
    poll = waits_in_vain(play)
    one = found(play)
    assert f"its kernel dropped them, for server poll #{poll} found nothing left" in one.text


@pytest.mark.parametrize("what", [{"sockets": 2}, {"nfds": 2}])
def test_a_poll_that_may_have_been_of_another_shows_nothing(what: dict[str, int]) -> None:
    play = sent(10, 10, 10)
    recv(play, 10)
    waits_in_vain(play, **what)
    assert "dropped" not in found(play).text


def test_what_was_all_read_is_not_told() -> None:
    play = sent(10, 10, 30)
    recv(play, 10, 10, 30)
    finds_nothing(play)
    close(play)
    assert unread(play) is None


def test_what_came_as_the_socket_was_closed_is_not_told() -> None:
    play = sent(10)
    recv(play, 10)
    with play.call("client", "sendto", 20, address=SERVER, **C):
        play.datagram(CLIENT, SERVER, 20)
    close(play, after_ms=1)
    assert unread(play) is None


def test_where_calls_of_a_reader_may_be_missing_nothing_is_said() -> None:
    play = sent(10, 20)
    recv(play, 10)
    close(play)
    play.raw.losses.append(Loss("probe", "calls", None, "spool limit"))
    assert unread(play) is None


def test_of_a_reader_that_nobody_watched_nothing_is_said() -> None:
    play = sent(10, 20)
    play.calls = [call for call in play.calls if call.actor == "client"]
    play.now_ns += 100 * MS
    play.did("client", "close", 0, **C)
    assert unread(play) is None


def test_where_two_sockets_may_have_had_it_nothing_is_said() -> None:
    play = Play()
    for inode in (2, 3):
        play.did("server", "socket", 5, **{**S, "inode": inode})
        play.did("server", "bind", 0, **{**S, "inode": inode})
    with play.call("client", "sendto", 10, address=SERVER, **C):
        play.datagram(CLIENT, SERVER, 10)
    play.now_ns += 100 * MS
    finds_nothing(play)
    close(play)
    assert unread(play) is None


def test_a_read_that_never_returned_has_seen_none_of_them() -> None:
    """It was inside when they came: what it waited for is not known, so nothing is."""
    play = Play()
    play.did("server", "socket", 5, **S)
    play.did("server", "bind", 0, **S)
    with (
        play.call("server", "recvfrom", None, size=2048, inside=True, **S),
        play.call("client", "sendto", 10, address=SERVER, **C),
    ):
        play.datagram(CLIENT, SERVER, 10)
    play.now_ns += 100 * MS
    play.did("client", "close", 0, **C)
    assert number_of(play.tables(), "recvfrom") == 3
    assert unread(play) is None

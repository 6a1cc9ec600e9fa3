"""The sentence of a call with many waits: a cause that came again and again is named once."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.analysis import read_later
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Part
from netlab.explain.waits import explained
from netlab.model.call import POLLIN, STOP
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import sentence_text, why_lines
from netlab.show.views.why import why
from netlab.show.views.why_sentences import sentence
from tests.playbook import PID, Play, number_of
from tests.waits_told import MS


def questions(count: int) -> str:
    """What is said of a read whose answer came after so many questions, each long on its way."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "recv", 10, size=10, tid=11):
        for piece in range(count):
            with play.call("client", "send", 10, size=10):
                frame = play.data("c>s", 10 * piece, 10 * piece + 10, way="hold")
            with play.call("server", "read", 10, size=10):
                play.now_ns += (piece + 1) * MS
                play.arrives(frame)
        play.now_ns += 20 * MS
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10, 10 * count)
    scene = explained(play.tables(), play.raw)
    return sentence_text(sentence(scene, scene.call(number_of(scene.tables, "recv"))))


def test_few_waits_are_said_one_by_one() -> None:
    said = questions(2)
    assert "2.0 ms on the wire (frame 5) (inside server read #8)" in said
    assert "such waits" not in said


def test_many_of_one_cause_are_said_once_with_all_their_time() -> None:
    said = questions(5)
    assert "20.0 ms before the server's program called send #15" in said
    assert "15.0 ms on the wire (frame 8) (inside server read #14) (and in 5 more" in said
    assert "other reason" not in said


def ranked_after_a_time_out(*, asks: bool, polls: bool, nfds: int = 2) -> list[str]:
    """The operations of a client that waits 100 ms in vain and then 30 ms for a frame."""
    play = Play(wired=True)
    play.handshake()
    if asks:
        with play.call("client", "send", 5, size=5):
            play.data("c>s", 0, 5)
    if polls:
        none: dict[str, Any] = {"inode": None, "fd": None, "local": None, "peer": None}
        with play.call("client", "poll", 0, args=f"nfds={nfds}, timeout=100", **none):
            play.now_ns += 100 * MS
    else:
        with play.call("client", "recvfrom", None, size=10, errno="EAGAIN"):
            play.now_ns += 100 * MS
    play.did("server", "send", 5, size=5)
    frame = play.data("s>c", 0, 5, 5 * asks, way="hold")
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 30 * MS
        play.arrives(frame)
    return [one.name.split()[1] for one in why(play.tables(), play.raw, "x").sentences]


@pytest.mark.parametrize("polls", [True, False])
def test_a_wait_that_gave_up_matters_where_an_answer_was_owed(polls: bool) -> None:
    operation = "poll" if polls else "recvfrom"
    assert ranked_after_a_time_out(asks=True, polls=polls)[0] == operation
    assert ranked_after_a_time_out(asks=False, polls=polls)[0] == "recv"


def test_a_poll_of_nothing_is_a_pause_whatever_is_owed() -> None:
    assert ranked_after_a_time_out(asks=True, polls=True, nfds=0)[0] == "recv"


def test_an_idle_wait_hides_no_other() -> None:
    """A look round of 10 s, and 50 ms before the answer: neither is left out."""
    play = Play(wired=True)
    play.handshake()
    none: dict[str, Any] = {"inode": None, "fd": None, "local": None, "peer": None}
    with play.call("server", "poll", 0, args="nfds=3, timeout=10000", **none):
        play.now_ns += 10_000 * MS
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 50 * MS
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5)
    operations = [one.name.split()[1] for one in why(play.tables(), play.raw, "x").sentences]
    assert operations == ["recv", "poll"]


@pytest.mark.parametrize("reads", ["client", "server"])
def test_both_ends_of_a_socketpair_matter_alike(reads: str) -> None:
    """A client's 50 ms matter more than 80 ms of either end of a pair."""
    writes = "server" if reads == "client" else "client"
    play = Play(wired=True)
    unix: dict[str, Any] = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
    ends = {"client": {**unix, "inode": 1, "fd": 7}, "server": {**unix, "inode": 2, "fd": 8}}
    play.did("client", "socketpair", 0, new_inode=2, **unix, inode=1)
    play.handshake()
    with play.call(reads, "recvmsg", 5, size=5, **ends[reads]):
        play.now_ns += 80 * MS
        play.did(writes, "sendmsg", 5, size=5, **ends[writes])
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 50 * MS
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5)
    view = why(play.tables(), play.raw, "x")
    assert [one.name.split()[1] for one in view.sentences] == ["recv", "recvmsg"]


@pytest.mark.parametrize("was_lost", [True, False])
def test_a_wait_that_gave_up_matters_where_something_had_not_come(was_lost: bool) -> None:
    """It lasts longer than the one behind it, in which the frame was on the wire."""
    play = Play(wired=True)
    play.handshake()
    if was_lost:
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5, way="drop")
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 100 * MS
    if not was_lost:
        play.did("server", "send", 5, size=5)
    frame = play.data("s>c", 0, 5, way="hold")
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 30 * MS
        play.arrives(frame)
    first, second = (one.call for one in why(play.tables(), play.raw, "x").sentences[:2])
    assert (first < second) is was_lost


@pytest.mark.parametrize(
    ("asks", "written_early"), [(False, True), (False, False), (True, True), (True, False)]
)
def test_a_wait_that_gave_up_matters_from_when_something_was_written_or_asked(
    asks: bool, written_early: bool
) -> None:
    """Of 100 ms before a time-out: all of them, or the last; then 30 ms for the same frame."""
    play = Play(wired=True)
    play.handshake()
    if asks:
        with play.call("client", "send", 5, size=5):
            play.data("c>s", 0, 5)
    with play.call("client", "recv", None, size=10, errno="EAGAIN"):
        play.now_ns += 0 if written_early else 99 * MS
        with play.call("server", "send", 5, size=5):
            frame = play.data("s>c", 0, 5, way="hold")
        play.now_ns += 100 * MS if written_early else MS
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 30 * MS
        play.arrives(frame)
    first, second = (one.call for one in why(play.tables(), play.raw, "x").sentences[:2])
    assert (first < second) is (written_early or asks)


def test_a_wait_for_a_thread_that_was_stopped_matters_and_the_stop_itself_does_not() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "recv", 5, size=10):
        with play.call("server", STOP, None, inode=None, fd=None, local=None, peer=None,
                       family=None, kind=None, args="SIGSTOP"):  # fmt: skip
            play.now_ns += 100 * MS
        with play.call("server", "send", 5, size=5):
            frame = play.data("s>c", 0, 5, way="hold")
        play.arrives(frame)
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 50 * MS
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 5, 10)
    names = [one.name for one in why(play.tables(), play.raw, "x").sentences]
    recv = number_of(play.tables(), "recv")
    assert names[0] == f"client recv #{recv}"
    assert names[-1].startswith(f"server {STOP} ")


def of_parts(*parts: tuple[int, Certainty]) -> str:
    """What is said of a read that waited so many milliseconds each, for one cause."""
    play = Play()
    play.did("client", "recv", 10, size=10)
    scene = explained(play.tables(), play.raw)
    at, told = 0, []
    for ms, certainty in parts:
        told.append(Part(at, at + ms * MS, Cause.PEER_APP, certainty, text="before it did"))
        at += ms * MS
    scene.explained[1] = told
    return sentence_text(sentence(scene, scene.call(1)), advise=False)


@pytest.mark.parametrize(
    ("inferred_ms", "mark"),
    [(0, ""), (1, ""), (40, " (40.0 ms of it inferred)"), (9900, " (inferred)")],
)
def test_a_sum_is_as_sure_as_what_it_is_made_of(inferred_ms: int, mark: str) -> None:
    parts = [(100, Certainty.OBSERVED), *([(inferred_ms, Certainty.INFERRED)] * bool(inferred_ms))]
    assert of_parts(*parts).endswith(f": before it did{mark}.")


def drawn(*, poll_ms: int) -> str:
    """A talk, and beside it a wait of no connection."""
    play = Play()
    play.handshake()
    with play.wait("client", (9, POLLIN)):
        play.now_ns += poll_ms * MS
    tables = play.tables()
    read_later(tables, play.raw)
    return "".join(plain(line) + "\n" for line in why_lines(why(tables, play.raw, "a"), 80))


def test_calls_of_no_connection_have_bars_where_they_waited() -> None:
    assert "client, calls of no connection" in drawn(poll_ms=30)
    assert "calls of no connection" not in drawn(poll_ms=0)


@pytest.mark.parametrize("pair", [True, False])
def test_the_ends_of_a_socketpair_are_no_client_and_no_server(pair: bool) -> None:
    """Who holds an end has a name; a connection of two addresses has a client and a server."""
    play = Play(wired=True)
    if pair:
        unix = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
        play.did("client", "socketpair", 0, new_inode=2, **unix, inode=1)
        reader, writer = {**unix, "inode": 2, "fd": 8}, {**unix, "inode": 1, "fd": 7}
    else:
        play.handshake()
        reader = writer = {}
    with play.call("server", "recv", 5, size=5, **reader):
        play.now_ns += 20 * MS
        with play.call("client", "send", 5, size=5, **writer):
            if not pair:
                play.data("c>s", 0, 5)
    view = why(play.tables(), play.raw, "x")
    said = [plain(line).strip() for line in why_lines(view, 80)]
    assert any(line.startswith("server was 2") for line in said) is not pair
    named = f"server (pid {PID['server']}, descriptor 8) was 2"
    assert any(line.startswith(named) for line in said) is pair
    bars = [bar for one in view.connections for bar in one.bars]
    assert {bar.side for bar in bars} == {"client", "server"}  # by which recordings are compared

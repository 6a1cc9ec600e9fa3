"""Findings about who listens: a queue that overflowed, handshakes that stayed half open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.recording import Host
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS


def found(play: Play) -> list[Finding]:
    return findings_of(explained(play.tables(), play.raw))


def of(play: Play, kind: str) -> list[Finding]:
    return [one for one in found(play) if one.kind == kind]


def queue_of(backlog: int | str, clients: int) -> Play:
    """A listener with so many connections that nobody has accepted yet."""
    play = Play(wired=True)
    play.did("server", "listen", 0, args=f"{backlog}", inode=INODE["listener"], fd=3, peer=None)
    for sport in range(39000, 39000 + clients):
        play.frame("c>s", "S", 0, sport=sport, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=sport, options=play._offer())
        play.frame("c>s", "A", 1, 1, sport=sport)
    return play


def gives_up(play: Play, sport: int, *, way: str = "carry") -> int:
    """A client whose connect ends by its own timer, after one SYN; the number of its frame."""
    with play.call("client", "connect", None, errno="EINPROGRESS", address=ADDRESS["server"],
                   inode=sport, local=f"127.0.0.1:{sport}"):  # fmt: skip
        frame = play.frame("c>s", "S", 0, sport=sport, options=play._offer(), way=way)
        play.now_ns += 500 * MS
    return frame


def test_clients_that_give_up_before_a_second_syn_met_a_full_queue() -> None:
    play = queue_of(2, 3)
    frames = [gives_up(play, 40001), gives_up(play, 40002)]
    first, second = of(play, "backlog_overflow")
    assert [*first.frames, *second.frames] == frames
    assert "listen(2) #1" in first.text
    assert "it held 3 of 3 connections, so the SYN had no answer; 2 clients turned away" in (
        first.text
    )
    assert first.calls == (1, number_of(play.tables(), "connect"))
    assert "larger backlog" in first.advice
    assert of(play, "handshake_lost") == []


@pytest.mark.parametrize(
    ("clients", "way"),
    [(2, "carry"), (3, "drop")],
    ids=["a queue with room", "a SYN that the wire lost"],
)
def test_other_reasons_for_silence_are_no_overflow(clients: int, way: str) -> None:
    play = queue_of(2, clients)
    gives_up(play, 40001, way=way)
    assert of(play, "backlog_overflow") == []


@pytest.mark.parametrize(
    ("asked", "somaxconn", "clients", "said"),
    [
        ("4096", "2", 3, "listen(4096) #1, of which net.core.somaxconn leaves 2): it held 3 of 3"),
        ("-1", "2", 3, "listen(-1) #1, of which net.core.somaxconn leaves 2): it held 3 of 3"),
        ("2", "4096", 3, "listen(2) #1): it held 3 of 3"),
        ("4096", "4096", 3, ""),
        ("-1", "", 3, ""),
    ],
)
def test_a_backlog_is_no_more_than_its_host_allows(
    asked: str, somaxconn: str, clients: int, said: str
) -> None:
    play = queue_of(asked, clients)
    gives_up(play, 40001)
    sysctls = (("net.core.somaxconn", somaxconn),) if somaxconn else ()
    hosts = (Host("localhost", "6.1.0", sysctls), Host("other", "6.1.0", ()))
    play.raw.description = replace(play.raw.description, hosts=hosts)
    found_now = of(play, "backlog_overflow")
    assert bool(found_now) is bool(said)
    assert said in (found_now[0].text if found_now else "")


def test_without_the_listeners_calls_nothing_is_said_of_its_queue() -> None:
    play = queue_of(2, 3)
    play.calls.clear()
    gives_up(play, 40001)
    assert of(play, "backlog_overflow") == []


def knocks(
    count: int, *, gap_ms: int = 20, answer: str = "", later_ms: int = 2000, way: str = "carry"
) -> Play:
    """SYNs with their SYN-ACKs, and what the clients answer."""
    play = Play(wired=True)
    for sport in range(41000, 41000 + count):
        play.frame("c>s", "S", 0, sport=sport, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=sport, options=play._offer())
        if answer:
            play.frame("c>s", answer, 1, 1, sport=sport, way=way)
        play.now_ns += gap_ms * MS
    play.now_ns += later_ms * MS
    play.frame("c>s", "S", 0, sport=42000, options=play._offer())
    return play


def test_many_handshakes_without_an_ack_look_like_a_flood() -> None:
    (one,) = of(knocks(37), "syn_flood")
    assert "37 handshakes with port 80 of 127.0.0.1 stayed half open" in one.text
    assert "SYN-ACKs went out to 1 address, and no ACK came" in one.text
    assert "so does a way back that is broken" in one.text
    assert one.frames[0] == 2
    assert one.connection is None


def test_clients_whose_resets_were_lost_leave_handshakes_half_open_at_once() -> None:
    """What sends SYNs past its kernel has that answer each SYN-ACK: no ACK will come any more."""
    (one,) = of(knocks(37, gap_ms=1, later_ms=100, answer="R", way="drop"), "syn_flood")
    assert "37 handshakes with port 80 of 127.0.0.1 stayed half open" in one.text


@pytest.mark.parametrize(
    "play",
    [
        knocks(31),
        knocks(37, answer="A"),
        knocks(37, answer="R"),
        knocks(37, gap_ms=1000),
        knocks(37, gap_ms=1, later_ms=100),
    ],
    ids=["few", "completed", "refused by the client", "over half a minute", "just now"],
)
def test_other_handshakes_are_no_flood(play: Play) -> None:
    assert of(play, "syn_flood") == []


def test_a_queue_that_is_only_inferred_to_have_been_full_seems_to_overflow() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="ETIMEDOUT", address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 1000 * MS
        play.syn()
        play.now_ns += 1000 * MS
    (one,) = of(play, "backlog_overflow")
    assert "The accept queue seems to have overflowed" in one.text

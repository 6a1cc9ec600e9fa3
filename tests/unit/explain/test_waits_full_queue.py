"""Clients that believe to be connected while a full listener ignores them."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

LISTENER: dict[str, Any] = {"inode": INODE["listener"], "fd": 3, "peer": None}
FIRST, SECOND = 41000, 41001


def ends(sport: int, side: str) -> dict[str, Any]:
    here, there = f"127.0.0.1:{sport}", "127.0.0.1:80"
    if side == "server":
        return {"inode": sport + 1000, "local": there, "peer": here}
    return {"inode": sport, "local": here, "peer": there, "pid": sport}


def connects(play: Play, sport: int, *, way: str = "carry") -> int:
    """A handshake; the frame of its last ACK."""
    with play.call("client", "connect", 0, address="127.0.0.1:80", **ends(sport, "client")):
        play.frame("c>s", "S", 0, sport=sport, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=sport, options=play._offer())
        return play.frame("c>s", "A", 1, 1, sport=sport, way=way)


def accepting(play: Play, sport: int) -> Any:
    return play.call(
        "server", "accept", 5, address=f"127.0.0.1:{sport}", new_inode=sport + 1000, **LISTENER
    )


def says(play: Play, sport: int, start: int = 0) -> int:
    return play.frame("c>s", "PA", start + 1, 1, 5, sport=sport)


def answers(play: Play, sport: int) -> None:
    """The server reads and writes, its client gets it."""
    play.did("server", "recv", 5, size=64, **ends(sport, "server"))
    with play.call("server", "send", 3, size=3, **ends(sport, "server")):
        play.frame("s>c", "PA", 1, 6, 3, sport=sport)


def crowded(*, backlog: str | None = "0") -> Play:
    """A listener with room for one, in which that one stands."""
    play = Play(wired=True)
    play.did("server", "listen", 0, args=backlog or "SOMAXCONN", **LISTENER)
    connects(play, FIRST)
    return play


def ignored(*, backlog: str | None = "0") -> tuple[Play, list[int]]:
    """The second client's ACK and data meet the full queue; 400 ms later there is room, and after
    100 ms more its data comes again. The frames that were ignored, and the one that was not."""
    play = crowded(backlog=backlog)
    frames = [connects(play, SECOND)]
    with play.call("client", "send", 5, size=5, **ends(SECOND, "client")):
        frames.append(says(play, SECOND))
    with play.call("client", "recv", 3, size=64, **ends(SECOND, "client")):
        play.now_ns += 200 * MS
        frames.append(says(play, SECOND))
        play.now_ns += 200 * MS
        with accepting(play, FIRST):
            pass
        with accepting(play, SECOND):
            play.now_ns += 100 * MS
            frames.append(says(play, SECOND))
            play.frame("s>c", "A", 1, 6, sport=SECOND)
        answers(play, SECOND)
    return play, frames


def found(play: Play) -> list[Finding]:
    return findings_of(explained(play.tables(), play.raw))


def test_a_client_waits_until_what_was_ignored_is_sent_again() -> None:
    play, frames = ignored()
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("backlog_full", 500)]
    wait = of(rows, recv, "backlog_full")
    assert wait.certainty == "observed"
    assert wait.frames == tuple(frames)
    assert wait.calls == (number_of(tables, "listen"),)
    assert wait.text == (
        f"because the listener ignored the last ACK of the handshake (frame {frames[0]}) and 2"
        " frames after it: its queue held 1 of 1 connections, until the client sent its data again"
        f" (frame {frames[3]})"
    )


def test_an_accept_meanwhile_waits_for_the_same() -> None:
    tables, rows = told(ignored()[0])
    assert causes(rows, number_of(tables, "accept", 2)) == [("backlog_full", 100)]


def test_the_first_finding_names_the_listener_and_nobody_is_dead() -> None:
    play, frames = ignored()
    first, *others = found(play)
    assert first.kind == "backlog_overflow"
    assert first.text == (
        "The accept queue overflowed (server listen(0) #1): it held 1 of 1 connections, so it"
        f" ignored the last ACK of the handshake (frame {frames[0]}) and 2 frames after it; that"
        " cost 500.0 ms of waiting."
    )
    assert {"retransmission_storm", "loss_recovery"}.isdisjoint(one.kind for one in others)


def test_without_the_backlog_it_is_only_inferred() -> None:
    tables, rows = told(ignored(backlog=None)[0])
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("backlog_full", 500)]
    assert of(rows, recv, "backlog_full").certainty == "inferred"
    assert "its queue seems to have been full" in of(rows, recv, "backlog_full").text


def test_with_room_nobody_knows_what_ignored_it() -> None:
    play, _ = ignored(backlog="16")
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("unknown", 500)]
    assert "backlog_overflow" not in {one.kind for one in found(play)}


def test_who_says_nothing_until_there_is_room_waits_for_his_own_next_word() -> None:
    play = crowded()
    ack = connects(play, SECOND)
    play.now_ns += 5 * MS
    with accepting(play, FIRST):
        pass
    with accepting(play, SECOND):
        play.now_ns += 300 * MS
        with play.call("client", "send", 5, size=5, **ends(SECOND, "client")):
            data = says(play, SECOND)
            play.frame("s>c", "A", 1, 6, sport=SECOND)
    tables, rows = told(play)
    accept = number_of(tables, "accept", 2)
    assert causes(rows, accept) == [("backlog_full", 300)]
    wait = of(rows, accept, "backlog_full")
    assert wait.frames == (ack, data)
    assert wait.text.endswith(f"until the client sent its next (frame {data})")


def test_bytes_behind_the_first_that_were_ignored_too() -> None:
    play = crowded()
    connects(play, SECOND)
    with play.call("client", "send", 10, size=10, **ends(SECOND, "client")):
        says(play, SECOND)
        behind = says(play, SECOND, 5)
    play.now_ns += 5 * MS
    with accepting(play, FIRST):
        pass
    with accepting(play, SECOND):
        play.now_ns += 210 * MS
        says(play, SECOND)
        play.frame("s>c", "A", 1, 6, sport=SECOND)
    play.did("server", "recv", 5, size=5, **ends(SECOND, "server"))
    with play.call("server", "recv", 5, size=64, **ends(SECOND, "server")):
        play.now_ns += 30 * MS
        again = says(play, SECOND, 5)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 2, "server")
    assert causes(rows, recv) == [("backlog_full", 30)]
    assert of(rows, recv, "backlog_full").frames == (behind, again)
    assert of(rows, recv, "backlog_full").certainty == "observed"


@pytest.mark.parametrize("entered", ["before", "after"])
def test_a_last_ack_that_the_wire_lost_met_no_full_queue(entered: str) -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="0", **LISTENER)
    lost = connects(play, SECOND, way="drop")

    def accepts() -> Any:
        return accepting(play, SECOND)

    with play.call("client", "recv", 3, size=64, **ends(SECOND, "client")):
        if entered == "before":
            with accepts():
                play.now_ns += 300 * MS
                with play.call("client", "send", 5, size=5, **ends(SECOND, "client") | {"tid": 9}):
                    data = says(play, SECOND)
                    play.frame("s>c", "A", 1, 6, sport=SECOND)
        else:
            play.now_ns += 300 * MS
            with play.call("client", "send", 5, size=5, **ends(SECOND, "client") | {"tid": 9}):
                data = says(play, SECOND)
                play.frame("s>c", "A", 1, 6, sport=SECOND)
            play.now_ns += 50 * MS
            with accepts():
                pass
        answers(play, SECOND)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    queued = [("accept_queue", 50)] if entered == "after" else []
    assert causes(rows, recv) == [("syn_retry", 300), *queued]
    assert of(rows, recv, "syn_retry").frames[:2] == (lost, data)
    assert "backlog_overflow" not in {one.kind for one in found(play)}


def never_taken(*, reset: bool) -> tuple[Play, int]:
    """A client that waits for the server to speak first, for ever or until it gives up."""
    play = crowded()
    ack = connects(play, SECOND)
    play.now_ns += 5 * MS
    with accepting(play, FIRST):
        pass
    if not reset:
        with play.call("client", "recv", None, inside=True, **ends(SECOND, "client")):
            play.now_ns += 700 * MS
            play.did("server", "getpid", 20)
        return play, ack
    play.now_ns += 90_000 * MS
    with play.call("client", "close", 0, **ends(SECOND, "client")):
        play.frame("c>s", "FA", 1, 1, sport=SECOND)
    play.frame("s>c", "R", 1, sport=SECOND)
    return play, ack


def test_a_client_that_says_nothing_is_never_taken() -> None:
    play, ack = never_taken(reset=False)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("backlog_full", 700)]
    assert of(rows, recv, "backlog_full").certainty == "observed"
    assert of(rows, recv, "backlog_full").frames == (ack,)


def test_its_reset_is_the_listeners_and_the_first_finding_says_so() -> None:
    play, ack = never_taken(reset=True)
    first, *others = found(play)
    assert first.kind == "backlog_overflow"
    assert f"ignored the last ACK of the handshake (frame {ack})" in first.text
    assert "never took the connection that the client believes to have" in first.text
    resets = [one for one in others if one.kind == "reset"]
    assert "its listener never took the connection" in resets[0].text
    assert "restarted" not in resets[0].advice


def aborted(*, backlog: str | None, reset: str = "R") -> Finding:
    """What is said of the second client's connection, whose last ACK got a reset."""
    play = crowded(backlog=backlog)
    connects(play, SECOND)
    play.frame("s>c", reset, 1, 1 if "A" in reset else None, sport=SECOND)
    (one,) = [one for one in found(play) if one.kind == "reset"]
    return one


def test_a_reset_that_answers_the_last_ack_is_the_full_queues() -> None:
    """tcp_abort_on_overflow: no end that was closed already."""
    assert (
        "the accept queue of server listen #1 held 1 of 1 connections when the last ACK of the"
        " handshake came, and tcp_abort_on_overflow answers that by a reset"
    ) in aborted(backlog="0").text
    assert "though its listener was open and its queue had room" in aborted(backlog="16").text
    unsure = aborted(backlog=None).text
    assert "as Linux does where the accept queue is full under tcp_abort_on_overflow" in unsure
    assert unsure.endswith("; whether so, the recording does not show.")
    assert "the last ACK of the handshake" not in aborted(backlog="0", reset="RA").text

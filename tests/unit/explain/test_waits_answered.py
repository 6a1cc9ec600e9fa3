"""Why a wait took so long that a reset ended, sent by an end that no longer knew the connection."""

from __future__ import annotations

import pytest

from netlab.model.call import POLLERR, POLLHUP, POLLIN
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

ENDED = POLLIN | POLLERR | POLLHUP


def forgotten(goodbye: str, *, asks: str, seen: bool = True) -> Play:
    """The server goes 300 ms into a wait of the client; what it says is lost; 700 ms later the
    client asks and is told.

    `goodbye`: RST or FIN; `asks`: a keep-alive probe, what another thread sends, or a resend of
    what was lost as well. `seen`: whether what was said is in the recording.
    """
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    play.ack("s>c", 10)
    at = 10
    if asks == "resend":
        with play.call("client", "send", 30, size=30):
            play.data("c>s", 10, 40, way="drop")
        at = 40
    with play.wait("client", (INODE["client"], ENDED), op="poll", args="nfds=1, timeout=9000"):
        play.now_ns += 300 * MS
        if seen:
            with play.call("server", "close", 0):
                if goodbye == "RST":
                    play.rst("s>c", 0, 10, way="drop")
                else:
                    play.fin("s>c", 0, 10, way="drop")
        else:
            play.did("server", "close", 0)
        play.now_ns += 700 * MS
        if asks == "probe":
            play.frame("c>s", "A", at, 1)  # one before the next byte, empty
        elif asks == "resend":
            play.data("c>s", 10, 40)
        else:
            with play.call("client", "send", 30, size=30, tid=99):
                play.data("c>s", 10, 40)
        play.answer_rst("s>c", 0)
    return play


@pytest.mark.parametrize("goodbye", ["RST", "FIN"])
@pytest.mark.parametrize(("asks", "cause"), [("probe", "keepalive"), ("thread", "other_event")])
def test_until_the_peer_went_and_then_until_it_was_asked(
    goodbye: str, asks: str, cause: str
) -> None:
    tables, rows = told(forgotten(goodbye, asks=asks))
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("peer_app", 300), (cause, 700)]
    part = of(rows, poll, cause)
    what = "reset" if goodbye == "RST" else "FIN"
    assert f"because the {what} of frame 6 was dropped by the wire, " in part.text
    assert of(rows, poll, "peer_app").certainty == "observed"
    assert of(rows, poll, "peer_app").calls == (number_of(tables, "close"),)


def test_or_until_what_was_lost_was_sent_again() -> None:
    tables, rows = told(forgotten("RST", asks="resend"))
    assert causes(rows, number_of(tables, "poll")) == [("peer_app", 300), ("rto", 700)]


def test_a_peer_that_said_nothing_is_not_said_to_have() -> None:
    tables, rows = told(forgotten("RST", asks="probe", seen=False))
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("peer_app", 300), ("keepalive", 700)]
    part = of(rows, poll, "keepalive")
    assert part.certainty == "inferred"
    assert part.text.startswith("because its peer was gone, until a keep-alive probe asked")


def test_a_reset_that_a_call_sent_answers_nothing() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (INODE["client"], ENDED), op="poll", args="nfds=1, timeout=9000"):
        play.now_ns += 300 * MS
        with play.call("server", "close", 0):
            play.rst("s>c", 0, 0)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("peer_app", 300)]

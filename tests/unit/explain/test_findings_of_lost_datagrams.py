"""Datagrams that the wire did not let through: said where its notes prove it, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.wire import Arrival
from tests.playbook import Play, number_of
from tests.waits_told import MS

CLIENT, SERVER = "127.0.0.1:5000", "127.0.0.1:53"
C: dict[str, Any] = {"inode": 1, "local": CLIENT, "peer": None, "kind": "SOCK_DGRAM"}
POLL: dict[str, Any] = {"inode": None, "fd": None, "local": None, "peer": None,
                        "args": "nfds=1, timeout=250"}  # fmt: skip


def asks(*ways: str, waits_ms: int = 250, rule: str = "", size: int = 30) -> Play:
    """The client asks once for each of these ways, and waits for an answer that never comes."""
    play = Play(wired=True)
    for way in ways:
        with play.call("client", "sendto", size, address=SERVER, **C):
            frame = play.datagram(CLIENT, SERVER, size, way=way)
        if way == "drop" and rule:
            play.packets[-1]._arrival = Arrival(frame, "dropped", rule=rule)
        if waits_ms:
            with play.call("client", "poll", 0, **POLL):
                play.now_ns += waits_ms * MS
    return play


def found(play: Play) -> Finding | None:
    every = findings_of(explained(play.tables(), play.raw))
    return next((one for one in every if one.kind == "lost_datagrams"), None)


def test_what_the_wire_dropped_and_who_waited_in_vain() -> None:
    play = asks("drop", "drop", rule="drop c>s datagram 1")
    one = found(play)
    assert one is not None
    tables = play.tables()
    sends = [number_of(tables, "sendto", nth) for nth in (1, 2)]
    polls = [number_of(tables, "poll", nth) for nth in (1, 2)]
    assert one.text.startswith(
        "2 datagrams (60 bytes) of the client were lost on the wire (drop c>s datagram 1). UDP does"
        f" not send again: client poll #{polls[0]} waited 250.0 ms in vain, as 1 other wait did."
    )
    assert (one.severity, one.frames, one.calls) == (Severity.HIGH, (1, 2), (*sends, *polls))


def test_a_loss_that_nobody_waited_for_weighs_less() -> None:
    one = found(asks("drop", waits_ms=0))
    assert one is not None
    assert one.severity == Severity.MEDIUM
    assert one.text == "1 datagram (30 bytes) of the client was lost on the wire."


def test_one_that_was_too_big_for_the_wire() -> None:
    one = found(asks("drop", waits_ms=0, rule="mtu 1300", size=1440))
    assert one is not None
    assert one.text == (
        "1 datagram (1,440 bytes) of the client was lost on the wire (mtu 1300): it was too big for"
        " it, and no ICMP message said so."
    )
    assert one.source == "RFC 8085 3.2; man 7 ip; man 7 udp"
    assert one.advice.startswith("Send smaller datagrams")
    assert all(word in one.advice for word in ("IP_MTU_DISCOVER", "EMSGSIZE"))
    assert "TCP" not in one.advice


def test_one_that_came_with_a_wrong_checksum_is_lost_as_well() -> None:
    one = found(asks("spoil", waits_ms=0))
    assert one is not None
    assert "was lost or spoilt on the wire" in one.text


@pytest.mark.parametrize("way", ["carry", "hold"])
def test_of_what_came_or_was_on_its_way_at_the_end_nothing_is_said(way: str) -> None:
    assert found(asks(way)) is None


def test_where_a_copy_came_nothing_was_lost() -> None:
    play = asks("drop", waits_ms=0)
    play.copy(1)
    assert found(play) is None

"""A full accept queue, as captures at the server's and at the client's end show it."""

from __future__ import annotations

from collections import Counter

import pytest

from netlab.explain.findings.rules import findings_of
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.model.tables import TcpOptions
from tests.far_end import apart, stamp
from tests.playbook import Play
from tests.waits_told import MS

RTT_MS = 10
FIRST, SECOND, THIRD = 40000, 40001, 40002  # accepted late, ignored, its SYN ignored


class Crowd:
    """Three clients of a listener that accepts after 700 ms, its queue full after the first."""

    def __init__(self, end: str) -> None:
        self.play = Play()
        self.to_server, self.to_client = (0, RTT_MS) if end == "server" else (RTT_MS, 0)

    def send(self, port: int, at_ms: int, way: str, flags: str, seq: int, ack: int | None,
             length: int = 0, options: TcpOptions | None = None) -> int:  # fmt: skip
        self.play.now_ns = 1_000_000_000 + at_ms * MS
        return self.play.frame(way, flags, seq, ack, length, sport=port, options=options)

    def open(self, port: int, at_ms: int) -> None:
        self.send(port, at_ms, "c>s", "S", 0, None, options=self.play._offer())
        self.send(port, at_ms + self.to_server, "s>c", "SA", 0, 1, options=self.play._offer())
        self.send(port, at_ms + RTT_MS, "c>s", "A", 1, 1)

    def tell(self, *, syn: bool = True, others: bool = True) -> Play:
        there = self.to_server
        self.open(FIRST, 0)
        self.send(FIRST, 11, "c>s", "PA", 1, 1, 20)
        if others:
            self.open(SECOND, 12)
            self.send(SECOND, 25, "c>s", "PA", 1, 1, 20)
        self.send(FIRST, 26 + there, "s>c", "A", 1, 21)
        if syn:
            self.send(THIRD, 40, "c>s", "S", 0, None, options=stamp(40, 0))
        if others:
            self.send(SECOND, 240, "c>s", "PA", 1, 1, 20)
            self.send(SECOND, 460, "c>s", "PA", 1, 1, 20)
        self.send(FIRST, 700 + there, "s>c", "PA", 1, 21, 20)
        if others:
            self.send(SECOND, 900, "c>s", "PA", 1, 1, 20)
            self.send(SECOND, 900 + there, "s>c", "A", 1, 21)
        if syn:
            self.send(THIRD, 1050, "c>s", "S", 0, None, options=stamp(1050, 0))
            self.send(THIRD, 1050 + there, "s>c", "SA", 0, 1, options=stamp(7, 1050))
            self.send(THIRD, 1050 + RTT_MS, "c>s", "A", 1, 1, options=stamp(1060, 7))
        numbers: Counter[tuple[int | None, int | None]] = Counter()
        for packet in apart(self.play).packets:
            numbers[packet.sport, packet.dport] += 1
            packet.ip_id = 100 + numbers[packet.sport, packet.dport]
        return self.play


def told(play: Play) -> dict[int, list[Part]]:
    """The silences of 100 ms or more, by the client's port."""
    tables = play.tables()
    scene = Scene(tables, play.raw)
    return {
        row.client_port or 0: [
            part for part in silences_of(scene, row.connection) if part.length_ns >= 100 * MS
        ]
        for row in tables.connections
    }


def test_at_the_servers_end_what_came_and_was_not_taken_shows_it() -> None:
    found = told(Crowd("server").tell())
    assert [part.cause for part in found[SECOND]] == ["accept_queue"] * 3
    assert "it ignored the end of the handshake" in found[SECOND][0].text
    assert [part.cause for part in found[THIRD]] == ["backlog_full"]
    assert [part.cause for part in found[FIRST]] == ["accept_queue"]
    assert "nobody called accept" in found[FIRST][0].text


def test_at_the_clients_end_it_may_have_been_lost() -> None:
    found = told(Crowd("client").tell())
    assert {part.cause for parts in found.values() for part in parts} == {"unknown"}
    assert "lost, or the accept queue was full" in found[SECOND][0].text
    assert "lost, or the listener's queue was full" in found[THIRD][0].text
    assert "or it had accepted nobody" in found[FIRST][0].text


@pytest.mark.parametrize("end", ["server", "client"])
def test_with_nobody_else_ignored_a_late_answer_and_a_lost_syn_are_what_they_are(end: str) -> None:
    found = told(Crowd(end).tell(others=False))
    assert [part.cause for part in found[THIRD]] == ["syn_retry"]
    assert [part.cause for part in found[FIRST]] == ["peer_app"]


def test_the_findings_say_so_where_it_shows() -> None:
    play = Crowd("server").tell()
    kinds = {one.kind: one.text for one in findings_of(Scene(play.tables(), play.raw))}
    assert "seems to have overflowed" in kinds["backlog_overflow"]
    assert "nobody called accept, as it seems," in kinds["slow_accept"]
    assert "handshake_lost" not in kinds
    play = Crowd("client").tell()
    kinds = {one.kind: one.text for one in findings_of(Scene(play.tables(), play.raw))}
    assert not {"backlog_overflow", "slow_accept"} & set(kinds)
    assert "handshake_lost" in kinds

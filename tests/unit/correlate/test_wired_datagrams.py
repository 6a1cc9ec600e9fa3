"""UDP with a wire between: loss, copies, order of arrival, errors that did or did not come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import Play, by_role, frames_of, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason, What
from netlab.model.tables import Packet, Role, Tables

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:53"
UDP = {"kind": "SOCK_DGRAM", "peer": None}


def wired() -> Play:
    play = Play(wired=True)
    play.did("server", "bind", 0, address=SERVER, local=SERVER, **UDP)
    return play


def sends(play: Play, length: int, way: str = "carry") -> tuple[int, int]:
    with play.call("client", "sendto", length, local=CLIENT, address=SERVER, **UDP):
        frame = play.datagram(CLIENT, SERVER, length, way=way)
    return len(play.calls), frame


def reads(play: Play, length: int) -> int:
    return play.did("server", "recvfrom", length, size=4096, local=SERVER, address=CLIENT, **UDP)


def checked(play: Play) -> Tables:
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def unmatched(tables: Tables) -> list[tuple[int | None, int | None, str, str]]:
    return [(row.start, row.stop, row.what, row.reason) for row in tables.unmatched]


def test_a_lost_datagram_leaves_a_hole_in_what_was_read() -> None:
    play = wired()
    first, lost = sends(play, 101, way="drop")
    second, frame = sends(play, 103)
    recv = reads(play, 103)
    tables = checked(play)
    assert spans_of(tables, first) == [("carried", lost, 0, 101)]
    assert spans_of(tables, second) == [("carried", frame, 101, 204)]
    assert spans_of(tables, recv) == [("delivered", frame, 101, 204)]
    assert unmatched(tables) == [(0, 101, What.CARRIED_NOT_READ, Reason.LOST)]


def test_datagrams_are_read_in_the_order_of_arrival() -> None:
    play = wired()
    _, late = sends(play, 100, way="hold")
    _, early = sends(play, 100)
    one = reads(play, 100)
    play.arrives(late)
    play.now_ns += 30_000_000
    two = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, one) == [("delivered", early, 100, 200)]
    assert spans_of(tables, two) == [("delivered", late, 0, 100)]


def test_a_copy_is_read_as_the_same_bytes_again() -> None:
    play = wired()
    send, first = sends(play, 100)
    copy = play.copy(first)
    play.now_ns += 30_000_000
    one, two = reads(play, 100), reads(play, 100)
    third, frame = sends(play, 107)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", first, 0, 100)]
    assert spans_of(tables, one) == [("delivered", first, 0, 100)]
    assert spans_of(tables, two) == [("delivered", copy, 0, 100)]
    assert spans_of(tables, third) == [("carried", frame, 100, 207)]
    assert (tables.connections[0].client_packets, tables.connections[0].client_bytes) == (2, 207)


def test_a_copy_of_a_lost_datagram_is_read_in_its_place() -> None:
    play = wired()
    send, lost = sends(play, 100, way="drop")
    copy = play.copy(lost)
    recv = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", lost, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", copy, 0, 100)]
    assert not tables.unmatched


def test_a_copy_that_nobody_read_needs_no_line_of_its_own() -> None:
    play = wired()
    _, first = sends(play, 100)
    recv = reads(play, 100)
    play.copy(first)
    tables = checked(play)
    assert spans_of(tables, recv) == [("delivered", first, 0, 100)]
    assert not tables.unmatched


@pytest.mark.parametrize(
    ("way", "reason"), [("spoil", Reason.NOT_ACCEPTED), ("hold", Reason.ON_ITS_WAY)]
)
def test_what_nobody_read_has_the_reason_that_the_wire_gives(way: str, reason: Reason) -> None:
    play = wired()
    sends(play, 100, way=way)
    reads_nothing = play.did(
        "server", "recvfrom", -1, errno="EAGAIN", size=4096, local=SERVER, **UDP
    )
    tables = checked(play)
    assert spans_of(tables, reads_nothing) == []
    assert unmatched(tables) == [(0, 100, What.CARRIED_NOT_READ, reason)]


def icmp(play: Play, about: int, way: str) -> int:
    """A port unreachable for a frame; its own number is returned."""
    quoted = play.packets[about - 1]
    number = len(play.packets) + 1
    play.packets.append(
        Packet(
            number, play.tick(), None, "unknown", "server", "Ethernet", 70, 70, None, 4,
            "10.0.0.2", "10.0.0.1", protocol="ICMP",
            _quoted=replace(quoted), _port_unreachable=True,
        )
    )  # fmt: skip
    return play._carry(number, way)


@pytest.mark.parametrize(("way", "failed"), [("carry", True), ("drop", False)])
def test_an_error_that_was_lost_failed_no_call(way: str, failed: bool) -> None:
    play = Play(wired=True)
    connected = {"kind": "SOCK_DGRAM", "local": CLIENT, "peer": SERVER}
    play.did("client", "connect", 0, address=SERVER, **connected)
    with play.call("client", "send", 100, **connected):
        frame = play.datagram(CLIENT, SERVER, 100)
    error = icmp(play, frame, way)
    recv = play.did("client", "recv", -1, errno="ECONNREFUSED", **connected)
    tables = play.tables()
    assert frames_of(tables, recv, Role.ICMP) == ([error] if failed else [])
    assert [span.call for span in by_role(tables, Role.ICMP)] == ([2, recv] if failed else [2])

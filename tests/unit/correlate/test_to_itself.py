"""A TCP socket connected to itself: one end that reads what it wrote."""

from __future__ import annotations

from typing import Any

from playbook import ADDRESS, Play, frames_of, number_of, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches

ENDS: dict[str, Any] = {"local": ADDRESS["client"], "peer": ADDRESS["client"]}
PORTS: dict[str, Any] = {"sport": 40_000, "dport": 40_000}


def test_a_socket_connected_to_itself_reads_its_own_bytes() -> None:
    play = Play(iss=1_000, irs=1_000)
    with play.call("client", "connect", 0, address=ADDRESS["client"], **ENDS):
        syn = play.frame("c>s", "S", 0, **PORTS)
        synack = play.frame("c>s", "SA", 0, 1, **PORTS)
        done = play.frame("c>s", "A", 1, 1, **PORTS)
    with play.call("client", "send", 5, **ENDS):
        data = play.frame("c>s", "PA", 1, 1, 5, **PORTS)
        ack = play.frame("c>s", "A", 6, 6, **PORTS)
    play.did("client", "recv", 3, **ENDS)
    with play.call("client", "shutdown", 0, args="SHUT_WR", **ENDS):
        fin = play.frame("c>s", "FA", 6, 6, **PORTS)
        play.frame("c>s", "A", 7, 7, **PORTS)
    play.did("client", "recv", 2, **ENDS)
    play.did("client", "recv", 0, size=10, **ENDS)
    play.did("client", "close", 0, **ENDS)
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    assert tables.unmatched == []
    assert [spans_of(tables, number_of(tables, "connect"), role) for role in (
        "syn", "synack", "handshake_ack"
    )] == [[(syn, None, None)], [(synack, None, None)], [(done, None, None)]]  # fmt: skip
    assert spans_of(tables, number_of(tables, "send")) == [
        ("carried", data, 0, 5), ("acked", ack, 0, 5),
    ]  # fmt: skip
    assert spans_of(tables, number_of(tables, "recv", 1)) == [("delivered", data, 0, 3)]
    assert spans_of(tables, number_of(tables, "recv", 2)) == [("delivered", data, 3, 5)]
    assert frames_of(tables, number_of(tables, "recv", 3), "fin") == [fin]
    assert frames_of(tables, number_of(tables, "shutdown"), "fin") == [fin]
    assert frames_of(tables, number_of(tables, "close"), "fin") == []
    (row,) = tables.connections
    assert (row.client_bytes, row.server_bytes) == (5, 0)
    assert (row.close_kind, row.closed_by) == ("fin", "both")
    assert (row.client_state, row.server_state) == ("TIME-WAIT", "TIME-WAIT")

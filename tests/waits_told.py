"""What `waits` says of a call, in the words of a test: causes with their milliseconds."""

from __future__ import annotations

from netlab.explain.waits import waits
from netlab.model.recording import RawRecording
from netlab.model.tables import Call, Tables, Wait
from tests.playbook import Play

MS = 1_000_000


def told(play: Play) -> tuple[Tables, list[Wait]]:
    """The tables of a conversation, and the waits of all its calls."""
    tables = play.tables()
    rows = waits(tables, play.raw)
    check_cover(tables, rows)
    return tables, rows


def causes(rows: list[Wait], call: int, least_ms: float = 1) -> list[tuple[str, int]]:
    """(cause, milliseconds) of a call's waits of that length at least, in order."""
    return [
        (row.cause, round((row.stop_ns - row.start_ns) / MS)) for row in rows
        if row.call == call and row.stop_ns - row.start_ns >= least_ms * MS
    ]  # fmt: skip


def lengths(rows: list[Wait], call: Call) -> dict[tuple[str, str], int]:
    """How long a call waited, in ns, by (cause, certainty)."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.call == call.call:
            key = row.cause, row.certainty
            found[key] = found.get(key, 0) + row.stop_ns - row.start_ns
    return found


def of(rows: list[Wait], call: int, cause: str) -> Wait:
    """The longest wait of a call with this cause."""
    found = [row for row in rows if row.call == call and row.cause == cause]
    assert found, (
        f"call {call} has no {cause}: {[(r.cause, r.text) for r in rows if r.call == call]}"
    )
    return max(found, key=lambda row: row.stop_ns - row.start_ns)


def check_cover(tables: Tables, rows: list[Wait]) -> None:
    """The time ledger: disjoint, ordered, covering each call, and nothing else.

    One that never returned is covered up to an end that is the same for all of its process.
    """
    by_call: dict[int, list[Wait]] = {}
    for row in rows:
        by_call.setdefault(row.call, []).append(row)
    ends: dict[tuple[str, int], int] = {}
    for call in tables.calls:
        mine = by_call.pop(call.call, [])
        returned_ns = call.returned_ns
        if returned_ns is None and mine:
            returned_ns = ends.setdefault((call.host, call.pid), mine[-1].stop_ns)
        if call.op == "exit" or returned_ns is None or returned_ns <= call.entered_ns:
            assert not mine
            continue
        at = call.entered_ns
        for row in mine:
            assert row.start_ns == at < row.stop_ns, call
            at = row.stop_ns
        assert at == returned_ns, call
    assert not by_call


def check_recording(tables: Tables, raw: RawRecording) -> list[Wait]:
    """The waits of a recording, whose ledger closes."""
    rows = waits(tables, raw)
    check_cover(tables, rows)
    return rows

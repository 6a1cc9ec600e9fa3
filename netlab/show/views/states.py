"""Tables -> how a connection's ends fared: what was sampled of their sockets, and its course.

A sample holds until the next one: a course is the most that held in each of equal parts of the
time that both ends were seen. What the kernel did not say is None, and never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from netlab.model.records import dataclass
from netlab.model.tables import Connection, Side, State, Tables
from netlab.show.format import address
from netlab.show.views.connections import connection_name

PARTS = 40  # of the time, in a course


@dataclass(frozen=True, slots=True)
class StateRow:
    """A sample; times count from the connection's first frame or call."""

    time_ns: int
    state: str
    ca_state: str | None
    snd_cwnd: int | None  # segments
    in_flight_bytes: int | None  # sent and not acknowledged
    unsent_bytes: int | None  # written and not sent
    unread_bytes: int | None  # received and not read
    snd_wnd_bytes: int | None
    srtt_ns: int | None
    rto_ns: int | None
    witness: str
    left_out: int = 0  # this row stands for so many that are not shown


@dataclass(frozen=True, slots=True)
class Course:
    """How one number went: its least and most, and the most in each part of the time."""

    what: str  # cwnd, in flight, unsent, unread, window, srtt
    unit: str  # segments, bytes, ns
    least: int
    most: int
    parts: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """For how long the connection had something to send, and what held it back meanwhile."""

    busy_ns: int
    rwnd_limited_ns: int  # the peer's window
    sndbuf_limited_ns: int  # the send buffer


@dataclass(frozen=True, slots=True)
class EndStates:
    """What is known of one end."""

    side: str
    address: str
    host: str
    witnesses: tuple[str, ...]
    samples: int
    first_ns: int
    last_ns: int
    courses: tuple[Course, ...]
    limits: Limits | None
    rows: tuple[StateRow, ...]


@dataclass(frozen=True, slots=True)
class StatesView:
    """Both ends of a connection, those of which there are samples."""

    connection: int
    name: str
    client: str
    server: str
    start_ns: int  # since the epoch: where times count from
    ends: tuple[EndStates, ...]


def states_view(tables: Tables, connection: Connection) -> StatesView:
    """The samples of a connection."""
    number = connection.connection
    mine = [row for row in tables.states if row.connection == number]
    start_ns = _start_ns(tables, connection, mine)
    names = {
        Side.CLIENT: address(connection.client, connection.client_port),
        Side.SERVER: address(connection.server, connection.server_port),
    }
    ends = []
    for side, name in names.items():
        rows = [row for row in mine if row.side == side]
        if rows:
            ends.append(_end(side, name, rows, start_ns))
    first_ns = min((end.first_ns for end in ends), default=0)
    last_ns = max((end.last_ns for end in ends), default=0)
    ends = [replace(end, courses=tuple(_courses(end.rows, first_ns, last_ns))) for end in ends]
    return StatesView(
        connection=number,
        name=connection_name(connection),
        client=names[Side.CLIENT],
        server=names[Side.SERVER],
        start_ns=start_ns,
        ends=tuple(ends),
    )


def limited(view: StatesView, limit: int) -> StatesView:
    """At most `limit` rows an end, its first and last ones, and one that says what is not shown."""
    return replace(view, ends=tuple(replace(end, rows=_cut(end.rows, limit)) for end in view.ends))


def _cut(rows: tuple[StateRow, ...], limit: int) -> tuple[StateRow, ...]:
    if limit <= 0 or len(rows) <= limit:
        return rows
    tail = limit // 3
    first_kept = len(rows) - tail
    gap = replace(rows[first_kept - 1], left_out=len(rows) - limit)
    return (*rows[: limit - tail], gap, *rows[first_kept:])


def _start_ns(tables: Tables, connection: Connection, states: Sequence[State]) -> int:
    """As a ladder counts: from the first frame, or the first call before it."""
    found = [call.entered_ns for call in tables.calls if call.connection == connection.connection]
    found = found[:1] + [row.time_ns for row in states[:1]]
    return min(found) if connection.first_ns is None else min([*found[:1], connection.first_ns])


def _end(side: Side, name: str, samples: Sequence[State], start_ns: int) -> EndStates:
    rows = tuple(_row(sample, start_ns) for sample in samples)
    return EndStates(
        side=side,
        address=name,
        host=samples[0].host,
        witnesses=tuple(dict.fromkeys(sample.witness for sample in samples)),
        samples=len(rows),
        first_ns=rows[0].time_ns,
        last_ns=rows[-1].time_ns,
        courses=(),  # which both ends have on one scale of time
        limits=_limits(samples),
        rows=rows,
    )


def _row(sample: State, start_ns: int) -> StateRow:
    outq, unsent = sample.outq_bytes, sample.notsent_bytes
    return StateRow(
        time_ns=sample.time_ns - start_ns,
        state=sample.state,
        ca_state=sample.ca_state,
        snd_cwnd=sample.snd_cwnd,
        in_flight_bytes=None if outq is None or unsent is None else max(0, outq - unsent),
        unsent_bytes=unsent,
        unread_bytes=sample.inq_bytes,
        snd_wnd_bytes=sample.snd_wnd_bytes,
        srtt_ns=sample.srtt_ns,
        rto_ns=sample.rto_ns,
        witness=sample.witness,
    )


_COURSES: tuple[tuple[str, str, Callable[[StateRow], int | None]], ...] = (
    ("cwnd", "segments", lambda row: row.snd_cwnd),
    ("in flight", "bytes", lambda row: row.in_flight_bytes),
    ("unsent", "bytes", lambda row: row.unsent_bytes),
    ("unread", "bytes", lambda row: row.unread_bytes),
    ("window", "bytes", lambda row: row.snd_wnd_bytes),
    ("srtt", "ns", lambda row: row.srtt_ns),
)


def _courses(rows: Sequence[StateRow], first_ns: int, last_ns: int) -> Iterable[Course]:
    for what, unit, value_of in _COURSES:
        # A witness that never tells of it does not end what another one said.
        tellers = {row.witness for row in rows if value_of(row) is not None}
        values = [(row.time_ns, value_of(row)) for row in rows if row.witness in tellers]
        known = [value for _, value in values if value is not None]
        if known:
            parts = _parts(values, first_ns, last_ns)
            yield Course(what, unit, min(known), max(known), tuple(parts))


def _parts(
    values: Sequence[tuple[int, int | None]], first_ns: int, last_ns: int
) -> list[int | None]:
    """The most that held in each part; a value holds until the next one's time, the last one then
    alone."""
    parts: list[int | None] = [None] * PARTS
    length_ns = max(1, last_ns - first_ns)

    def place(time_ns: int) -> int:
        return min(PARTS - 1, (time_ns - first_ns) * PARTS // length_ns)

    for (begun_ns, value), (ended_ns, _) in pairwise([*values, values[-1]]):
        if value is None:
            continue
        begin = place(begun_ns)
        # What ended as a part began does not reach into it.
        end = max(begin, place(ended_ns - 1)) if ended_ns > begun_ns else begin
        for number in range(begin, end + 1):
            parts[number] = max(value, parts[number] or 0)
    return parts


def _limits(samples: Sequence[State]) -> Limits | None:
    for sample in reversed(samples):
        busy, window, buffer = sample.busy_ns, sample.rwnd_limited_ns, sample.sndbuf_limited_ns
        if busy is not None and window is not None and buffer is not None:
            return Limits(busy, window, buffer)
    return None

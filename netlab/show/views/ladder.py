"""Tables -> a connection's ladder: client calls, frames and server calls in the order of time.

One event a row: a call's entry, its return, a frame. A call inside which no frame passed and that
took less than a millisecond is one row, at its entry if it acts and at its return if it receives
(as in the recording file). A call that shows both ends keeps a *lane* between them, lane 0 nearest
to the frames; calls of several threads that overlap get lanes side by side. Pure: no widths, no
colours; `words` says what may be written, whoever draws chooses what fits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from netlab.explain.endings import process_ends
from netlab.model.call import Ready, is_acting, is_outbound
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import (
    Call,
    Connection,
    Role,
    Side,
    Tables,
    Wait,
)
from netlab.show.format import address
from netlab.show.views import words
from netlab.show.views.cast import Cast, Thread, cast, is_hop, thread_of
from netlab.show.views.marks import CallMark, Ladder, Lane, Row, Shown, WireMark
from netlab.show.views.opening import opening
from netlab.show.views.state_marks import latest_states, with_states
from netlab.show.views.stream_notes import stream_notes
from netlab.show.views.thread_names import full_name, hop_peers, thread_names
from netlab.show.views.wire_marks import wire_marks, with_sign

_NO_WORD = frozenset({"unknown", "copy", "witness"})
_IDLE_WORDS = frozenset({"no_client", "other_event", "peer_app", "timer", "network", "scheduler"})
_MOST_EXPLAINED = 20_000  # calls; more take a second and longer
MOST_LANES = 4  # more calls at once on one side are drawn without a bar
_SILENCE_AT_LEAST_NS = 1_000_000
_SILENCE_TIMES_USUAL = 10
_ENTERS, _PASSES, _RETURNS = 0, 1, 2  # order within one nanosecond


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that becomes a row."""

    time_ns: int
    rank: int
    order: int  # of the call or frame, so that equal times stay in order
    side: Side | None = None
    call: Call | None = None
    edge: str = ""
    wire: WireMark | None = None


def ladder(
    tables: Tables, raw: RawRecording, connection: Connection, only: Shown | None = None
) -> Ladder:
    """The ladder of a connection; of those frames and calls alone that are to be shown."""
    players = cast(tables, connection.connection)
    frames = [p for p in tables.packets if p.connection == connection.connection]
    passages, footnotes = wire_marks(tables, connection, frames)
    wires = [_Event(time_ns, _PASSES, mark.frame or 0, wire=mark) for time_ns, mark in passages]
    handed_over = _handed_over(tables, players, connection.connection)
    passing = sorted([event.time_ns for event in wires] + [t for t, _ in handed_over.values()])
    events = wires + _call_events(
        players, passing, handed_over, process_ends(tables, [call for call, _ in players.calls])
    )
    events.sort(key=lambda event: (event.time_ns, event.rank, event.order))
    events = _joined(events)
    if any(event.wire is not None and event.wire.part == "leaves" for event in events):
        footnotes = with_sign(footnotes, "┄")
    start = _zero_ns(events, connection.connection)
    if only is not None:
        events = [event for event in events if _is_among(event, only)]
    names = thread_names(players)
    waits = _waits(tables, players)
    writer = _Writer(
        raw, connection.connection, players, names, hop_peers(tables, names), handed_over,
        _causes(waits, players),
    )  # fmt: skip
    rows, lanes = _rows(events, start, writer)
    rows = with_states(
        rows, [c for c in tables.end_states if c.connection == connection.connection]
    )
    for side, threads in players.threads.items():
        if len(threads) > 1:
            named = ", ".join(f"{names[t]} = {full_name(players, t)}" for t in threads)
            footnotes.append((side, named))
    footnotes += stream_notes(tables, raw, connection)
    heads = [
        address(connection.client, connection.client_port),
        address(connection.server, connection.server_port),
    ]
    if players.calls:
        heads = [f"client {heads[0]}", f"{heads[1]} server"]
    return Ladder(
        connection=connection.connection,
        protocol=connection.protocol,
        client=heads[0],
        server=heads[1],
        start_ns=start,
        length_ns=max((row.time_ns for row in rows), default=0),
        has_calls=bool(players.calls),
        client_lane_count=lanes[Side.CLIENT],
        server_lane_count=lanes[Side.SERVER],
        rows=tuple(_with_silences(rows, start, waits)),
        footnotes=tuple(footnotes),
        opening=opening(tables, raw, connection),
    )


def _is_among(event: _Event, only: Shown) -> bool:
    if event.call is not None:
        return event.call.call in only.calls
    return event.wire is not None and event.wire.frame in only.frames


def _waits(tables: Tables, players: Cast) -> list[Wait]:
    """The waits of the calls that are drawn, as far as they are worth a word.

    Not of very many calls, nor where no call visibly waited: then they need not be made.
    """
    drawn = {
        call.call for call, _ in players.calls
        if call.returned_ns is not None and call.returned_ns - call.entered_ns >= words.LONG_NS
    }  # fmt: skip
    if not drawn or len(tables.calls) > _MOST_EXPLAINED:
        return []
    return [w for w in tables.waits if w.call in drawn and w.cause not in _NO_WORD]


def _causes(waits: Sequence[Wait], players: Cast) -> dict[int, str]:
    """What most of the time of each call went into that visibly waited."""
    times: dict[int, dict[str, int]] = {}
    for wait in waits:
        mine = times.setdefault(wait.call, {})
        mine[wait.cause] = mine.get(wait.cause, 0) + wait.stop_ns - wait.start_ns
    found: dict[int, str] = {}
    for call, _ in players.calls:
        for cause, ns in times.get(call.call, {}).items():
            if call.returned_ns is not None and 2 * ns > call.returned_ns - call.entered_ns:
                found[call.call] = cause
    return found


def _zero_ns(events: Sequence[_Event], connection: int) -> int:
    """When the connection's own story begins: a poll that waited before it has a negative time."""
    for event in events:
        if event.wire is not None or (event.call and event.call.connection == connection):
            return event.time_ns
    return events[0].time_ns if events else 0


def limited(whole: Ladder, limit: int) -> Ladder:
    """The ladder with at most `limit` rows: its head, its tail, and a row that says what is not."""
    rows = whole.rows
    if limit <= 0 or len(rows) <= limit:
        return whole
    tail = limit // 3
    head = limit - tail
    first_kept = rows[len(rows) - tail] if tail else rows[-1]
    client, server = latest_states(rows[head : len(rows) - tail])
    cut = Row(
        first_kept.time_ns,
        client_lanes=first_kept.client_lanes,
        server_lanes=first_kept.server_lanes,
        left_out=len(rows) - limit,
        client_state=client,
        server_state=server,
    )
    note = ("⋮", f"{cut.left_out:,} rows are left out here: netlab inspect --limit 0 shows all")
    kept = (*rows[:head], cut, *rows[len(rows) - tail :])
    return replace(whole, rows=kept, footnotes=(*whole.footnotes, note))


def _joined(events: Sequence[_Event]) -> list[_Event]:
    """One row for a frame that arrived at once, before anything else happened."""
    found: list[_Event] = []
    for event in events:
        before = found[-1].wire if found else None
        wire = event.wire
        if (
            before is not None
            and wire is not None
            and (before.frame, before.part, wire.part) == (wire.frame, "leaves", "arrives")
            and event.time_ns - found[-1].time_ns < words.LONG_NS
        ):
            found[-1] = replace(found[-1], wire=replace(wire, part="whole"))
        else:
            found.append(event)
    return found


def _handed_over(tables: Tables, players: Cast, connection: int) -> dict[int, tuple[int, WireMark]]:
    """For sockets without frames: by writing call, when its bytes went over and how that looks."""
    called = {call.call: call for call, _ in players.calls}
    found: dict[int, tuple[int, WireMark]] = {}
    for span in tables.spans:
        if span.role != Role.LOCAL or span.peer_call is None:
            continue
        for number in (span.call, span.peer_call):
            writer = called.get(number)
            if writer is None or is_hop(writer, connection):
                continue
            if is_outbound(writer) and writer.direction is not None:
                text = words.range_of(writer) or "empty"
                mark = WireMark(None, writer.direction, (text,), "local")
                found[number] = (writer.entered_ns, mark)
    return found


def _call_events(
    players: Cast,
    passing: Sequence[int],
    handed_over: dict[int, tuple[int, WireMark]],
    ended_ns: dict[int, int],
) -> list[_Event]:
    """Each call as one event or two."""
    events: list[_Event] = []
    for call, side in players.calls:
        end = call.returned_ns
        if call.op == "exit" or (end is not None and _is_one_row(call, end, passing, handed_over)):
            acts = end is None or is_acting(call)
            entered_ns = ended_ns.get(call.call, call.entered_ns)
            time_ns, rank = (entered_ns, _ENTERS) if acts else (end or 0, _RETURNS)
            events.append(_Event(time_ns, rank, call.call, side, call, "whole"))
            continue
        events.append(_Event(call.entered_ns, _ENTERS, call.call, side, call, "opens"))
        if end is not None:
            events.append(_Event(end, _RETURNS, call.call, side, call, "closes"))
    return events


def _is_one_row(
    call: Call, end_ns: int, passing: Sequence[int], handed_over: dict[int, tuple[int, WireMark]]
) -> bool:
    if end_ns - call.entered_ns >= words.LONG_NS:
        return False
    after = bisect_left(passing, call.entered_ns)
    inside = bisect_left(passing, end_ns + 1) - after
    return inside <= (1 if call.call in handed_over else 0)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the mark of a call."""

    raw: RawRecording
    connection: int
    players: Cast
    names: dict[Thread, str]
    hop_peers: dict[int, str]  # by call
    handed_over: dict[int, tuple[int, WireMark]]
    causes: dict[int, str]  # by call, what it waited for

    def mark(self, event: _Event, lane: int | None) -> CallMark:
        call = event.call
        assert call is not None
        tone = _call_tone(call)
        if event.edge == "opens":
            texts = words.entry_texts(call)
        elif is_hop(call, self.connection):
            texts = words.hop_texts(call, self.hop_peers.get(call.call, ""))
            tone = "hop" if tone == "call" else tone
        elif event.edge == "closes":
            texts = words.return_texts(call, self._ready(call), self.causes.get(call.call, ""))
        else:
            texts = words.whole_texts(call, self._ready(call))
        thread = thread_of(call)
        return CallMark(
            call.call, call.op, event.edge, lane, texts, tone, self.names[thread],
            depth=int(thread in self.players.helpers),
        )  # fmt: skip

    def _ready(self, call: Call) -> tuple[Ready, ...]:
        """What a poll reported stands in the witness's record: call n is the n-th of them."""
        at = call.call - 1
        return self.raw.calls[at].ready if at < len(self.raw.calls) else ()


_LATER = ("EAGAIN", "EINPROGRESS", "EINTR")  # not now: no failure, the everyday life of a reactor


def _call_tone(call: Call) -> str:
    if call.errno in _LATER:
        return "later"
    if call.errno is not None or (call.op == "exit" and call.args.startswith("SIG")):
        return "failed"
    if call.op == "exit":
        return "call"
    end = call.returned_ns
    return "call" if end is not None and end - call.entered_ns < words.LONG_NS else "waited"


def _rows(events: list[_Event], start: int, writer: _Writer) -> tuple[list[Row], dict[Side, int]]:
    """Events in order -> rows with their lanes; and how many lanes each side needs."""
    open_lanes: dict[Side, dict[int, Lane | None]] = {Side.CLIENT: {}, Side.SERVER: {}}
    inside: dict[int, _Event] = {}
    needed = {Side.CLIENT: 1, Side.SERVER: 1}
    rows: list[Row] = []

    def add(event: _Event) -> None:
        mark, side = None, event.side
        if event.call is not None and side is not None:
            taken = open_lanes[side]
            if event.edge == "closes":
                held = taken.pop(event.call.call)
                lane = None if held is None else held.lane
                inside.pop(event.call.call)
            else:
                lane = _free_lane(taken)
            mark = writer.mark(event, lane)
            if lane is not None:
                needed[side] = max(needed[side], lane + 1)
        wire = event.wire
        if event.call is not None and event.edge != "closes":
            wire = writer.handed_over.get(event.call.call, (0, None))[1]
        rows.append(
            Row(
                event.time_ns - start,
                client=mark if side is Side.CLIENT else None,
                wire=wire,
                server=mark if side is Side.SERVER else None,
                client_lanes=_lanes(open_lanes[Side.CLIENT]),
                server_lanes=_lanes(open_lanes[Side.SERVER]),
            )
        )
        if mark is not None and side is not None and event.edge == "opens":
            open_lanes[side][mark.call] = None if mark.lane is None else Lane(mark.lane, mark.tone)
            inside[mark.call] = event

    for event in events:
        add(event)
    if events and events[-1] in inside.values():  # the last thing that happened is still happening
        rows.pop()
        event = inside.pop(events[-1].order)
        open_lanes[_side_of(event)].pop(event.order)
        add(replace(event, edge="whole"))
    for event in list(inside.values()):  # calls that never returned are named once more at the end
        add(replace(event, time_ns=events[-1].time_ns, edge="closes"))
    return rows, needed


def _side_of(event: _Event) -> Side:
    assert event.side is not None
    return event.side


def _free_lane(taken: dict[int, Lane | None]) -> int | None:
    used = {held.lane for held in taken.values() if held is not None}
    return next((lane for lane in range(MOST_LANES) if lane not in used), None)


def _lanes(taken: dict[int, Lane | None]) -> tuple[Lane, ...]:
    held = [lane for lane in taken.values() if lane is not None]
    return tuple(sorted(held, key=lambda lane: lane.lane))


def _with_silences(rows: Sequence[Row], start: int, waits: Sequence[Wait]) -> list[Row]:
    """The rows with a row between two that lie unusually far apart."""
    gaps = [b.time_ns - a.time_ns for a, b in pairwise(rows)]
    if not gaps:
        return list(rows)
    long = max(_SILENCE_AT_LEAST_NS, _SILENCE_TIMES_USUAL * sorted(gaps)[(len(gaps) - 1) // 2])
    found = [rows[0]]
    for gap, row in zip(gaps, rows[1:], strict=True):
        if gap >= long:
            # What is open during the silence: whatever passes this row, and what it closes.
            closing = [m for m in (row.client, row.server) if m is not None and m.edge == "closes"]
            at = {Side.CLIENT: row.client_lanes, Side.SERVER: row.server_lanes}
            for mark in closing:
                side = Side.CLIENT if mark is row.client else Side.SERVER
                if mark.lane is not None:
                    at[side] = (*at[side], Lane(mark.lane, mark.tone))
            found.append(
                Row(row.time_ns - gap, client_lanes=at[Side.CLIENT],
                    server_lanes=at[Side.SERVER], silence_ns=gap,
                    cause=_cause_of(start + row.time_ns - gap, gap, waits))
            )  # fmt: skip
        found.append(row)
    return found


def _cause_of(since_ns: int, length_ns: int, waits: Sequence[Wait]) -> str:
    """What a call waited for during most of a silence; of several the one that says most."""
    until_ns = since_ns + length_ns
    found = {
        wait.cause for wait in waits
        if 2 * (min(wait.stop_ns, until_ns) - max(wait.start_ns, since_ns)) > length_ns
    }  # fmt: skip
    idle = found & _IDLE_WORDS
    return min(found - idle or idle, default="")

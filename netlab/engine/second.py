"""netlab's own verdict on each segment that the kernels followed, by kernels.

While the file is read its TCP options are noted, beside the rows; once all is followed, connections
are judged one after the other. Reasons and evidence stay numbers until a row is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netlab.correlate import sender_record_kernels as k
from netlab.correlate.again import Finding
from netlab.correlate.second_words import FIRST, NEW, Headers, finding
from netlab.decode import kernels as d
from netlab.decode import option_kernels as o
from netlab.engine.layout import layout
from netlab.model.tables import Segment, Verdict

if TYPE_CHECKING:
    from netlab.engine.capture import Capture
    from netlab.engine.records import Stretch

_ROOM = 1 << 8  # for what is out, and as many holes, of one end at first
_FINDINGS, _BLOCKS = 1 << 10, 1 << 10
_NAMES = layout(k.FINDING).names
_IP_ID, _TTL = layout(d.ROW).place("ip_id"), layout(d.ROW).place("ttl")


class Second:
    """The second verdicts of a capture whose rows are kept."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine
        self._spoken = machine.table(o.SPOKEN, 1)
        self._blocks = machine.table(o.BLOCK, _BLOCKS)
        self._noted = machine.table(o.NOTED, 1)
        self.said = machine.table([], 1)  # of each row
        self.findings = machine.table(k.FINDING, _FINDINGS)

    def note(self, there: Stretch) -> None:
        """Note the options of rows whose bytes are at hand."""
        first, last = there.first, there.last
        if last > len(self._spoken):
            self._spoken.expect(len(there.rows))
            self._spoken.ensure(last)
        while first < last:
            first = self._machine.run(
                "note_options", there.piece, there.base, there.rows, first, last,
                self._spoken, self._blocks, self._noted, len(self._blocks),
            )  # fmt: skip
            if first < last:
                self._blocks.ensure(2 * len(self._blocks))

    def judge(self, capture: Capture, *, lost: bool) -> None:
        """Judge all segments; `lost`: frames may be missing. Connections that no kernel can judge
        get the mark LEFT."""
        machine, found, rows = self._machine, capture.found, capture.records.rows
        starts, places = machine.table([], found.count + 1), machine.table([], capture.count or 1)
        machine.run("group", rows, capture.count, found.sides, found.count, starts, places)
        self.said.ensure(capture.count)
        interfaces = [one.name for one in capture.raw.interfaces]
        names = machine.table([], max(1, len(interfaces)))
        first: dict[str, int] = {}
        for place, name in enumerate(interfaces):
            names.put_number(place, first.setdefault(name, place))
        states, senders = machine.table(k.JUDGED_AGAIN, 1), machine.table(k.SENDER, 2)
        room = _ROOM
        work = machine.table(k.WORK, 2 * k.LISTS + 4 * room)
        at = 0
        while at < found.count:
            at = machine.run(
                "judge_again", rows, capture.outs, self._spoken, self._blocks, found.flows,
                found.talks, found.halves, starts, places, at, found.count, names, senders, work,
                room, self.said, self.findings, len(self.findings), states, int(lost),
            )  # fmt: skip
            if at == found.count:
                break
            if states.get(0, "short_of_findings"):
                self.findings.ensure(2 * len(self.findings))
            else:
                room *= 2
                work.ensure(2 * k.LISTS + 4 * room)
        if states.get(0, "left"):
            found.useds_behind.put(0, talks_left=1)
        for table in (self._spoken, self._blocks, starts, places, work, senders, states, names):
            table.close()

    def fill(self, capture: Capture, row: int, segment: Segment) -> None:
        """The three columns of a segment."""
        found = self.found(capture, row)
        if found is not None:
            segment.verdict, segment.verdict_reason = found.verdict, found.reason
            segment.verdict_frames, segment._again = found.frames or None, found.again

    def found(self, capture: Capture, row: int) -> Finding | None:
        """What is said of the segment in a row; None: nothing."""
        (said,) = self.said.numbers(1, row)
        if said == k.NOTHING:
            return None
        if said == k.NEW:
            return _NEW
        if said == k.FIRST:
            return _FIRST
        numbers = dict(zip(_NAMES, self.findings.row(said - k.FINDINGS), strict=True))
        rows = capture.records.rows

        def headers(place: int) -> Headers:
            numbers = rows.row(place)
            return Headers(numbers[_IP_ID], numbers[_TTL])

        return finding(row, numbers, capture.number, headers)


_NEW, _FIRST = Finding(Verdict.NEW_DATA, NEW), Finding(None, FIRST)

"""A capture file -> what its packets are and say, by the kernels; whatever they leave, by the rest.

`read_capture` goes over the file once, and a second time for the flows that only the general path
follows. Without `keep` nothing is held of single packets, so that memory is bounded by the number
of connections; with it, rows and what was said of each stand side by side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from netlab.capture.spare import PACKET_BYTES, check_room
from netlab.correlate import kernels as k
from netlab.decode import kernels as d
from netlab.engine.records import Records, Stretch
from netlab.engine.turns import Turns, threads_for
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.capture.at_hand import AtHand
    from netlab.engine.second import Second
    from netlab.engine.traffic import Traffic

_NODES = 1 << 12


@dataclass(slots=True)
class Flows:
    """What is known of conversations, as the kernels know it."""

    flows: Any
    talks: Any
    sides: Any
    halves: Any
    counts: Any
    nodes: Any
    useds: Any
    useds_behind: Any

    @property
    def count(self) -> int:
        return int(self.useds.get(0, "flows"))

    @property
    def streams(self) -> int:
        """How many of them are TCP's."""
        return int(self.useds.get(0, "tcp"))

    @property
    def has_left(self) -> bool:
        """Whether any of them is left for the general path."""
        return bool(self.useds.get(0, "left") or self.useds_behind.get(0, "talks_left"))


@dataclass(slots=True)
class Capture:
    """A capture, read: tables of numbers, and the frames that no kernel could read."""

    raw: RawRecording  # without its frames
    count: int  # of packets
    records: Records
    found: Flows
    outs: Any
    aside: list[tuple[int, Frame]] = field(default_factory=list)  # by row
    keep: bool = True
    traffic: Traffic | None = None  # where it was to be counted
    first: Frame | None = None  # of the file
    second: Second | None = None  # netlab's own verdicts, where they were asked for

    def number(self, row: int) -> int:
        """The frame number of a row."""
        return self.records.number(row)

    def unread_rows(self, among: Sequence[int] | None = None) -> list[int]:
        """Rows of packets that are in no connection, or have a fault that a row does not hold.

        Of all rows, or of some.
        """
        import numpy as np

        rows = self.records.rows.array(self.count)
        places = np.arange(self.count) if among is None else np.array(among, np.int64)
        rows = rows if among is None else rows[places]
        unread = (rows["kind"] == d.ASIDE) | (rows["kind"] == d.QUIET)
        unread |= rows["marks"] & d.FAULTY != 0
        found: list[int] = places[unread].tolist()
        return found


@dataclass(slots=True)
class Sought:
    """One frame of a file, and how far to read on behind it: later ones may belong to it."""

    frame: int
    ahead_bytes: int
    found: Frame | None = None
    flow: int = -1  # of the kernels; -1: it is in none
    row: int = -1
    last: int = 0  # the last frame that was read
    _until: int = 0

    def again(self) -> Sought:
        """The same for another way through the file."""
        return Sought(self.frame, self.ahead_bytes)

    def look(self, there: Stretch) -> bool:
        """Look at rows of the present piece; whether nobody wants what comes behind them."""
        number, first, last = there.records.number, there.number, there.last
        self.last = number(first + last - 1)
        if self.found is None and self.last >= self.frame:
            index = next(
                (n for n in range(there.first, last) if number(first + n) == self.frame),
                None,
            )
            if index is None:  # the number is no packet's
                return True
            self.found, self.row = there.frame(index), first + index
            self.flow = there.rows.get(index, "flow")
            self._until = there.rows.get(index, "off") + self.ahead_bytes
        return self.found is not None and there.rows.get(last - 1, "off") >= self._until


class Pass:
    """One way through a file."""

    def __init__(
        self,
        machine: Any,
        handle: int,
        name: str,
        *,
        keep: bool,
        wanted: list[int] | None = None,
        with_traffic: bool = False,
        with_second: bool = False,
        sought: Sought | None = None,
    ) -> None:
        self.machine = machine
        self.keep = keep
        self._sought = sought
        self._traffic: Traffic | None = None
        if with_traffic:
            from netlab.engine.traffic import Traffic

            self._traffic = Traffic(machine)
        self._second: Second | None = None
        if with_second:
            from netlab.engine.second import Second

            self._second = Second(machine)
        self._handle = handle
        self.records = Records(machine, handle, name, keep=keep)
        flows = machine.flows
        self.found = Flows(
            machine.table(k.FLOW, flows), machine.table(k.TALK, flows),
            machine.table(k.SIDE, 2 * flows), machine.table(k.HALF, 2 * flows),
            machine.table([], 1), machine.table(k.NODE, _NODES), machine.table(k.USED, 1),
            machine.table(k.USED_BEHIND, 1),
        )  # fmt: skip
        self.found.useds_behind.put(0, free=-1)
        self.outs = machine.table(k.OUT, 1)
        self._table = machine.table([], 4 * flows)
        self._mask = 4 * flows - 1
        self._table.fill(-1)
        self._picked = machine.table([], 1)
        self._wants = wanted is not None
        self._wanted = machine.table([], max(1, len(wanted or ())))
        for index in wanted or ():
            self._want(index)
        self.aside: list[tuple[int, Frame]] = []
        self._aside_bytes = 0
        self.first: Frame | None = None  # of the file

    def _want(self, index: int) -> None:
        self._wanted.ensure(index + 1)
        self._wanted.put_number(index, 1)

    def run(self) -> None:
        """Read the file: a piece is taken and decoded, its flows are found, and followed."""
        pieces = self.records.pieces()

        def take() -> Stretch | None:
            return next(pieces, None)

        def take_what_is_sought() -> Stretch | None:
            """The next is not even decoded before this one was looked at: it may be the last."""
            if (there := take()) is not None:
                self._find(there)
            return there

        sought = self._sought is not None
        stages = [] if sought else [self._find]
        if not self._wants:
            stages.append(self._go_on)
        size = os.fstat(self._handle).st_size
        turns = Turns(
            take_what_is_sought if sought else take, stages,
            threads=threads_for(size, self.machine.name),
        )  # fmt: skip
        self.records.settle = partial(turns.settle, 0)  # its rows are read by all stages
        self._settle = partial(turns.settle, 0 if sought else 1)
        turns.run()

    def _find(self, there: Stretch) -> None:
        """Its flows, and what is to be kept of it beside rows."""
        self._sort(there)
        there.flows, there.streams = self.found.count, self.found.streams
        if self.first is None:
            self.first = there.frame(0)
        self._take_aside(there)
        if self._sought is not None:
            self.records.enough = self._sought.look(there)
        if self._second is not None:
            self._second.note(there)

    def capture(self) -> Capture:
        records = self.records
        if self._traffic is not None:
            aside = (frame for _, frame in self.aside)
            self._traffic.add_frames(aside, records.raw.interfaces)
            self._traffic.finish(self.found, records.raw.interfaces)
        return Capture(
            records.raw, records.count, records, self.found, self.outs, self.aside, self.keep,
            self._traffic, self.first, self._second,
        )  # fmt: skip

    def _sort(self, there: Stretch) -> None:
        found, first, last = self.found, there.first, there.last
        while first < last:
            first = self.machine.run(
                "sort_flows", there.piece, there.base, there.rows, first, last,
                there.number, self._table, self._mask, found.flows, found.useds,
                len(found.flows) // 2,
            )  # fmt: skip
            if first < last:
                self._enlarge()

    def _enlarge(self) -> None:
        flows = self.found.flows
        self._settle()
        flows.ensure(2 * len(flows))
        size = 1 << (2 * len(flows) - 1).bit_length()
        self._table.close()
        self._table = self.machine.table([], size)
        self._table.fill(-1)
        self._mask = size - 1
        self.machine.run("rehash", self._table, self._mask, flows, self.found.useds)
        if self._wants:
            self._wanted.ensure(len(flows))

    def _take_aside(self, there: Stretch) -> None:
        if not (self._wants or there.aside):
            return
        self._picked.ensure(there.last - there.first)
        self._wanted.ensure(self.found.count)
        count = self.machine.run(
            "pick", there.rows, there.first, there.last, self._wanted, int(self._wants),
            self._picked,
        )  # fmt: skip
        before = len(self.aside)
        for index in self._picked.numbers(count):
            frame = there.frame(index)
            self._aside_bytes += len(frame.data)
            self.aside.append((there.number + index, frame))
        if len(self.aside) >> 15 != before >> 15:
            needed = PACKET_BYTES * len(self.aside) + self._aside_bytes
            check_room(
                needed, f"the {len(self.aside):,} packets so far that are read one by one",
                "more memory reads them, or a part of the file (editcap -r)",
            )  # fmt: skip

    def _go_on(self, there: Stretch) -> None:
        """Count what passed, and follow the flows."""
        if self._traffic is not None:
            self._traffic.add_rows(there)
        found, first, last = self.found, there.first, there.last
        found.talks.ensure(there.flows)
        found.sides.ensure(2 * there.flows)
        found.halves.ensure(2 * there.streams)
        found.counts.ensure(k.VERDICTS * there.streams)
        if self.keep and last > len(self.outs):
            self.outs.expect(len(there.rows))
            self.outs.ensure(last)
        while first < last:
            first = self.machine.run(
                "follow", there.rows, first, last, there.number, found.flows, found.talks,
                found.sides, found.halves, found.counts, found.nodes, found.useds_behind,
                len(found.nodes), self.outs, int(self.keep),
            )  # fmt: skip
            if first < last:
                found.nodes.ensure(2 * len(found.nodes))


def read_capture(
    file: AtHand,
    machine: Any,
    *,
    keep: bool,
    with_traffic: bool = False,
    with_second: bool = False,
    sought: Sought | None = None,
) -> Capture:
    """The packets of a file. Raises Unfit for one that only the general path reads."""
    handle = file.open()
    try:
        first = Pass(
            machine, handle, file.name, keep=keep, with_traffic=with_traffic,
            with_second=with_second, sought=sought,
        )  # fmt: skip
        first.run()
        return first.capture()
    finally:
        os.close(handle)

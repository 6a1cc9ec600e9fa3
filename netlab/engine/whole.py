"""A capture, read by the kernels and, where they left something, by the general path: one whole.

`read` is the way in: it makes a second pass where one is needed, and numbers connections and
streams as if one reader had seen all frames in their order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from itertools import islice
from typing import Any

from netlab.capture.at_hand import AtHand, at_hand
from netlab.correlate import kernels as k
from netlab.correlate.missing import missing_frames
from netlab.correlate.verdict_names import VERDICTS
from netlab.engine.capture import Capture, Pass, Sought, read_capture
from netlab.engine.flow_rows import FlowRow, connection, connections, flow_rows
from netlab.engine.set_aside import General
from netlab.engine.sums import Sums, busiest, sum_up
from netlab.model.frame import Frame
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Packet, Segment


@dataclass(slots=True)
class Whole:
    """All that is known of a capture by others."""

    file: AtHand
    machine: Any
    capture: Capture
    general: General = field(default_factory=General)
    row_of: dict[int, int] = field(default_factory=dict)  # of the frames that `general` read
    sought: Sought | None = None  # it was read only so far
    _left: frozenset[int] = frozenset()  # of the kernels' flows
    _rows: list[FlowRow] | None = None
    _connection_of: list[int] | None = None
    _stream_of: list[int] | None = None

    @property
    def rows(self) -> list[FlowRow]:
        """The kernels' flows, those that are left for the general path among them."""
        if self._rows is None:
            self._rows = list(flow_rows(self.capture.found))
        return self._rows

    @property
    def connection_of(self) -> list[int]:
        """The connection that each of the kernels' flows is; -1: left."""
        if self._connection_of is None:
            self._connection_of = list(range(self.capture.found.count))
        return self._connection_of

    @property
    def stream_of(self) -> list[int]:
        """The stream number of each of them."""
        if self._stream_of is None:
            self._stream_of = [row.stream for row in self.rows]
        return self._stream_of

    def streams(self) -> Iterator[tuple[str, int, int]]:
        """Protocol, stream and connection of each that has both, in any order."""
        for row in self.rows:
            if self.connection_of[row.index] >= 0 and not row.is_left:
                yield row.protocol, self.stream_of[row.index], self.connection_of[row.index]
        for one in self.general.tables.connections:
            if one.stream is not None:
                yield one.protocol, one.stream, one.connection

    def connections(self, *, udp: bool = True) -> list[Connection]:
        """The rows of `connections`; without `udp` those of TCP alone."""
        lost = missing_frames(self.capture.raw) is not None
        others = [row for row in self.general.tables.connections if udp or row.protocol == "tcp"]
        mine = list(connections(self.capture.found, self._left, VERDICTS, lost=lost, udp=udp))
        if not self.general.frames:
            return mine
        return sorted([*others, *map(self._numbered, mine)], key=lambda row: row.connection)

    def first_connections(self, count: int) -> list[Connection]:
        """So many of the rows of `connections`, from the first on."""
        if self.general.frames:
            return self.connections()[:count]
        lost = missing_frames(self.capture.raw) is not None
        found = connections(self.capture.found, self._left, VERDICTS, lost=lost, udp=True)
        return list(islice(found, count))

    def busiest(self, count: int) -> list[Connection]:
        """So many of the rows of `connections` as moved most bytes, the earlier first of equals."""
        lost = missing_frames(self.capture.raw) is not None
        places = busiest(self.machine, self.capture.found, count)
        rows = [connection(self.capture.found, one, VERDICTS, lost=lost) for one in places]
        rows = [*self.general.tables.connections, *map(self._numbered, rows)]
        rows.sort(key=lambda row: (-row.client_bytes - row.server_bytes, row.connection))
        return rows[:count]

    def sums(self) -> Sums:
        """Of the TCP connections that the kernels followed; the others are in `general`."""
        return sum_up(self.machine, self.capture.found)

    @property
    def connection_count(self) -> int:
        """How many connections there are."""
        general = len(self.general.tables.connections)
        return self.capture.found.count - len(self._left) + general

    def _numbered(self, row: Connection) -> Connection:
        if not self.general.frames:
            return row
        row.connection, row.stream = (
            self.connection_of[row.connection],
            self.stream_of[row.connection],
        )
        return row

    @property
    def frames_without_connection(self) -> int:
        """How many packets are in none."""
        sorted_ones = int(self.capture.found.useds.get(0, "sorted"))
        twice = len(self.general.frames) - len(self.capture.aside) if self.general.frames else 0
        others = sum(one.connection is not None for one in self.general.tables.packets)
        return self.capture.count - (sorted_ones - twice) - others

    def packets_by_row(self) -> dict[int, Packet]:
        """Those rows of `packets` that the general path made."""
        return {self.row_of[packet.frame]: packet for packet in self.general.tables.packets}

    def segments_by_row(self) -> dict[int, Segment]:
        """Those rows of `segments` that the general path made."""
        return {self.row_of[segment.frame]: segment for segment in self.general.tables.segments}

    def frames(self, among: Sequence[int] | None = None) -> Iterator[tuple[int, Frame]]:
        """Row and frame of those that the kernels found to be in no connection, or damaged.

        Of all rows, or of some.
        """
        capture = self.capture
        places = capture.unread_rows(among)
        rows = capture.records.rows.array(capture.count)[places]
        columns = ("off", "caplen_bytes", "time_ns", "interface", "origlen_bytes")
        numbers = zip(*(rows[name].tolist() for name in columns), strict=True)
        handle = self.file.open()
        try:
            for index, (off, size, time_ns, interface, origlen) in zip(
                places, numbers, strict=True
            ):
                data = os.pread(handle, size, off)
                yield index, Frame(capture.number(index), time_ns, interface, data, origlen)
        finally:
            os.close(handle)


def read(
    path: str | AtHand,
    machine: Any,
    *,
    keep: bool,
    with_traffic: bool = False,
    with_second: bool = False,
    sought: Sought | None = None,
) -> Whole:
    """Read a file, or as far as a frame is `sought`; `with_traffic` count what passed of each
    protocol and host, `with_second` (and `keep`) judge each segment a second time.
    Raises Unfit for one that only the general path reads."""
    file = at_hand(path)
    capture = read_capture(
        file, machine, keep=keep, with_traffic=with_traffic, with_second=with_second, sought=sought
    )
    if not capture.records.enough:
        file.add_fault(capture.raw, capture.count)
    if capture.second is not None:
        capture.second.judge(capture, lost=missing_frames(capture.raw) is not None)
    whole = Whole(file, machine, capture, sought=sought)
    if not capture.aside and not capture.found.has_left:
        return whole
    from netlab.engine.general import follow, key_of, touched_keys

    rows = whole.rows
    keys = touched_keys(capture.raw, (frame for _, frame in capture.aside))
    keys |= {key_of(row) for row in rows if row.is_left}
    if keys:
        whole._rows = rows = [replace(row, is_left=key_of(row) in keys) for row in rows]
    wanted = [row.index for row in rows if row.is_left]
    whole._left = frozenset(wanted)
    for index in wanted:  # also those that a frame which was set aside is in, or speaks of
        marks = capture.found.flows.get(index, "marks")
        capture.found.flows.put(index, marks=marks | k.LEFT)
    aside = capture.aside
    if wanted:
        aside = frames_of(whole, wanted)
    if aside:
        whole.general = follow(capture.raw, (frame for _, frame in aside))
        whole.row_of = {frame.number: row for row, frame in aside}
    _number(whole)
    return whole


def frames_of(whole: Whole, wanted: list[int]) -> list[tuple[int, Frame]]:
    """The frames of these flows, and those that no kernel reads, by row."""
    handle = whole.file.open()
    sought = whole.sought.again() if whole.sought is not None else None
    try:
        again = Pass(
            whole.machine, handle, whole.file.name, keep=False, wanted=wanted, sought=sought
        )
        again.run()
        return again.aside
    finally:
        os.close(handle)


def _number(whole: Whole) -> None:
    """Connections in order of the frame that made them, streams of the one that took the number."""
    rows, general = whole.rows, whole.general
    if not general.frames:
        return
    number = whole.capture.number
    mine = [(number(row.first_row), row) for row in rows if not row.is_left]
    whole._connection_of = connection_of = [-1] * len(rows)
    whole._stream_of = stream_of = [-1] * len(rows)
    order = sorted([*((frame, 0, row.index) for frame, row in mine),
                    *((frame, 1, index) for index, frame in enumerate(general.born))])  # fmt: skip
    renumbered: dict[int, int] = {}
    for place, (_, by_general, index) in enumerate(order):
        if by_general:
            renumbered[index] = place
        else:
            connection_of[index] = place
    streams: dict[tuple[str, int], int] = {}
    for protocol, frames in general.numbered.items():
        taken = sorted(
            [*((frame, 0, row.index) for frame, row in mine if row.protocol == protocol),
             *((frame, 1, stream) for stream, frame in enumerate(frames))]
        )  # fmt: skip
        for stream, (_, by_general, index) in enumerate(taken):
            if by_general:
                streams[protocol, index] = stream
            else:
                stream_of[index] = stream
    tables = general.tables
    for row in tables.connections:
        row.connection = renumbered[row.connection]
        if row.stream is not None:
            row.stream = streams[row.protocol, row.stream]
    for packet in tables.packets:
        if packet.connection is not None:
            packet.connection = renumbered[packet.connection]
    for segment in tables.segments:
        segment.connection = renumbered[segment.connection]

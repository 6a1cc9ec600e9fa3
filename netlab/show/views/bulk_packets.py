"""A large capture that the engine read -> the list of its packets, a page at a time.

A line says what that of a small capture says, but for netlab's own verdicts, which are made a
connection at a time: there tshark's stand. Pure but for the file, of which it reads the payloads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.engine.paged import pages
from netlab.engine.whole import Whole
from netlab.show.format import address
from netlab.show.views.packets import PacketLine, packet_line


def bulk_packet_lines(whole: Whole, places: Sequence[int]) -> Iterator[list[PacketLine]]:
    """The packets in those rows."""
    start_ns = whole.capture.records.began_ns or 0
    for page in pages(whole, places):
        yield [packet_line(one.packet, one.segment, one.frame, start_ns) for one in page]


def last_of(whole: Whole, places: Sequence[int]) -> tuple[int, int]:
    """The largest frame number and the latest time, from the first packet on, in those rows."""
    if not len(places):
        return 0, 0
    capture = whole.capture
    times = capture.records.rows.array(capture.count)["time_ns"]
    latest = times.max() if len(places) == capture.count else times[list(places)].max()
    return capture.number(places[-1]), int(latest) - (capture.records.began_ns or 0)


def ends_of(whole: Whole) -> Iterator[tuple[str, str]]:
    """Both ends of each conversation, in both orders: of which columns are as wide as needed."""
    for row in whole.rows:
        one, other = (address(row.text(end), row.ends[end][1]) for end in (0, 1))
        yield one, other
        yield other, one

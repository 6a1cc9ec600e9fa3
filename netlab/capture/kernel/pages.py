"""A page of the kernel's trace ring buffer -> its events: times, bytes, and how many were lost.

A page is what one read of per_cpu/cpuN/trace_pipe_raw gives: a time stamp, a commit word (bytes of
data, and two flags that say that events before this page were lost), then events. Each begins with
32 bits: 5 of type or length, 27 of the time since the event before. How the header lies is said by
events/header_page, how an event begins by events/header_event; the meaning of the types is
Documentation/trace/ring-buffer-design.rst and include/linux/ring_buffer.h. Knows no event's fields.
"""

from __future__ import annotations

import re
import struct

from netlab.model.records import dataclass

# Types of an event's first 5 bits; 1 to 28 are its length in words, 0 says that a word follows.
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_TYPE_BITS = 5
_DELTA_BITS = 27
_STAMP_BITS = 59  # of an absolute time stamp: the rest is the page's
_MISSED_EVENTS, _MISSED_STORED = 1 << 31, 1 << 30  # in the commit word
_COMMIT = (1 << 30) - 1
_FIELD = re.compile(r"field:.*?(\w+);\s*offset:(\d+);\s*size:(\d+);")

# time_ns, id of the event, its bytes from common_type on. Plain: there are many.
RawEvent = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Where a page's parts stand on this machine."""

    page_bytes: int
    data_off: int
    commit_off: int
    commit_bytes: int


@dataclass(frozen=True, slots=True)
class Page:
    """What a page held."""

    events: list[RawEvent]
    lost: int | None  # events lost just before it; None: some, and not known how many
    whole: bool  # False: the bytes are no page, or only up to the last of `events`


def page_layout(header_page: str) -> PageLayout:
    """The layout that events/header_page describes; raises ValueError when it does not."""
    found = {name: (int(off), int(size)) for name, off, size in _FIELD.findall(header_page)}
    try:
        data_off, data_bytes = found["data"]
        commit_off, commit_bytes = found["commit"]
        stamp = found["timestamp"]
    except KeyError as error:
        raise ValueError(f"header_page names no {error.args[0]}") from None
    if stamp != (0, 8) or commit_bytes not in (4, 8):
        raise ValueError("header_page describes another page than netlab knows")
    return PageLayout(data_off + data_bytes, data_off, commit_off, commit_bytes)


_WORD = struct.Struct("=I")
_STAMP = struct.Struct("=Q")
_ID = struct.Struct("=H")


def read_page(page: bytes, layout: PageLayout) -> Page:
    """The events of one page in their order; what cannot be read ends it, and it says so."""
    start = layout.data_off
    if len(page) < start:
        return Page([], None, False)
    (time_ns,) = _STAMP.unpack_from(page, 0)
    commit = _word(page, layout.commit_off, layout.commit_bytes)
    length = commit & _COMMIT
    end = start + length
    if end > len(page):
        return Page([], None, False)
    lost: int | None = 0
    if commit & _MISSED_EVENTS:
        lost = None
        # The count stands behind the data where there was room for it: an unsigned long.
        if commit & _MISSED_STORED and end + layout.commit_bytes <= len(page):
            lost = _word(page, end, layout.commit_bytes)
    events: list[RawEvent] = []
    whole = _events(page, start, end, time_ns, events)
    return Page(events, lost, whole)


def _word(page: bytes, off: int, size: int) -> int:
    return int((_STAMP if size == 8 else _WORD).unpack_from(page, off)[0])


def _events(page: bytes, at: int, end: int, time_ns: int, found: list[RawEvent]) -> bool:
    """Append the events of a page; whether its data could be read to their end."""
    word, event_id = _WORD.unpack_from, _ID.unpack_from
    append = found.append
    while at + 4 <= end:
        (head,) = word(page, at)
        kind, delta = head & 31, head >> _TYPE_BITS
        if 0 < kind < _PADDING:
            begin, stop = at + 4, at + 4 + kind * 4
        elif at + 8 > end:
            return bool(kind == _PADDING and delta == 0)
        elif kind == 0:
            begin, stop = at + 8, at + 4 + word(page, at + 4)[0]
        elif kind == _TIME_EXTEND:
            time_ns += word(page, at + 4)[0] << _DELTA_BITS | delta
            at += 8
            continue
        elif kind == _TIME_STAMP:
            stamp = word(page, at + 4)[0] << _DELTA_BITS | delta
            high = time_ns >> _STAMP_BITS << _STAMP_BITS
            time_ns = (
                high | stamp if high | stamp >= time_ns else (high | stamp) + (1 << _STAMP_BITS)
            )
            at += 8
            continue
        else:
            if delta == 0:
                return True  # null padding: nothing more on this page
            time_ns += delta  # an event that was taken back: only its time counts
            at += 4 + word(page, at + 4)[0]
            continue
        if stop > end or stop < begin + 2:
            return False
        time_ns += delta
        append((time_ns, event_id(page, begin)[0], page[begin:stop]))
        at = stop
    return at == end

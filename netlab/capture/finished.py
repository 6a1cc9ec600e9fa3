"""Rewrites a recording in its finished form: sorted by time, with comments, calls between packets.

Also writes the packets alone (`plain`). Knows nothing of what comments and messages say. Read
the package's own words on recordings first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from netlab.capture import journal, pcapng
from netlab.capture.layout import (
    JOURNAL_LIMIT,
    fits_journal,
    interface_blocks,
    packed_note,
    preamble,
    second_of,
    section,
)
from netlab.capture.local import Kind, table_blocks
from netlab.capture.ownership import replacing, write_all
from netlab.capture.rows import (
    ARRIVALS,
    CALLS,
    CLOCK_PAIRS,
    INHERITANCES,
    KERNEL_EVENTS,
    LOSSES,
    SAMPLES,
    STAMPS,
)
from netlab.model.call import is_acting
from netlab.model.errors import BadRecording
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording

_WRITE_BYTES = 1 << 20
# At one displayed time: first the calls that act, then packets, then the calls that received.
_ACTS, _PACKET, _RECEIVED = range(3)


def number_frames(raw: RawRecording, *, journal_limit: int = JOURNAL_LIMIT) -> None:
    """Give the frames, which are in order of time, the numbers that the finished file will have.

    Wireshark numbers packets and journal entries alike. To be done before anything is derived from
    them: texts name frames, too.
    """
    order = _in_order(raw)
    packed = _packed_calls(raw, order, journal_limit)
    frames = list(raw.frames)
    for kind, index, number in _listed(raw, order, packed):
        if kind == _PACKET:
            one = frames[index]
            frames[index] = Frame(
                number, one.time_ns, one.interface, one.data, one.origlen_bytes, one.flags,
                one.packet,
            )  # fmt: skip
    raw.frames[:] = frames


def finish(
    path: str | Path,
    raw: RawRecording,
    *,
    frame_comments: Mapping[int, Sequence[str]],
    call_messages: Mapping[int, str],
    threads: Mapping[int, tuple[int, int]],
    journal_limit: int = JOURNAL_LIMIT,
) -> None:
    """Rewrite FILE in its finished form; it stays as it was when that fails (BadRecording).

    `frame_comments` and `threads` (process, thread) go by the raw frame's number, `call_messages`
    by index into `raw.calls`.
    """
    blocks = _finished(raw, frame_comments, call_messages, threads, journal_limit)
    with replacing(Path(path)) as fd:
        for chunk in _chunks(blocks):
            write_all(fd, chunk)


def check_plain(raw: RawRecording) -> None:
    """Raise BadRecording where a link type, of 26 bits in a pcap, has no room in pcapng's 16."""
    strange = max((interface.link for interface in raw.interfaces), default=0)
    if strange > 0xFFFF:
        raise BadRecording(
            f"pcapng has no link type {strange}", "the capture's header may be damaged"
        )


def plain(raw: RawRecording, out: BinaryIO) -> None:
    """Write the packets alone: no calls, no comments, no blocks of netlab's own.

    Raises BadRecording as `check_plain`, before anything is written.
    """
    check_plain(raw)
    used = {frame.interface for frame in raw.frames}
    links = {interface.link for interface in raw.interfaces}
    # tcpdump reads one link type a file: interfaces that saw nothing must not bring a second.
    kept = [n for n in range(len(raw.interfaces)) if n in used or len(links) == 1]
    renumbered = {old: new for new, old in enumerate(kept)}

    def blocks() -> Iterator[bytes]:
        yield section()
        yield from interface_blocks([raw.interfaces[n] for n in kept])
        for frame in raw.frames:
            yield pcapng.packet(
                renumbered[frame.interface],
                frame.time_ns,
                frame.data,
                frame.origlen_bytes,
                frame.flags,
            )
        yield from _statistics(raw, kept)

    for chunk in _chunks(blocks()):
        out.write(chunk)


def _finished(
    raw: RawRecording,
    frame_comments: Mapping[int, Sequence[str]],
    call_messages: Mapping[int, str],
    threads: Mapping[int, tuple[int, int]],
    journal_limit: int,
) -> Iterator[bytes]:
    """The blocks of the finished form."""
    yield preamble(raw.description, raw.interfaces, "finished")
    yield from table_blocks(Kind.CLOCK_PAIRS, CLOCK_PAIRS, raw.clock_pairs)
    yield from table_blocks(Kind.INHERITANCES, INHERITANCES, raw.inheritances)
    yield from table_blocks(Kind.LOSSES, LOSSES, raw.losses)
    yield from table_blocks(Kind.STAMPS, STAMPS, raw.stamps)
    yield from table_blocks(Kind.SAMPLES, SAMPLES, raw.samples)
    yield from table_blocks(Kind.ARRIVALS, ARRIVALS, raw.arrivals)
    yield from table_blocks(Kind.KERNEL_EVENTS, KERNEL_EVENTS, raw.kernel_events)

    order = _in_order(raw)
    packed = _packed_calls(raw, order, journal_limit)
    left = Counter(second_of(raw.calls[index]) for index in packed)
    for kind, index, number in _listed(raw, order, packed):
        if kind == _PACKET:
            frame = raw.frames[index]
            yield pcapng.packet(
                frame.interface,
                frame.time_ns,
                frame.data,
                frame.origlen_bytes,
                frame.flags,
                frame_comments.get(frame.number, ()),
                threads.get(frame.number),
                frame.packet,
            )
            continue
        call = raw.calls[index]
        if index not in packed:
            entry = journal.entry(call, call_messages.get(index))
            yield pcapng.block(pcapng.JOURNAL_EXPORT, entry)
        elif number:
            yield packed_note(journal.shown_ns(call), left[second_of(call)])
    yield from table_blocks(Kind.CALLS, CALLS, (raw.calls[index] for index in sorted(packed)))
    yield from _statistics(raw, range(len(raw.interfaces)))


def _listed(
    raw: RawRecording, order: list[tuple[int, int]], packed: frozenset[int]
) -> Iterator[tuple[int, int, int]]:
    """(what, index, number in Wireshark) of all, in order; 0: a packed call behind its note."""
    noted: set[int] = set()
    listed = 0
    for kind, index in order:
        if kind != _PACKET and index in packed:
            second = second_of(raw.calls[index])
            if second in noted:
                yield kind, index, 0
                continue
            noted.add(second)
        listed += 1
        yield kind, index, listed


def _in_order(raw: RawRecording) -> list[tuple[int, int]]:
    """(what, index) of every packet and call in the order of the times that Wireshark shows."""
    keys = []
    for index, call in enumerate(raw.calls):
        shown_ns = journal.shown_ns(call)
        acts = call.returned_ns is None or is_acting(call)
        exact_ns = call.entered_ns if acts else call.returned_ns
        keys.append((shown_ns, _ACTS if acts else _RECEIVED, exact_ns, index))
    keys += [(frame.time_ns, _PACKET, 0, index) for index, frame in enumerate(raw.frames)]
    keys.sort()
    return [(kind, index) for _, kind, _, index in keys]


def _packed_calls(
    raw: RawRecording, order: list[tuple[int, int]], journal_limit: int
) -> frozenset[int]:
    """Which calls get no entry of their own: those beyond the limit, and any that is too long."""
    listed = 0
    packed = []
    for kind, index in order:
        if kind == _PACKET:
            continue
        if listed < journal_limit and fits_journal(raw.calls[index]):
            listed += 1
        else:
            packed.append(index)
    return frozenset(packed)


def _statistics(raw: RawRecording, kept: Iterable[int]) -> Iterator[bytes]:
    latest_ns = max((frame.time_ns for frame in raw.frames), default=0)
    for number, interface in enumerate(raw.interfaces[n] for n in kept):
        if interface.received is not None or interface.dropped is not None:
            yield pcapng.interface_statistics(
                number,
                latest_ns if interface.end_ns is None else interface.end_ns,
                received=interface.received,
                dropped=interface.dropped,
                start_ns=interface.start_ns,
                end_ns=interface.end_ns,
            )


def _chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size >= _WRITE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)

"""The kernel's events about packets -> the frames that they are about.

An event names its socket's ends and a moment, not the frame. So a frame is taken for the one that
is meant only where it is the only one that fits; else the event stays without a frame.
- A retransmission is told just after the segment was given to the device: the frame is the next one
  of its direction that carries what was carried before, within a few milliseconds either way.
- A reset is told just before it is sent, and just after one has come in.
- A drop is told once the segment has come in: it is the one frame that came in a moment ago. What
  is thrown away later, out of a queue, is no frame's fate.
Where several events and frames of one kind stand close together they pair in order, if they are as
many. Read first: net/ipv4/tcp_output.c (__tcp_retransmit_skb), tcp_ipv4.c, Linux.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable

from netlab.correlate.addresses import Endpoint, is_wildcard, maybe_endpoint
from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.flows import RST
from netlab.correlate.lives import Lives
from netlab.model.kernel_event import KernelEvent, Tracepoint
from netlab.model.tables import FrameNote, Packet, Tables

# From the stamp that the wire took to what the stack did: microseconds, or a busy machine's turn.
_NEAR_NS = 20_000_000
_RETRANSMITS = frozenset({Tracepoint.RETRANSMIT, Tracepoint.RETRANSMIT_SYNACK})
# Reasons of what lay in a queue, or was not thrown away for a fault of its own.
_LATER = frozenset({"QUEUE_PURGE", "SOCKET_CLOSE", "TCP_OFO_QUEUE_PRUNE", "SKB_CONSUMED"})

Ends = tuple[Endpoint, Endpoint]


def notes_from_events(
    events: Iterable[KernelEvent], tables: Tables, lives: Lives
) -> list[FrameNote]:
    """The notes, in order of their frames.

    `lives` tell the ends of a socket that an event names by its number alone.
    """
    again = _sent_again(tables)
    sent: dict[tuple[str, Ends], list[Packet]] = defaultdict(list)
    for packet in tables.packets:
        ends = _ends_of(packet)
        if ends is None or packet._made:
            continue
        if packet.frame in again:
            sent["again", ends].append(packet)
        if packet._flags & RST:
            sent["reset", ends].append(packet)
        if reached(packet):
            sent["came", ends].append(packet)
            sent["came to", (ends[1], ends[1])].append(packet)
            if packet._to is not None:  # a socket may be bound to all addresses of its host
                place = (packet._to, ends[1][1])
                sent["came to", (place, place)].append(packet)
    departed = _Finder(sent, lambda packet: packet.time_ns)
    came = _Finder(sent, arrival_ns)
    asked: dict[tuple[str, Ends], list[KernelEvent]] = defaultdict(list)
    notes: list[FrameNote] = []
    for event in events:
        local, peer = maybe_endpoint(event.local), maybe_endpoint(event.peer)
        if local is None and event.inode is not None:
            socket = lives.maybe_socket(event.host, event.inode, event.time_ns)
            if socket is not None:
                local, peer = socket.local_endpoint, peer or socket.peer_endpoint
        if local is None:
            continue
        if event.what == Tracepoint.DROP:
            notes += _drop(event, local, peer, came)
        elif peer is not None and event.errno is None:
            if event.what in _RETRANSMITS:
                asked["again", (local, peer)].append(event)
            elif event.what == Tracepoint.SEND_RESET:
                asked["reset", (local, peer)].append(event)
            elif event.what == Tracepoint.RECEIVE_RESET:
                notes += _received(event, (peer, local), came)
    for key, group in asked.items():
        notes += _paired(group, departed.frames(*key), lambda packet: packet.time_ns)
    return sorted(notes, key=lambda note: note.frame)


def _ends_of(packet: Packet) -> Ends | None:
    if packet.src is None or packet.dst is None or packet.sport is None or packet.dport is None:
        return None
    return (packet.src, packet.sport), (packet.dst, packet.dport)


def _sent_again(tables: Tables) -> set[int]:
    """Frames that carry what an earlier one carried, or tried to: by sequence number."""
    found: set[int] = set()
    edge: dict[tuple[int, str], int] = {}
    for segment in tables.segments:
        key = segment.connection, segment.direction
        before = edge.get(key)
        if segment.seg_len and not segment.keep_alive and not segment.zero_window_probe:
            if before is not None and segment.seq < before:
                found.add(segment.frame)
            edge[key] = max(before or 0, segment.seq + segment.seg_len)
    return found


class _Finder:
    """Frames by kind and ends, in the order of a time of theirs."""

    def __init__(
        self, by_key: dict[tuple[str, Ends], list[Packet]], time_of: Callable[[Packet], int]
    ) -> None:
        self._by_key = {key: sorted(group, key=time_of) for key, group in by_key.items()}
        self._times = {key: [time_of(one) for one in group] for key, group in self._by_key.items()}

    def frames(self, kind: str, ends: Ends) -> list[Packet]:
        return self._by_key.get((kind, ends), [])

    def between(self, kind: str, ends: Ends, since_ns: int, until_ns: int) -> list[Packet]:
        """Those of that stretch of time, its end included."""
        times = self._times.get((kind, ends), [])
        low, high = bisect_left(times, since_ns), bisect_left(times, until_ns + 1)
        return self.frames(kind, ends)[low:high]


def _note(event: KernelEvent, packet: Packet) -> FrameNote:
    return FrameNote(packet.frame, event.host, event.what, event.reason)


def _drop(
    event: KernelEvent, local: Endpoint, peer: Endpoint | None, came: _Finder
) -> list[FrameNote]:
    if event.reason in _LATER:
        return []
    since_ns = event.time_ns - _NEAR_NS
    if peer is None or not peer[1]:  # a listener's
        place = (event.host, local[1]) if is_wildcard(local) else local
        found = came.between("came to", (place, place), since_ns, event.time_ns)
    else:
        found = came.between("came", (peer, local), since_ns, event.time_ns)
    return [_note(event, found[0])] if len(found) == 1 else []


def _received(event: KernelEvent, ends: Ends, came: _Finder) -> list[FrameNote]:
    found = came.between("came", ends, event.time_ns - _NEAR_NS, event.time_ns)
    resets = [packet for packet in found if packet._flags & RST]
    return [_note(event, resets[0])] if len(resets) == 1 else []


def _paired(
    events: list[KernelEvent], frames: list[Packet], time_of: Callable[[Packet], int]
) -> list[FrameNote]:
    """Pair events with frames, run by run: a run is what stands close together."""
    marks: list[tuple[int, KernelEvent | Packet]] = [(event.time_ns, event) for event in events]
    marks += [(time_of(packet), packet) for packet in frames]
    marks.sort(key=lambda mark: mark[0])
    found: list[FrameNote] = []
    run_events: list[KernelEvent] = []
    run_frames: list[Packet] = []
    before_ns: int | None = None
    for time_ns, one in [*marks, (1 << 63, None)]:
        if before_ns is not None and time_ns - before_ns > _NEAR_NS:
            if len(run_events) == len(run_frames):
                found += [_note(*pair) for pair in zip(run_events, run_frames, strict=True)]
            run_events, run_frames = [], []
        before_ns = time_ns
        if isinstance(one, KernelEvent):
            run_events.append(one)
        elif one is not None:
            run_frames.append(one)
    return found

"""Which part of a connection's ladder tells a study's story: windows around calls and frames."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from netlab.model.tables import Call, Packet, Segment
from netlab.studies.evidence import Evidence
from netlab.studies.study import Window

Event = Call | Packet | tuple[Packet, Segment] | int | None


def window(*events: Event, before_ns: int = 0, after_ns: int = 0) -> list[Window]:
    """From the first of these to the last, each whole: a call with its return, a frame with its
    arrival, a time (ns since the epoch) as it is. One that is not there counts for nothing.

    Two windows one after the other: the sum of the lists.
    """
    times = [time_ns for event in events for time_ns in _times(event)]
    return [(min(times) - before_ns, max(times) + after_ns)] if times else []


def _times(event: Event) -> tuple[int, ...]:
    if event is None:
        return ()
    if isinstance(event, int):
        return (event,)
    if isinstance(event, Call):
        return (event.entered_ns, event.returned_ns or event.entered_ns)
    packet = event[0] if isinstance(event, tuple) else event
    return (packet.time_ns, packet.arrived_ns or packet.time_ns)


def around(times_ns: list[int], at_ns: int, before: int, after: int) -> list[Window]:
    """From so many of these times before a moment to so many behind it; they are in order."""
    first, behind = bisect_left(times_ns, at_ns), bisect_right(times_ns, at_ns)
    inside = times_ns[max(first - before, 0) : behind + after]
    return window(*inside)


def seen_by_client(evidence: Evidence, connection: int = 0) -> list[int]:
    """When its frames left, and when the server's arrived, in order."""
    times = [f.time_ns for f, _ in evidence.frames("c>s", connection=connection)]
    times += [
        f.arrived_ns
        for f, _ in evidence.frames("s>c", connection=connection)
        if f.arrived_ns is not None
    ]
    return sorted(times)


def pause(evidence: Evidence, before: int = 2, after: int = 3) -> list[Window]:
    """Where the client had to wait longest in the middle of its data: so many events before it
    (see `seen_by_client`), and so many from the one on that ended it."""
    left = [frame.time_ns for frame, _ in evidence.frames("c>s", data=True)]
    pairs = [*pairwise(left[len(left) // 4 :])]
    if not pairs:
        return []
    stopped_ns, went_on_ns = max(pairs, key=lambda pair: pair[1] - pair[0])
    times = seen_by_client(evidence)
    return [
        *around(times, stopped_ns, before, 0),
        *around(times, went_on_ns, 1, after),
    ]


def back(call: Call | None) -> int | None:
    """When a call returned."""
    return call.returned_ns if call is not None else None


def there(frame: Packet | None) -> int | None:
    """When a frame arrived."""
    return frame.arrived_ns if frame is not None else None


def nth(events: list[tuple[Packet, Segment]], number: int) -> Packet | None:
    """The n-th frame of a list, None where there are fewer; -1 is the last."""
    return events[number][0] if -len(events) <= number < len(events) else None


def call_on(
    evidence: Evidence, op: str, number: int = 0, *, host: str | None = None, connection: int = 0
) -> Call | None:
    """The n-th such call on one connection, None where there are fewer; -1 is the last."""
    found = evidence.calls(op, host=host, connection=connection)
    return found[number] if -len(found) <= number < len(found) else None

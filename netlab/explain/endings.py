"""The end of a process that nobody saw begin -> when it was over at the latest.

One that was killed, or that left by _exit, notes nothing: its end lies between its last sign of
life (`entered_ns`) and the moment when that was known (`returned_by_ns`). The kernel closes what it
held as it ends, so a FIN or RST that this caused left after the end began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.wording import who
from netlab.model.call import CallRecord
from netlab.model.recording import RawRecording
from netlab.model.tables import Call, Tables


def ended_ns(call: Call | CallRecord, departures_ns: Iterable[int] = ()) -> int:
    """When an `exit` was over; any other call ends what it ends as it is entered.

    `departures_ns`: when frames left that it caused.
    """
    if call.op != "exit" or call.returned_by_ns is None:
        return call.entered_ns
    seen = [ns for ns in departures_ns if call.entered_ns <= ns <= call.returned_by_ns]
    return min(seen, default=call.returned_by_ns)


def process_ends(tables: Tables, calls: Iterable[Call]) -> dict[int, int]:
    """By `exit` among these calls: where it is best drawn, in ns.

    Where a frame shows it, there. A signal ends a process at once, and its parent is told at once;
    one that leaves by itself has its own work in between, and is as likely at the first bound.
    """
    exits = {call.call: call for call in calls if call.op == "exit"}
    if not exits:
        return {}
    times = {packet.frame: packet.time_ns for packet in tables.packets}
    departures: defaultdict[int, list[int]] = defaultdict(list)
    for span in tables.spans:
        if span.call in exits and span.frame is not None:
            departures[span.call].append(times[span.frame])
    return {
        number: ended_ns(call, departures[number])
        if departures[number] or call.args.startswith("SIG") else call.entered_ns
        for number, call in exits.items()
    }  # fmt: skip


def tell_process_end(
    line: Line, call: Call, until_ns: int | None = None, frames: tuple[int, ...] = ()
) -> None:
    """From the last sign of life of a peer's process until it was over, which nobody saw begin."""
    last_ns = ended_ns(call)
    if call.op == "exit" and (until_ns is None or until_ns <= last_ns):
        line.until(last_ns if until_ns is None else until_ns, Cause.PEER_APP, Certainty.INFERRED,
                   frames, (call.call,), end_text(call))  # fmt: skip


def end_text(call: Call) -> str:
    """`before the process of server ended (exit #12)`, or `was killed (SIGKILL, exit #12)`."""
    killed = call.args.startswith("SIG")
    how = f"was killed ({call.args}, exit #{call.call})" if killed else f"ended (exit #{call.call})"
    return f"before the process of {who(call)} {how}"


def last_ns(tables: Tables, raw: RawRecording) -> int:
    """The last moment of which the recording knows something."""
    return max(
        (
            *(call.returned_ns or call.entered_ns for call in tables.calls),
            *(packet.arrived_ns or packet.time_ns for packet in tables.packets[-1:]),
            *(state.time_ns for state in tables.states[-1:]),
            *(pair.realtime_ns for pair in raw.clock_pairs[-1:]),
        ),
        default=0,
    )

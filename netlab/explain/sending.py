"""A send that slept, or a wait for room -> what kept the buffer full, moment by moment.

The buffer is freed by ACKs, so a sender sleeps until one comes, and often: in a moment with bytes
unsent it is what holds those (`held`), with all sent it is the wire that the ACK has to cross.
Read first: sk_stream_wait_memory and sk_stream_write_space in Linux.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns
from netlab.explain.causes import Cause, Certainty
from netlab.explain.held import RULES, Holder, line_rest, moment_of
from netlab.explain.parts import Line
from netlab.explain.scene import Path
from netlab.explain.sender import Write
from netlab.model.tables import Call, Side


def tell_room(
    line: Line, path: Path, call: Call, side: Side | None = None, until_ns: int | None = None
) -> int | None:
    """Until there was room; returns when. None: no ACK came, so nothing is known.

    `until_ns`: when the ACK came that made room, if that is known.
    """
    side = side or Side(call.side or Side.CLIENT)
    sender = path.senders[side.outbound]
    if until_ns is None:
        acks = sender.acks_between(line.at_ns, line.stop_ns)
        if not acks:
            return None
        until_ns = arrival_ns(acks[-1].packet)
    write = Write(call, call.stop, False) if call.stop is not None else None
    holder = Holder(path, sender, write or sender.last_write(line.at_ns))
    for stop_ns in [*sender.moments(line.at_ns, until_ns), until_ns]:
        if line.done or stop_ns <= line.at_ns:
            continue
        moment = moment_of(holder, line.at_ns, stop_ns)
        rule = next((rule for rule in RULES if rule.condition(moment)), None)
        if rule is not None:
            rule.tell(line, holder, moment)
        elif moment.flight:
            line.until(
                stop_ns, Cause.NETWORK, Certainty.OBSERVED, (), holder.calls,
                "for ACKs on the wire, with all sent and the buffer full",
            )  # fmt: skip
        line_rest(line, holder, moment)
    return until_ns

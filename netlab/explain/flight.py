"""A frame on its way -> the wire's queue, the wire, and what later bytes waited for behind it."""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.wire_queue import tell_stand
from netlab.model.records import dataclass
from netlab.model.tables import Packet


@dataclass(frozen=True, slots=True)
class Gap:
    """What a frame filled that others had overtaken."""

    cause: Cause = Cause.HEAD_OF_LINE
    frames: tuple[int, ...] = ()
    text: str = ""  # behind `until frame 9 came`


LATE = Gap()  # nothing is known to be lost


def tell_flight(line: Line, packet: Packet, behind_ns: int | None, gap: Gap = LATE) -> None:
    """A frame's way: in the wire's queue, then on the wire; later bytes are here from `behind_ns`.

    `gap`: what it fills then.
    """
    came_ns = arrival_ns(packet)
    if line.at_ns >= came_ns:
        return
    certainty = Certainty.OBSERVED if packet._wired else Certainty.INFERRED
    frames = (packet.frame,)
    line.until(packet.time_ns, Cause.COPY, Certainty.INFERRED, frames)
    way = Line(line.at_ns, min(came_ns, line.stop_ns))
    tell_stand(way, packet)
    way.until(came_ns, Cause.NETWORK, certainty, frames, (), on_wire(packet))
    line.include(way.parts, came_ns if behind_ns is None else behind_ns)
    line.until(came_ns, gap.cause, certainty, (*gap.frames, *frames), (),
               f"with later bytes here, until frame {packet.frame} came{gap.text}")  # fmt: skip


def on_wire(packet: Packet) -> str:
    """What is said of a frame that is on its way."""
    return f"on the wire (frame {packet.frame})"

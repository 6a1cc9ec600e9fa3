"""What the wire between two hosts did with a frame, as the wire itself noted it."""

from __future__ import annotations

from netlab.model.records import dataclass


# Not frozen: a busy wire makes 60,000 a second, and a frozen one takes three times as long to make.
@dataclass(slots=True)
class Arrival:
    """What became of one frame on the wire.

    `packet` is the wire's own number of the frame, from 1 on, which stands in the frame's block
    as epb_packetid: it stays the same however the file is sorted.
    """

    packet: int
    fate: str  # a Fate: delivered, dropped, changed; a frame on its way when all ended has none
    arrived_ns: int | None = None  # just before the wire sent it on; None: never
    late_ns: int | None = None  # how much later than the rules said; None: it was not sent on
    rule: str = ""  # the rule that decided, as written; empty: the plain wire did
    changed: bytes | None = None  # the bytes as they arrived, where they are not those that left

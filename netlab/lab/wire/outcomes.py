"""What is at the wire, and what it says of each frame. Tuples: there is one for every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class End:
    """A host at the wire."""

    name: str
    mac: bytes
    addresses: tuple[str, ...]
    is_server: bool


class Sent(NamedTuple):
    """A frame that was taken is to be sent on."""

    packet: int
    destination: int  # index of an end
    frame: bytes
    due_ns: int
    rule: str  # the rules that had to do with it, joined by "; "; empty: the plain wire
    changed: bool  # the frame is not as it was taken


class Lost(NamedTuple):
    """A frame that was taken never arrives."""

    packet: int
    rule: str  # the rule that lost it; empty: nobody was there to take it


class Made(NamedTuple):
    """A frame that the wire made is to be sent: a copy, a later fragment, ICMP."""

    packet_of: int  # the taken frame that it comes of
    destination: int
    frame: bytes
    due_ns: int
    rule: str


Outcome = Sent | Lost | Made


@dataclass(slots=True)
class Flight:
    """A frame on its way to one end."""

    packet: int
    destination: int
    frame: bytes
    made: bool  # by the wire
    changed: bool
    names: tuple[str, ...]  # of the rules that had to do with it so far
    by_ns: int = 0  # comes so much later than its like

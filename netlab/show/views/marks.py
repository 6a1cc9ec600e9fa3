"""What a ladder consists of: its rows, and the marks in them. Nothing but records."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from netlab.model.records import dataclass
from netlab.show.views.opening import Opening


@dataclass(frozen=True, slots=True)
class CallMark:
    """A call in its side's column: where it opens, closes, or (whole) both in one row."""

    call: int
    op: str
    edge: str  # opens, closes, whole
    lane: int | None  # None: too many at once for a bar
    texts: tuple[str, ...]  # the most that can be said first
    tone: str  # call, waited, failed, later (EAGAIN and the like), hop (between processes)
    thread: str = ""  # a short name, where several threads stand on this side
    depth: int = 0  # 1: the thread does not call the connection's socket, it helps who does


@dataclass(frozen=True, slots=True)
class WireMark:
    """A frame between the columns; frame None: bytes handed over inside the kernel (Unix)."""

    frame: int | None
    direction: str
    texts: tuple[str, ...]
    tone: str  # data, ack, control, reset, resent, datagram, local
    window: str = ""  # `Win=65536`, written where every row of the ladder has room for it
    part: str = "whole"  # of its way: leaves, arrives; whole: both in one row
    end: str = ""  # lost: on the way; spoilt: thrown away by its receiver; unsure: not known
    made: bool = False  # it begins at the wire, which made it
    said: str = ""  # the message of an application that was whole with it


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane with a call inside."""

    lane: int
    tone: str  # of the call


@dataclass(frozen=True, slots=True)
class Row:
    """A row. Lanes are those with a call inside that this row neither opens nor closes."""

    time_ns: int  # since the ladder's start
    client: CallMark | None = None
    wire: WireMark | None = None
    server: CallMark | None = None
    client_lanes: tuple[Lane, ...] = ()
    server_lanes: tuple[Lane, ...] = ()
    silence_ns: int | None = None  # nothing happened for so long
    cause: str = ""  # of a silence: what calls waited for meanwhile
    left_out: int = 0  # rows that are not shown here
    left_out_ns: int = 0  # how long they lasted, where the ladder is an excerpt
    client_state: str = ""  # of TCP (RFC 9293), where it changes: what it is from here on
    server_state: str = ""


@dataclass(frozen=True, slots=True)
class Ladder:
    """A connection, drawn."""

    connection: int
    protocol: str
    client: str  # heads of the columns
    server: str
    start_ns: int  # time zero, since the epoch: the first event of the connection itself
    length_ns: int
    has_calls: bool
    client_lane_count: int
    server_lane_count: int
    rows: tuple[Row, ...]
    footnotes: tuple[tuple[str, str], ...]  # sign, what it means
    opening: Opening | None = None  # of a TCP connection: what was offered and agreed


class Shown(Protocol):
    """What a condition left of a recording."""

    @property
    def frames(self) -> Collection[int]: ...

    @property
    def calls(self) -> Collection[int]: ...

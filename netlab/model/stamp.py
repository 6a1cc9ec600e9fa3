"""A kernel's own stamp of bytes on their way out, as its witness read it (SO_TIMESTAMPING)."""

from __future__ import annotations

from enum import StrEnum

from netlab.model.records import dataclass


class Moment(StrEnum):
    """What the kernel stamped, in the order in which it happens."""

    SCHEDULED = "scheduled"  # the segment entered the queue of the interface
    SENT = "sent"  # the driver took it
    ACKED = "acked"  # the peer's TCP has acknowledged all bytes up to this one


@dataclass(frozen=True, slots=True)
class StampRecord:
    """The moment of one byte: the last one of a send, or of the part of it that the kernel took.

    `key` is that byte's offset in what the socket has sent, modulo 2**32, as the kernel counts; the
    stream's own offset follows from its neighbours. `inode` names the socket, as in a CallRecord.
    """

    time_ns: int
    host: str
    pid: int  # of the process that read the stamp
    inode: int
    what: str  # a Moment
    key: int

"""Session numbers and the table, shared by all processes of a server, of those that live.

A session names a connection for its whole life and never again: the low 20 bits are a slot, above
them stands how many connections that slot has had. A late word about a closed session therefore
finds another number in its slot, and never the slot's next owner.

The table is anonymous shared memory made before the first fork: whoever inherited it reads any
slot; only its owner (one process at a time) takes sessions in its share of the slots. Numbers go on
where they were when a process dies and another takes over its share. A connection may be handed to
another process and its session stays where it is, so the table knows who holds each: what a process
held is over when it dies. Knows no sockets.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

SLOT_BITS = 20
SLOT_LIMIT = 1 << SLOT_BITS
SLOT_MASK = SLOT_LIMIT - 1
_WORD_BYTES = 8
_HOLDER_BYTES = 2
_MOST_HOLDERS = 0xFFFF


class NoFreeSession(Exception):
    """Every slot of this owner holds a connection."""


def slot_of(session: int) -> int:
    """The slot a session lives in: a small number that is free again when the session ends."""
    return session & SLOT_MASK


class SessionTable:
    """Which session lives in which slot; `owners` processes have an equal share of the slots each.

    Where two generations of a process live side by side for a moment, each is an owner. `holder` is
    a number of this process's own among those to whom its sessions may be handed.
    """

    def __init__(self, slots: int, owners: int = 1) -> None:
        if not 0 < slots <= SLOT_LIMIT or not 0 < owners <= slots:
            raise ValueError(f"{slots} slots for {owners} owners: 1 to {SLOT_LIMIT} slots")
        self.share = slots // owners
        self._memory = mmap.mmap(-1, 2 * slots * _WORD_BYTES)
        words = memoryview(self._memory).cast("Q")
        self._live = words[:slots]  # the session in each slot, 0: none
        self._serials = words[slots:]  # how many each slot has had
        self._holders = memoryview(mmap.mmap(-1, slots * _HOLDER_BYTES)).cast("H")
        self.holder = 0
        self._next = [owner * self.share for owner in range(owners)]  # where to look, this process

    def take(self, owner: int = 0) -> int:
        """A new session in one of the owner's slots. Raises NoFreeSession."""
        live, first, slot = self._live, owner * self.share, self._next[owner]
        last = first + self.share
        for _ in range(self.share):
            if not live[slot]:
                break
            slot = slot + 1 if slot + 1 < last else first
        else:
            raise NoFreeSession
        self._next[owner] = slot + 1 if slot + 1 < last else first
        self._serials[slot] = serial = self._serials[slot] + 1
        session = serial << SLOT_BITS | slot
        self._holders[slot] = self.holder & _MOST_HOLDERS
        live[slot] = session
        return session

    def hand(self, session: int, holder: int) -> None:
        """Another process has, or is about to get, the connection."""
        self._holders[session & SLOT_MASK] = holder & _MOST_HOLDERS

    def free(self, session: int) -> None:
        """The session has ended; nothing happens when it had already."""
        slot = session & SLOT_MASK
        if slot < len(self._live) and self._live[slot] == session:
            self._live[slot] = 0

    def exists(self, session: int) -> bool:
        """Whether the session lives."""
        slot = session & SLOT_MASK
        return slot < len(self._live) and session != 0 and self._live[slot] == session

    def was(self, session: int) -> bool:
        """Whether there ever was this session: what tells a closed one from an invented one."""
        slot, serial = session & SLOT_MASK, session >> SLOT_BITS
        return slot < len(self._live) and 0 < serial <= self._serials[slot]

    def owner(self, session: int) -> int:
        """Which owner's share the session's slot lies in."""
        return (session & SLOT_MASK) // self.share

    def living(self, owner: int | None = None) -> Iterator[int]:
        """The sessions that live, slot by slot; of one owner's share, or all."""
        first, last = 0, len(self._live)
        if owner is not None:
            first, last = owner * self.share, (owner + 1) * self.share
        return (session for session in self._live[first:last] if session)

    def free_all(self, owner: int, holder: int) -> list[int]:
        """End the sessions of an owner's share that a process held which has died; which."""
        holder &= _MOST_HOLDERS
        ended = [s for s in self.living(owner) if self._holders[s & SLOT_MASK] == holder]
        for session in ended:
            self.free(session)
        return ended

    def close(self) -> None:
        """Give the memory back, in this process."""
        self._live.release()
        self._serials.release()
        self._holders.release()
        self._live = self._serials = memoryview(b"").cast("Q")

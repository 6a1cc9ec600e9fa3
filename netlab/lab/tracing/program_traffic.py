"""Of all that passes at this machine's interfaces, what one program's sockets send and receive.

`OwnRing` stands where a recorder expects a ring and gives the program's frames only; `Names` tells
`own_traffic` which sockets are the program's: by the addresses in its calls, and, for a call that
has not returned yet (a connect() to somebody who does not answer), by sock_diag. Read `own_traffic`
for the rule. Not recorded: interfaces that are no Ethernet or came up later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from netlab.capture.ring import PacketRing, RingFrame
from netlab.lab.interfaces import addresses
from netlab.lab.tracing.own_traffic import OwnTraffic, SocketName, maybe_name
from netlab.lab.tracing.tracees import HeldSocket
from netlab.model.call import CallRecord
from netlab.model.recording import Loss

_NS = 1_000_000_000
# A line of strace's log is read at most this long after the call: what is named is known till then.
_NAMES_LATE_NS = _NS
_LOOK_EVERY_NS = _NS


class OwnRing(PacketRing):
    """A ring that gives the program's frames: those of the past, too, once they are known to be."""

    own: OwnTraffic
    interface: int

    @classmethod
    def on(cls, interface: str, number: int, own: OwnTraffic) -> OwnRing:
        """Open it. Raises as `PacketRing.open` does."""
        ring = cls.open(interface)
        assert isinstance(ring, OwnRing)
        ring.own, ring.interface = own, number
        return ring

    def read(self) -> list[RingFrame]:
        """The program's frames among those that have come; none: no block is ready."""
        for _ in range(self.blocks):
            frames = super().read()
            if not frames:
                break
            self.own.frames(self.interface, frames)
            if taken := self.own.take(self.interface):
                return taken
        return self.own.take(self.interface)


class Names:
    """Which sockets are the program's, told to `own` as it becomes known."""

    def __init__(
        self,
        own: OwnTraffic,
        sockets: Callable[[], Iterable[HeldSocket]],
        heard: Callable[[SocketName], None] = lambda _: None,
    ) -> None:
        """`sockets`: what the traced processes hold now. `heard` gets each name as often as a call
        says it."""
        self._own = own
        self._sockets = sockets
        self._heard = heard
        self._next_look_ns = 0
        self._latest_ns = 0  # of the calls learnt from

    def learn(self, calls: Sequence[CallRecord]) -> None:
        """What these calls say."""
        for call in calls:
            at_ns = call.entered_ns if call.returned_ns is None else call.returned_ns
            self._latest_ns = max(self._latest_ns, at_ns)
            if call.family not in (None, "AF_INET", "AF_INET6"):
                continue
            self._name(call.kind, call.local, call.peer, at_ns)
            if call.new_inode is not None:  # of accept: the address is the new socket's peer
                self._name(call.kind, call.local, call.address, at_ns)

    def hold(self, sockets: Iterable[HeldSocket], time_ns: int) -> None:
        """Sockets that the processes held at that time."""
        for one in sockets:
            self._name(one.kind, one.local, one.peer, time_ns)

    def advance(self, now_ns: int, *, behind: bool) -> None:
        """Once in each turn: look where calls have not told yet, and let go of what is too old.

        `behind`: calls have been told that were not learnt from yet.
        """
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + _LOOK_EVERY_NS
            if self._own.waits:
                self.hold(self._sockets(), now_ns)
        known_until_ns = min(now_ns, self._latest_ns) if behind else now_ns
        self._own.advance(known_until_ns - _NAMES_LATE_NS)

    def _name(self, kind: str | None, local: str | None, peer: str | None, at_ns: int) -> None:
        name = maybe_name(kind, local, peer)
        if name is not None:
            self._own.name(name, at_ns)
            self._heard(name)


class OurAddresses:
    """Which addresses this machine has; asked again every second."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._next_ns = 0

    def __call__(self, address: str) -> bool:
        return address in self._known or address.startswith("127.")

    def refresh(self) -> bool:
        """Whether there is a new one."""
        now_ns = time.monotonic_ns()
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + _NS
        found = frozenset(f"{address}" for _, address in addresses())
        news = bool(found - self._known)
        self._known = found
        return news


def other_links(recorded: Sequence[str]) -> list[str]:
    """What to say of interfaces that have an address, and frames that no recording can hold."""
    others = dict.fromkeys(name for name, _ in addresses() if name not in recorded)
    if not others:
        return []
    return [f"packets of {', '.join(others)} are not recorded: they are no Ethernet frames"]


def losses_of(own: OwnTraffic, since_ns: int) -> list[Loss]:
    """What may be missing because there was no room for it."""
    found = []
    if own.crowded_out:
        reason = (
            "no room to let them wait for the call that names their socket; some may be others'"
        )
        found.append(Loss("packets", "frames", own.crowded_out, reason, since_ns=since_ns))
    if own.forgotten_names:
        reason = f"{own.forgotten_names} sockets were too many to keep in mind"
        found.append(Loss("packets", "frames", None, reason, since_ns=since_ns))
    return found

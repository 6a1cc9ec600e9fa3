"""What happens to a frame when it leaves its sender: the first stages, from cut to duplicate.

A frame in; out come the frames that go on (none: lost), and what is certain already: the loss, and
the ICMP that tells the sender. Must not know of time beyond the frame's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.lab.wire.headers import Headers, with_a_bit_flipped
from netlab.lab.wire.in_use import CorruptInUse, DuplicateInUse, InUse, MtuInUse, those
from netlab.lab.wire.outcomes import Flight, Lost, Made, Sent
from netlab.lab.wire.rules import Cut, Drop, Loss
from netlab.lab.wire.too_big import fits, fragments, maybe_too_big
from netlab.model.tables import Direction


class Gate:
    """Applies the rules whose `hit` says that they mean the frame at hand."""

    def __init__(self, uses: Sequence[InUse]) -> None:
        self._cuts = [use for use in uses if isinstance(use.rule, Cut)]
        self._mtus = those(uses, MtuInUse)
        # What was meant goes before chance.
        self._drops = [use for use in uses if isinstance(use.rule, Drop)]
        self._drops += [use for use in uses if isinstance(use.rule, Loss)]
        self._corrupts = those(uses, CorruptInUse)
        self._duplicates = those(uses, DuplicateInUse)
        self._idle = not (
            self._cuts or self._mtus or self._drops or self._corrupts or self._duplicates
        )

    @property
    def needs_headers(self) -> bool:
        """Whether `let_in` reads any."""
        return bool(self._mtus or self._corrupts)

    def let_in(
        self,
        packet: int,
        frame: bytes,
        headers: Headers,
        source: int,
        destinations: Sequence[int],
        left_ns: int,
    ) -> tuple[list[Flight], Sequence[Lost | Made]]:
        """The frames that go on, the one that was taken first; and what is settled at once."""
        if self._idle:
            return _flights(packet, frame, (frame,), destinations, ()), ()
        narrow = self._narrowest(headers)
        loser = self._loser(narrow if headers.dont_fragment else None)
        if loser is not None:
            loser.fired += 1
            settled: list[Lost | Made] = [Lost(packet, loser.text)]
            if loser is narrow and narrow.icmp:
                answer = maybe_too_big(frame, headers, narrow.size_bytes)
                if answer is not None:
                    settled.append(Made(packet, source, answer, left_ns, narrow.text))
            return [], settled
        names: tuple[str, ...] = ()
        whole = frame
        for corrupt in self._corrupts:
            if corrupt.hit:
                whole = with_a_bit_flipped(whole, headers, corrupt.bit)
                names = _fire(corrupt, names)
        pieces = [whole]
        if narrow is not None:
            pieces = fragments(whole, headers, narrow.size_bytes)
            names = _fire(narrow, names)
        flights = _flights(packet, frame, pieces, destinations, names)
        return flights + self._copies(flights), []

    def maybe_cut(
        self, packet: int, direction: Direction | None, left_ns: int, zero_ns: int | None
    ) -> Lost | None:
        """The loss of a frame that rules do not count; None: it passes."""
        for use in self._cuts:
            if use.cuts_off(direction, left_ns, zero_ns):
                use.fired += 1
                return Lost(packet, use.text)
        return None

    def _narrowest(self, headers: Headers) -> MtuInUse | None:
        """The smallest MTU in force, if the packet does not fit through it."""
        if not self._mtus:
            return None
        narrow = min((use for use in self._mtus if use.hit), key=_size_bytes, default=None)
        return None if narrow is None or fits(headers, narrow.size_bytes) else narrow

    def _loser(self, too_narrow: MtuInUse | None) -> InUse | None:
        """The rule that loses the frame."""
        for use in self._cuts:
            if use.hit:
                return use
        if too_narrow is not None:
            return too_narrow
        for use in self._drops:
            if use.hit:
                return use
        return None

    def _copies(self, flights: Sequence[Flight]) -> list[Flight]:
        copies: list[Flight] = []
        for use in self._duplicates:
            if use.hit:
                use.fired += 1
                copies += [
                    Flight(one.packet, one.destination, one.frame, True, one.changed,
                           (*one.names, use.text), use.by_ns)
                    for _ in range(use.times)
                    for one in flights
                ]  # fmt: skip
        return copies


def _flights(
    packet: int,
    original: bytes,
    pieces: Sequence[bytes],
    destinations: Sequence[int],
    names: tuple[str, ...],
) -> list[Flight]:
    first = destinations[0]
    if len(destinations) == 1 and len(pieces) == 1:
        return [Flight(packet, first, pieces[0], False, pieces[0] is not original, names)]
    return [
        Flight(packet, destination, piece, index > 0 or destination != first,
               piece is not original, names)
        for destination in destinations
        for index, piece in enumerate(pieces)
    ]  # fmt: skip


def _fire(use: InUse, names: tuple[str, ...]) -> tuple[str, ...]:
    use.fired += 1
    return (*names, use.text)


def _size_bytes(use: MtuInUse) -> int:
    return use.size_bytes


def uncounted(
    packet: int, frame: bytes, destinations: Sequence[int], left_ns: int
) -> list[Sent | Made]:
    """A frame that no rule touches goes to all of these ends at once."""
    first, *others = destinations
    sent = Sent(packet, first, frame, left_ns, "", False)
    return [sent, *(Made(packet, other, frame, left_ns, "") for other in others)]

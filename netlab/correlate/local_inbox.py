"""Messages that were put into one queue, and the reads of it -> who read which, as far as known.

The queue of a Unix socket is first in, first out and loses nothing: the n-th read has the n-th
message. Where calls overlap in time their order is not known; such a block of messages stands
against the block of reads at the same places, and only what fits nothing else is certain. A read
that fits nothing, more reads than messages, or a read that found the queue empty while something
should have been there prove that calls were not seen; then nothing in the queue is certain.
Knows nothing of sockets or tables.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import accumulate, groupby

from netlab.correlate.reasons import Reason
from netlab.model.records import dataclass


@dataclass(slots=True, eq=False)
class Message:
    """One message as its sender's call made it; sendmmsg makes several."""

    call: int
    sender: str | None  # its name
    length: int
    entered_ns: int
    returned_ns: int


@dataclass(slots=True, eq=False)
class Reading:
    """What a call took of one message; recvmmsg takes several."""

    call: int
    sender: str | None  # as the kernel told it; None: it did not
    result: int
    may_be_cut: bool
    entered_ns: int
    returned_ns: int

    def fits(self, message: Message) -> bool:
        if self.returned_ns < message.entered_ns:
            return False
        if self.sender is not None and self.sender != message.sender:
            return False
        longer = message.length > self.result
        return message.length == self.result or (self.may_be_cut and longer)


@dataclass(slots=True)
class Readings:
    """What is certain, and why the rest is not. What is in neither was not read."""

    certain: dict[Message, Reading] = field(default_factory=dict)
    unsure: dict[Message | Reading, Reason] = field(default_factory=dict)


def read_in_order(
    messages: Sequence[Message],
    reads: Sequence[Reading],
    empties: Sequence[tuple[int, int]] = (),
    *,
    surplus: Reason = Reason.UNSEEN_SENDER,
) -> Readings:
    """Pair `messages` and `reads`, both in order of entry.

    `empties`: (entered, returned) of the calls that found nothing. `surplus`: why there may be more
    reads than messages.
    """
    found = Readings()
    if len(reads) > len(messages):
        return nothing_known(messages, reads, surplus)
    if empties and _something_there(messages, reads, empties):
        return nothing_known(messages, reads, Reason.CONTRADICTION)
    for some, theirs in _blocks(messages, reads):
        if any(not any(read.fits(message) for message in some) for read in theirs):
            return nothing_known(messages, reads, Reason.CONTRADICTION)
        _block(found, some, theirs)
    return found


def nothing_known(messages: Sequence[Message], reads: Sequence[Reading], why: Reason) -> Readings:
    """The answer where nothing is certain."""
    return Readings({}, dict.fromkeys([*messages, *reads], why))


def _something_there(
    messages: Sequence[Message], reads: Sequence[Reading], empties: Sequence[tuple[int, int]]
) -> bool:
    """Whether the queue of a call that found nothing cannot have been empty."""
    put = sorted(message.returned_ns for message in messages)
    taken = [read.entered_ns for read in reads]
    return any(
        bisect_right(put, entered_ns) > bisect_left(taken, returned_ns)
        for entered_ns, returned_ns in empties
    )


def _blocks(
    messages: Sequence[Message], reads: Sequence[Reading]
) -> Iterator[tuple[Sequence[Message], Sequence[Reading]]]:
    """The shortest stretches of places with nothing in them that may belong into another."""
    sent, read = _borders(messages), _borders(reads)
    begin = 0
    for end in range(1, len(messages) + 1):
        if (end < len(messages) and not sent[end]) or (end < len(reads) and not read[end]):
            continue
        if begin < len(reads):
            yield messages[begin:end], reads[begin:end]
        begin = end


def _borders(items: Sequence[Message | Reading]) -> list[bool]:
    """For each place: whether all that stands before it certainly came before it.

    Calls that overlap have no known order. What one call moved has, unless another is between.
    """
    latest = [-1, *accumulate((item.returned_ns for item in items), max)]
    found = [item.entered_ns >= before for item, before in zip(items, latest, strict=False)]
    begin = 0
    for _, several in groupby(items, key=lambda item: item.call):
        mine = list(several)
        end = begin + len(mine)
        alone = found[begin] and (end == len(items) or items[end].entered_ns >= latest[end])
        if alone:
            found[begin + 1 : end] = [True] * (end - begin - 1)
        begin = end
    return found


def _block(found: Readings, messages: Sequence[Message], reads: Sequence[Reading]) -> None:
    for read in reads:
        fitting = [message for message in messages if read.fits(message)]
        alone = len(fitting) == 1 and all(
            other is read or not other.fits(fitting[0]) for other in reads
        )
        if alone:
            found.certain[fitting[0]] = read
            continue
        found.unsure[read] = Reason.SHARED
        for message in fitting:
            found.unsure.setdefault(message, Reason.SHARED)
    for message in messages:
        if message in found.certain:
            found.unsure.pop(message, None)

"""The map agrees, byte by byte, with an oracle that knows what really happened.

A sender cuts its stream at random, resends random ranges, split and merged; frames get lost after
the capture point; the receiver acknowledges every arrival as Linux does, with SACK and D-SACK.
The oracle keeps a plain record per byte; the spans must say the same, and the ledger must close.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import Play

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.ranges import RangeSet
from netlab.model.tables import Role, Tables


@dataclass
class Truth:
    """What became of each byte of one stream."""

    written_by: dict[int, int] = field(default_factory=dict)  # byte -> index of the send
    read_by: dict[int, int] = field(default_factory=dict)
    carried: dict[int, int] = field(default_factory=dict)  # byte -> frame
    resent: set[tuple[int, int]] = field(default_factory=set)  # (byte, frame)
    accepted: dict[int, int] = field(default_factory=dict)
    ready: dict[int, int] = field(default_factory=dict)
    acked: dict[int, int] = field(default_factory=dict)


class Conversation:
    """One stream, client to server, played at random."""

    def __init__(self, random: Random, play: Play) -> None:
        self.random, self.play, self.truth = random, play, Truth()
        self.written = self.left = self.rcv_nxt = self.acked = self.consumed = 0
        self.sends = self.recvs = 0
        self.received = RangeSet()
        self.untold = RangeSet()  # received, not yet acknowledged
        play.handshake()

    def write(self) -> None:
        count = self.random.randint(1, 400)
        for byte in range(self.written, self.written + count):
            self.truth.written_by[byte] = self.sends
        self.sends += 1
        self.written += count
        with self.play.call("client", "send", count, size=count):
            if self.random.random() < 0.7:
                self.transmit()

    def transmit(self) -> None:
        if self.left < self.written:
            start = self.left
            self.left = self.random.randint(start + 1, self.written)
            self.frame(start, self.left)

    def resend(self) -> None:
        """From anywhere sent to anywhere written: split, merged, overlapping new data."""
        if self.left:
            start = self.random.randrange(self.left)
            stop = self.random.randint(start + 1, self.written)
            self.left = max(self.left, stop)
            self.frame(start, stop)

    def frame(self, start: int, stop: int) -> None:
        if stop - start == 1 and start == self.acked - 1:
            return  # that would be a keep-alive
        frame = self.play.data("c>s", start, stop)
        for byte in range(start, stop):
            if byte in self.truth.carried:
                self.truth.resent.add((byte, frame))
            self.truth.carried.setdefault(byte, frame)
        again = self.received.overlaps(start, stop)
        # A lost copy of bytes whose ACK is still delayed leaves no trace: no one could tell.
        told = not any(self.untold.overlaps(a, b) for a, b in again)
        if told and self.random.random() < 0.3:
            return  # lost behind the capture point
        self.received.add(start, stop)
        for byte in range(start, stop):
            self.truth.accepted.setdefault(byte, frame)
        before, self.rcv_nxt = self.rcv_nxt, self.received.run_stop(self.rcv_nxt)
        for byte in range(before, self.rcv_nxt):
            self.truth.ready[byte] = frame
        beyond = [block for block in self.received if block[0] > self.rcv_nxt]
        first = all(self.truth.carried[byte] == frame for byte in range(start, stop))
        if first and not beyond and self.random.random() < 0.5:
            self.untold.add(start, stop)  # a delayed ACK; what fills a hole is acknowledged at once
            return
        self.untold = RangeSet()
        for a, b in again[:1]:  # RFC 2883: the duplicate first, then the block that holds it
            holding = [block for block in beyond if block[0] <= a and b <= block[1]]
            beyond = [(a, b), *holding, *(block for block in beyond if block not in holding)]
        options = self.play.sack_option("c>s", *beyond) if beyond else None
        number = self.play.ack("s>c", self.rcv_nxt, options=options)
        for byte in range(self.acked, self.rcv_nxt):
            self.truth.acked[byte] = number
        self.acked = max(self.acked, self.rcv_nxt)

    def finish(self) -> None:
        """Mend what was lost, so that most bytes are read in the end."""
        for start, stop in self.received.gaps(0, self.left):
            self.frame(start, stop)
        self.read()

    def read(self) -> None:
        if self.consumed < self.rcv_nxt:
            count = self.random.randint(1, self.rcv_nxt - self.consumed)
            self.play.did("server", "recv", count, size=4096)
            for byte in range(self.consumed, self.consumed + count):
                self.truth.read_by[byte] = self.recvs
            self.recvs += 1
            self.consumed += count


def spelled(tables: Tables, role: Role, op: str) -> set[tuple[int, int, int | None]]:
    """(index of the call among its kind, byte, frame) of every span of a role."""
    numbers = [call.call for call in tables.calls if call.op == op]
    place = {number: index for index, number in enumerate(numbers)}
    found: list[tuple[int, int, int | None]] = []
    for span in tables.spans:
        if span.role == role and span.start is not None and span.stop is not None:
            found += [(place[span.call], byte, span.frame) for byte in range(span.start, span.stop)]
    assert len(found) == len(set(found)), f"a byte stands twice in the {role} spans of one call"
    return set(found)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    acts=st.text("wwttrrd", min_size=1, max_size=40),
    iss=st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 3_000, 2**32 - 1)),
    shuffled=st.booleans(),
)
def test_every_byte_is_where_the_oracle_says(
    seed: int, acts: str, iss: int, shuffled: bool
) -> None:
    random = Random(seed)
    play = Play(iss=iss, irs=2**32 - 1 - iss, window=60_000)
    talk = Conversation(random, play)
    steps = {"w": talk.write, "t": talk.transmit, "r": talk.resend, "d": talk.read}
    for act in "wt" + acts:
        steps[act]()
    talk.finish()
    if shuffled:
        random.shuffle(play.calls)  # spools are read in any order
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []

    truth = talk.truth
    wrote, read = truth.written_by, truth.read_by
    assert spelled(tables, Role.CARRIED, "send") == {
        (wrote[byte], byte, frame) for byte, frame in truth.carried.items()
    }
    assert spelled(tables, Role.RESENT, "send") == {
        (wrote[byte], byte, frame) for byte, frame in truth.resent
    }
    assert spelled(tables, Role.ACKED, "send") == {
        (wrote[byte], byte, frame) for byte, frame in truth.acked.items()
    }
    assert spelled(tables, Role.DELIVERED, "recv") == {
        (read[byte], byte, truth.accepted[byte]) for byte in read
    }
    assert spelled(tables, Role.RELEASED, "recv") == {
        (read[byte], byte, truth.ready[byte])
        for byte in read
        if truth.ready[byte] != truth.accepted[byte]
    }
    assert spelled(tables, Role.DUPLICATE, "recv") == {
        (read[byte], byte, frame)
        for byte, frame in truth.resent
        if byte in read and frame > truth.accepted[byte]
    }

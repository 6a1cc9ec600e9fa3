"""Lines: what one turn sends leaves together, in order, and nothing is lost without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from netlab.server.channels import make_pair
from netlab.server.loop.reactor import Reactor
from netlab.server.messages.line import BUNDLE, Line, bundle_from, messages_from
from netlab.server.plain import PlainProbe


@dataclass
class End:
    """One end, and what it heard."""

    line: Line = field(init=False)
    heard: list[bytes] = field(default_factory=list)
    unsent: list[bytes] = field(default_factory=list)
    ends: int = 0
    drained: int = 0


@contextmanager
def ends(kind: str, poller: str = "epoll") -> Iterator[tuple[Reactor, End, End]]:
    probe = PlainProbe()
    pair = make_pair(kind, probe)
    made = End(), End()
    with Reactor(probe, poller) as reactor:
        for end, channel in zip(made, pair, strict=True):
            end.line = Line(
                channel, reactor, end.heard.extend, lambda end=end: count(end, "ends"),
                lambda end=end: count(end, "drained"),
                lambda waiting, end=end: end.unsent.extend(message for message, _ in waiting),
            )  # fmt: skip
        try:
            yield reactor, *made
        finally:
            for end in made:
                end.line.close()


def count(end: End, name: str) -> None:
    setattr(end, name, getattr(end, name) + 1)


def run_until(reactor: Reactor, condition: object) -> None:
    """Turns of the loop until something is so; a timer ends what never comes."""
    assert callable(condition)

    def look() -> None:
        if condition():
            reactor.stop()
        else:
            reactor.defer(lambda: reactor.post(look))

    late = reactor.after(20, reactor.stop)
    reactor.post(look)
    reactor.run()
    reactor.clear(late)
    assert condition()


every_kind = pytest.mark.parametrize("kind", ["seqpacket", "dgram", "stream", "pipe"])


@every_kind
@pytest.mark.parametrize("poller", ["epoll", "edge", "poll", "select"])
@pytest.mark.parametrize("size", [1, 100, 9_000, 300_007])
def test_all_arrives_in_order(kind: str, poller: str, size: int) -> None:
    messages = [bytes([1 + n % 200]) * (size + n) for n in range(101)]
    with ends(kind, poller) as (reactor, one, other):
        for message in messages:
            one.line.send(message)
        run_until(reactor, lambda: len(other.heard) == len(messages))
        assert other.heard == messages
        assert one.line.queued_bytes == 0


@every_kind
def test_small_and_large_ones_keep_their_order(kind: str) -> None:
    messages = [bytes([1 + n]) * (50_000 if n % 5 == 3 else 5) for n in range(60)]
    with ends(kind) as (reactor, one, other):
        for message in messages:
            one.line.send(message)
        run_until(reactor, lambda: len(other.heard) == len(messages))
        assert other.heard == messages


def test_nothing_leaves_before_the_end_of_the_turn_but_at_a_flush() -> None:
    with ends("seqpacket") as (_, one, other):
        one.line.send(b"\1hello")
        assert not other.line.channel.wait(0)
        assert one.line.queued_bytes == 6
        one.line.flush()
        assert other.line.read() == [b"\1hello"]


@every_kind
def test_the_end_comes_behind_the_last_message(kind: str) -> None:
    with ends(kind) as (reactor, one, other):
        for n in range(20):
            one.line.send(bytes([n]))
        one.line.flush()
        one.line.close()
        run_until(reactor, lambda: other.ends)
        assert other.heard == [bytes([n]) for n in range(20)]
        assert other.ends == 1
        assert other.line.closed


@pytest.mark.parametrize("number", [1, 5, 40])
def test_what_cannot_be_sent_any_more_comes_back(number: int) -> None:
    with ends("seqpacket") as (reactor, one, other):
        other.line.close()
        messages = [bytes([n]) for n in range(number)]
        for message in messages:
            one.line.send(message)
        run_until(reactor, lambda: len(one.unsent) == number)
        assert one.unsent == messages


def test_drained_is_told_when_a_full_line_is_empty_again() -> None:
    with ends("seqpacket") as (reactor, one, other):
        for _ in range(100):
            one.line.send(b"\1" * 50_000)
        assert one.line.queued_bytes > 1_000_000
        run_until(reactor, lambda: one.drained)
        run_until(reactor, lambda: len(other.heard) == 100)
        assert one.line.queued_bytes == 0


def test_a_blocking_drain() -> None:
    with ends("seqpacket") as (_, one, other):
        one.line.send(b"\1")
        assert one.line.drain(1.0)
        for _ in range(100):
            one.line.send(b"\1" * 50_000)
        assert not one.line.drain(0.01)
        other.line.close()
        assert not one.line.drain(1.0)


def test_bundles() -> None:
    batch = [(bytes([n]) * n, 7) for n in range(1, 60)]
    message, about = bundle_from(batch)
    assert (message[0], about) == (BUNDLE, 7)
    assert messages_from([b"\1a", message, b"\2b"]) == [b"\1a", *(m for m, _ in batch), b"\2b"]
    assert bundle_from([(b"\1", 7), (b"\2", 8)])[1] == 0

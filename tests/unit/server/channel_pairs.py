"""Pairs of channels for tests: every kind, and what pumps them when there is no reactor."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

from netlab.model.probe import Probe
from netlab.server.channels import Channel, ChannelClosed, make_pair
from netlab.server.plain import PlainProbe

WITHIN_S = 20.0


@contextmanager
def pair(kind: str, probe: Probe | None = None) -> Iterator[tuple[Channel, Channel]]:
    one, other = make_pair(kind, probe or PlainProbe())
    try:
        yield one, other
    finally:
        one.close()
        other.close()


def receive_all(channel: Channel, count: int, *senders: Channel) -> list[bytes]:
    """The next `count` messages; the senders' outboxes are flushed meanwhile."""
    found: list[bytes] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} messages came"
        wanted = [sender for sender in senders if sender.queued_bytes]
        readable, writable, _ = select.select(
            [channel.fileno()], [sender.write_fileno() for sender in wanted], [], WITHIN_S
        )
        for sender in wanted:
            if sender.write_fileno() in writable:
                sender.flush()
        if readable:
            found += channel.receive()
    return found


def until_closed(channel: Channel) -> list[bytes]:
    """All messages up to the end of the other end."""
    found: list[bytes] = []
    while True:
        assert channel.wait(WITHIN_S), "the end was not told"
        try:
            found += channel.receive()
        except ChannelClosed:
            return found

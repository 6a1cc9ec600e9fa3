"""Every connection that a socket with hidden ends is given is its own, whatever else went on."""

from __future__ import annotations

from collections import Counter

from hidden_conversations import Talk, World, happened, talks
from hypothesis import given, note, settings
from hypothesis import strategies as st

from netlab.correlate.join import correlate
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason

turns = st.lists(st.integers(0, 5), max_size=120)


@settings(max_examples=300)
@given(st.lists(talks, min_size=1, max_size=6), turns, st.booleans())
def test_every_connection_that_is_given_is_the_true_one(
    script: list[Talk], turns: list[int], shows_peer: bool
) -> None:
    world = World(shows_peer)
    raw, packets = happened(world, script, turns)
    tables = correlate(raw, packets)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    port_of = {row.connection: row.client_port for row in tables.connections}
    given_ends = Counter[str]()
    for call, record in zip(tables.calls, raw.calls, strict=True):
        if call.op in ("socket", "bind", "listen", "accept4") or record.inode is None:
            continue
        if call.connection is None:
            given_ends["not given"] += 1
            continue
        given_ends["given"] += 1
        assert (port_of[call.connection], call.side) == world.truth[record.inode]
    note(f"calls {dict(given_ends)}")


def sequential(*, shows_peer: bool, count: int = 23) -> tuple[World, int]:
    """Conversations that are all alike, one after the other; how many calls had no connection."""
    world = World(shows_peer)
    script = [Talk([(10, 10)], False, True, True, False) for _ in range(count)]
    raw, packets = happened(world, script, [])
    tables = correlate(raw, packets)
    assert not [row for row in tables.unmatched if row.reason == Reason.HIDDEN]
    return world, sum(c.connection is None and c.op in ("read", "write") for c in tables.calls)


def test_conversations_one_after_the_other_are_all_told_apart() -> None:
    for shows_peer in (True, False):
        _, without = sequential(shows_peer=shows_peer)
        assert without == 0

"""Whatever a program does with local sockets and pipes: each byte has one place, the true one."""

from __future__ import annotations

import os
from collections import Counter
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st
from local_world import Knows, World, run

from netlab.correlate.join import correlate
from netlab.correlate.ledger import ledger_mismatches
from netlab.correlate.reasons import Reason, What
from netlab.model.recording import RawRecording
from netlab.model.tables import Role, Tables

EXAMPLES = int(os.environ.get("NETLAB_LOCAL_PROGRAMS", "300"))

KINDS = (
    ["listen", "pipe", "close", "fork", "inbox", "inbox", "aim", "pair"]
    + ["send_many", "read_many", "peek", "half"]
    + ["connect", "accept", "post"] * 4 + ["send", "read"] * 8
)  # fmt: skip
numbers = st.integers(0, 255)
steps = st.tuples(st.sampled_from(KINDS), numbers, numbers, numbers)
scripts = st.one_of(st.lists(steps, max_size=20), st.lists(steps, min_size=50, max_size=90))
told = st.one_of(
    st.just([True]), st.just([False]), st.lists(st.booleans(), min_size=1, max_size=24)
)


@given(scripts, told, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=EXAMPLES, deadline=None)
def test_each_byte_is_matched_truly_or_listed(
    script: list[tuple[str, int, int, int]],
    bits: list[bool],
    addresses: bool,
    names: bool,
    credentials: bool,
) -> None:
    drawn = cycle(bits)
    # Something to connect and to write to, whatever follows.
    script = [("listen", 0, 0, 0), ("inbox", 0, 0, 0), *script]
    world = run(script, Knows(lambda: next(drawn), addresses, names, credentials))
    records, place = world.seen()
    tables = correlate(RawRecording(calls=records, inheritances=world.forks), [])
    assert ledger_mismatches(tables) == []
    assert twice(tables) == []
    assert untrue(tables, world, place) == []


def twice(tables: Tables) -> list[str]:
    """Calls of which a byte is in two rows of spans and unmatched, or in none, a sentence each."""
    found = []
    for call in tables.calls:
        if call.start is None or call.stop is None or len(call._messages) > 1:
            continue  # several messages: their connections have offsets of their own
        rows = [
            (row.start, row.stop)
            for row in [*tables.spans, *tables.unmatched]
            if row.call == call.call
            and (getattr(row, "role", Role.LOCAL) == Role.LOCAL)
            and getattr(row, "what", None) != What.TRUNCATED
        ]
        at = call.start
        for start, stop in sorted(rows, key=lambda r: (r[0] or 0, r[1] or 0)):
            if start != at or stop is None:
                found.append(f"call {call.call} is {call.start}..{call.stop}, its rows are {rows}")
                break
            at = stop
        else:
            if at != call.stop:
                found.append(f"call {call.call} is {call.start}..{call.stop}, its rows are {rows}")
    return found


def untrue(tables: Tables, world: World, place: dict[int, int]) -> list[str]:
    """What the tables say of bytes and the world knows better, a sentence each."""
    took = {(place[a], place[b]): count for (a, b), count in world.took.items()}
    read = Counter[int]()
    for (sender, _), count in took.items():
        read[sender] += count
    sent = {place[number]: count for number, count in world.sent.items()}
    claimed = Counter[tuple[int, int]]()
    for span in tables.spans:
        if span.role == Role.LOCAL and span.call in sent and span.peer_call is not None:
            assert span.start is not None
            assert span.stop is not None
            claimed[span.call, span.peer_call] += span.stop - span.start
    found = [
        f"{count} bytes of {a} in {b}, in truth {took.get((a, b), 0)}"
        for (a, b), count in claimed.items() if count > took.get((a, b), 0)
    ]  # fmt: skip
    unread = Counter[int]()
    for row in tables.unmatched:
        assert row.call is not None
        if row.reason in (Reason.NO_PEER, Reason.UNSEEN_SENDER, Reason.CONTRADICTION):
            found.append(f"all was recorded, but of call {row.call} is said: {row.reason}")
        if row.reason in (Reason.STILL_QUEUED, Reason.CLOSED_UNREAD):
            unread[row.call] += row.bytes
    for call, count in unread.items():
        if count > sent.get(call, 0) - read[call]:
            found.append(f"{count} bytes of {call} are said not to be read, of {sent.get(call)}")
    return found

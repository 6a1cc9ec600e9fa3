"""Whoever is live and whatever comes: the slot chosen is live, and the orderly rules are steady."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.server.family.dispatch import CLOSE, DISCARD, Dispatcher
from netlab.server.terms import DispatchKind

live_slots = st.sets(st.integers(0, 15), min_size=1).map(sorted)
sessions = st.integers(1, 1 << 40)
hosts = st.sampled_from(["", "127.0.0.1", "10.0.0.9", "::1", "fe80::1%2"])


@given(
    st.sampled_from(list(DispatchKind)),
    st.integers(1, 16),
    st.lists(
        st.tuples(live_slots, sessions, hosts, st.none() | st.integers(-(1 << 40), 1 << 40)),
        min_size=1,
        max_size=20,
    ),
    st.integers(-5, 20),
    st.dictionaries(st.integers(0, 15), st.integers(0, 3)),
)
@settings(deadline=None)
def test_a_slot_that_is_not_live_is_never_chosen(
    kind: DispatchKind,
    workers: int,
    messages: list[tuple[list[int], int, str, int | None]],
    answer: int,
    busy: dict[int, int],
) -> None:
    dispatcher = Dispatcher(kind, workers, lambda session, data: answer)
    for live, session, host, uid in messages:
        slot = dispatcher.choose(session, live, host=host, uid=uid, busy=busy)
        if kind is DispatchKind.FUNCTION and answer in (DISCARD, CLOSE):
            assert slot == answer
        else:
            assert slot in live
        if kind is DispatchKind.IDLE:
            assert busy.get(slot, 0) == min(busy.get(other, 0) for other in live)
        if kind.keeps_order:
            assert slot == dispatcher.choose(session, live, host=host, uid=uid, busy=busy)


@given(live_slots, st.integers(1, 5))
@settings(deadline=None)
def test_the_round_serves_all_alike(live: list[int], rounds: int) -> None:
    dispatcher = Dispatcher(DispatchKind.ROUND, 16)
    chosen = [dispatcher.choose(1, live) for _ in range(rounds * len(live))]
    assert chosen == live * rounds

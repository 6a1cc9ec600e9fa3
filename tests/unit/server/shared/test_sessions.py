"""Session numbers: never given twice, seen by every process, going on after a death."""

from __future__ import annotations

import os

import pytest
from forked import forked
from hypothesis import given
from hypothesis import strategies as st

from netlab.server.shared.sessions import SLOT_BITS, NoFreeSession, SessionTable, slot_of


def test_a_session_lives_until_it_is_freed_and_never_again() -> None:
    table = SessionTable(4)
    first = table.take()
    assert first == 1 << SLOT_BITS
    assert table.exists(first)
    table.free(first)
    assert not table.exists(first)
    assert table.was(first)
    assert not table.was(first + (1 << SLOT_BITS))
    others = [table.take() for _ in range(4)]
    assert first not in others
    assert len(set(others)) == 4
    assert not table.exists(first)
    table.free(first)  # late: its slot has another owner by now
    assert all(table.exists(session) for session in others)


def test_no_slot_left() -> None:
    table = SessionTable(2)
    kept = [table.take(), table.take()]
    with pytest.raises(NoFreeSession):
        table.take()
    table.free(kept[1])
    assert slot_of(table.take()) == slot_of(kept[1])


def test_owners_have_shares_of_their_own() -> None:
    table = SessionTable(12, owners=3)
    taken = {owner: [table.take(owner) for _ in range(4)] for owner in range(3)}
    assert {table.owner(s) for s in taken[1]} == {1}
    assert list(table.living(2)) == taken[2]
    assert table.free_all(1, 0) == taken[1]
    assert sorted(table.living()) == sorted(taken[0] + taken[2])


def test_what_a_process_held_is_over_when_it_dies_whosever_share_it_is_of() -> None:
    table = SessionTable(12, owners=2)
    table.holder = 7
    kept, given, taken_back = (table.take(0) for _ in range(3))
    table.holder = (1 << 16) + 8  # only some of its bits are kept, and that is enough
    others = table.take(1)
    table.hand(given, 8)
    table.hand(taken_back, 8)
    table.hand(taken_back, 7)
    assert table.free_all(0, 8) == [given]
    assert table.free_all(1, 7) == []
    assert sorted(table.living()) == sorted([kept, taken_back, others])
    assert table.free_all(1, (1 << 16) + 8) == [others]


def test_what_is_no_session() -> None:
    table = SessionTable(4)
    for number in (0, 1, 3, 1 << SLOT_BITS | 9, 1 << 62):
        assert not table.exists(number)
        assert not table.was(number)
        table.free(number)


@pytest.mark.parametrize(("slots", "owners"), [(0, 1), ((1 << SLOT_BITS) + 1, 1), (4, 5), (4, 0)])
def test_impossible_tables(slots: int, owners: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        SessionTable(slots, owners)


@given(st.lists(st.booleans(), max_size=200))
def test_no_number_is_ever_given_twice(steps: list[bool]) -> None:
    table = SessionTable(5)
    alive: list[int] = []
    seen: set[int] = set()
    for take in steps:
        if take and len(alive) < 5:
            session = table.take()
            assert session not in seen
            seen.add(session)
            alive.append(session)
        elif alive:
            table.free(alive.pop(0))
        assert sorted(table.living()) == sorted(alive)
    table.close()


def test_a_child_sees_and_changes_the_same_table() -> None:
    table = SessionTable(8, owners=2)
    ours = table.take(0)

    def other_process() -> None:
        assert table.exists(ours)
        table.take(1)
        table.free(ours)

    pid = forked(other_process)
    assert os.waitpid(pid, 0)[1] == 0
    assert not table.exists(ours)
    (theirs,) = table.living(1)
    table.free_all(1, 0)
    assert table.take(1) != theirs  # the next owner goes on behind it

"""Pieces in stages: each stage in order and one at a time, none overtakes, errors are not lost."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Event, Lock, get_ident

import pytest

from netlab.engine.turns import Turns

COUNT = 23
WITHIN_S = 20


def counter() -> Callable[[], int | None]:
    numbers = iter(range(COUNT))
    return lambda: next(numbers, None)


@pytest.mark.parametrize("threads", [1, 2])
def test_each_stage_takes_the_pieces_in_order_and_one_at_a_time(threads: int) -> None:
    seen: list[list[int]] = [[], []]
    busy = [Lock(), Lock()]
    where: dict[int, set[int]] = {}

    def stage(place: int) -> Callable[[int], None]:
        def work(piece: int) -> None:
            assert busy[place].acquire(blocking=False)
            seen[place].append(piece)
            where.setdefault(piece, set()).add(get_ident())
            busy[place].release()

        return work

    Turns(counter(), [stage(0), stage(1)], threads=threads).run()
    assert seen == [list(range(COUNT))] * 2
    assert all(len(one) == 1 for one in where.values())  # a piece stays with its thread
    assert (get_ident() in set().union(*where.values())) == (threads == 1)


def test_two_stages_are_at_work_at_once() -> None:
    """Each of all but the ends waits for the other: alone it would wait for ever."""
    meet = Barrier(2)

    def first(piece: int) -> None:
        if piece:
            meet.wait(WITHIN_S)

    def second(piece: int) -> None:
        if piece < COUNT - 1:
            meet.wait(WITHIN_S)

    Turns(counter(), [first, second], threads=2).run()


def test_settled_is_who_has_nobody_behind() -> None:
    gone_on, seen = Event(), []

    def first(piece: int) -> None:
        if piece == 1:
            gone_on.set()
            turns.settle(1)
            seen.append("first")

    def second(piece: int) -> None:
        if piece == 0:
            assert gone_on.wait(WITHIN_S)
            seen.append("second")

    turns = Turns(counter(), [first, second], threads=2)
    turns.run()
    assert seen == ["second", "first"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("place", ["take", "first", "second"])
def test_an_error_ends_it_and_is_raised(threads: int, place: str) -> None:
    done: list[int] = []
    following = counter()

    def at(here: str) -> Callable[[int], None]:
        def work(piece: int) -> None:
            if here == place and piece == 7:
                raise ZeroDivisionError
            if here == "second":
                done.append(piece)

        return work

    def take() -> int | None:
        piece = following()
        at("take")(piece)  # type: ignore[arg-type]
        return piece

    with pytest.raises(ZeroDivisionError):
        Turns(take, [at("first"), at("second")], threads=threads).run()
    assert done == list(range(len(done)))
    assert len(done) <= 7

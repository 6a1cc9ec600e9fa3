"""Timers set, cleared and run at random agree with a plain list that is searched each time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.server.loop.timers import TimerHeap

steps = st.lists(
    st.one_of(
        st.tuples(st.just("after"), st.integers(0, 20)),
        st.tuples(st.just("tick"), st.integers(1, 20)),
        st.tuples(st.just("clear"), st.integers(0, 30)),
        st.tuples(st.just("run"), st.integers(0, 50)),
    ),
    max_size=60,
)


@given(steps)
@settings(max_examples=300, deadline=None)
def test_the_heap_agrees_with_a_list(steps: list[tuple[str, int]]) -> None:
    now = 0.0  # whole seconds, so that sums are exact
    timers = TimerHeap(lambda: now)
    ran: list[int] = []
    expected: list[int] = []
    alive: dict[int, tuple[float, int]] = {}  # id -> moment, interval
    ids: list[int] = []
    for step, amount in steps:
        if step == "clear":
            number = ids[amount % len(ids)] if ids else 0
            assert timers.clear(number) == (alive.pop(number, None) is not None)
        elif step == "run":
            now += amount
            due = sorted((alive[n][0], n) for n in alive if alive[n][0] <= now)
            for moment, number in due:
                expected.append(number)
                interval = alive[number][1]
                if interval:
                    alive[number] = (moment + ((now - moment) // interval + 1) * interval, interval)
                else:
                    del alive[number]
            assert timers.run_due() == len(due)
        else:
            number = len(ids) + 1
            action = lambda number=number: ran.append(number)  # noqa: E731
            interval = amount if step == "tick" else 0
            made = timers.tick(amount, action) if interval else timers.after(amount, action)
            assert made == number
            ids.append(made)
            alive[made] = (now + amount, interval)
        assert ran == expected
        assert len(timers) == len(alive)
        first = min((moment for moment, _ in alive.values()), default=None)
        assert timers.next_s() == (None if first is None else max(0.0, first - now))

"""Work that is done one piece behind: in order, one at a time, and its errors are not lost."""

from __future__ import annotations

from threading import Event, get_ident

import pytest

from netlab.engine.behind import Behind


@pytest.mark.parametrize("threads", [False, True])
def test_pieces_are_done_in_order_and_one_at_a_time(threads: bool) -> None:
    behind = Behind(threads=threads)
    seen: list[tuple[int, int]] = []
    for number in range(23):
        behind.start(lambda number=number: seen.append((number, get_ident())))  # type: ignore[misc]
    behind.close()
    assert [number for number, _ in seen] == list(range(23))
    (where,) = {thread for _, thread in seen}
    assert (where != get_ident()) == threads
    behind.close()  # once or more


def test_it_is_done_while_others_go_on() -> None:
    behind = Behind(threads=True)
    go, done = Event(), Event()

    def work() -> None:
        go.wait()
        done.set()

    behind.start(work)
    assert not done.is_set()
    go.set()
    behind.wait()
    assert done.is_set()
    behind.close()


@pytest.mark.parametrize("threads", [False, True])
def test_an_error_is_raised_by_who_waits_next(threads: bool) -> None:
    behind = Behind(threads=threads)

    def fail() -> None:
        raise ZeroDivisionError

    def begin_and_wait() -> None:
        behind.start(fail)
        behind.wait()

    with pytest.raises(ZeroDivisionError):
        begin_and_wait()
    behind.wait()  # it was told
    if threads:
        behind.start(fail)
        with pytest.raises(ZeroDivisionError):
            behind.start(lambda: None)
        behind.start(fail)
        with pytest.raises(ZeroDivisionError):
            behind.close()

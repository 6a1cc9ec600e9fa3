"""Each dispatch rule on its own, with workers missing, and its words when nobody is idle."""

from __future__ import annotations

import pytest

from netlab.model.errors import UsageError
from netlab.server.family.dispatch import CLOSE, DISCARD, FALL_BACK, NO_WORKER, Dispatcher
from netlab.server.terms import SESSION_SLOTS, DispatchKind

ALL = [0, 1, 2, 3]


def session(slot: int, serial: int = 1) -> int:
    return serial * SESSION_SLOTS + slot


class Reports:
    """What was reported, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.texts: list[str] = []

    def dispatcher(self, kind: DispatchKind, function: object = None) -> Dispatcher:
        return Dispatcher(kind, 4, function, self.texts.append, lambda: self.now_s)  # type: ignore[arg-type]


def test_round_takes_turns_whatever_the_session() -> None:
    dispatcher = Dispatcher(DispatchKind.ROUND, 4)
    assert [dispatcher.choose(session(7), ALL) for _ in range(6)] == [0, 1, 2, 3, 0, 1]


def test_round_steps_over_the_missing() -> None:
    dispatcher = Dispatcher(DispatchKind.ROUND, 4)
    assert [dispatcher.choose(1, [0, 2]) for _ in range(3)] == [0, 2, 0]
    assert [dispatcher.choose(1, ALL) for _ in range(3)] == [1, 2, 3]


def test_fixed_is_the_slot_of_the_session_not_its_serial() -> None:
    dispatcher = Dispatcher(DispatchKind.FIXED, 4)
    for serial in (1, 2, 99):
        chosen = [dispatcher.choose(session(slot, serial), ALL) for slot in range(8)]
        assert chosen == [0, 1, 2, 3, 0, 1, 2, 3]


def test_fixed_moves_only_those_whose_worker_is_missing() -> None:
    dispatcher = Dispatcher(DispatchKind.FIXED, 4)
    chosen = [dispatcher.choose(session(slot), [0, 2, 3]) for slot in range(8)]
    assert [chosen[slot] for slot in (0, 2, 3, 4, 6, 7)] == [0, 2, 3, 0, 2, 3]
    assert {chosen[1], chosen[5]} <= {0, 2, 3}
    assert dispatcher.choose(session(1), ALL) == 1  # back when it is


def test_the_number_of_workers_may_change() -> None:
    dispatcher = Dispatcher(DispatchKind.FIXED, 2)
    assert dispatcher.choose(session(3), [0, 1]) == 1
    dispatcher.workers = 4
    assert dispatcher.choose(session(3), ALL) == 3


def test_idle_prefers_the_idle_and_takes_turns_among_them() -> None:
    dispatcher = Dispatcher(DispatchKind.IDLE, 4)
    busy = {0: 2, 1: 0, 2: 1, 3: 0}
    assert [dispatcher.choose(1, ALL, busy=busy) for _ in range(3)] == [1, 3, 1]


def test_idle_counts_a_worker_that_is_not_mentioned_as_idle() -> None:
    dispatcher = Dispatcher(DispatchKind.IDLE, 4)
    assert dispatcher.choose(1, ALL, busy={0: 1, 1: 1, 3: 1}) == 2


def test_idle_falls_back_to_the_least_busy_and_says_so_once_a_second() -> None:
    reports = Reports()
    dispatcher = reports.dispatcher(DispatchKind.IDLE)
    busy = {0: 5, 1: 3, 2: 9, 3: 4}
    assert dispatcher.choose(1, ALL, busy=busy) == 1
    for reports.now_s in (0.1, 0.5, 0.999):
        assert dispatcher.choose(1, [0, 2, 3], busy=busy) == 3
    assert reports.texts == ["no idle worker: the least busy of 4 has 3 messages in hand"]
    reports.now_s = 1.0
    dispatcher.choose(1, [0, 2], busy=busy)
    assert len(reports.texts) == 2


def test_idle_says_nothing_while_somebody_is_idle() -> None:
    reports = Reports()
    dispatcher = reports.dispatcher(DispatchKind.IDLE)
    dispatcher.choose(1, ALL, busy={0: 5, 1: 5, 2: 5, 3: 0})
    assert reports.texts == []


def test_address_keeps_a_host_with_one_worker_and_spreads_hosts() -> None:
    dispatcher = Dispatcher(DispatchKind.ADDRESS, 4)
    hosts = [f"192.0.2.{number}" for number in range(200)] + ["2001:db8::1"]
    chosen = {host: dispatcher.choose(session(1), ALL, host=host) for host in hosts}
    assert chosen == {host: dispatcher.choose(session(2), ALL, host=host) for host in hosts}
    counts = [list(chosen.values()).count(slot) for slot in ALL]
    assert min(counts) > 25


def test_address_is_the_same_in_every_run() -> None:
    """crc32("192.0.2.1") % 4, not Python's hash, which each process salts anew."""
    assert Dispatcher(DispatchKind.ADDRESS, 4).choose(1, ALL, host="192.0.2.1") == 3


def test_a_unix_client_has_no_address_and_is_fixed() -> None:
    dispatcher = Dispatcher(DispatchKind.ADDRESS, 4)
    assert [dispatcher.choose(session(slot), ALL) for slot in ALL] == ALL


def test_bound_goes_by_uid_and_before_that_is_fixed() -> None:
    dispatcher = Dispatcher(DispatchKind.BOUND, 4)
    assert dispatcher.choose(session(1), ALL) == 1
    assert dispatcher.choose(session(1), ALL, uid=0) == 0
    assert dispatcher.choose(session(2), ALL, uid=7) == 3
    assert dispatcher.choose(session(2), ALL, uid=-1) == 3


def test_a_function_sees_session_and_message_and_decides() -> None:
    seen: list[tuple[int, bytes]] = []

    def choose(session: int, data: bytes) -> int:
        seen.append((session, data))
        return 2

    dispatcher = Reports().dispatcher(DispatchKind.FUNCTION, choose)
    assert dispatcher.choose(session(5), ALL, data=b"message") == 2
    assert seen == [(session(5), b"message")]


@pytest.mark.parametrize("answer", [DISCARD, CLOSE])
def test_a_function_may_discard_and_close(answer: int) -> None:
    reports = Reports()
    dispatcher = reports.dispatcher(DispatchKind.FUNCTION, lambda session, data: answer)
    assert dispatcher.choose(session(1), ALL) == answer
    assert reports.texts == []


def test_a_function_may_leave_it_to_us() -> None:
    reports = Reports()
    dispatcher = reports.dispatcher(DispatchKind.FUNCTION, lambda session, data: FALL_BACK)
    assert dispatcher.choose(session(6), ALL) == 2
    assert reports.texts == []


@pytest.mark.parametrize("answer", [4, -4, -99, None, "1"])
def test_a_function_that_names_no_live_worker_is_told_off_once_a_second(answer: object) -> None:
    reports = Reports()
    dispatcher = reports.dispatcher(DispatchKind.FUNCTION, lambda session, data: answer)
    for reports.now_s in (0.0, 0.5, 1.5):
        assert dispatcher.choose(session(6), ALL) == 2
    assert len(reports.texts) == 2
    assert f"returned {answer!r}" in reports.texts[0]


def test_by_function_without_a_function_is_refused() -> None:
    with pytest.raises(UsageError, match="dispatch_func"):
        Dispatcher(DispatchKind.FUNCTION, 4)


@pytest.mark.parametrize("kind", DispatchKind)
def test_without_a_live_worker_there_is_none(kind: DispatchKind) -> None:
    dispatcher = Reports().dispatcher(kind, lambda session, data: 0)
    assert dispatcher.choose(session(1), [], busy={0: 1}) == NO_WORKER


def test_the_kinds_that_keep_order() -> None:
    assert [str(kind) for kind in DispatchKind if kind.keeps_order] == ["fixed", "address", "bound"]

"""Messenger, switchboard and parcels: who hears what, also while somebody waits."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest

from netlab.model.errors import UsageError
from netlab.server.messages import messenger
from netlab.server.messages.envelope import Envelope, Kind
from netlab.server.messages.messenger import FAILED, LAST, MORE, Messenger, Refused
from netlab.server.messages.parcel import packet_from, parcel_from, parcel_from_packet, value_from
from netlab.server.shared.counters import Counter, Counters
from netlab.server.terms import Client, SendError


@pytest.mark.parametrize(
    "value", [None, b"", b"bytes", "", "text \udcff", 0, [1, {"a": (2.5, None)}], Client(("h", 1))]
)
def test_values_travel(value: object) -> None:
    assert value_from(parcel_from(value)) == value


def test_what_cannot_travel_says_so() -> None:
    with pytest.raises(UsageError, match="a lock cannot pass between processes"):
        parcel_from(threading.Lock())


@pytest.mark.parametrize(
    "address", [("127.0.0.1", 80), ("::1", 80, 0, 0), "/path", b"\0abstract\xff", None]
)
@pytest.mark.parametrize("data", [b"", b"data", bytes(65507)])
def test_datagrams_travel(address: Any, data: bytes) -> None:
    client = Client(address, 3)
    assert packet_from(parcel_from_packet(client, data)) == (client, data)


class _Desk:
    """A messenger with a wire that the test holds, and what it heard."""

    def __init__(self, name: str = "worker-0", generation: int = 1) -> None:
        self.row = Counters(1).row(0)
        self.sent: list[Envelope] = []
        self.coming: deque[list[Envelope]] = deque()
        self.heard: list[tuple[Any, ...]] = []
        self.deferred: list[Any] = []
        self.messenger = Messenger(name, generation, self, self, self.row, self.deferred.append)

    def post(self, envelope: Envelope) -> None:
        self.sent.append(envelope)

    def listen(self, timeout_s: float) -> list[Envelope]:
        return self.coming.popleft() if self.coming else []

    def message(self, source: str, value: Any) -> None:
        self.heard.append(("message", source, value))

    def finished(self, task_id: int, value: Any) -> None:
        self.heard.append(("finished", task_id, value))

    def task_lost(self, task_id: int) -> None:
        self.heard.append(("lost", task_id))

    def question(self, name: str, argument: Any) -> Any:
        if name == "bad":
            raise Refused(SendError.NO_SUCH_TARGET)
        return name, argument

    def other(self, envelope: Envelope) -> None:
        self.heard.append(("other", envelope.kind))

    @property
    def tasks(self) -> int:
        count: int = self.row[Counter.TASKING_NUM]
        return count


def finish(number: int, value: object, last: int = LAST) -> Envelope:
    return Envelope(Kind.FINISH, "task-0", "worker-0", last, 0, number, parcel_from(value))


def message(value: object) -> Envelope:
    return Envelope(Kind.MESSAGE, "master", "worker-0", payload=parcel_from(value))


def test_a_task_is_counted_until_its_last_result() -> None:
    desk = _Desk()
    number = desk.messenger.task("work", 3)
    (sent,) = desk.sent
    assert (sent.kind, sent.target, value_from(sent.payload)) == (Kind.TASK, "task-3", "work")
    assert desk.tasks == desk.messenger.tasks_out == 1
    desk.messenger.handle(finish(number, 1, MORE))
    assert desk.tasks == 1
    desk.messenger.handle(finish(number, None))
    assert desk.tasks == desk.messenger.tasks_out == 0
    assert desk.heard == [("finished", number, 1)]


def test_no_more_is_given_away_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messenger, "TASKS_AT_ONCE", 3)
    monkeypatch.setattr(messenger, "TASK_BYTES_AT_ONCE", 100)
    desk = _Desk()
    first = desk.messenger.task(bytes(80))
    with pytest.raises(Refused, match="QUEUE_FULL"):
        desk.messenger.task(bytes(20))
    desk.messenger.task(b"")
    desk.messenger.task(b"")
    with pytest.raises(Refused, match="QUEUE_FULL"):
        desk.messenger.task(b"")
    desk.messenger.handle(finish(first, None))
    assert desk.messenger.task(bytes(90))
    assert desk.tasks == 3


def test_what_no_channel_carries_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messenger, "MESSAGE_LIMIT_BYTES", 100)
    desk = _Desk()
    for give in (desk.messenger.task, lambda value: desk.messenger.send_message("master", value)):
        with pytest.raises(Refused, match="MESSAGE_TOO_LARGE"):
            give(bytes(100))
    assert (desk.tasks, desk.sent) == (0, [])


def test_results_of_a_forebears_tasks_are_told_and_not_counted() -> None:
    old, new = _Desk(), _Desk(generation=2)
    number = old.messenger.task("work")
    assert new.messenger.task("other") != number
    new.messenger.handle(finish(number, 5))
    assert new.heard == [("finished", number, 5)]
    assert new.tasks == 1


def test_who_waits_for_a_task_hears_the_rest_afterwards_in_order() -> None:
    desk = _Desk()
    desk.coming += [
        [message("first")],
        [message("second"), finish(1, "result"), message("third")],
    ]
    assert desk.messenger.task_wait("work", 5.0) == "result"
    assert desk.heard == []
    for action in desk.deferred:
        action()
    assert [heard[2] for heard in desk.heard] == ["first", "second", "third"]
    assert desk.tasks == 0


def test_who_waits_answers_questions_at_once() -> None:
    desk = _Desk()
    ask = Envelope(Kind.ASK, "worker-1", "worker-0", 0, 0, 9, parcel_from(("name", 5)))
    bad = Envelope(Kind.ASK, "worker-1", "worker-0", 0, 0, 10, parcel_from(("bad", None)))
    desk.coming += [[ask, bad], [finish(1, "result")]]
    assert desk.messenger.task_wait("work", 5.0) == "result"
    good, refused = desk.sent[1:]
    assert (good.target, good.number, value_from(good.payload)) == ("worker-1", 9, ("name", 5))
    assert (refused.session, value_from(refused.payload)) == (FAILED, "NO_SUCH_TARGET")


def test_a_task_that_is_late_lost_or_refused() -> None:
    desk = _Desk()
    with pytest.raises(Refused) as late:
        desk.messenger.task_wait("work", 0.0)
    assert late.value.error is SendError.TIMED_OUT
    assert desk.tasks == 1
    desk.coming.append([Envelope(Kind.TASK_LOST, "", "worker-0", number=2)])
    with pytest.raises(Refused) as lost:
        desk.messenger.task_wait("work", 5.0)
    assert lost.value.error is SendError.WORKER_DIED
    with pytest.raises(UsageError):
        desk.messenger.task(threading.Lock())
    assert desk.tasks == 1
    desk.messenger.handle(finish(1, "too late"))
    assert desk.tasks == 0


def test_the_result_of_a_task_that_nobody_waits_for_any_more_is_told_to_nobody() -> None:
    desk = _Desk()
    with pytest.raises(Refused):
        desk.messenger.task_wait("work", 0.0)
    desk.messenger.handle(finish(1, "too late"))
    assert desk.heard == []


def test_a_question_and_its_answers() -> None:
    desk = _Desk()
    answer = Envelope(Kind.ANSWER, "master", "worker-0", 0, 0, 1, parcel_from({"a": 1}))
    desk.coming.append([answer])
    assert desk.messenger.ask("master", "stats") == {"a": 1}
    no = Envelope(Kind.ANSWER, "master", "worker-0", FAILED, 0, 2, parcel_from("NO_SUCH_TARGET"))
    desk.coming.append([no])
    with pytest.raises(Refused) as refused:
        desk.messenger.ask("worker-9", "stats")
    assert refused.value.error is SendError.NO_SUCH_TARGET
    assert desk.messenger.ask("worker-0", "stats", 5) == ("stats", 5)  # itself
    desk.messenger.handle(answer)  # too late, and for nobody
    assert desk.heard == []


def test_a_message_to_itself_comes_later() -> None:
    desk = _Desk()
    desk.messenger.send_message("worker-0", "hello")
    assert (desk.heard, desk.sent) == ([], [])
    desk.deferred.pop()()
    assert desk.heard == [("message", "worker-0", "hello")]


def test_work_that_came_while_somebody_waited_is_done_afterwards() -> None:
    desk = _Desk()
    desk.coming.append([Envelope(Kind.RECEIVE, "", ""), finish(1, 2)])
    assert desk.messenger.task_wait("work", 5.0) == 2
    desk.deferred.pop()()
    assert desk.heard == [("other", Kind.RECEIVE)]

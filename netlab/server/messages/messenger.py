"""What one process says to the others and hears from them: tasks, messages, questions.

The same in every role; what differs is the `Wire`: a child has one line to the hub, the hub has one
to every child. Who waits for an answer blocks: what comes meanwhile and is not the answer is dealt
with afterwards, in order, but for questions, which are answered at once, so that two who ask each
other do not wait for ever. Read first: envelope.py.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from netlab.server.messages.envelope import HEAD_BYTES, MESSAGE_LIMIT_BYTES, Envelope, Kind
from netlab.server.messages.parcel import parcel_from, value_from
from netlab.server.shared.counters import Counter
from netlab.server.terms import SendError

TASKS_AT_ONCE = 4096  # that one process may have given away
TASK_BYTES_AT_ONCE = 256 << 20  # in them together
ANSWER_WITHIN_S = 2.0
MORE, LAST = 0, 1  # in the `session` of a FINISH: whether the task goes on
ANSWERED, FAILED = 0, 1  # in the `session` of an ANSWER

_TO_US = frozenset({Kind.FINISH, Kind.TASK_LOST, Kind.MESSAGE, Kind.ANSWER, Kind.ASK})


class Refused(Exception):
    """A verb cannot be carried out; what `last_error` is to say."""

    def __init__(self, error: SendError) -> None:
        super().__init__(str(error))
        self.error = error


class Wire(Protocol):
    """How envelopes leave this process, and how to wait for those that come."""

    def post(self, envelope: Envelope) -> None:
        """Send one on its way. Raises Refused."""
        ...

    def listen(self, timeout_s: float) -> list[Envelope]:
        """Block until something came for this process, or the time is over. Raises Refused when
        nothing will come any more."""
        ...


class Hears(Protocol):
    """Whom the messenger tells."""

    def message(self, source: str, value: Any) -> None: ...
    def finished(self, task_id: int, value: Any) -> None: ...
    def task_lost(self, task_id: int) -> None: ...
    def question(self, name: str, argument: Any) -> Any: ...
    def other(self, envelope: Envelope) -> None: ...


class Messenger:
    """Sends and sorts; `name` is the process's own."""

    def __init__(
        self,
        name: str,
        generation: int,
        wire: Wire,
        hears: Hears,
        row: memoryview,
        defer: Callable[[Callable[[], object]], None],
    ) -> None:
        self.name = name
        self._wire = wire
        self._hears = hears
        self._row = row
        self._defer = defer
        self._last_number = (generation - 1) << 32  # a successor may hear of its forebear's tasks
        self._tasks: dict[int, int] = {}  # given away, not finished, and their sizes
        self._task_bytes = 0
        self._given_up: set[int] = set()  # of those: nobody waits for the result any more
        self._awaited: dict[int, Envelope | None] = {}
        self._later: list[Envelope] = []

    @property
    def tasks_out(self) -> int:
        """How many tasks were given away and are not finished."""
        return len(self._tasks)

    def task(self, value: object, worker: int | None = None) -> int:
        """Give a task away; its number. Raises Refused, UsageError."""
        payload = _parcel(value)
        size = len(payload)
        if len(self._tasks) >= TASKS_AT_ONCE or self._task_bytes + size > TASK_BYTES_AT_ONCE:
            raise Refused(SendError.QUEUE_FULL)
        number = self._number()
        target = "" if worker is None else f"task-{worker}"
        self._tasks[number] = size
        self._task_bytes += size
        self._row[Counter.TASKING_NUM] += 1
        try:
            self._wire.post(Envelope(Kind.TASK, self.name, target, number=number, payload=payload))
        except BaseException:
            self._task_over(number)
            raise
        return number

    def task_wait(self, value: object, timeout_s: float, worker: int | None = None) -> Any:
        """Give a task away and wait for its result. Raises Refused (TIMED_OUT, WORKER_DIED)."""
        number = self.task(value, worker)
        try:
            answer = self._wait(number, timeout_s)
        except Refused:
            self._given_up.add(number)
            raise
        if answer.kind == Kind.TASK_LOST:
            raise Refused(SendError.WORKER_DIED)
        return value_from(answer.payload)

    def send_message(self, target: str, value: object) -> None:
        """Let another process hear `value`. Raises Refused, UsageError."""
        envelope = Envelope(Kind.MESSAGE, self.name, target, payload=_parcel(value))
        self._row[Counter.MESSAGE_COUNT] += 1
        if target == self.name:
            self._defer(lambda: self.handle(envelope))
        else:
            self._wire.post(envelope)

    def ask(
        self,
        target: str,
        name: str,
        argument: object = None,
        timeout_s: float = ANSWER_WITHIN_S,
        session: int = 0,
    ) -> Any:
        """What `target` (or who owns `session`) answers. Raises Refused."""
        if target == self.name:
            return self._hears.question(name, argument)
        number = self._number()
        payload = parcel_from((name, argument))
        self._awaited[number] = None
        try:
            self._wire.post(Envelope(Kind.ASK, self.name, target, session, 0, number, payload))
        except BaseException:
            del self._awaited[number]
            raise
        answer = self._wait(number, timeout_s)
        if answer.session == FAILED:
            raise Refused(SendError(value_from(answer.payload)))
        return value_from(answer.payload)

    def finish(self, target: str, number: int, value: object, *, last: bool) -> None:
        """Tell who gave a task away what came of it. Raises Refused, UsageError."""
        self._wire.post(
            Envelope(
                Kind.FINISH, self.name, target, LAST if last else MORE, 0, number,
                parcel_from(value),
            )
        )  # fmt: skip

    def handle(self, envelope: Envelope) -> None:
        """Deal with what came for this process."""
        kind, number = envelope.kind, envelope.number
        if number in self._awaited and kind in (Kind.ANSWER, Kind.FINISH, Kind.TASK_LOST):
            self._sort(envelope)
        elif kind == Kind.MESSAGE:
            self._hears.message(envelope.source, value_from(envelope.payload))
        elif kind == Kind.ASK:
            self._answer(envelope)
        elif kind == Kind.FINISH:
            wanted = number not in self._given_up
            if envelope.session == LAST:
                self._task_over(number)
            if envelope.payload and wanted:
                self._hears.finished(number, value_from(envelope.payload))
        elif kind == Kind.TASK_LOST:
            self._task_over(number)
            self._hears.task_lost(number)
        elif kind != Kind.ANSWER:  # that one is too late: nobody waits any more
            self._hears.other(envelope)

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _task_over(self, number: int) -> None:
        self._given_up.discard(number)
        if number in self._tasks:
            self._task_bytes -= self._tasks.pop(number)
            self._row[Counter.TASKING_NUM] -= 1

    def _wait(self, number: int, timeout_s: float) -> Envelope:
        deadline_s = monotonic() + timeout_s
        self._awaited.setdefault(number, None)  # in the hub it may be there already
        try:
            while True:
                answer = self._awaited[number]
                if answer is not None:
                    return answer
                left_s = deadline_s - monotonic()
                if left_s <= 0:
                    raise Refused(SendError.TIMED_OUT)
                for envelope in self._wire.listen(left_s):
                    self._sort(envelope)
        finally:
            del self._awaited[number]

    def _sort(self, envelope: Envelope) -> None:
        """While waiting: the answer, a question, or something for later."""
        kind, number = envelope.kind, envelope.number
        if kind == Kind.ASK:
            self._answer(envelope)
        elif kind in (Kind.ANSWER, Kind.FINISH, Kind.TASK_LOST) and number in self._awaited:
            if self._awaited[number] is None:
                self._awaited[number] = envelope
            if kind == Kind.TASK_LOST or (kind == Kind.FINISH and envelope.session == LAST):
                self._task_over(number)
        else:
            if not self._later:
                self._defer(self._catch_up)
            self._later.append(envelope)

    def _catch_up(self) -> None:
        while self._later:
            self.handle(self._later.pop(0))

    def _answer(self, envelope: Envelope) -> None:
        name, argument = value_from(envelope.payload)
        flag = ANSWERED
        try:
            value = self._hears.question(name, argument)
        except Refused as refused:
            flag, value = FAILED, str(refused.error)
        self._wire.post(
            Envelope(
                Kind.ANSWER, self.name, envelope.source, flag, 0, envelope.number,
                parcel_from(value),
            )
        )  # fmt: skip


def _parcel(value: object) -> bytes:
    """What any channel carries. Raises Refused, UsageError."""
    payload = parcel_from(value)
    if len(payload) > MESSAGE_LIMIT_BYTES - HEAD_BYTES:
        raise Refused(SendError.MESSAGE_TOO_LARGE)
    return payload


def is_for_messenger(kind: int) -> bool:
    """Whether `handle` of a messenger deals with this kind in every role."""
    return kind in _TO_US

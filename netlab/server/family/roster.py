"""Who is on duty: what happened to the children in, what to do about it out. No I/O, no clock.

A slot is a name (worker-1, task-0) that somebody is to answer to; a member is one process that has
it, with a generation number. A member is *coming* from its fork until it says it is ready,
*serving* until another takes over or it dies, *leaving* until it is gone. A reload replaces slot by
slot: the new one must be ready before the old one is asked to leave, and the old one gone before
the next slot's turn. Each event method returns the actions to carry out, in order. Events:

    boot started not_started ready died wants_to_leave reload stop quit more less tick

Read first: roster_actions.py. The state diagram is the table in tests/unit/server/family/
test_roster.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from netlab.server.family.roster_actions import (
    Action,
    Booted,
    Finished,
    Kill,
    Leave,
    Member,
    ReloadBegins,
    ReloadEnds,
    Resize,
    Role,
    Say,
    Serve,
    Start,
)
from netlab.server.terms import SIDE_BY_SIDE

FIRST_BACK_OFF_S: Final = 0.1
LONGEST_BACK_OFF_S: Final = 5.0
SHORT_LIFE_S: Final = 1.0  # who dies younger is started again only after a pause
LATE_S: Final = 1.0  # beyond drain_timeout, in which a member gives up by itself

EXIT_CLEAN: Final = 0
EXIT_FORCED: Final = 1
EXIT_CANNOT_BOOT: Final = 3


@dataclass(slots=True)
class _Slot:
    name: str
    role: Role
    number: int
    wanted: bool = True
    generation: int = 0
    serving: Member | None = None
    coming: Member | None = None
    leaving: list[Member] = field(default_factory=list)
    failures: int = 0  # in a row: died before ready
    short_lives: int = 0  # in a row
    retry_at_s: float | None = None
    start_due: bool = False  # as soon as one that is here has left
    starting: bool = False  # it is on its way to the fork

    def members(self) -> Iterator[Member]:
        yield from (member for member in (self.serving, self.coming) if member is not None)
        yield from self.leaving


def back_off_s(times: int) -> float:
    """The pause before a child is started again that failed so many times in a row."""
    return min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0 ** (min(times, 10) - 1))


class Roster:
    """Decides; who owns it carries out."""

    def __init__(
        self,
        workers: int,
        tasks: int,
        *,
        drain_timeout_s: float,
        boot_fail_limit: int,
        most_workers: int,
    ) -> None:
        self._slots = {
            f"{role}-{number}": _Slot(f"{role}-{number}", role, number)
            for role, count in ((Role.WORKER, workers), (Role.TASK, tasks))
            for number in range(count)
        }
        self._patience_s = drain_timeout_s + LATE_S
        self._boot_fail_limit = boot_fail_limit
        self._most_workers = most_workers
        self._by_pid: dict[int, _Slot] = {}
        self._queue: list[_Slot] = []  # that still have to be reloaded
        self._reloading: _Slot | None = None
        self._reload_runs = False
        self._exit_status = EXIT_CLEAN
        self._tasks_told = False
        self.booted = False
        self.stopping = False
        self.finished = False

    def boot(self, now_s: float) -> list[Action]:
        """Begin: everybody is started."""
        actions: list[Action] = []
        for slot in self._slots.values():
            actions += self._start(slot)
        return actions

    def started(self, start: Start, pid: int, now_s: float) -> list[Action]:
        """The fork was done."""
        slot = self._slots[start.name]
        slot.starting = False
        slot.coming = Member(start.name, start.role, start.number, start.generation, pid, now_s)
        self._by_pid[pid] = slot
        if self.stopping:
            slot.coming.deadline_s = now_s + self._patience_s
        return []

    def not_started(self, start: Start, now_s: float) -> list[Action]:
        """The fork failed: the machine has no room. Those who run go on."""
        slot = self._slots[start.name]
        slot.starting = False
        if not self.booted:
            return self._give_up(now_s)
        slot.failures += 1
        slot.retry_at_s = now_s + back_off_s(slot.failures)
        return []

    def ready(self, pid: int, now_s: float) -> list[Action]:
        """A child has booted."""
        slot = self._by_pid.get(pid)
        if slot is None or slot.coming is None or slot.coming.pid != pid:
            return []
        new, old = slot.coming, slot.serving
        slot.coming = None
        new.since_s = now_s
        if self.stopping or not slot.wanted:
            return self._leave(slot, new, None, now_s)
        slot.serving = new
        slot.failures = 0
        if not self.booted:
            if any(other.serving is None for other in self._slots.values()):
                return []
            self.booted = True
            everybody = [slot.serving for slot in self._slots.values() if slot.serving is not None]
            return [*map(Serve, everybody), Booted()]
        actions: list[Action] = [Serve(new)]
        if old is not None:
            actions += self._leave(slot, old, new, now_s)
        return actions + self._go_on_reloading()

    def died(self, pid: int, now_s: float) -> list[Action]:
        """A child is gone, whatever the cause."""
        slot = self._by_pid.pop(pid, None)
        if slot is None:
            return []
        member = next(member for member in slot.members() if member.pid == pid)
        if slot.serving is member:
            slot.serving = None
            actions = self._after_death_on_duty(slot, member, now_s)
        elif slot.coming is member:
            slot.coming = None
            actions = self._after_boot_failure(slot, now_s)
        else:
            slot.leaving.remove(member)
            actions = self._start_who_waits(slot)
        return actions + self._go_on_reloading() + self._go_on_stopping(now_s)

    def wants_to_leave(self, pid: int, now_s: float) -> list[Action]:
        """A serving child asks to be relieved (max_requests, TERM): another is started first."""
        slot = self._by_pid.get(pid)
        if slot is None or slot.serving is None or slot.serving.pid != pid:
            return []
        if self.stopping or slot.coming is not None or not slot.wanted:
            return []
        return self._start(slot)

    def reload(self, tasks_only: bool) -> list[Action]:
        """Replace everybody, or all task workers, one by one."""
        if self.stopping or not self.booted:
            return [Say("no reload while the server starts or stops")]
        for slot in self._slots.values():
            due = slot.wanted and (slot.role is Role.TASK or not tasks_only)
            if due and slot not in self._queue:
                self._queue.append(slot)
        actions: list[Action] = [] if self._reload_runs else [ReloadBegins()]
        self._reload_runs = True
        return actions + self._go_on_reloading()

    def stop(self, now_s: float) -> list[Action]:
        """Let everybody finish: the workers first, as they may wait for tasks."""
        if self.stopping:
            return []
        self.stopping = True
        self._queue.clear()
        self._reloading = None
        actions: list[Action] = [ReloadEnds()] if self._reload_runs else []
        self._reload_runs = False
        for slot in self._slots.values():
            slot.retry_at_s = None
            if slot.role is Role.WORKER:
                actions += self._dismiss(slot, now_s)
        return actions + self._go_on_stopping(now_s)

    def quit(self, now_s: float) -> list[Action]:
        """Everybody ends now."""
        self._exit_status = max(self._exit_status, EXIT_FORCED)
        told = self.stop(now_s)
        self._tasks_told = True
        actions: list[Action] = [Kill(member) for member in self.everybody()]
        return actions + [action for action in told if not isinstance(action, Leave)]

    def more(self) -> list[Action]:
        """One worker more."""
        workers = self._workers()
        number = len(workers)
        if self.stopping or not self.booted or number >= self._most_workers:
            return [Say(f"no more workers: {number} of at most {self._most_workers}")]
        name = f"{Role.WORKER}-{number}"
        slot = self._slots.setdefault(name, _Slot(name, Role.WORKER, number))
        slot.wanted = True
        return [Resize(number + 1), *self._start(slot)]

    def less(self, now_s: float) -> list[Action]:
        """One worker less, the last; one always stays."""
        workers = self._workers()
        if self.stopping or not self.booted or len(workers) == 1:
            return [Say("no fewer workers")]
        slot = workers[-1]
        slot.wanted = slot.start_due = False
        slot.retry_at_s = None
        if slot in self._queue:
            self._queue.remove(slot)
        actions: list[Action] = [Resize(len(workers) - 1), *self._dismiss(slot, now_s)]
        return actions + self._go_on_reloading()

    def tick(self, now_s: float) -> list[Action]:
        """Time has passed: start whose pause is over, kill who is late."""
        actions: list[Action] = []
        for slot in self._slots.values():
            if slot.retry_at_s is not None and slot.retry_at_s <= now_s:
                slot.retry_at_s = None
                actions += self._start(slot)
            for member in slot.members():
                if member.deadline_s is not None and member.deadline_s <= now_s:
                    member.deadline_s = None
                    if self.stopping:
                        self._exit_status = max(self._exit_status, EXIT_FORCED)
                    actions.append(Kill(member, late=True))
        return actions

    def next_s(self, now_s: float) -> float | None:
        """Seconds until `tick` has something to do."""
        moments = [slot.retry_at_s for slot in self._slots.values()]
        moments += [member.deadline_s for member in self.everybody()]
        due = [moment for moment in moments if moment is not None]
        return max(0.0, min(due) - now_s) if due else None

    def member(self, pid: int) -> Member | None:
        """The living child with this pid."""
        slot = self._by_pid.get(pid)
        if slot is None:
            return None
        return next(member for member in slot.members() if member.pid == pid)

    def serving(self) -> list[Member]:
        """Who is on duty now."""
        return [slot.serving for slot in self._slots.values() if slot.serving is not None]

    def everybody(self) -> Iterator[Member]:
        """Every child that lives."""
        for slot in self._slots.values():
            yield from slot.members()

    @property
    def workers(self) -> int:
        """How many workers are wanted."""
        return len(self._workers())

    def _workers(self) -> list[_Slot]:
        return [slot for slot in self._slots.values() if slot.role is Role.WORKER and slot.wanted]

    def _start(self, slot: _Slot) -> list[Action]:
        """Of those who live side by side each has a row of counters and a share of the sessions of
        its own, by its generation: one more than there are has to wait."""
        if self.stopping:
            return []
        taken = {member.generation % SIDE_BY_SIDE for member in slot.members()}
        slot.start_due = len(taken) == SIDE_BY_SIDE
        if slot.start_due:
            return []
        slot.generation += 1
        while slot.generation % SIDE_BY_SIDE in taken:
            slot.generation += 1
        slot.retry_at_s = None
        slot.starting = True
        return [Start(slot.name, slot.role, slot.number, slot.generation)]

    def _start_who_waits(self, slot: _Slot) -> list[Action]:
        if not slot.start_due or not slot.wanted or slot.coming is not None:
            return []
        return self._start(slot)

    def _leave(
        self, slot: _Slot, member: Member, heir: Member | None, now_s: float
    ) -> list[Action]:
        member.deadline_s = now_s + self._patience_s
        slot.leaving.append(member)
        return [Leave(member, heir)]

    def _dismiss(self, slot: _Slot, now_s: float) -> list[Action]:
        """Nobody is wanted here any more. One that is coming is asked when it is ready."""
        if slot.coming is not None:
            slot.coming.deadline_s = now_s + self._patience_s
        if slot.serving is None:
            return []
        member, slot.serving = slot.serving, None
        return self._leave(slot, member, None, now_s)

    def _after_death_on_duty(self, slot: _Slot, member: Member, now_s: float) -> list[Action]:
        if self.stopping or not slot.wanted or slot.coming is not None:
            return []
        if not self.booted:
            return self._give_up(now_s)
        if now_s - member.since_s >= SHORT_LIFE_S:
            slot.short_lives = 0
            return self._start(slot)
        slot.short_lives += 1
        slot.retry_at_s = now_s + back_off_s(slot.short_lives)
        return []

    def _after_boot_failure(self, slot: _Slot, now_s: float) -> list[Action]:
        if self.stopping or not slot.wanted:
            return []
        if not self.booted:
            return self._give_up(now_s)
        slot.failures += 1
        if slot.failures < self._boot_fail_limit:
            slot.retry_at_s = now_s + back_off_s(slot.failures)
            return []
        if slot.serving is None:
            return self._give_up(now_s)
        slot.failures = 0
        self._queue.clear()
        if self._reloading is slot:
            self._reloading = None
        return [Say(f"{slot.name}: its successor does not boot, the old one goes on")]

    def _give_up(self, now_s: float) -> list[Action]:
        """The workers cannot boot: nobody is to serve a part of the work only."""
        self._exit_status = EXIT_CANNOT_BOOT
        return self.stop(now_s)

    def _go_on_reloading(self) -> list[Action]:
        """Take the next slot if the last one is done; say when there is none."""
        if not self._reload_runs:
            return []
        slot = self._reloading
        if slot is not None and slot.wanted and self._is_under_way(slot):
            return []
        self._reloading = None
        actions: list[Action] = []
        while self._queue:
            slot = self._queue.pop(0)
            if slot.serving is None and slot.coming is None:
                continue  # it died: who comes next is new anyway
            self._reloading = slot
            if slot.coming is None:
                actions += self._start(slot)
            return actions
        self._reload_runs = False
        return [ReloadEnds()]

    def _is_under_way(self, slot: _Slot) -> bool:
        waits = slot.start_due or slot.starting or slot.retry_at_s is not None
        return bool(slot.coming is not None or slot.leaving or waits)

    def _go_on_stopping(self, now_s: float) -> list[Action]:
        """When the workers are gone, ask the task workers; when those are, we are finished."""
        if not self.stopping or self.finished:
            return []
        everybody = list(self.everybody())
        if any(member.role is Role.WORKER for member in everybody):
            return []
        actions: list[Action] = []
        if not self._tasks_told:
            self._tasks_told = True
            for slot in self._slots.values():
                actions += self._dismiss(slot, now_s)
        if not everybody:
            self.finished = True
            actions.append(Finished(self._exit_status))
        return actions

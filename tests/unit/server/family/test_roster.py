"""The roster as a table: each story is a list of (what happened, what is to be done about it).

A child is written worker-0#2: slot and generation. The clock is in the events ("+1.5" = later).
"""

from __future__ import annotations

import pytest

from netlab.server.family import roster, roster_actions
from netlab.server.family.roster import Roster
from netlab.server.family.roster_actions import (
    Action,
    Member,
)

Story = list[tuple[str, str]]

BOOT: Story = [
    ("boot", "start worker-0#1, start worker-1#1, start task-0#1"),
    ("ready worker-0#1", ""),
    ("ready task-0#1", ""),
    ("ready worker-1#1", "serve worker-0#1, serve worker-1#1, serve task-0#1, booted"),
    ("+10", ""),
]

STORIES: dict[str, Story] = {
    "nobody serves before all are ready": BOOT,
    "a child that dies while the others boot stops all": [
        ("boot", "start worker-0#1, start worker-1#1, start task-0#1"),
        ("ready worker-0#1", ""),
        ("died worker-1#1", "leave worker-0#1"),
        ("ready task-0#1", "leave task-0#1"),
        ("died worker-0#1", ""),
        ("died task-0#1", "finished 3"),
    ],
    "a ready child that dies while the others boot stops all": [
        ("boot", "start worker-0#1, start worker-1#1, start task-0#1"),
        ("ready worker-0#1", ""),
        ("died worker-0#1", ""),
        ("ready worker-1#1", "leave worker-1#1"),
        ("died worker-1#1", ""),
        ("died task-0#1", "finished 3"),
    ],
    "no fork while booting": [
        ("boot without fork", "start worker-0#1, finished 3"),
    ],
    "one killed comes back at once": [
        *BOOT,
        ("died worker-1#1", "start worker-1#2"),
        ("ready worker-1#2", "serve worker-1#2"),
    ],
    "several killed at once all come back": [
        *BOOT,
        ("died worker-0#1", "start worker-0#2"),
        ("died worker-1#1", "start worker-1#2"),
        ("died task-0#1", "start task-0#2"),
        ("ready worker-1#2", "serve worker-1#2"),
        ("ready worker-0#2", "serve worker-0#2"),
        ("ready task-0#2", "serve task-0#2"),
    ],
    "a short life is followed by a pause, which doubles": [
        *BOOT,
        ("died worker-0#1", "start worker-0#2"),
        ("ready worker-0#2", "serve worker-0#2"),
        ("+0.5", ""),
        ("died worker-0#2", ""),
        ("+0.09", ""),
        ("+0.02", "start worker-0#3"),
        ("ready worker-0#3", "serve worker-0#3"),
        ("died worker-0#3", ""),
        ("+0.19", ""),
        ("+0.02", "start worker-0#4"),
        ("ready worker-0#4", "serve worker-0#4"),
        ("+1", ""),
        ("died worker-0#4", "start worker-0#5"),
    ],
    "who cannot boot again and again stops all": [
        *BOOT,
        ("died worker-0#1", "start worker-0#2"),
        ("died worker-0#2", ""),
        ("+0.1", "start worker-0#3"),
        ("died worker-0#3", ""),
        ("+0.2", "start worker-0#4"),
        ("died worker-0#4", "leave worker-1#1"),
        ("died worker-1#1", "leave task-0#1"),
        ("died task-0#1", "finished 3"),
    ],
    "no fork later: those who run go on": [
        *BOOT,
        ("died worker-0#1 without fork", "start worker-0#2"),
        ("+0.11 without fork", "start worker-0#3"),
        ("+0.21", "start worker-0#4"),
        ("ready worker-0#4", "serve worker-0#4"),
    ],
    "reload: slot by slot, the new one first, the next when the old one is gone": [
        *BOOT,
        ("reload", "reload begins, start worker-0#2"),
        ("ready worker-0#2", "serve worker-0#2, leave worker-0#1 > worker-0#2"),
        ("died worker-0#1", "start worker-1#2"),
        ("ready worker-1#2", "serve worker-1#2, leave worker-1#1 > worker-1#2"),
        ("died worker-1#1", "start task-0#2"),
        ("ready task-0#2", "serve task-0#2, leave task-0#1 > task-0#2"),
        ("died task-0#1", "reload ends"),
        ("reload", "reload begins, start worker-0#3"),
    ],
    "reload of task workers only": [
        *BOOT,
        ("reload tasks", "reload begins, start task-0#2"),
        ("ready task-0#2", "serve task-0#2, leave task-0#1 > task-0#2"),
        ("died task-0#1", "reload ends"),
    ],
    "a second reload begins anew, as one": [
        *BOOT,
        ("reload", "reload begins, start worker-0#2"),
        ("ready worker-0#2", "serve worker-0#2, leave worker-0#1 > worker-0#2"),
        ("reload", ""),
        ("died worker-0#1", "start worker-1#2"),
        ("ready worker-1#2", "serve worker-1#2, leave worker-1#1 > worker-1#2"),
        ("died worker-1#1", "start task-0#2"),
        ("ready task-0#2", "serve task-0#2, leave task-0#1 > task-0#2"),
        ("died task-0#1", "start worker-0#3"),
        ("ready worker-0#3", "serve worker-0#3, leave worker-0#2 > worker-0#3"),
        ("died worker-0#2", "reload ends"),
    ],
    "reload: who does not leave is killed, and the next has its turn": [
        *BOOT,
        ("reload", "reload begins, start worker-0#2"),
        ("ready worker-0#2", "serve worker-0#2, leave worker-0#1 > worker-0#2"),
        ("+3.9", ""),
        ("+0.2", "kill worker-0#1 late"),
        ("died worker-0#1", "start worker-1#2"),
    ],
    "reload: the old one dies before the new one is ready": [
        *BOOT,
        ("reload tasks", "reload begins, start task-0#2"),
        ("died task-0#1", ""),
        ("ready task-0#2", "serve task-0#2, reload ends"),
    ],
    "reload: the new one dies before it is ready, a third is tried": [
        *BOOT,
        ("reload tasks", "reload begins, start task-0#2"),
        ("died task-0#2", ""),
        ("+0.1", "start task-0#4"),
        ("ready task-0#4", "serve task-0#4, leave task-0#1 > task-0#4"),
        ("died task-0#1", "reload ends"),
    ],
    "reload: successors that never boot leave the old ones where they are": [
        *BOOT,
        ("reload", "reload begins, start worker-0#2"),
        ("died worker-0#2", ""),
        ("+0.1", "start worker-0#4"),
        ("died worker-0#4", ""),
        ("+0.2", "start worker-0#6"),
        (
            "died worker-0#6",
            "say worker-0: its successor does not boot, the old one goes on, reload ends",
        ),
    ],
    "one that has done its share is replaced, outside any reload": [
        *BOOT,
        ("wants to leave worker-1#1", "start worker-1#2"),
        ("wants to leave worker-1#1", ""),
        ("ready worker-1#2", "serve worker-1#2, leave worker-1#1 > worker-1#2"),
        ("died worker-1#1", ""),
    ],
    "the heir dies while the old one has not left: the next is as odd or even as the heir was": [
        *BOOT,
        ("wants to leave worker-1#1", "start worker-1#2"),
        ("ready worker-1#2", "serve worker-1#2, leave worker-1#1 > worker-1#2"),
        ("+2", ""),
        ("died worker-1#2", "start worker-1#4"),
        ("ready worker-1#4", "serve worker-1#4"),
        ("died worker-1#1", ""),
    ],
    "who would be the third waits until the first is gone": [
        *BOOT,
        ("wants to leave worker-1#1", "start worker-1#2"),
        ("ready worker-1#2", "serve worker-1#2, leave worker-1#1 > worker-1#2"),
        ("wants to leave worker-1#2", ""),
        ("died worker-1#1", "start worker-1#3"),
        ("ready worker-1#3", "serve worker-1#3, leave worker-1#2 > worker-1#3"),
        ("wants to leave worker-1#3", ""),
        ("less", "resize 1, leave worker-1#3"),
        ("more", "resize 2"),
        ("died worker-1#3", "start worker-1#5"),
    ],
    "a reload waits for whoever has not left from before": [
        *BOOT,
        ("wants to leave worker-0#1", "start worker-0#2"),
        ("ready worker-0#2", "serve worker-0#2, leave worker-0#1 > worker-0#2"),
        ("reload", "reload begins"),
        ("died worker-0#1", "start worker-0#3"),
        ("ready worker-0#3", "serve worker-0#3, leave worker-0#2 > worker-0#3"),
        ("died worker-0#2", "start worker-1#2"),
    ],
    "one worker more, and less": [
        *BOOT,
        ("more", "resize 3, start worker-2#1"),
        ("ready worker-2#1", "serve worker-2#1"),
        ("more", "say no more workers: 3 of at most 3"),
        ("less", "resize 2, leave worker-2#1"),
        ("died worker-2#1", ""),
        ("less", "resize 1, leave worker-1#1"),
        ("more", "resize 2, start worker-1#2"),
        ("ready worker-1#2", "serve worker-1#2"),
        ("died worker-1#1", ""),
        ("less", "resize 1, leave worker-1#2"),
        ("less", "say no fewer workers"),
    ],
    "less while it boots": [
        *BOOT,
        ("more", "resize 3, start worker-2#1"),
        ("less", "resize 2"),
        ("ready worker-2#1", "leave worker-2#1"),
        ("died worker-2#1", ""),
    ],
    "stop: the workers, then the task workers": [
        *BOOT,
        ("stop", "leave worker-0#1, leave worker-1#1"),
        ("died worker-1#1", ""),
        ("died worker-0#1", "leave task-0#1"),
        ("died task-0#1", "finished 0"),
    ],
    "stop: who does not leave is killed, and it is said": [
        *BOOT,
        ("stop", "leave worker-0#1, leave worker-1#1"),
        ("died worker-1#1", ""),
        ("+4.1", "kill worker-0#1 late"),
        ("died worker-0#1", "leave task-0#1"),
        ("died task-0#1", "finished 1"),
    ],
    "stop ends a reload": [
        *BOOT,
        ("reload", "reload begins, start worker-0#2"),
        ("stop", "reload ends, leave worker-0#1, leave worker-1#1"),
        ("ready worker-0#2", "leave worker-0#2"),
        ("died worker-0#1", ""),
        ("died worker-0#2", ""),
        ("died worker-1#1", "leave task-0#1"),
        ("reload", "say no reload while the server starts or stops"),
        ("died task-0#1", "finished 0"),
    ],
    "stop during a pause starts nobody": [
        *BOOT,
        ("died worker-0#1", "start worker-0#2"),
        ("died worker-0#2", ""),
        ("stop", "leave worker-1#1"),
        ("+0.2", ""),
        ("died worker-1#1", "leave task-0#1"),
        ("died task-0#1", "finished 0"),
    ],
    "stop while booting": [
        ("boot", "start worker-0#1, start worker-1#1, start task-0#1"),
        ("ready worker-0#1", ""),
        ("stop", "leave worker-0#1"),
        ("ready worker-1#1", "leave worker-1#1"),
        ("died worker-0#1", ""),
        ("died worker-1#1", ""),
        ("ready task-0#1", "leave task-0#1"),
        ("died task-0#1", "finished 0"),
    ],
    "quit kills everybody": [
        *BOOT,
        ("quit", "kill worker-0#1, kill worker-1#1, kill task-0#1"),
        ("died worker-0#1", ""),
        ("died worker-1#1", ""),
        ("died task-0#1", "finished 1"),
    ],
    "quit after stop": [
        *BOOT,
        ("stop", "leave worker-0#1, leave worker-1#1"),
        ("died worker-1#1", ""),
        ("quit", "kill worker-0#1, kill task-0#1"),
        ("died task-0#1", ""),
        ("died worker-0#1", "finished 1"),
    ],
}


def _child(member: Member) -> str:
    return f"{member.name}#{member.generation}"


def _text(action: Action) -> str:
    match action:
        case roster_actions.Start():
            return f"start {action.name}#{action.generation}"
        case roster_actions.Serve(member):
            return f"serve {_child(member)}"
        case roster_actions.Leave(member, heir):
            return f"leave {_child(member)}" + (f" > {_child(heir)}" if heir else "")
        case roster_actions.Kill(member, late):
            return f"kill {_child(member)}" + (" late" if late else "")
        case roster_actions.Resize(workers):
            return f"resize {workers}"
        case roster_actions.Booted():
            return "booted"
        case roster_actions.ReloadBegins():
            return "reload begins"
        case roster_actions.ReloadEnds():
            return "reload ends"
        case roster_actions.Say(text):
            return f"say {text}"
        case roster_actions.Finished(status):
            return f"finished {status}"


class _Stage:
    """Plays the part of the machine: forks, gives pids, keeps the clock."""

    def __init__(self) -> None:
        self.roster = Roster(2, 1, drain_timeout_s=3.0, boot_fail_limit=3, most_workers=3)
        self.now_s = 100.0
        self.pids: dict[str, int] = {}

    def happens(self, event: str) -> str:
        words = event.removesuffix(" without fork").split()
        can_fork = not event.endswith(" without fork")
        return ", ".join(
            _text(action) for action in self._carry_out(self._actions(words), can_fork)
        )

    def _actions(self, words: list[str]) -> list[Action]:
        if words[0].startswith("+"):
            self.now_s += float(words[0])
            return self.roster.tick(self.now_s)
        pid = self.pids.get(words[-1], 0)
        match words[0]:
            case "boot":
                return self.roster.boot(self.now_s)
            case "ready":
                return self.roster.ready(pid, self.now_s)
            case "died":
                return self.roster.died(pid, self.now_s)
            case "wants":
                return self.roster.wants_to_leave(pid, self.now_s)
            case "reload":
                return self.roster.reload(words[-1] == "tasks")
            case "more":
                return self.roster.more()
            case "less":
                return self.roster.less(self.now_s)
            case "stop":
                return self.roster.stop(self.now_s)
            case "quit":
                return self.roster.quit(self.now_s)
        raise AssertionError(words)

    def _carry_out(self, actions: list[Action], can_fork: bool) -> list[Action]:
        done: list[Action] = []
        for action in actions:
            if isinstance(action, roster_actions.Start) and self.roster.stopping:
                continue
            done.append(action)
            if isinstance(action, roster_actions.Start):
                if can_fork:
                    pid = 1000 + len(self.pids)
                    self.pids[f"{action.name}#{action.generation}"] = pid
                    more = self.roster.started(action, pid, self.now_s)
                else:
                    more = self.roster.not_started(action, self.now_s)
                done += more
        return done


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_story(story: Story) -> None:
    stage = _Stage()
    for number, (event, expected) in enumerate(story):
        assert stage.happens(event) == expected, f"step {number}: {event}"


def test_the_pause_grows_to_five_seconds() -> None:
    assert [roster.back_off_s(times) for times in (1, 2, 3, 6, 7, 1000)] == [
        0.1, 0.2, 0.4, 3.2, 5.0, 5.0
    ]  # fmt: skip


def test_it_says_when_it_must_be_woken() -> None:
    stage = _Stage()
    for event, _ in BOOT:
        stage.happens(event)
    assert stage.roster.next_s(stage.now_s) is None
    stage.happens("stop")
    assert stage.roster.next_s(stage.now_s) == pytest.approx(4.0)
    assert stage.roster.next_s(stage.now_s + 9) == 0.0


def test_a_stranger_changes_nothing() -> None:
    stage = _Stage()
    for event, _ in BOOT:
        stage.happens(event)
    assert stage.roster.died(1, stage.now_s) == []
    assert stage.roster.ready(1, stage.now_s) == []
    assert stage.roster.wants_to_leave(1, stage.now_s) == []
    assert stage.roster.member(1) is None

"""What the roster speaks of: roles, members, and the actions that it wants carried out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a child does."""

    WORKER = "worker"
    TASK = "task"


@dataclass(slots=True)
class Member:
    """One child process."""

    name: str
    role: Role
    number: int
    generation: int
    pid: int
    since_s: float  # its fork, then the moment it was ready
    deadline_s: float | None = None  # when it is killed if it has not left


@dataclass(frozen=True, slots=True)
class Start:
    """Fork a child, unless we are stopping by now; answer with `started` or `not_started`."""

    name: str
    role: Role
    number: int
    generation: int


@dataclass(frozen=True, slots=True)
class Serve:
    """It takes the slot: new work goes to it."""

    member: Member


@dataclass(frozen=True, slots=True)
class Leave:
    """Ask it to finish what it has and go; in `base` its connections go to the heir."""

    member: Member
    heir: Member | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """End it now; `late`: it did not leave when asked."""

    member: Member
    late: bool = False


@dataclass(frozen=True, slots=True)
class Resize:
    """So many workers are wanted from now on."""

    workers: int


@dataclass(frozen=True, slots=True)
class Booted:
    """Every child is ready for the first time."""


@dataclass(frozen=True, slots=True)
class ReloadBegins:
    """The first child of a reload is about to be started."""


@dataclass(frozen=True, slots=True)
class ReloadEnds:
    """The last one has left, or the reload was given up."""


@dataclass(frozen=True, slots=True)
class Say:
    """One line for the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Nobody is left."""

    exit_status: int


Action = Start | Serve | Leave | Kill | Resize | Booted | ReloadBegins | ReloadEnds | Say | Finished

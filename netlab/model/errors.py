"""Errors that a user can act on: what happened, what to do, and the exit code that says which kind.

Everything else that is raised is a fault of netlab and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class NetlabError(Exception):
    """Says in one line what went wrong (`message`) and what to do about it (`hint`)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message

    def as_message(self) -> dict[str, Any]:
        """For `error_from` in another process."""
        return {"message": self.message, "hint": self.hint, "exit_code": self.exit_code}


class CheckFailed(NetlabError):
    """A run finished, but what it was to show did not hold (exit code 1)."""

    exit_code = 1


class UsageError(NetlabError):
    """The command cannot be carried out as it was typed (exit code 2)."""

    exit_code = 2


class PrivilegeError(NetlabError):
    """This user may not do what was asked; the hint says what would grant it (exit code 3)."""

    exit_code = 3


class BadRecording(NetlabError):
    """A file that cannot be read as a capture, or could not be written to its end (exit code 4)."""

    exit_code = 4


def error_from(message: Mapping[str, Any]) -> NetlabError:
    """The error that `as_message` described."""
    kinds = {
        kind.exit_code: kind for kind in (CheckFailed, UsageError, PrivilegeError, BadRecording)
    }
    return kinds[message["exit_code"]](message["message"], message["hint"])

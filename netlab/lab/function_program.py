"""A Python function as a program of the lab: found by name, called with a probe, result as JSON.

The function is not sent, only where it stands: the new Python imports its module anew, from the
same places. So it is at the top level of a module that can be imported. Read `starting` for the
other side.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from netlab.model.errors import UsageError
from netlab.model.probe import Probe

_KEPT: list[Probe] = []  # until the very end: the probe notes the process's exit, too


@dataclass(frozen=True, slots=True)
class Call:
    """Which function, with what; arguments as JSON has them."""

    module: str
    name: str
    arguments: list[Any]
    path: list[str]  # sys.path of who asks

    def as_json(self) -> str:
        """For the command line. Raises UsageError for arguments that JSON cannot hold."""
        try:
            return json.dumps(asdict(self))
        except (TypeError, ValueError) as error:
            raise UsageError(f"arguments of {self.name} cannot be passed on", str(error)) from None


def call_from(function: Callable[..., object], arguments: tuple[object, ...]) -> Call:
    """How another Python finds this function. Raises UsageError where it cannot."""
    module, name = function.__module__, function.__qualname__
    if module == "__main__":
        raise UsageError(
            f"{name} stands in the script itself, which a host's Python would start anew",
            "put it into a file of its own and import it",
        )
    if getattr(sys.modules.get(module), name, None) is not function:
        raise UsageError(
            f"{name} cannot be run on a host",
            "it must be a function at the top level of a module that can be imported",
        )
    return Call(module, name, list(arguments), sys.path)


def main(arguments: list[str]) -> None:
    """Call it; what it returns goes to NETLAB_REPORT_FD, if it is not None."""
    from netlab.lab.programs import watched_probe

    probe = watched_probe()
    _KEPT.append(probe)
    call = Call(**json.loads(arguments[0]))
    sys.path += [place for place in call.path if place not in sys.path]
    function = getattr(importlib.import_module(call.module), call.name)
    value = function(probe, *call.arguments)
    if value is not None:
        report = int(os.environ["NETLAB_REPORT_FD"])
        with os.fdopen(report, "w", encoding="utf-8") as file:
            json.dump(value, file)

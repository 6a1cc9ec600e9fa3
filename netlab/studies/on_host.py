"""What a host of a study runs: the study's function, with its parameters as it knows them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.raised import at_line
from netlab.studies.study import Params


def run_program(probe: Probe, module: str, name: str, p: dict[str, int], *arguments: object) -> Any:
    """Call it, and give back what it returns.

    What it raises says last where in its file that was: of a program's last words one line is told.
    """
    function = getattr(import_module(module), name)
    try:
        return function(probe, Params(p), *arguments)
    except Exception as error:
        error.add_note(at_line(error, function.__code__.co_filename))
        raise

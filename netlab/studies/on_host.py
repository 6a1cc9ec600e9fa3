"""What a host of a study runs: the study's function, with its parameters as it knows them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.study import Params


def run_program(probe: Probe, module: str, name: str, p: dict[str, int], *arguments: object) -> Any:
    """Call it, and give back what it returns."""
    return getattr(import_module(module), name)(probe, Params(p), *arguments)

"""Where a study's experiment plays: a lab that stands, and what its programs are to do in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from netlab.lab.actor import Program
from netlab.lab.experiment import Lab
from netlab.model.errors import CheckFailed
from netlab.studies.on_host import run_program
from netlab.studies.study import PORT, Params, Study

WITHIN_S = 60.0


@dataclass
class Stage:
    """A lab with the study that plays in it."""

    study: Study
    p: Params
    lab: Lab
    started: list[Program] = field(default_factory=list)

    def start(self, host: str, program: Callable[..., Any], *arguments: object) -> Program:
        """Start a function on a host: it is called with the probe, the parameters, and these."""
        started = self.lab.start(host, run_program, *_place(program), dict(self.p), *arguments)
        self.started.append(started)
        return started

    def run(self, host: str, program: Callable[..., Any], *arguments: object) -> Program:
        """The same, waiting for its end."""
        started = self.start(host, program, *arguments)
        self.wait(started)
        return started

    def wait(self, *programs: Program) -> None:
        """Wait for their ends. Raises CheckFailed for one that failed."""
        self.lab.wait(*programs, within_s=WITHIN_S)
        for program in programs:
            if program.status != 0:
                raise CheckFailed(
                    f"the {program.actor} of {self.study.name} ended with {program.exit_code}",
                    program.last_words or "it said nothing",
                )

    def play(self) -> None:
        """The experiment: the study's own, or server, then client, then both have ended."""
        if self.study.experiment is not None:
            self.study.experiment(self)
            return
        server = None
        if self.study.server is not None:
            server = self.start("server", self.study.server)
            self.lab.wait_listening("server", PORT)
        if self.study.client is not None:
            self.run("client", self.study.client)
        if server is not None:
            self.wait(server)
        self.lab.settle()

    def returned(self) -> dict[str, Any]:
        """What the programs returned, by actor."""
        return {program.actor: program.value for program in self.started}


def _place(program: Callable[..., Any]) -> tuple[str, str]:
    return program.__module__, program.__qualname__

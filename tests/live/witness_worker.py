"""Runs one case in a lab and leaves its recording: witness_worker.py FOLDER CASE WIRE SIZE

A process of its own, so that it can be an ordinary user whoever runs the tests. The lab finds a
strace that prints contents, too, and its logs are kept: FOLDER/*.strace.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from live.witness_cases import CASES, Case

from netlab.lab.actor import Program
from netlab.lab.experiment import Lab

# Of two -x and of two -s the last counts, -x twice is -xx.
STRACE = """#!/bin/sh
exec {} "$@" -x -s 100000000
"""


def telling_strace(folder: Path) -> None:
    """Make strace, as it is found by its name from now on, print all that calls moved."""
    path = folder / "bin" / "strace"
    path.parent.mkdir()
    path.write_text(STRACE.format(shutil.which("strace")))
    path.chmod(0o755)
    os.environ["PATH"] = f"{path.parent}:{os.environ['PATH']}"


def run(case: Case, folder: Path, wire: str, size: str) -> dict[str, object]:
    case.prepare(folder)
    with Lab(case.hosts, path="l.pcapng", wire=wire, witness="strace") as lab:

        def start(host: str, command: str) -> Program:
            program = lab.start(host, shlex.split(command.replace("{folder}", str(folder))))
            for log in folder.glob("l.pcapng.*/*.strace"):  # which goes with the lab
                if not (folder / log.name).exists():
                    os.link(log, folder / log.name)
            return program

        for host, command in case.servers:
            start(host, command)
            lab.wait_listening(host, within_s=60)
        client = start("client", case.client)
        lab.wait(client, within_s=600 if size == "huge" else 200)
        settled = lab.settle(within_s=10)
        for host, _ in reversed(case.servers):
            lab.stop(host)
    return {
        "settled": settled,
        "client": [client.status, client.stderr.decode(errors="replace")[-500:]],
        "servers": [program.last_words for program in lab.programs],
        "fired": lab.fired,
    }


def main() -> None:
    folder, name, wire, size = sys.argv[1:]
    os.chdir(folder)
    telling_strace(Path(folder))
    print(json.dumps(run(CASES[size][name], Path(folder), wire, size)))


main()

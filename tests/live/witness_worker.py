"""Runs one case in a lab and leaves its recording: witness_worker.py FOLDER CASE WIRE short|long

A process of its own, so that it can be an ordinary user whoever runs the tests.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from live.witness_cases import LONG, SHORT, Case

from netlab.lab.actor import Program
from netlab.lab.experiment import Lab

STRACE = shlex.split(
    "strace -f -ttt -T -yy -xx -s 100000000 -e trace=%network,%desc,%process -o {}.strace"
)


def run(case: Case, folder: Path, wire: str) -> dict[str, object]:
    case.prepare(folder)
    with Lab(case.hosts, path="l.pcapng", wire=wire) as lab:

        def start(host: str, command: str) -> Program:
            words = shlex.split(command.replace("{folder}", str(folder)))
            return lab.start(host, [*(word.format(host) for word in STRACE), *words])

        for host, command in case.servers:
            start(host, command)
            lab.wait_listening(host, within_s=60)
        client = start("client", case.client)
        lab.wait(client, within_s=200)
        settled = lab.settle(within_s=10)
        for host in case.hosts:
            lab._company.signal_host(host, 15)
        lab.wait_until(lambda: not any(p.running for p in lab.programs), within_s=5)
    return {
        "settled": settled,
        "client": [client.status, client.stderr.decode(errors="replace")[-500:]],
        "servers": [program.last_words for program in lab.programs],
        "fired": lab.fired,
    }


def main() -> None:
    folder, name, wire, size = sys.argv[1:]
    os.chdir(folder)
    print(json.dumps(run({"short": SHORT, "long": LONG}[size][name], Path(folder), wire)))


main()

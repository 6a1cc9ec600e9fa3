"""netlab's server beside others: echoes of 64 bytes over 50 connections, and connections a second.

All servers run at once and are asked in turn, round after round. A server of one process has a
processor to itself and the client the other; servers of several share both with the client. Who
cannot capture packets has no row of them. Needs `.ci/setup -e '.[test,bench]'` and a C compiler.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter_ns

import pytest

from tests.bench.load_client import LoadClient
from tests.bench.server_process import (
    MeasuredProcess,
    OthersTime,
    ServerProcess,
    both_processors,
    processors,
)
from tests.bench.server_rows import ROWS, WORK_US, Figures, Measured, Row, table, verdicts
from tests.bench.servers.netlab_server import work

CONNECTIONS = 50
ROUNDS = 5
ECHO_S = 0.4  # of each server in each round
CHURN_ROUNDS = 3
CHURN_S = 0.25
PACKAGES = ("uvloop", "trio", "gevent", "twisted")


@pytest.mark.bench
def test_echoes_and_connections_a_second(
    client: LoadClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        pytest.fail(f"no {', '.join(missing)}: .ci/setup -e '.[test,bench]'", pytrace=False)
    others = OthersTime()
    rows = [row for row in ROWS if os.geteuid() == 0 or not row.captured]
    with ExitStack() as stack:
        measured = measure(client, start_all(rows, tmp_path, stack))
    with capsys.disabled():
        python = ".".join(map(str, sys.version_info[:3]))
        print(f"\n\n64 bytes over {CONNECTIONS} connections of one client, Python {python}")
        print("\n".join(table(measured)), end="\n\n")
        print("\n".join(verdicts(measured)))
        print(f"others took {others.processors():.2f} of {os.cpu_count()} processors meanwhile")
    assert {row.title: found.faults() for row, found in measured.items() if found.faults()} == {}


def measure(client: LoadClient, servers: dict[Row, ServerProcess]) -> Measured:
    measured = {row: Figures() for row in servers}
    for row, server in servers.items():  # the first messages of a server are not like others
        load = client.run(server.port, seconds=0.1, cpus=beside(row))
        assert load.done > load.errors == 0, f"{row.title}: {load.first_error}"
    for number in range(ROUNDS):
        for row, server in servers.items():
            before_s = server.cpu_s()
            load = client.run(
                server.port, connections=CONNECTIONS, seconds=ECHO_S, cpus=beside(row)
            )
            cpu_s = server.cpu_s() - before_s
            measured[row].loads.append(load)
            measured[row].cpu_us.append(cpu_s / max(1, load.done) * 1e6)
            if number < CHURN_ROUNDS:
                load = client.run(
                    server.port, connections=CONNECTIONS, seconds=CHURN_S, churn=True,
                    cpus=beside(row),
                )  # fmt: skip
                measured[row].churns.append(load)
    return measured


def beside(row: Row) -> frozenset[int]:
    """Where the client of this server runs."""
    return both_processors() if row.several else processors()[1]


def start_all(rows: list[Row], folder: Path, stack: ExitStack) -> dict[Row, ServerProcess]:
    """Start them; they end with `stack`."""
    working = ("--work", str(work_rounds()))
    servers = {}
    for number, row in enumerate(rows):
        own = folder / str(number)
        own.mkdir()
        recorder = start_recorder(own, stack) if row.captured else None
        spools = own / "spools" if recorder is None else recorder.line()
        arguments = [argument.format(spools=spools) for argument in row.arguments]
        server = ServerProcess(
            row.file, *arguments, *(working if row.works else ()),
            cpus=both_processors() if row.several else processors()[0], said=own / "stderr",
        )  # fmt: skip
        servers[row] = stack.enter_context(server)
        if recorder is not None:
            recorder.tell(str(server.port))
            assert recorder.line() == "recording"
    return servers


def start_recorder(folder: Path, stack: ExitStack) -> MeasuredProcess:
    """A recorder beside the server: it has no processor of its own."""
    recorder = MeasuredProcess(
        "packet_recorder.py", str(folder / "recording.pcapng"),
        cpus=both_processors(), said=folder / "recorder-stderr",
    )  # fmt: skip
    return stack.enter_context(recorder)


def work_rounds() -> int:
    """How many rounds of work() take WORK_US here when nothing disturbs."""
    times_ns = []
    for _ in range(50):
        begun_ns = perf_counter_ns()
        work(1000)
        times_ns.append(perf_counter_ns() - begun_ns)
    return round(WORK_US * 1000 / min(times_ns) * 1000)

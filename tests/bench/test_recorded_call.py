"""What recording a call costs an echo server, end to end: its processor time, recorded and not.

The same server with and without the probe (`queues="events"`, a spool that survives the process)
answers the same messages in turn. What it takes longer, over the calls that its spool holds, is the
price of one call. Beside test_probe_cost.py, which times single calls: here all that recording does
to a program is in it, cold caches too.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from netlab.capture.probe import SpoolReader
from tests.bench.load_client import LONGEST_RUN_S, LoadClient
from tests.bench.server_process import OthersTime, ServerProcess, processors
from tests.bench.server_rows import verdict

ROUNDS = 7
MESSAGES = 20_000  # a round
OPS = ("epoll_wait", "recv", "send")
MOST_US = 1.5


@pytest.mark.bench
@pytest.mark.parametrize("connections", [50, 1])
def test_cost_of_a_recorded_call_in_a_server(
    connections: int, client: LoadClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = OthersTime()
    ways = {"plain": (), "recorded": ("--record", str(tmp_path / "spools"))}
    cpu_us: dict[str, list[float]] = {way: [] for way in ways}
    with ExitStack() as stack:
        servers = {
            way: stack.enter_context(
                ServerProcess(
                    "netlab_server.py", *arguments, cpus=processors()[0], said=tmp_path / way
                )
            )
            for way, arguments in ways.items()
        }
        for _ in range(ROUNDS):
            for way, server in servers.items():
                before_s = server.cpu_s()
                load = client.run(
                    server.port, connections=connections, messages_each=MESSAGES // connections,
                    seconds=LONGEST_RUN_S, cpus=processors()[1],
                )  # fmt: skip
                cpu_us[way].append((server.cpu_s() - before_s) / MESSAGES * 1e6)
                assert (load.errors, load.done) == (0, MESSAGES), load.first_error
    reader = SpoolReader(tmp_path / "spools")
    counted = Counter(call.op for call in reader.finish())
    messages = ROUNDS * MESSAGES
    calls_each = sum(counted[op] for op in OPS) / messages
    added_us = [
        (recorded - plain) / calls_each
        for recorded, plain in zip(cpu_us["recorded"], cpu_us["plain"], strict=True)
    ]
    with capsys.disabled():
        print(f"\n\n{connections} connections: {calls_each:.2f} calls a message, of the server")
        for way, values in cpu_us.items():
            print(f"{way:>12}: {median(values):6.2f} µs of processor time a message")
        print(f"a recorded call costs {median(added_us):.2f} µs more", end="")
        print(verdict(median(added_us), at_most=MOST_US))
        print(f"others took {others.processors():.2f} processors meanwhile")
    assert reader.losses == []
    assert counted["send"] >= messages
    assert counted["recv"] >= messages

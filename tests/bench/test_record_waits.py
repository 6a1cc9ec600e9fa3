"""How long a recorded program waits: round trips over loopback, recorded by `netlab.record`.

Beside the probe alone, in turn: what is added is what carrying the recording costs the program that
is watched. A recorder in its own process costs it no interpreter lock (5 ms a turn).
"""

from __future__ import annotations

import socket
from pathlib import Path
from time import perf_counter_ns

import pytest

import netlab
from netlab.capture.probe import JournalProbe
from netlab.model.probe import Probe

TRIPS = 6000
LONG_MS = 4


def round_trips_ms(probe: Probe) -> list[float]:
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    taken = []
    for _ in range(TRIPS):
        begun_ns = perf_counter_ns()
        client.send(b"x" * 61)
        server.recv(61)
        server.send(b"y" * 61)
        client.recv(61)
        taken.append((perf_counter_ns() - begun_ns) / 1e6)
    for sock in (client, server, listener):
        sock.close()
    return sorted(taken)


@pytest.mark.bench
def test_round_trips_of_a_recorded_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, list[list[float]]] = {"probe": [], "record": []}
    for number in range(3):
        probe = JournalProbe(tmp_path / f"spools-{number}", actor="main")
        found["probe"].append(round_trips_ms(probe))
        probe.close()
        with netlab.record(tmp_path / f"{number}.pcapng") as probe:
            found["record"].append(round_trips_ms(probe))
    long = {way: [sum(t > LONG_MS for t in run) for run in runs] for way, runs in found.items()}
    with capsys.disabled():
        for way, runs in found.items():
            middle = [f"{run[TRIPS // 2] * 1000:.0f}" for run in runs]
            longest = [f"{run[-1]:.1f}" for run in runs]
            print(
                f"\n{way:>7}: median {', '.join(middle)} us; over {LONG_MS} ms: "
                f"{', '.join(map(str, long[way]))} of {TRIPS}; longest {', '.join(longest)} ms",
                end="",
            )
        print()
    assert min(long["record"]) - min(long["probe"]) < TRIPS / 100  # others use the machine, too

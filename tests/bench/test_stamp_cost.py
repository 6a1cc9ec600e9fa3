"""What the kernel's stamps cost a send, in ns: a recorded ping-pong with them and without."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest

from netlab.capture.probe import JournalProbe, SpoolReader, errqueue

ROUNDS = 41
PAIRS = 200  # of a send each way, with the recv of it, a round
MESSAGE = bytes(64)
Pair = tuple[Any, Any]


def _pair(make: Callable[..., Any]) -> Pair:
    with make(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = make(socket.AF_INET, socket.SOCK_STREAM)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


def _round_ns(pair: Pair, after: Callable[[int], object]) -> float:
    """One round's time for a send and the recv that takes its bytes."""
    client, server = pair
    there, here = client.fileno(), server.fileno()
    start = perf_counter_ns()
    for _ in range(PAIRS):
        client.send(MESSAGE)
        after(there)
        server.recv(4096)
        server.send(MESSAGE)
        after(here)
        client.recv(4096)
    return (perf_counter_ns() - start) / PAIRS / 2


@pytest.mark.bench
def test_cost_of_a_stamped_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournalProbe(tmp_path / "calls", actor="bench", queues="events")
    stamped = JournalProbe(tmp_path / "stamps", actor="bench", queues="events", stamps=True)
    pairs = {name: _pair(make) for name, make in (
        ("plain", socket.socket), ("read only", socket.socket), ("calls", recorded.socket),
        ("calls + stamps", stamped.socket),
    )}  # fmt: skip
    for sock in pairs["read only"]:
        assert errqueue.switch_on(sock)
    after: dict[str, Callable[[int], object]] = {"read only": errqueue.drain}
    taken: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(ROUNDS):
        for name, pair in pairs.items():
            taken[name].append(_round_ns(pair, after.get(name, int)))
    number = sum(len(times) for times in taken.values()) // len(taken) * PAIRS * 2
    stamps = _count(tmp_path / "stamps")
    with capsys.disabled():
        print(f"\nplain: {min(taken['plain']):.0f} ns a send with its recv (best of {ROUNDS})")
        for name in ("read only", "calls", "calls + stamps"):
            more = min(taken[name]) - min(taken["plain"])
            middle = statistics.median(taken[name]) - statistics.median(taken["plain"])
            print(f"{name:>16}: +{more:6.0f} ns (median +{middle:.0f})")
        print(f"          stamps: {stamps:,} of {number:,} sends")
    for probe in (recorded, stamped):
        probe.close()
    for pair in pairs.values():
        for sock in pair:
            sock.close()
    assert stamps >= 3 * number - 2  # the last ACK may not have come
    assert min(taken["calls + stamps"]) < 10 * min(taken["plain"])


def _count(folder: Path) -> int:
    reader = SpoolReader(folder)
    reader.finish()
    return len(reader.stamps)

"""What recording costs a call, in ns: plain against each way of recording, interleaved rounds."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import pytest

from netlab.capture.probe import JournalProbe

ROUNDS = 31
PAIRS = 500  # of send and recv, a round
MESSAGE = bytes(64)

WAYS = {
    "off": {"queues": "off"},
    "events": {"queues": "events"},
    "calls": {"queues": "calls"},
    "calls + tcp_info": {"queues": "calls", "tcp_info": True},
    "calls + code": {"queues": "calls", "code": True},
}


def _pair(
    make: Callable[[socket.socket], socket.socket],
) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))
    client = make(socket.create_connection(listener.getsockname()))
    server = make(listener.accept()[0])
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, client, server


def _round_ns(client: socket.socket, server: socket.socket) -> float:
    """One round's time for a call: half of a send and the recv that takes its bytes."""
    start = perf_counter_ns()
    for _ in range(PAIRS):
        client.send(MESSAGE)
        server.recv(4096)
    return (perf_counter_ns() - start) / PAIRS / 2


@pytest.mark.bench
def test_cost_of_a_recorded_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probes = {
        name: JournalProbe(tmp_path / name, actor="bench", **options)  # type: ignore[arg-type]
        for name, options in WAYS.items()
    }
    pairs = {"plain": _pair(lambda sock: sock)}
    pairs |= {name: _pair(probe.adopt) for name, probe in probes.items()}
    for _, client, server in pairs.values():
        _round_ns(client, server)
    taken: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(ROUNDS):
        for name, (_, client, server) in pairs.items():
            taken[name].append(_round_ns(client, server))
    added = {
        name: statistics.median(
            way - plain for way, plain in zip(taken[name], taken["plain"], strict=True)
        )
        for name in WAYS
    }
    plain = statistics.median(taken["plain"])
    with capsys.disabled():
        print(f"\nplain: {plain:.0f} ns a call (send and recv of 64 bytes over loopback TCP)")
        for name, more in added.items():
            print(
                f"{name:>18}: +{more:5.0f} ns (least {min(taken[name]) - min(taken['plain']):.0f})"
            )
    for probe in probes.values():
        probe.close()
    for sockets in pairs.values():
        for sock in sockets:
            sock.close()
    # About 0.4 of a plain call here; on a busy machine both grow, so the bound is a ratio.
    assert added["events"] < plain

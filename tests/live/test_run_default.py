"""`netlab run` when nobody says where: on two hosts with a wire, or, where that is refused, on one.

As whoever runs the tests, and as an ordinary user. What is in the recordings of a lab is looked at
in `test_run_lab`, of loopback in `test_run`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from lab_process import ORDINARY_USER, Running, complaint, run_netlab
from test_run import recorded
from test_run_failures import forbidden
from test_run_modes import ACTORS, LOST_BY_DESIGN, as_many, everyone_ended_once

from netlab.capture.files import read_raw
from netlab.lab.scenarios import SCENARIOS
from netlab.model.recording import RawRecording
from netlab.model.tables import Fate

PATIENCE_NS = 100_000_000  # half of the least time-out, TCP_RTO_MIN
anyone = pytest.mark.parametrize("before", [(), ORDINARY_USER], ids=["we", "ordinary user"])


def on_two_hosts(raw: RawRecording) -> bool:
    """Whether it has both hosts, the wire, and every frame's arrival."""
    assert [host.name for host in raw.description.hosts] == ["client", "server"]
    assert [interface.name for interface in raw.interfaces] == ["client", "server", "wire"]
    assert {call.host for call in raw.calls} == {"client", "server"}
    assert len(raw.arrivals) == len(raw.frames)
    assert raw.losses == []
    return True


@pytest.mark.parametrize(
    ("before", "arguments"),
    [
        ((), ()),
        ((), ("--ipv6",)),
        ((), ("--udp",)),
        (ORDINARY_USER, ("--udp", "--ipv6", "--clients", "3")),
        ((), ("--clients", "3")),
        (ORDINARY_USER, ("--port", "7")),
        ((), ("--size", "300007", "--messages", "2", "--tcp-info")),
    ],
)
def test_every_byte_crosses_the_wire(
    tmp_path: Path, arguments: tuple[str, ...], before: tuple[str, ...]
) -> None:
    said, raw, tables = recorded(tmp_path, *arguments, before=before, place=())
    assert on_two_hosts(raw)
    assert tables.unmatched == []
    assert said["ledger"]["closed"]  # type: ignore[index]
    assert {packet.fate for packet in tables.packets} == {Fate.DELIVERED}
    assert len(tables.connections) == (3 if "--clients" in arguments else 1)
    everyone_ended_once(raw)
    assert stat.S_IMODE((tmp_path / "a.pcapng").stat().st_mode) == 0o600
    if before:
        assert raw.description.notes == ()


ON_A_WIRE = ("http", "stuck", "bad", "chat")  # the others over loopback only: see `test_run_modes`


@pytest.mark.parametrize(
    "scenario",
    [
        *ON_A_WIRE,
        *(pytest.param(s, marks=pytest.mark.slow) for s in SCENARIOS if s not in ON_A_WIRE),
    ],
)
def test_every_scenario(tmp_path: Path, scenario: str) -> None:
    size = "2000003" if scenario == "stuck" else "4093"
    _, raw, tables = recorded(tmp_path, scenario, "--size", size, place=())
    assert on_two_hosts(raw)
    reasons = {item.reason for item in tables.unmatched}
    assert reasons <= {"reset before delivery", "still queued"}
    assert bool(reasons) <= (scenario in LOST_BY_DESIGN)
    everyone_ended_once(raw)


@pytest.mark.parametrize(
    ("mode", "before"),
    [("single", ()), ("threads", ()), ("base", ORDINARY_USER), ("process", ORDINARY_USER)],
)
def test_every_mode(tmp_path: Path, mode: str, before: tuple[str, ...]) -> None:
    arguments = ("rpc", "--messages", "11", *as_many(mode))
    _, raw, tables = recorded(tmp_path, *arguments, before=before, place=())
    assert on_two_hosts(raw)
    assert {call.actor for call in raw.calls} == ACTORS[mode] | {"client"}
    assert tables.unmatched == []
    everyone_ended_once(raw)


@anyone
def test_it_shows_where_frames_were_in_80_columns(tmp_path: Path, before: tuple[str, ...]) -> None:
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=before)
    assert (done.returncode, done.stderr) == (0, "")
    head = next(line for line in done.stdout.splitlines() if "  client " in line and "ms" in line)
    head = head.split()
    assert (head[1], head[-1]) == ("client", "server")
    assert not head[2].startswith("127.")
    assert max(map(len, done.stdout.splitlines())) <= 80
    raw = read_raw(tmp_path / "a.pcapng")
    sent = Counter(raw.interfaces[frame.interface].name for frame in raw.frames)
    assert min(sent.values()) >= 5  # and ACKs, as many as take their time
    said = "; ".join(f"{host}: {sent[host]} frames, none lost" for host in ("client", "server"))
    assert said in " ".join(done.stdout.split())
    assert "byte ledger  closed" in done.stdout
    assert "recv = 100" in done.stdout
    made_by = next(line for line in done.stdout.splitlines() if line.startswith("made by"))
    assert made_by.split(maxsplit=2)[2] == "netlab run echo"


def test_quiet_prints_the_path_alone(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "--quiet", "-o", "a.pcapng")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "a.pcapng\n")
    assert on_two_hosts(read_raw(tmp_path / "a.pcapng"))


def test_interrupted_in_the_middle(tmp_path: Path) -> None:
    """As an ordinary user; more of it is in `test_run_failures`."""
    running = Running(tmp_path, "--messages", "100000", "--think", "5", before=ORDINARY_USER)
    running.signal(running.process.pid, signal.SIGINT)
    done = running.end()
    assert done.returncode == 130
    assert "kept in a.pcapng" in complaint(done)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]
    raw = read_raw(tmp_path / "a.pcapng")
    assert on_two_hosts(raw)
    assert raw.description.form == "finished"
    everyone_ended_once(raw)


def test_a_port_that_someone_else_holds_is_free_on_a_host(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        _, raw, tables = recorded(tmp_path, "--port", f"{port}", place=())
    assert on_two_hosts(raw)
    assert tables.connections[0].server_port == port


def test_tshark_finds_nothing_wrong(tmp_path: Path) -> None:
    """Where the wire keeps its times: if it is later than a kernel's patience, that sends again."""
    for attempt in range(4):
        folder = tmp_path / f"{attempt}"
        folder.mkdir()
        _, raw, _ = recorded(folder, place=())
        flagged = subprocess.run(
            ["tshark", "-n", "-r", "a.pcapng", "-Y", "tcp.analysis.flags || _ws.malformed"],
            cwd=folder, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        if not flagged or max(arrival.late_ns or 0 for arrival in raw.arrivals) < PATIENCE_NS:
            break
    assert flagged == ""


# Where it is refused.


def test_without_namespaces_it_falls_back_to_loopback_and_says_so(tmp_path: Path) -> None:
    up = forbidden("ip link set lo up;")
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", "--json", before=up)
    assert (done.returncode, done.stderr) == (0, "")
    raw = read_raw(tmp_path / "a.pcapng")
    assert [interface.name for interface in raw.interfaces] == ["lo"]
    (note,) = [note for note in raw.description.notes if "no namespaces here (" in note]
    assert "this ran on the machine's own loopback" in note
    assert note in json.loads(done.stdout)["notes"]


# Loopback needs no host names; a lab does.
NO_NAMES = 'echo 0 > /proc/sys/user/max_uts_namespaces && exec "$@"'


def test_without_all_kinds_of_namespaces_it_is_one_host_of_its_own(tmp_path: Path) -> None:
    few = ("unshare", "--map-root-user", "sh", "-c", NO_NAMES, "sh")
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=few)
    assert (done.returncode, done.stderr) == (0, "")
    raw = read_raw(tmp_path / "a.pcapng")
    assert [interface.name for interface in raw.interfaces] == ["lo"]
    (note,) = [note for note in raw.description.notes if "no two hosts with a wire here (" in note]
    assert note.endswith("No space left on device): this ran on one host, over its loopback")
    assert " ".join(note.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "arguments", [("--lab",), ("--wire", "delay 1ms"), ("--sysctl", "client:net.ipv4.tcp_sack=0")]
)
def test_where_it_is_asked_for_and_refused_nothing_is_run(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    up = forbidden("ip link set lo up;")
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", *arguments, before=up)
    assert done.returncode == 3
    assert complaint(done).startswith("netlab: this machine does not allow a lab (")
    assert "sysctl user.max_" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_its_namespaces_stays(tmp_path: Path) -> None:
    before = set(os.listdir("/sys/class/net"))
    recorded(tmp_path, place=())
    assert set(os.listdir("/sys/class/net")) == before

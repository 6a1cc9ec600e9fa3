"""`netlab run` from end to end, on the kernel's own loopback, as whoever runs the tests.

What it does when nobody says where is in `test_run_default`.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from lab_process import LIMIT_S, ORDINARY_USER, Running, netlab_arguments, run_netlab
from steady_clock import in_steady_time

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.lab.stage import STARTS_AT_ONCE
from netlab.model.call import INBOUND, OUTBOUND
from netlab.model.recording import RawRecording
from netlab.model.tables import Direction, Role, Tables

LOOPBACK = ("--loopback",)
WAYS = {
    "tcp": ("--messages", "23", "--size", "4093"),
    "tcp with small reads": ("--messages", "7", "--size", "4093", "--recv-size", "997"),
    "tcp, large": ("--messages", "3", "--size", "300007", "--nodelay"),
    "tcp over ipv6, three clients": ("--ipv6", "--clients", "3", "--messages", "11"),
    "udp": ("--udp", "--messages", "23", "--size", "4093"),
    "udp over ipv6, three clients": ("--udp", "--ipv6", "--clients", "3"),
    "udp in fragments": ("--udp", "--size", "65507"),
    "udp cut off by a small read": ("--udp", "--size", "1499", "--recv-size", "997"),
    "no queue lengths, few journal entries": ("--queues", "off", "--journal-limit", "7"),
    "all that the kernel tells": ("--queues", "calls", "--tcp-info", "--think", "5"),
}


def recorded(
    folder: Path,
    *arguments: str,
    before: tuple[str, ...] = (),
    place: tuple[str, ...] = LOOPBACK,
) -> tuple[dict[str, object], RawRecording, Tables]:
    """What `netlab run --json` says, and what its file holds."""
    words = ("run", "-o", "a.pcapng", "--json", *place, *arguments)
    said: dict[str, object] = {}

    def record() -> RawRecording:
        done = run_netlab(folder, *words, before=before)
        assert (done.returncode, done.stderr) == (0, "")
        assert [path.name for path in folder.iterdir()] == ["a.pcapng"]
        said.update(json.loads(done.stdout))
        return read_raw(folder / "a.pcapng")

    raw = in_steady_time(record)
    assert raw.faults == []
    tables = analyse(raw)
    assert said["path"] == "a.pcapng"
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return said, raw, tables


@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS.keys())
def test_every_byte_is_accounted_for(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    said, raw, tables = recorded(tmp_path, *arguments)
    option = dict(zip(arguments, (*arguments[1:], ""), strict=True))
    messages, size = int(option.get("--messages", 3)), int(option.get("--size", 100))
    clients = int(option.get("--clients", 1))

    sent = sum(c.result or 0 for c in tables.calls if c.op in OUTBOUND and c.actor != "server")
    heard = sum(c.result or 0 for c in tables.calls if c.op in INBOUND and c.actor != "server")
    cut = "--udp" in option and "--recv-size" in option  # what a datagram recv leaves is gone
    kept = min(size, int(option["--recv-size"])) if cut else size
    assert sent == clients * messages * size
    assert heard == clients * messages * kept
    assert len(tables.connections) == clients
    assert raw.losses == []
    assert raw.interfaces[0].dropped == 0
    ledger = said["ledger"]
    assert isinstance(ledger, dict)
    if cut:
        assert sum(item.bytes for item in tables.unmatched) == messages * (size - kept)
    else:
        assert tables.unmatched == []
        assert ledger["closed"]
    cause_comes_before_effect(tables)


def cause_comes_before_effect(tables: Tables) -> None:
    """No data frame before its send was entered, no recv over before the frame that delivered.

    No tolerance: one machine, one clock; a frame is stamped after its send was entered, and before
    anything that the receiver could do with it.
    """
    frames = {packet.frame: packet for packet in tables.packets}
    calls = {call.call: call for call in tables.calls}
    checked = 0
    for span in tables.spans:
        if span.frame is None:
            continue
        call, frame = calls[span.call], frames[span.frame]
        ours = span.direction is not None and Direction(span.direction).sender == call.side
        if ours and span.role in (Role.CARRIED, Role.SYN, Role.FIN):
            assert call.entered_ns <= frame.time_ns, span
            checked += 1
        if span.role == Role.DELIVERED and call.returned_ns is not None:
            assert frame.time_ns <= call.returned_ns, span
            checked += 1
    assert checked >= 12


@pytest.mark.parametrize("place", [LOOPBACK, pytest.param(("--lab",), marks=pytest.mark.slow)])
def test_many_calls_do_not_keep_the_ring_from_being_read(
    tmp_path: Path, place: tuple[str, ...]
) -> None:
    """31,000 calls in a second or two: more than can be read while the ring fills."""
    said, raw, _ = recorded(
        tmp_path, "--messages", "151", "--size", "19997", "--recv-size", "97", "--queues", "off",
        place=place,
    )  # fmt: skip
    assert len(raw.calls) > 30_000
    assert (said["losses"], said["ledger"]["lines"]) == ([], [])  # type: ignore[index]


def test_an_ascii_terminal_gets_what_it_can_show(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "--loopback", before=("env", "PYTHONIOENCODING=ascii"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "SYN Seq=0" in done.stdout


def test_an_ordinary_user_needs_no_privilege(tmp_path: Path) -> None:
    _, raw, tables = recorded(tmp_path, before=ORDINARY_USER)
    assert tables.unmatched == []
    assert raw.description.notes == ()
    mode = (tmp_path / "a.pcapng").stat()
    assert stat.S_IMODE(mode.st_mode) == 0o600


def test_the_file_says_where_it_was_made(tmp_path: Path) -> None:
    _, raw, _ = recorded(tmp_path, "--messages", "5")
    description = raw.description
    assert description.form == "finished"
    assert description.title == "netlab run echo --messages 5 --loopback"
    (host,) = description.hosts
    assert host.kernel == os.uname().release
    settings = dict(host.sysctls)
    assert settings["net.ipv4.tcp_rmem"] == "4096 131072 6291456"
    assert settings["net.ipv4.tcp_ehash_entries"] == "256"
    assert settings["net.core.rmem_max"].isdecimal()
    assert any("TPACKET_V3" in witness for witness in description.witnesses)
    assert len(raw.clock_pairs) >= 2


def test_low_ports_are_for_everyone(tmp_path: Path) -> None:
    _, _, tables = recorded(tmp_path, "--port", "7", before=ORDINARY_USER)
    assert tables.connections[0].server_port == 7


def test_both_ends_write_down_their_end(tmp_path: Path) -> None:
    _, raw, _ = recorded(tmp_path)
    ends = {call.actor: call.args for call in raw.calls if call.op == "exit"}
    assert ends == {"server": "", "client": ""}


def test_pids_are_those_of_the_machine(tmp_path: Path) -> None:
    running = Running(tmp_path, "--loopback", "--messages", "100000", "--think", "20", "--quiet")
    running.signal(running.family.main, signal.SIGINT)  # seen at work, however late we looked
    assert running.end().returncode == 128 + signal.SIGINT
    pids = {call.actor: call.pid for call in read_raw(tmp_path / "a.pcapng").calls}
    assert pids == {"server": running.family.server, "client": running.family.client}


def test_it_shows_ladder_summary_and_what_to_do_next(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "--loopback", "-o", "two words.pcapng")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SYN Seq=0" in done.stdout
    assert "recv = 100" in done.stdout
    assert "byte ledger  closed" in done.stdout
    assert "Recording: 'two words.pcapng'" in done.stdout
    assert "wireshark 'two words.pcapng'" in done.stdout
    assert "netlab inspect 'two words.pcapng'" in done.stdout


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """As `netlab run | head -1`: gone long before there is something to read."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            netlab_arguments("run", "--loopback", "-o", "a.pcapng"), cwd=tmp_path, stdout=writer,
            stderr=subprocess.PIPE, text=True, timeout=LIMIT_S,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_raw(tmp_path / "a.pcapng").description.form == "finished"


@pytest.mark.parametrize(
    ("place", "clients"),
    [("--loopback", 41), pytest.param("--lab", 127, marks=pytest.mark.slow)],
)
def test_more_clients_than_the_lab_starts_at_once(tmp_path: Path, place: str, clients: int) -> None:
    assert clients > 2 * STARTS_AT_ONCE
    many = ("--clients", f"{clients}")
    done = run_netlab(tmp_path, "run", place, "-o", "a.pcapng", "--quiet", *many)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pcapng"]
    tables = analyse(read_raw(tmp_path / "a.pcapng"))
    assert len(tables.connections) == clients
    assert tables.unmatched == []


def test_with_several_clients_it_says_how_to_see_the_others(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "--loopback", "-o", "a.pcapng", "--clients", "3")
    assert done.returncode == 0
    assert "netlab inspect a.pcapng --connection 1 ... 2" in done.stdout


def test_without_a_name_it_makes_one(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "--quiet")
    (made,) = tmp_path.iterdir()
    assert done.stdout == f"{made.name}\n"
    assert made.name.startswith("netlab-echo-")
    assert made.suffix == ".pcapng"


def test_tshark_sees_calls_between_packets_and_nothing_wrong(tmp_path: Path) -> None:
    _, raw, _ = recorded(tmp_path)
    listing = subprocess.run(
        ["tshark", "-n", "-r", "a.pcapng"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    kinds = ["call" if "systemd Journal" in line else "packet" for line in listing]
    changes = sum(a != b for a, b in pairwise(kinds))
    assert kinds.count("packet") == len(raw.frames) >= 12  # and ACKs, as many as take their time
    assert changes > 10
    flagged = subprocess.run(
        ["tshark", "-n", "-r", "a.pcapng", "-Y", "tcp.analysis.flags || _ws.malformed"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert flagged.stdout == ""

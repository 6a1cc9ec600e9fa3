"""`netlab run --lab`: netlab's own server and clients on two hosts with a wire between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab_process import ORDINARY_USER, complaint, run_netlab

from netlab.capture.files import read_raw
from netlab.correlate.ledger import ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.lab.options import RunOptions, RunResult
from netlab.lab.session import run_scenario
from netlab.lab.wire.grammar import rules_from_text


def run(folder: Path, *, wire: str = "", **options: Any) -> RunResult:
    rules = rules_from_text(wire) if wire else ()
    return run_scenario(RunOptions(path=folder / "a.pcapng", lab=True, wire=rules, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"udp": True, "ipv6": True},
        {"clients": 3, "port": 80},
        {"server_options": {"mode": "process", "workers": "2"}},
        {"server_options": {"mode": "base", "workers": "2"}},
        {"server_options": {"mode": "threads"}, "ipv6": True},
        {"wire": "loss 2% seed 1; delay 3ms", "size_bytes": 300_007, "messages": 3},
        {"wire": "mtu 900", "size_bytes": 30_011},
        {"wire": "duplicate s>c datagram 1; duplicate c>s datagram 2", "udp": True, "messages": 5},
        {"wire": "delay 2ms; reorder c>s data 4 after 6", "size_bytes": 60_013},
    ],
    ids=lambda options: " ".join(f"{value}" for value in options.values()),
)
def test_every_byte_is_accounted_for(tmp_path: Path, options: dict[str, Any]) -> None:
    result = run(tmp_path, **options)
    assert ledger_mismatches(result.tables) == []
    assert {unmatched.reason for unmatched in result.tables.unmatched} <= {Reason.RESET}
    assert result.raw.losses == []
    assert {call.host for call in result.raw.calls} == {"client", "server"}
    assert [interface.name for interface in result.raw.interfaces] == ["client", "server", "wire"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]


def test_what_is_late_is_not_called_lost_by_the_wire(tmp_path: Path) -> None:
    result = run(tmp_path, wire="drop c>s datagram 2; delay s>c datagram 1 by 1300ms", udp=True)
    assert "2 datagrams had no answer within 1 s: UDP does not send them again" in result.notes
    assert ledger_mismatches(result.tables) == []


def test_a_lost_syn_makes_connect_take_the_syn_timeout(tmp_path: Path) -> None:
    result = run(tmp_path, wire="drop c>s syn 1")
    (connect,) = [call for call in result.tables.calls if call.op == "connect"]
    assert connect.returned_ns is not None
    assert connect.returned_ns - connect.entered_ns >= 1_000_000_000
    first, second = sorted(p.time_ns for p in result.tables.packets if p.tcp_flags == "SYN")
    # 1 s, and what the kernel's timer wheel may add to it; nobody's turn is waited for.
    assert 990_000_000 <= second - first < 1_300_000_000


def test_the_command_says_which_rule_never_fired(tmp_path: Path) -> None:
    done = run_netlab(
        tmp_path, "run", "--wire", "delay 1ms; drop c>s data 97", "-o", "a.pcapng",
        before=ORDINARY_USER,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "never fired: drop c>s data 97" in " ".join(done.stdout.split())
    title = read_raw(tmp_path / "a.pcapng").description.title
    assert title == "netlab run echo --wire 'delay 1ms; drop c>s data 97'"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--loopback", "--wire", "delay 1ms"), "no wire and no second host on loopback"),
        (("--loopback", "--sysctl", "client:net.ipv4.tcp_sack=0"), "leave --loopback out"),
        (("--wire", "delay"), "expected"),
        (("--sysctl", "localhost:net.ipv4.tcp_sack=0"), "no host 'localhost'"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", *arguments)
    assert done.returncode == 2
    assert words in complaint(done)
    assert list(tmp_path.iterdir()) == []

"""What the kernel and the mode make of the options; some of it checked against the kernel."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netlab.server.settings.effective import (
    EffectiveRow,
    KernelFacts,
    connection_limit,
    deferred_s,
    effective,
    facts_of_this_machine,
)
from netlab.server.settings.option_table import OPTIONS
from netlab.server.settings.options import options_from

FACTS = KernelFacts(
    somaxconn=4096,
    descriptors=20_000,
    descriptors_hard=20_000,
    rmem_max=212_992,
    wmem_max=212_992,
    fastopen=1,
    cpus=2,
)


def row(name: str, facts: KernelFacts = FACTS, /, **given: Any) -> EffectiveRow:
    (found,) = (row for row in effective(options_from(**given), facts) if row.name == name)
    return found


def function(session: int, data: bytes) -> int:
    return 0


def test_a_row_for_each_option_in_order_behind_the_limits() -> None:
    rows = effective(options_from(), FACTS)
    assert [row.name for row in rows] == [
        "RLIMIT_NOFILE",
        "net.core.somaxconn",
        *(option.name for option in OPTIONS),
    ]
    assert (rows[0].effective, rows[0].why) == ("20000", "hard: 20000")
    assert rows[1].effective == "4096"


def test_asked_is_what_the_user_asked() -> None:
    assert row("recv_size").asked == "default"
    assert row("recv_size", recv_size=65536) == EffectiveRow("recv_size", "65536", "65536", "")


# Options, the row, what holds, and a word of why.
CHANGED: list[tuple[dict[str, Any], str, str, str]] = [
    ({"backlog": 5000}, "backlog", "4096", "somaxconn"),
    ({"backlog": 4096}, "backlog", "4096", ""),
    ({"max_connections": 100_000}, "max_connections", "19936", "RLIMIT_NOFILE is 20000"),
    ({"poller": "select"}, "max_connections", "960", "select takes no descriptor from 1024"),
    ({"poller": "select", "max_connections": 960}, "max_connections", "960", ""),
    ({"poller": "poll"}, "max_connections", "10000", ""),
    ({"poller": "select", "mode": "threads"}, "max_connections", "10000", ""),
    ({"mode": "base", "workers": 100}, "max_connections", "4519", "232 shares"),
    ({"mode": "base", "workers": 4}, "max_connections", "10000", ""),
    ({"mode": "threads", "poller": "poll"}, "poller", "not used", "threads"),
    ({"workers": 4}, "workers", "not used", "mode is single"),
    ({"workers": 4, "mode": "base"}, "workers", "4", "2 CPUs"),
    ({"workers": 2, "mode": "base"}, "workers", "2", ""),
    ({"mode": "base"}, "dispatch", "not used", "mode is base"),
    ({"mode": "process"}, "dispatch", "fixed", ""),
    ({"mode": "process", "dispatch": "round"}, "dispatch", "round", "several workers"),
    ({"mode": "process", "reactors": 2}, "reactors", "2", "GIL"),
    ({"mode": "process", "reactors": 1}, "reactors", "1", ""),
    ({"mode": "process"}, "dispatch_func", "not used", "dispatch is fixed"),
    ({"mode": "process", "dispatch_func": function}, "dispatch_func", "function", ""),
    ({"mode": "base"}, "max_requests_jitter", "not used", "max_requests is off"),
    ({"mode": "base"}, "task_max_requests", "not used", "no task workers"),
    ({"mode": "base", "tasks": 1, "task_max_requests": 9}, "task_max_requests", "9", ""),
    ({"fastopen": 5}, "fastopen", "0", "tcp_fastopen is 1"),
    ({"fastopen": 0}, "fastopen", "0", ""),
    ({"defer_accept": 5}, "defer_accept", "7", "SYN-ACK"),
    ({"defer_accept": 7}, "defer_accept", "7", ""),
    ({}, "keepalive_idle", "not used", "keepalive is off"),
    ({"keepalive": True}, "keepalive_idle", "3600", ""),
    ({"keepalive": True, "user_timeout": 9}, "keepalive", "yes", "user_timeout of 9 s"),
    ({"cork": True}, "cork", "yes", "nodelay"),
    ({"cork": True, "nodelay": False}, "cork", "yes", ""),
    ({}, "rcvbuf", "0", "adapts"),
    ({"rcvbuf": 10_000}, "rcvbuf", "20000", "doubles"),
    ({"rcvbuf": 1 << 20}, "rcvbuf", "425984", "net.core.rmem_max is 212992"),
    ({"sndbuf": 1 << 20}, "sndbuf", "425984", "net.core.wmem_max is 212992"),
    ({"sndbuf": 1}, "sndbuf", "4608", "least"),
    ({"output_buffer": 1000}, "high_watermark", "800", "4/5 of output_buffer"),
    ({"output_buffer": 1000, "high_watermark": 5}, "high_watermark", "5", ""),
    ({"high_watermark": 0}, "low_watermark", "not used", "high_watermark is off"),
    ({"terminator": "\r\n"}, "framing", "terminator", "follows from terminator"),
    ({"terminator": "\r\n"}, "terminator", r"\r\n", ""),
    ({"framing": "terminator"}, "framing", "terminator", ""),
    ({"framing": "terminator"}, "length_type", "not used", "framing is terminator"),
    ({}, "framing", "none", ""),
]


@pytest.mark.parametrize(
    ("given", "name", "holds", "why"), CHANGED, ids=lambda part: str(part)[:30]
)
def test_what_holds_and_why(given: dict[str, Any], name: str, holds: str, why: str) -> None:
    found = row(name, FACTS, **given)
    assert found.effective == holds
    assert why in found.why
    assert bool(why) == bool(found.why)


def test_fastopen_holds_where_the_server_bit_is_set() -> None:
    assert row("fastopen", replace(FACTS, fastopen=3), fastopen=5).effective == "5"
    assert row("fastopen", replace(FACTS, fastopen=3), fastopen=5000).effective == "4096"


def test_what_is_not_known_limits_nothing() -> None:
    unknown = replace(FACTS, somaxconn=None, rmem_max=None, wmem_max=None, fastopen=None)
    assert row("net.core.somaxconn", unknown).effective == "none"
    assert row("backlog", unknown, backlog=99_999).effective == "99999"
    assert row("fastopen", unknown, fastopen=9).effective == "9"
    assert row("rcvbuf", unknown, rcvbuf=1 << 24).effective == str(1 << 25)


def test_there_is_always_room_for_one_connection() -> None:
    limit, why = connection_limit(options_from(), replace(FACTS, descriptors=20))
    assert limit == 1
    assert "RLIMIT_NOFILE is 20" in why


@pytest.mark.parametrize("asked_s", [0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 127, 128, 500])
def test_defer_accept_is_what_the_kernel_says(asked_s: int) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, asked_s)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == deferred_s(asked_s)


@pytest.mark.parametrize("asked", [1, 1000, 1152, 1153, 2304, 2305, 50_000, 1 << 29])
@pytest.mark.parametrize(
    ("name", "kernel"), [("rcvbuf", socket.SO_RCVBUF), ("sndbuf", socket.SO_SNDBUF)]
)
def test_buffer_sizes_are_what_the_kernel_says(name: str, kernel: int, asked: int) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, kernel, asked)
        granted = sock.getsockopt(socket.SOL_SOCKET, kernel)
    facts = facts_of_this_machine()
    foretold = int(row(name, facts, **{name: asked}).effective)
    if facts.rmem_max is None or facts.wmem_max is None:  # not every namespace shows them
        assert granted <= foretold
    else:
        assert granted == foretold


def test_facts_are_read_from_the_system_and_may_be_missing(tmp_path: Path) -> None:
    core = tmp_path / "net/core"
    core.mkdir(parents=True)
    (core / "somaxconn").write_text("128\n")
    (core / "rmem_max").write_text("not a number")
    facts = facts_of_this_machine(tmp_path)
    assert (facts.somaxconn, facts.rmem_max, facts.fastopen) == (128, None, None)
    assert 0 < facts.descriptors <= facts.descriptors_hard
    assert facts.cpus > 0

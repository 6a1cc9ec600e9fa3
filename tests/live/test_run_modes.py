"""`netlab run` of every scenario and in every mode: the ledger closes, and nobody stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from handled import every_mode
from lab_process import complaint, run_netlab
from test_run import recorded

from netlab.lab import clients_web
from netlab.lab.scenarios import SCENARIOS
from netlab.model.call import INBOUND
from netlab.model.recording import RawRecording
from netlab.server.channels import KINDS

ACTORS = {
    "single": {"server"},
    "threads": {"server"},
    "base": {"server", "manager", "worker-0", "worker-1", "task-0"},
    "process": {"server", "master/reactor-0", "manager", "worker-0", "worker-1", "task-0"},
}
LOST_BY_DESIGN = {"stuck", "bad"}  # what their servers do not read


def as_many(mode: str) -> tuple[str, ...]:
    many = ("--workers", "2", "--tasks", "1") if mode in ("base", "process") else ()
    return ("--mode", mode, *many)


def everyone_ended_once(raw: RawRecording) -> None:
    ends = Counter(call.pid for call in raw.calls if call.op == "exit")
    assert ends == dict.fromkeys({call.pid for call in raw.calls}, 1)
    assert {call.args for call in raw.calls if call.op == "exit"} == {""}


@every_mode
def test_every_process_of_a_mode_is_recorded(tmp_path: Path, mode: str) -> None:
    arguments = ("rpc", "--messages", "11", *as_many(mode))
    said, raw, tables = recorded(tmp_path, *arguments)
    assert {call.actor for call in raw.calls} == ACTORS[mode] | {"client"}
    everyone_ended_once(raw)
    assert tables.unmatched == []
    assert said["ledger"]["closed"]  # type: ignore[index]
    assert raw.losses == []


MORE = ("http", "websocket", "chat")
WAYS = [
    *(("single", name) for name in SCENARIOS),
    *(("process", name) for name in MORE),
    ("threads", "http"),
    ("base", "chat"),
    ("process", "chargen"),
    ("process", "bad"),
]


@pytest.mark.parametrize(("mode", "scenario"), WAYS)
def test_every_scenario_accounts_for_its_bytes(tmp_path: Path, mode: str, scenario: str) -> None:
    if scenario == "stuck":
        arguments = (scenario, "--size", "2000003", *as_many(mode))
    else:
        arguments = (scenario, "--size", "4093", *as_many(mode))
    _, raw, tables = recorded(tmp_path, *arguments)
    reasons = {item.reason for item in tables.unmatched}
    assert reasons <= ({"reset before delivery", "still queued"} & reasons)
    assert bool(reasons) <= (scenario in LOST_BY_DESIGN)
    everyone_ended_once(raw)
    client = next(call for call in raw.calls if call.actor.startswith("client"))
    heard = sum(
        call.result or 0 for call in raw.calls if call.pid == client.pid and call.op in INBOUND
    )
    expected = {"echo": 3 * 4093, "upper": 3 * 4093, "slow": 3 * 4093, "chargen": 3 * 4093}
    expected |= {"discard": 0, "stuck": 0, "daytime": 27}
    if scenario in expected:
        assert heard == expected[scenario]


def test_a_page_and_whole_files_are_got_over_one_connection(tmp_path: Path) -> None:
    said, raw, tables = recorded(tmp_path, "http", "--ipv6", "--messages", "5")
    assert said["ledger"]["closed"]  # type: ignore[index]
    assert len(tables.connections) == 1
    client = [call for call in raw.calls if call.actor == "client"]
    assert sum(call.op == "send" for call in client) == 5
    files = [call for call in raw.calls if call.op == "sendfile"]
    whole = (clients_web.FOLDER / clients_web.FILE).stat().st_size
    assert sum(call.result or 0 for call in files) == 3 * whole


def test_everybody_in_the_room_hears_everybody(tmp_path: Path) -> None:
    """As many clients as the scenario has when nobody says otherwise; one alone is enough too."""
    _, raw, tables = recorded(tmp_path, "chat", "--messages", "3")
    assert {call.actor for call in raw.calls} == {"server", "client-1", "client-2", "client-3"}
    assert len(tables.connections) == 3
    (tmp_path / "a.pcapng").unlink()
    _, _, tables = recorded(tmp_path, "chat", "--messages", "2", "--clients", "1")
    assert tables.unmatched == []


@pytest.mark.parametrize(
    "ipc",  # each of them is recorded in `test_serve_record`, too
    [
        "seqpacket",
        "ring",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in KINDS
            if kind not in ("seqpacket", "ring")
        ),
    ],
)
def test_every_ipc_carries_a_run(tmp_path: Path, ipc: str) -> None:
    arguments = ("echo", "--ipc", ipc, "--clients", "2", "--messages", "7", *as_many("process"))
    said, raw, tables = recorded(tmp_path, *arguments)
    assert tables.unmatched == []
    assert said["ledger"]["closed"]  # type: ignore[index]
    everyone_ended_once(raw)


@pytest.mark.parametrize(
    ("mode", "poller"),
    [("single", "poll"), ("single", "edge"), ("base", "select"), ("process", "edge")],
)
def test_every_poller_waits_for_a_run(tmp_path: Path, mode: str, poller: str) -> None:
    _, raw, tables = recorded(tmp_path, "echo", "--poller", poller, *as_many(mode))
    waits = {call.op for call in raw.calls if call.actor != "client"}
    assert {"edge": "epoll_wait", "epoll": "epoll_wait"}.get(poller, poller) in waits
    assert tables.unmatched == []


@pytest.mark.parametrize(("mode", "scenario"), [("threads", "upper"), ("process", "daytime")])
def test_datagrams_in_other_modes(tmp_path: Path, mode: str, scenario: str) -> None:
    arguments = (scenario, "--udp", "--messages", "7", "--size", "509", *as_many(mode))
    _, raw, tables = recorded(tmp_path, *arguments)
    assert tables.unmatched == []
    everyone_ended_once(raw)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ecko",), "there is no scenario 'ecko': there is echo, upper,"),
        (("slow", "--udp"), "slow is about a stream: leave out --udp"),
        (("--tasks", "1"), "single mode has no task workers"),
        (("--mode", "both"), "'both' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = run_netlab(tmp_path, "run", *arguments)
    assert done.returncode == 2
    assert words in complaint(done)
    assert list(tmp_path.iterdir()) == []

"""`netlab doctor` on the machine that runs the tests, and in places that allow less."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lab_process import ROOT

from netlab.commands.doctor import command
from netlab.lab import machine, syscalls
from netlab.lab.machine import Fact, Machine, Verdict
from tests.private_network import become, in_child


def run(*arguments: str, width: int = 80) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netlab", "doctor", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": str(width)},
    )  # fmt: skip


def by_name(found: Machine) -> dict[str, Fact]:
    return {fact.name: fact for fact in found.facts}


def test_json_has_every_fact_and_agrees_with_the_exit_code() -> None:
    result = run("--json")
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    assert result.returncode == (0 if answer["can_run"] else 3)
    names = [fact["name"] for fact in answer["facts"]]
    assert {"namespaces", "hosts and wire", "own interfaces", "socket buffers", "TCP settings",
            "disk", "python",
            "packages", "strace", "tshark", "wireshark"} <= set(names)  # fmt: skip
    assert {fact["verdict"] for fact in answer["facts"]} <= {"ok", "limited", "no"}
    assert set(answer["facts"][0]) == {"name", "verdict", "text", "grant"}


@pytest.mark.parametrize("width", [80, pytest.param(200, marks=pytest.mark.slow)])
def test_the_table_fits_80_columns_and_commands_are_whole(width: int) -> None:
    result = run(width=width)
    facts = json.loads(run("--json").stdout)["facts"]
    lines = result.stdout.splitlines()
    commands = [f"    {fact['grant']}" for fact in facts if fact["grant"]]
    assert [line for line in lines if line in commands] == commands
    assert max(len(line) for line in lines if line not in commands) <= 80
    assert [line.split("  ")[0] for line in lines][: len(facts)].count("") < len(facts)


@pytest.mark.root
def test_root_gets_namespaces_and_captures_every_packet_of_the_trial() -> None:
    found = by_name(machine.examine(Path("/tmp")))
    assert found["namespaces"].verdict is Verdict.OK
    assert found["namespaces"].text.endswith("as root")
    assert found["lab capture"].verdict is Verdict.OK
    assert found["own interfaces"].verdict is Verdict.OK
    assert found["kernel witness"].verdict is Verdict.OK
    assert found["hosts and wire"].verdict is Verdict.OK
    assert re.match(
        r"all \d+ frames of a trial carried, \d+\.\d ms late at", found["hosts and wire"].text
    )


@pytest.mark.root
def test_an_ordinary_user_gets_the_same_lab_and_the_command_for_the_rest() -> None:
    def work() -> Machine:
        become(1000)
        return machine.examine(Path("/tmp"))

    found = in_child(work)
    facts = by_name(found)
    assert found.can_run
    assert facts["namespaces"].text.endswith("as an ordinary user")
    assert facts["lab capture"].verdict is Verdict.OK
    assert facts["own interfaces"].verdict is Verdict.LIMITED
    assert facts["own interfaces"].grant.startswith("sudo setcap cap_net_raw+ep /")
    assert facts["kernel witness"].verdict is Verdict.LIMITED
    assert "tracefs" in facts["kernel witness"].text


def in_a_place_without_namespaces() -> None:
    """Become an ordinary user in a user namespace that allows no further ones."""
    become(1000)
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text("1000 1000 1")
    Path("/proc/self/uid_map").write_text("1000 1000 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    syscalls.give_up_privileges()


@pytest.mark.root
def test_where_nothing_is_allowed_it_says_so_and_names_the_setting() -> None:
    def work() -> Machine:
        in_a_place_without_namespaces()
        return machine.examine(Path("/tmp"))

    found = in_child(work)
    facts = by_name(found)
    assert not found.can_run
    assert facts["namespaces"].verdict is Verdict.NO
    assert facts["namespaces"].grant == "sudo sysctl -w user.max_user_namespaces=10000"
    assert "lab capture" not in facts
    assert "hosts and wire" not in facts


def test_one_kind_of_namespaces_is_missing_for_hosts_and_a_wire(tmp_path: Path) -> None:
    script = 'echo 0 > /proc/sys/user/max_uts_namespaces && exec "$@"'
    done = subprocess.run(
        ["unshare", "--map-root-user", "sh", "-c", script, "sh",
         sys.executable, "-m", "netlab", "doctor", "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    (fact,) = [fact for fact in answer["facts"] if fact["name"] == "hosts and wire"]
    assert fact["verdict"] == "no"
    assert fact["text"].startswith("host name namespace: No space left on device: no netlab lab")
    assert fact["grant"] == "sudo sysctl -w user.max_uts_namespaces=10000"
    assert "only on the loopback of one host" in answer["summary"]
    assert list(tmp_path.iterdir()) == []


def test_exit_code_is_3_when_run_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = (Fact("namespaces", Verdict.NO, "user namespace: no", "sudo sysctl -w x=1"),)
    found = Machine(facts, False, "netlab run cannot work: no namespaces")
    monkeypatch.setattr(machine, "examine", lambda _: found)
    assert command.main([], standalone_mode=False) == 3
    assert command.main(["--json"], standalone_mode=False) == 3


def test_nothing_of_the_trials_stays() -> None:
    before = {path.name for path in Path("/proc").iterdir() if path.name.isdigit()}
    machine.try_lab()
    machine.try_wire()
    machine.capture_here()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert [child for child in children if child not in before] == []

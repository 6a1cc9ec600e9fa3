"""The facts of a machine: what each verdict says, and what follows for `netlab run`."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from netlab.lab import itself, machine
from netlab.lab.machine import Fact, Trial, Verdict

OK = Fact("python", Verdict.OK, "fine")


def switches(monkeypatch: pytest.MonkeyPatch, **off: str) -> None:
    """Let the machine's settings read as these, dots written as two underscores."""
    settings = {name.replace("__", "."): value for name, value in off.items()}
    monkeypatch.setattr(machine.sysctls, "read", settings.get)


@pytest.mark.parametrize(
    ("wire", "lab", "here", "can_run", "words"),
    [
        (True, True, True, True, "works, on two hosts with a wire between"),
        (True, True, False, True, "works, on two hosts with a wire between"),
        (False, True, True, True, "only on the loopback of one host: see hosts and wire"),
        (False, False, True, True, "only on this machine's own loopback"),
        (False, False, False, False, "no namespaces, and no right to capture without"),
    ],
)
def test_netlab_run_needs_a_lab_or_the_right_to_capture(
    wire: bool, lab: bool, here: bool, can_run: bool, words: str
) -> None:
    found = machine.conclude((OK,), wire=wire, lab=lab, here=here)
    assert found.can_run is can_run
    assert words in found.summary


def test_a_missing_package_stops_everything() -> None:
    bad = machine.packages(("click>=8.1", "no-such-package-xyz>=1.0"))
    assert bad.verdict is Verdict.NO
    assert "missing or too old: no-such-package-xyz>=1.0" in bad.text
    assert bad.grant.endswith("-m pip install 'no-such-package-xyz>=1.0'")
    found = machine.conclude((OK, bad), wire=True, lab=True, here=True)
    assert not found.can_run
    assert found.summary == "netlab run cannot work: see packages"


def test_a_package_below_its_bound_is_named_and_one_at_its_bound_is_fine() -> None:
    assert machine.packages(("click>=999",)).verdict is Verdict.NO
    assert machine.packages(("click>=8.1",)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.9.8", (1, 9, 8)), ("2.10", (2, 10)), ("2.5rc1", (2, 5)), ("0.20.3+local", (0, 20, 3)),
     ("", ())],
)  # fmt: skip
def test_versions_compare_by_their_numbers(version: str, expected: tuple[int, ...]) -> None:
    assert machine.numbers(version) == expected


def test_refused_namespaces_name_every_setting_that_stands_in_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switches(
        monkeypatch,
        kernel__apparmor_restrict_unprivileged_userns="1",
        user__max_user_namespaces="0",
    )
    fact = machine._namespaces(Trial("user namespace", errno.EPERM))
    assert fact.verdict is Verdict.NO
    assert fact.text == "user namespace: operation not permitted"
    assert fact.grant == (
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 "
        "user.max_user_namespaces=10000"
    )


@pytest.mark.parametrize(("uid", "grant"), [(1000, itself.as_root("doctor")), (0, "docker run")])
def test_refused_without_a_setting_to_blame(
    monkeypatch: pytest.MonkeyPatch, uid: int, grant: str
) -> None:
    switches(monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    fact = machine._namespaces(Trial("network namespace", errno.EPERM))
    assert fact.grant.startswith(grant)


def test_a_lab_that_captured_is_ok_and_one_that_lost_packets_is_not() -> None:
    good = machine._lab(Trial(settings_count=25, captured=28, once_by_option=True,
                              offload_marked=True, ipv6=True))  # fmt: skip
    assert {fact.verdict for fact in good} == {Verdict.OK}
    bad = machine._lab(Trial(capture_fault="0 of 28 packets came through the ring"))
    assert [fact.verdict for fact in bad] == [Verdict.OK, Verdict.NO]


def test_notes_of_the_lab_and_an_old_kernel_are_limits_that_say_what_is_lost() -> None:
    host, _, kernel, ipv6 = machine._lab(
        Trial(notes=["congestion control is bbr, not cubic"], captured=1)
    )
    assert (host.verdict, kernel.verdict, ipv6.verdict) == (
        Verdict.LIMITED, Verdict.LIMITED, Verdict.NO,
    )  # fmt: skip
    assert "congestion control is bbr" in host.text
    assert "segmentation offload is not marked" in kernel.text


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free_bytes", "verdict"),
    [(5 << 30, Verdict.OK), (500 << 20, Verdict.LIMITED), (1 << 20, Verdict.NO)],
)
def test_disk_space_is_judged_by_what_spools_may_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_bytes: int, verdict: Verdict
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free_bytes))
    assert machine._disk(tmp_path).verdict is verdict


def test_a_folder_that_is_not_there_is_no_place_to_write(tmp_path: Path) -> None:
    fact = machine._disk(tmp_path / "gone")
    assert (fact.verdict, fact.text) == (
        Verdict.NO, f"{tmp_path / 'gone'}: No such file or directory",
    )  # fmt: skip


def test_a_program_that_is_missing_is_a_limit_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fact = machine._program("tshark", "lists recordings")
    assert fact == Fact("tshark", Verdict.LIMITED, "not found; lists recordings",
                        "sudo apt-get install tshark")  # fmt: skip


def test_a_program_is_asked_for_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "tshark"
    program.write_text("#!/bin/sh\necho 'TShark (Wireshark) 4.0.17 (Git v4.0.17)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machine._program("tshark", "").text == f"4.0.17 ({program})"


def test_a_trial_that_dies_says_nothing_and_leaves_no_child() -> None:
    assert machine.in_child(lambda: os._exit(7)) == b""
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_unreadable_settings_are_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    switches(monkeypatch, net__core__rmem_max="212992")
    assert machine._buffers().text == "net.core.wmem_max cannot be read"
    assert machine._tcp_settings().verdict is Verdict.LIMITED

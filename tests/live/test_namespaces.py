"""The lab's house: what its programs may and see, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.capture.ring import PacketRing
from netlab.lab.hosts import Ended, House, Started

# Says, as one line of JSON on the report descriptor, what a program of the lab sees.
LOOK = """
import json, os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
listener = socket.create_server(("127.0.0.1", 7))
client = socket.create_connection(("127.0.0.1", 7))
facts = {
    "uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(),
    "outer": os.readlink("self", dir_fd=int(os.environ["NETLAB_PROC_FD"])),
    "effective": status["CapEff"].strip(), "permitted": status["CapPrm"].strip(),
    "ambient": status["CapAmb"].strip(), "no_new_privs": status["NoNewPrivs"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "processes": [n for n in os.listdir("/proc") if n.isdigit()],
    "net": os.readlink("/proc/self/ns/net"),
    "congestion": client.getsockopt(socket.IPPROTO_TCP, 13, 16).rstrip(b"\\0").decode(),
    "environment": sorted(os.environ),
    "descriptors": len(os.listdir("/proc/self/fd")),
}
os.write(int(os.environ["NETLAB_REPORT_FD"]), json.dumps(facts).encode())
"""
WAIT = "import signal; signal.pause()"
DAEMON = """
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        pid = os.readlink("self", dir_fd=int(os.environ["NETLAB_PROC_FD"]))
        os.write(int(os.environ["NETLAB_REPORT_FD"]), pid.encode())
        signal.pause()
"""


@pytest.fixture
def lab() -> Iterator[House]:
    lab = House.open(own=True)
    yield lab
    lab.close()


def start(lab: House, actor: str, code: str) -> int:
    """Start a Python program; the read end of its report pipe."""
    read_end, write_end = os.pipe()
    lab.start(actor, [sys.executable, "-I", "-S", "-c", code], {}, {"NETLAB_REPORT_FD": write_end})
    os.close(write_end)
    return read_end


def next_event(lab: House, kind: type[Started] | type[Ended]) -> Any:
    poller = select.poll()
    poller.register(lab, select.POLLIN)
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        poller.poll(1000)
        for event in lab.events():
            if isinstance(event, kind):
                return event
        assert not lab.gone
    raise AssertionError(f"no {kind.__name__}")


def gone(pid: int) -> bool:
    """Wait for the end of a process of anyone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(10_000))
    finally:
        os.close(descriptor)


def test_a_program_sees_a_house_of_its_own_and_holds_no_key(lab: House) -> None:
    with os.fdopen(start(lab, "look", LOOK), "rb") as report:
        facts = json.loads(report.read())
    assert (facts["uid"], facts["gid"]) == (os.getuid(), os.getgid())
    if os.getuid() != 0:  # from plain root nothing is taken, and netlab says so
        assert facts["effective"] == facts["permitted"] == "0" * 16
        assert facts["no_new_privs"] == "1"
    assert facts["ambient"] == "0" * 16
    assert facts["interfaces"] == ["lo"]
    assert facts["net"] != os.readlink("/proc/self/ns/net")
    assert facts["pid"] == 2
    assert facts["congestion"] == "cubic"
    assert facts["outer"] == str(next_event(lab, Started).pid)
    # 0, 1, 2, report, /proc, listdir's own, listener, client: nothing of the lab's
    assert facts["descriptors"] == 8
    kept = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME"}
    assert set(facts["environment"]) <= kept | {"NETLAB_PROC_FD", "NETLAB_REPORT_FD"}
    assert facts["processes"] == ["1", "2"] or any("/proc" in note for note in lab.notes)


def test_the_ring_is_there_before_the_first_program(lab: House) -> None:
    assert lab.ring_socket is not None
    with PacketRing.from_socket(lab.ring_socket) as ring:
        os.close(start(lab, "look", LOOK))
        next_event(lab, Ended)
        frames = ring.drain()
        assert len(frames) >= 3  # the handshake, at least
        assert ring.statistics().dropped == 0


def test_the_baseline_holds(lab: House) -> None:
    settings = dict(lab.settings)
    assert settings["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert settings["net.ipv4.tcp_wmem"] == "4096 16384 4194304"
    assert settings["net.ipv4.tcp_ehash_entries"] == "256"
    assert lab.notes == () or all("/proc" in note for note in lab.notes)


def test_exits_are_told_with_their_status(lab: House) -> None:
    os.close(start(lab, "seven", "raise SystemExit(7)"))
    began = next_event(lab, Started)
    end = next_event(lab, Ended)
    assert (began.actor, end.actor, end.status) == ("seven", "seven", 7)
    os.close(start(lab, "waits", WAIT))
    next_event(lab, Started)
    before_ns = time.time_ns()
    lab.signal(["waits"], signal.SIGKILL)
    end = next_event(lab, Ended)
    assert end.status == -signal.SIGKILL
    assert before_ns <= end.time_ns <= time.time_ns()


def test_the_last_line_of_a_traceback_is_kept(lab: House) -> None:
    os.close(start(lab, "bad", "raise ValueError('in the lab')"))
    next_event(lab, Ended)
    assert lab.last_words() == "ValueError: in the lab"


def test_a_program_that_is_not_there_is_an_error_at_once(lab: House) -> None:
    from netlab.model.errors import PrivilegeError

    read_end, write_end = os.pipe()
    lab.start("ghost", ["/no/such/program"], {}, {"NETLAB_REPORT_FD": write_end})
    os.close(write_end)
    os.close(read_end)
    with pytest.raises(PrivilegeError, match="/no/such/program"):
        next_event(lab, Started)


def test_a_daemon_dies_with_the_lab() -> None:
    lab = House.open(own=True)
    with os.fdopen(start(lab, "daemon", DAEMON), "rb") as report:
        next_event(lab, Ended)  # the one that was started is over
        pid = int(os.read(report.fileno(), 100))
        os.kill(pid, 0)
        lab.close()
        assert gone(pid)


@pytest.mark.parametrize("victim", ["helper", "first process"])
def test_when_one_of_the_house_is_killed_all_of_it_ends(lab: House, victim: str) -> None:
    os.close(start(lab, "waits", WAIT))
    program = next_event(lab, Started).pid
    helper = lab._helper.pid
    init = int(Path(f"/proc/{helper}/task/{helper}/children").read_text().split()[0])
    os.kill(helper if victim == "helper" else init, signal.SIGKILL)
    assert gone(program)
    assert gone(init)
    poller = select.poll()
    poller.register(lab, select.POLLIN)
    poller.poll(10_000)
    lab.events()
    assert lab.gone


def test_no_descriptor_is_left_open() -> None:
    def open_now() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_now()
    lab = House.open(own=True)
    os.close(start(lab, "seven", "raise SystemExit(7)"))
    next_event(lab, Ended)
    lab.close()
    assert open_now() == before


def test_the_outside_stays_as_it_was() -> None:
    def outside() -> list[str]:
        names = ("net", "mnt", "pid_for_children", "user")
        links = [os.readlink(f"/proc/self/ns/{name}") for name in names]
        sysctl = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries").read_text()
        return [*links, sysctl, Path("/proc/self/mounts").read_text()]

    before = outside()
    lab = House.open(own=True)
    assert outside() == before
    lab.close()
    assert outside() == before

"""A lab from Python: what its hosts are like, what programs on them may, and what is recorded."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import lab_programs as programs
import pytest

from netlab.correlate.ledger import ledger_mismatches
from netlab.lab.experiment import Lab
from netlab.lab.network.offloads import read as offloads_of
from netlab.model.errors import CheckFailed, UsageError
from netlab.model.tables import Role

HOSTS = ("client", "server", "third")
# Refuses to be root, unless the whole netlab is; then listens on a port that is root's elsewhere.
REFUSES_ROOT = """
import os, signal, socket, sys
if os.getuid() == 0 and "may be root" not in sys.argv:
    sys.exit("I will not run as root")
with socket.create_server(("0.0.0.0", 443)):
    signal.pause()
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all that look at it; what each starts, it ends."""
    path = tmp_path_factory.mktemp("lab") / "a.pcapng"
    with Lab(HOSTS, path=path, sysctls={"client": {"net.ipv4.tcp_syn_retries": "2"}}) as lab:
        yield lab


@pytest.fixture
def server(lab: Lab) -> Iterator[Lab]:
    """The lab, and nothing left on the server afterwards."""
    yield lab
    lab.stop("server")


def test_a_program_sees_a_host_of_its_own(lab: Lab) -> None:
    seen = lab.run("client", programs.look)
    assert seen.status == 0, seen.stderr
    facts = seen.value
    assert facts["uid"] == os.getuid()
    assert facts["cwd"] == os.getcwd()
    if os.getuid() != 0:  # from plain root nothing is taken, and netlab says so
        assert facts["capabilities"] == "0" * 16
        assert facts["no_new_privs"] == "1"
    assert facts["host"] == "client"
    assert facts["interfaces"] == ["lo", "eth0"]
    assert facts["mac"] == "02:00:00:00:00:01"
    assert facts["mtu"] == 1500
    assert facts["outer"] == seen.pid
    covered = " ".join(lab.notes)  # in most containers
    assert facts["sysfs"] == ["eth0", "lo"] or "/sys" in covered
    assert seen.pid not in facts["processes"] or "/proc" in covered
    assert "/etc/hosts" in facts["mounted"]
    assert facts["pinged"]


def test_names_are_those_of_the_lab_ipv4_first(lab: Lab) -> None:
    facts = lab.run("third", programs.look).value
    wanted = [lab.address("server"), lab.address("server", ipv6=True)]
    assert facts["server"] in (wanted, wanted[:1])  # without a gai.conf to put IPv4 first


def test_no_offload_is_on_at_either_end(lab: Lab) -> None:
    facts = lab.run("client", programs.look).value
    assert facts["offloads"] == dict.fromkeys(facts["offloads"], False)
    assert len(facts["offloads"]) == 5
    assert set(offloads_of("lo")) == set(facts["offloads"])


def test_sysctls_are_a_hosts_own(lab: Lab) -> None:
    assert lab.run("client", programs.look).value["syn_retries"] == "2"
    assert lab.run("server", programs.look).value["syn_retries"] == "6"


def test_both_ends_use_cubic_over_ipv4_and_ipv6(server: Lab) -> None:
    serving = server.start("server", programs.accept_congestion, 2)
    server.wait_listening("server")
    client = server.run("client", programs.congestion, "server")
    server.wait(serving)
    assert client.value == serving.value == ["cubic", "cubic"], client.stderr


def test_a_program_that_refuses_to_be_root_has_a_low_port(server: Lab) -> None:
    words = ["may be root"] * (os.getuid() == 0)
    server.start("server", ["python3", "-c", REFUSES_ROOT, *words])
    (row,) = server.wait_listening("server", 443)
    assert f"{row}" == "tcp 0.0.0.0:443 LISTEN"


def test_a_daemon_is_waited_for_and_ended(server: Lab) -> None:
    launcher = server.start("server", programs.daemonise)
    assert [row.port for row in server.wait_listening("server")] == [11211]
    server.wait(launcher)
    assert launcher.status == 0
    server.stop("server")
    assert [row for row in server.sockets("server") if row.listens] == []


def test_a_datagram_server_listens_too(server: Lab) -> None:
    server.start("server", programs.bind_datagrams, 5353)
    assert [f"{row}" for row in server.wait_listening("server")] == ["udp 0.0.0.0:5353 bound"]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_datagrams_to_a_name_are_found_on_the_wire(tmp_path: Path, family: int) -> None:
    with Lab(path=tmp_path / "a.pcapng") as lab:
        server = lab.start("server", programs.hear_datagrams, family, 7)
        lab.wait_listening("server")
        client = lab.run("client", programs.tell_by_name, family, "server", 7)
        assert client.status == 0, client.stderr
        lab.wait(server)
        assert server.value == 7 * 97, server.stderr
        number = lab.address("server", ipv6=family == socket.AF_INET6)
    tables = lab.recording.tables
    assert tables.unmatched == []
    assert ledger_mismatches(tables) == []
    sends = [call for call in lab.recording.raw.calls if call.op == "sendto"]
    to = f"[{number}]" if family == socket.AF_INET6 else number
    assert {call.address for call in sends} == {f"{to}:{programs.PORT}"}
    assert {call.args.split(":")[0].strip("[]") for call in sends} == {"server"}
    assert len([span for span in tables.spans if span.role == Role.DELIVERED]) == 7


def test_a_server_that_never_listens(server: Lab) -> None:
    server.start("server", programs.bind_datagrams, 40_961)  # as any client's socket is
    server.wait_listening("server", 40_961)
    seen = r"does not listen after 0\.1 s: it has udp 0\.0\.0\.0:40961 bound; it wrote nothing"
    with pytest.raises(CheckFailed, match=seen):
        server.wait_listening("server", within_s=0.1)


def test_a_server_that_ends_before_it_listens(server: Lab) -> None:
    server.start("server", programs.fail)
    with pytest.raises(CheckFailed, match=r"ended \(status 1\) before it listened: ValueError: on"):
        server.wait_listening("server")


def test_programs_that_come_and_go_are_all_heard(lab: Lab) -> None:
    """Each is started while the tracer of the one before may be telling of its end."""
    for _ in range(23):
        program = lab.start("third", ["sleep", "1000"])
        lab.signal(program, signal.SIGTERM)
        lab.wait(program, within_s=20)
        assert program.status == -signal.SIGTERM


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGTERM])
def test_how_a_program_ended_is_known(lab: Lab, ends: int) -> None:
    program = lab.start("third", ["sleep", "1000"])
    lab.signal(program, ends)
    lab.wait(program)
    assert (program.status, program.exit_code) == (-ends, 128 + ends)


def test_a_program_that_does_not_end(lab: Lab) -> None:
    program = lab.start("third", ["sleep", "1000"], actor="sleeper")
    with pytest.raises(CheckFailed, match=r"sleeper did not end within 0\.1 s"):
        lab.wait(program, within_s=0.1)
    lab.signal(program, signal.SIGKILL)
    lab.wait(program)


@pytest.mark.parametrize("words", [["/no/such/program"], ["no-such-program"]])
def test_a_program_that_is_not_there(lab: Lab, words: list[str]) -> None:
    count = len(lab.programs)
    with pytest.raises(UsageError, match="there is no program"):
        lab.start("client", words)
    assert len(lab.programs) == count


def test_a_host_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(UsageError, match="no host 'clint'"):
        lab.start("clint", ["true"])


def test_the_recording_is_not_there_yet(lab: Lab) -> None:
    with pytest.raises(UsageError, match="still open"):
        _ = lab.recording


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab that is over: 23 messages were said and came back, and one segment was lost."""
    path = tmp_path_factory.mktemp("conversation") / "a.pcapng"
    with Lab(path=path, wire="delay 3ms; drop s>c data 5; drop c>s data 997") as lab:
        server = lab.start("server", programs.echo_once, 23)
        lab.wait_listening("server")
        client = lab.run("client", programs.say, lab.address("server"), 23)
        lab.wait(server)
        assert lab.settle()
    assert client.value == server.value == 23 * programs.MESSAGE_BYTES, client.stderr
    return lab


def test_every_byte_of_a_conversation_is_accounted_for(conversation: Lab) -> None:
    tables = conversation.recording.tables
    assert ledger_mismatches(tables) == []
    (connection,) = tables.connections
    total = 23 * programs.MESSAGE_BYTES
    moved = {(c.side, c.op): 0 for c in tables.calls if c.start is not None}
    for call in tables.calls:
        if call.start is not None and call.stop is not None:
            moved[call.side, call.op] += call.stop - call.start
    assert set(moved.values()) == {total}
    assert {call.host for call in tables.calls} == {"client", "server"}
    assert connection.server_port == programs.PORT


def test_a_function_notes_its_own_end(conversation: Lab) -> None:
    ends = [call for call in conversation.recording.tables.calls if call.op == "exit"]
    assert {call.actor for call in ends} == {"client", "server"}
    assert {(call.args, call.returned_by_ns) for call in ends} == {("", None)}


def test_the_wire_did_what_its_rules_said(conversation: Lab) -> None:
    tables = conversation.recording.tables
    dropped = [packet for packet in tables.packets if packet.fate == "dropped"]
    assert [packet.sport for packet in dropped] == [programs.PORT]
    frames = {span.frame for span in tables.spans if span.role is Role.RESENT}
    assert programs.PORT in {p.sport for p in tables.packets if p.frame in frames}
    assert dict(conversation.fired)["drop s>c data 5"] == 1
    assert [note for note in conversation.notes if "never fired" in note] == [
        "never fired: drop c>s data 997"
    ]
    assert all(
        packet.arrived_ns - packet.time_ns >= 3_000_000
        for packet in tables.packets
        if packet.arrived_ns is not None
    )


def test_hosts_say_nothing_by_themselves(conversation: Lab) -> None:
    """No ARP, no neighbour discovery, no reports: a frame is one that a program caused."""
    assert {packet.protocol for packet in conversation.recording.tables.packets} == {"TCP"}
    assert {packet.ip_version for packet in conversation.recording.tables.packets} == {4}


def test_a_recording_says_how_each_host_was_set(conversation: Lab) -> None:
    raw = conversation.recording.raw
    assert [interface.name for interface in raw.interfaces] == ["client", "server", "wire"]
    assert [host.name for host in raw.description.hosts] == ["client", "server"]
    for host in raw.description.hosts:
        settings = dict(host.sysctls)
        assert settings["net.ipv4.tcp_ehash_entries"] == "256"
        assert settings["net.ipv4.ip_unprivileged_port_start"] == "0"


def test_frames_are_whole_and_their_checksums_are_right(conversation: Lab) -> None:
    done = subprocess.run(
        ["tshark", "-n", "-r", conversation.path, "-o", "tcp.check_checksum:TRUE",
         "-o", "ip.check_checksum:TRUE", "-T", "fields", "-e", "frame.len",
         "-e", "tcp.checksum.status", "-Y", "tcp"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == len(conversation.recording.tables.packets)
    assert {status for _, status in rows} == {"1"}  # good
    assert max(int(length) for length, _ in rows) == 1514


def test_a_lab_leaves_only_its_recording(conversation: Lab) -> None:
    assert list(Path(conversation.path.parent).iterdir()) == [conversation.path]

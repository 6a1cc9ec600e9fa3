"""A lab whose calls the kernel tells: alone, and together with strace; as root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lab_process import ORDINARY_USER, run_netlab

from netlab.capture.kernel.tracefs import Tracefs
from netlab.explain.gloss import frame_comments
from netlab.lab.experiment import Lab
from netlab.model.call import is_moving
from netlab.model.errors import PrivilegeError
from netlab.model.recording import RawRecording
from netlab.model.tables import Role, Tables

pytestmark = pytest.mark.root

PYTHON = ("/usr/bin/python3", "-I", "-S", "-c")
SERVER = """
import socket
listener = socket.create_server(("", 80))
sock, _ = listener.accept()
while got := sock.recv(65536):
    sock.sendall(got)
"""
CLIENT = """
import socket
sock = socket.create_connection(("server", 80))
for _ in range(23):
    sock.sendall(b"x" * 4093)
    sock.recv(4093, socket.MSG_WAITALL)
sock.close()
socket.socket().connect_ex(("server", 9))
"""


def recorded(path: Path, witness: str, wire: str) -> tuple[RawRecording, Tables]:
    """A server and a client that both speak and end."""
    with Lab(path=path, wire=wire, witness=witness) as lab:
        server = lab.start("server", [*PYTHON, SERVER])
        lab.wait_listening("server")
        client = lab.run("client", [*PYTHON, CLIENT])
        lab.wait(server)
        assert (client.status, client.stderr, server.status) == (0, b"", 0)
    return lab.recording.raw, lab.recording.tables


@pytest.mark.parametrize("witness", ["kernel", "both"])
def test_every_byte_has_its_call_and_every_event_its_frame(tmp_path: Path, witness: str) -> None:
    raw, tables = recorded(tmp_path / "a.pcapng", witness, "drop c>s data 7")
    assert tables.unmatched == []
    assert raw.losses == []
    moving = [call for call in tables.calls if is_moving(call) and call.result]
    assert {call.witness for call in moving} == {
        "kernel" if witness == "kernel" else "strace+kernel"
    }
    assert {call.actor for call in moving} == {"server", "client"}
    sent = sum(call.result or 0 for call in moving if call.op == "sendto")
    assert sent == 2 * 23 * 4093
    assert all(call.connection == 0 for call in moving)

    comments = frame_comments(tables)
    again = {span.frame for span in tables.spans if span.role == Role.RESENT}
    assert again
    said = {frame for frame, texts in comments.items() if any("sent again" in t for t in texts)}
    assert again == said
    flags = {packet.frame: packet.tcp_flags for packet in tables.packets}
    refused = {
        flags[frame]: text
        for frame, texts in comments.items()
        for text in texts
        if "NO_SOCKET" in text
    }
    assert refused == {
        "SYN": "the kernel of server says: dropped, NO_SOCKET",
        "RST ACK": "the kernel of server says: sent as a reset, NO_SOCKET",
    }


ECHO_DATAGRAMS = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 80))
got = b""
while got != b"end":
    got, whose = sock.recvfrom(2000)
    sock.sendto(got, whose)
"""
DATAGRAMS = """
import socket
address = socket.gethostbyname("server"), 80
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(23):
    sock.sendto(b"x" * (101 + number), address)
    sock.recv(2000)
last = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
last.connect(address)
last.send(b"end")
last.recv(2000)
"""


def test_datagrams_have_their_calls(tmp_path: Path) -> None:
    with Lab(path=tmp_path / "a.pcapng", witness="kernel") as lab:
        server = lab.start("server", [*PYTHON, ECHO_DATAGRAMS])
        lab.wait_listening("server")
        client = lab.run("client", [*PYTHON, DATAGRAMS])
        lab.wait(server)
        assert (client.status, client.stderr, server.status) == (0, b"", 0)
    tables = lab.recording.tables
    assert tables.unmatched == []
    moving = [call for call in tables.calls if is_moving(call)]
    assert len(moving) == 4 * 24
    assert {call.connection for call in moving} == {0, 1}


FULL = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # room for one or two
sock.bind(("", 80))
sock.recv(10)
listener = socket.create_server(("", 81))
listener.accept()[0].recv(1)
got = 0
sock.setblocking(False)
try:
    while sock.recv(2000):
        got += 1
except BlockingIOError:
    print(got)
"""
FILL = """
import select, socket
address = socket.gethostbyname("server")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(b"x", (address, 80))
while True:
    try:
        held = socket.create_connection((address, 81))
        break
    except ConnectionRefusedError:
        pass
for _ in range(7):
    sock.sendto(b"x" * 907, (address, 80))
    select.select([held], [], [], 0.1)  # apart, so that one frame alone can be meant
select.select([held], [], [], 0.5)  # the witness looks at the socket ten times a second
"""


def test_a_datagram_that_found_no_room_is_named(tmp_path: Path) -> None:
    with Lab(path=tmp_path / "a.pcapng", witness="kernel") as lab:
        server = lab.start("server", [*PYTHON, FULL])
        lab.wait_listening("server")
        client = lab.run("client", [*PYTHON, FILL])
        lab.wait(server)
        assert (client.status, client.stderr, server.status) == (0, b"", 0)
    tables = lab.recording.tables
    sizes = {packet.frame: packet.payload_len_bytes for packet in tables.packets}
    full = [note for note in tables.notes if note.reason == "SOCKET_RCVBUFF"]
    assert len(full) == 7 - int(server.stdout)
    assert {sizes[note.frame] for note in full} == {907}
    unread = [row for row in tables.unmatched if row.what == "carried but not read"]
    assert len(unread) == len(full)


def test_states_tell_both_ends_lives(tmp_path: Path) -> None:
    _, tables = recorded(tmp_path / "a.pcapng", "kernel", "delay 5ms")
    lives: dict[str | None, list[str]] = {"client": [], "server": []}
    for row in tables.states:
        if row.connection == 0 and (not lives[row.side] or lives[row.side][-1] != row.state):
            lives[row.side].append(row.state)
    assert lives == {
        "client": ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2"],
        "server": ["SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"],
    }
    trips = [row.srtt_ns for row in tables.states if row.srtt_ns]
    assert max(trips, default=0) >= 10_000_000  # a resend on a busy machine may halve it


def test_a_lab_leaves_nothing_in_the_kernel_and_says_what_it_did(tmp_path: Path) -> None:
    raw, _ = recorded(tmp_path / "a.pcapng", "kernel", "")
    assert any("tracepoints" in words for words in raw.description.witnesses)
    with Tracefs.open() as tracefs:
        mine = f"netlab-{os.getpid()}-"
        left = [one.name for one in (tracefs.path / "instances").iterdir()]
    assert not [name for name in left if name.startswith(mine)]


def test_without_root_the_lab_says_so(tmp_path: Path) -> None:
    words = ["lab", "--server", "sleep 9", "--client", "true", "--witness", "kernel"]
    done = run_netlab(tmp_path, *words, before=ORDINARY_USER)
    assert done.returncode == PrivilegeError.exit_code
    (line,) = done.stderr.splitlines()
    assert "tracefs" in line
    assert "--witness strace" in line
    assert list(tmp_path.iterdir()) == []

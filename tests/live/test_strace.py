"""Real programs under real strace, on a loopback of their own, with the frames that they caused."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from netlab.capture.descriptors import OWN_INODES
from netlab.capture.strace.asked import strace_options
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.model.call import CallRecord, is_inbound, is_moving, is_outbound
from tests.straced import straced

TALK = Path(__file__).with_name("straced_talk.py")
PYTHON = ["/usr/bin/python3", "-I", "-S"]
WAITS = {"poll": "poll", "select": "pselect6", "epoll": "epoll_wait"}
Spoken = tuple[str, int, int | None]  # call, process, bytes


def spoken(output: str) -> list[tuple[Spoken, int]]:
    """What the program says it did, with the inode of the socket."""
    found = []
    for line in output.splitlines():
        op, pid, inode, moved = line.split()
        count = None if moved == "-" else int(moved)
        found.append(((WAITS.get(op, op), int(pid), count), int(inode)))
    return found


def compiled(source: str, folder: Path) -> str:
    """The program made of a C file beside this one."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed: apt-get install gcc"
    program = folder / Path(source).stem
    subprocess.run([compiler, "-O1", "-o", str(program), str(TALK.with_name(source))], check=True)
    return str(program)


def recorded(calls: list[CallRecord]) -> list[tuple[Spoken, int]]:
    """The same of the records; those of Unix sockets and of /bin/echo, which says nothing, not."""
    found = []
    for call in sorted(calls, key=lambda one: (one.entered_ns, one.order)):
        if "echo" in call.actor or call.family == "AF_UNIX":
            continue
        if call.op in WAITS.values() and call.ready:
            found.append(((call.op, call.pid, None), call.ready[0].inode or 0))
        elif is_moving(call):
            found.append(((call.op, call.pid, call.result), call.inode or 0))
    return found


@pytest.mark.parametrize("way", ["addresses", "inodes", "numbers"])
def test_the_records_are_what_the_program_says(tmp_path: Path, way: str) -> None:
    options = {
        "addresses": strace_options(),
        "inodes": strace_options(addresses=False),
        "numbers": ["-f", "-ttt", "-T"],
    }[way]
    done = straced([*PYTHON, str(TALK)], tmp_path, options)
    assert done.reader.faults == []
    said, seen = spoken(done.output), recorded(done.raw.calls)
    assert [what for what, _ in seen] == [what for what, _ in said]
    # One number here for one socket there; the kernel's where strace shows it.
    assert len({(ours, theirs) for (_, ours), (_, theirs) in zip(seen, said, strict=True)}) == 2
    own = [ours for _, ours in seen if ours >= OWN_INODES]
    assert bool(own) is (way != "inodes")
    if way == "inodes":
        assert seen == said


def test_every_byte_has_its_frame(tmp_path: Path) -> None:
    done = straced([*PYTHON, str(TALK)], tmp_path)
    tables = done.tables
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    assert tables.unmatched == []
    tcp = next(row for row in tables.connections if row.protocol == "tcp")
    moved = [call for call in tables.calls if call.connection == tcp.connection and is_moving(call)]
    read = sum(c.stop - c.start for c in moved if is_inbound(c) and c.start is not None and c.stop)
    assert read == tcp.client_bytes + tcp.server_bytes
    # The last of all who held the client's end was the parent, with its third number.
    fin = next(span for span in tables.spans if span.role == "fin" and span.direction == "c>s")
    assert tables.calls[fin.call - 1].op == "close"
    assert tables.calls[fin.call - 1].fd == 60


def test_threads_children_and_pipelines_share_connections(tmp_path: Path) -> None:
    done = straced([*PYTHON, str(TALK.with_name("straced_cgi.py"))], tmp_path)
    assert done.output.split() == ["13", "300007", "13", "300007", "13"]
    assert done.reader.faults == []
    tables = done.tables
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    assert tables.unmatched == []
    tcp = [
        row for row in tables.connections if row.protocol == "tcp"
    ]  # the user's shell has others
    assert [row.server_bytes for row in tcp] == [13, 300007, 13, 300007, 13]
    programs = {call.actor.split("-")[0] for call in tables.calls if call.start is not None}
    assert programs == {"prog", "prog/sh", "prog/tr", "prog/bash", "prog/cat"}
    # Whoever let go last, both ends' FINs have their call.
    assert len({span.frame for span in tables.spans if span.role == "fin"}) == 10


def test_each_message_of_one_call_has_its_datagram(tmp_path: Path) -> None:
    done = straced([compiled("several_messages.c", tmp_path)], tmp_path)
    assert done.output.strip() == "2"
    tables = done.tables
    assert ledger_mismatches(tables) == []
    assert [(row.what, row.bytes) for row in tables.unmatched] == [("delivered but cut off", 2)]
    for op, role in (("sendmmsg", "carried"), ("recvmmsg", "delivered")):
        call = next(call for call in tables.calls if call.op == op)
        spans = [span for span in tables.spans if (span.call, span.role) == (call.call, role)]
        assert [(span.start, span.stop) for span in spans] == [(0, 3), (3, 8)]


def test_bytes_that_io_uring_moved_are_said_to_be_unseen(tmp_path: Path) -> None:
    done = straced([compiled("io_uring_sender.c", tmp_path)], tmp_path)
    if done.output.strip() == "refused":  # kernel.io_uring_disabled: nothing went unseen then
        assert done.reader.losses == []
        return
    assert done.output.strip() == "4116"
    tables = done.tables
    assert ledger_mismatches(tables) == []
    assert [(row.what, row.bytes, row.reason) for row in tables.unmatched] == [
        ("sent, place in the stream unknown", 23, "io_uring: calls not seen"),
        ("carried but not sent by a known call", 4116, "io_uring: calls not seen"),
    ]
    read = [call for call in tables.calls if call.op == "recvfrom" and call.result]
    assert sum((call.stop or 0) - (call.start or 0) for call in read) == 4116


@pytest.mark.parametrize("seed", [2, 3, 5, 7])
def test_each_byte_of_a_process_with_several_unix_sockets_has_one_place(
    tmp_path: Path, seed: int
) -> None:
    run = straced([*PYTHON, str(TALK.with_name("local_talk.py")), str(seed)], tmp_path)
    assert ledger_mismatches(run.tables) == []
    spoken_bytes: Counter[tuple[int, int]] = Counter()
    for line in run.output.splitlines():
        sender, reader, count = map(int, line.split())
        spoken_bytes[sender, reader] += count
    inodes = [call.inode for call in in_order(run.raw.calls)]
    linked: Counter[tuple[int, int]] = Counter()
    for span in run.tables.spans:
        if span.role == "local" and is_outbound(run.tables.calls[span.call - 1]):
            assert span.peer_call is not None
            ends = inodes[span.call - 1], inodes[span.peer_call - 1]
            linked[ends] += (span.stop or 0) - (span.start or 0)
    assert linked == spoken_bytes
    assert {row.reason for row in run.tables.unmatched} <= {Reason.CLOSED_UNREAD}
    assert all(row.call is not None for row in run.tables.unmatched)


def in_order(calls: list[CallRecord]) -> list[CallRecord]:
    """As they are numbered."""
    return sorted(calls, key=lambda one: (one.entered_ns, one.host, one.pid, one.tid, one.order))

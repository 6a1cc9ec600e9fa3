"""Logs that strace 6.1 wrote of one program, in three of its ways, and the records read of them.

The program (`talk`) speaks TCP, UDP and Unix sockets with itself: sends and receives in every way,
waits in every way, passes a descriptor in a message, forks, executes /bin/echo with its standard
output on a connection, starts threads and is interrupted by signals.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from golden_files import GOLDEN

from netlab.capture.descriptors import OWN_INODES
from netlab.capture.journal import strace_text
from netlab.capture.strace.reader import StraceReader
from netlab.model.call import CallRecord

LOGS = sorted(path.stem for path in (GOLDEN / "strace").glob("*.strace"))


def read(name: str, cut: int | None = None) -> StraceReader:
    data = (GOLDEN / "strace" / f"{name}.strace").read_bytes()
    reader = StraceReader("lab", "prog", keep_bytes=8)
    for at in range(0, len(data), cut or len(data)):
        reader.feed(data[at : at + (cut or len(data))])
    reader.finish()
    return reader


def number(inode: int | None) -> str:
    if inode is None:
        return "-"
    return str(inode) if inode < OWN_INODES else f"own{inode % (1 << 21)}"


def told(record: CallRecord) -> str:
    """All that a record says, on one line."""
    took = record.returned_ns and (record.returned_ns - record.entered_ns) // 1000
    by = record.returned_by_ns and (record.returned_by_ns - record.entered_ns) // 1000
    more = [
        f"{name}={value}"
        for name, value in (
            ("local", record.local), ("peer", record.peer), ("address", record.address),
            ("new", record.new_inode and number(record.new_inode)),
            ("far", record.peer_inode and number(record.peer_inode)),
            ("ready", ",".join(f"{r.fd}:{number(r.inode)}" for r in record.ready)),
            ("passed", ",".join(f"{p.fd}:{number(p.inode)}" for p in record.passed)),
            ("data", record.data),
        )
        if value
    ]  # fmt: skip
    return " ".join([
        f"{record.actor}/{record.tid}#{record.order}", strace_text(record), f"| {took}..{by} us",
        f"socket {number(record.inode)} {record.family or '-'} {record.kind or '-'}", *more,
    ])  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_the_records_of_a_log(name: str, golden: Callable[[str, str], None]) -> None:
    reader = read(name)
    records = sorted(reader.calls, key=lambda r: (r.entered_ns, r.tid, r.order))
    lines = [told(record) for record in records]
    lines += [
        f"{one.pid} inherits {', '.join(map(number, one.inodes))} of {one.parent_pid}"
        for one in reader.inheritances
    ]
    lines += [f"fault: {fault}" for fault in reader.faults]
    golden(f"strace/{name}.calls", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("cut", [1, 7, 64, 4096])
def test_any_cut_gives_the_same_records(name: str, cut: int) -> None:
    whole, pieces = read(name), read(name, cut)
    assert pieces.calls == whole.calls
    assert pieces.inheritances == whole.inheritances
    assert pieces.faults == whole.faults

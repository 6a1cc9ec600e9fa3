"""A call as a journal entry: what Wireshark shows of it, and that it comes back exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from sample_recordings import CALL_RECORDS, T0_NS, TEXT, call

from netlab.capture import journal
from netlab.capture.rows import CALLS
from netlab.model.call import POLLHUP, POLLIN, CallRecord, Ready

quick_reader = CALLS.reader("NETLAB_")


@given(CALL_RECORDS, TEXT)
def test_a_call_comes_back_exactly(record: CallRecord, message: str) -> None:
    assert journal.maybe_call(journal.entry(record)) == record
    assert journal.maybe_call(journal.entry(record, message)) == record


@given(CALL_RECORDS, TEXT)
def test_an_entry_is_lines_of_which_the_first_is_the_time_and_the_last_the_message(
    record: CallRecord, message: str
) -> None:
    lines = journal.entry(record, message).decode().split("\n")
    assert lines[-1] == ""
    assert lines[0] == f"__REALTIME_TIMESTAMP={journal.shown_ns(record) // 1000}"
    assert lines[-2].startswith("MESSAGE=")
    assert all("=" in line for line in lines[:-1])
    assert [n for n, line in enumerate(lines) if line.startswith("MESSAGE=")] == [len(lines) - 2]
    assert "\r" not in "".join(lines)


def test_none_and_empty_are_two_things() -> None:
    for local in (None, ""):
        record = call("send", 0, 1, 1, local=local)
        found = journal.maybe_call(journal.entry(record))
        assert found is not None
        assert found.local == local


@pytest.mark.parametrize(
    ("op", "entered", "returned", "shown_us"),
    [
        ("send", 1_999, 5_001, 1),
        ("close", 2_000, 9_000, 2),
        ("recv", 1_999, 5_001, 6),
        ("accept", 1_000, 5_000, 5),
        ("epoll_wait", 1_999, 2_001, 3),
        ("recv", 1_999, None, 1),
    ],
)
def test_a_call_that_acts_stands_at_its_entry_one_that_receives_at_its_return(
    op: str, entered: int, returned: int | None, shown_us: int
) -> None:
    assert journal.shown_ns(call(op, entered, returned, 1)) == T0_NS + shown_us * 1000


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (call("send", 0, 1, 1, requested_bytes=100, result=100), "send(5, 100) = 100"),
        (
            call("recv", 0, 1, 1, requested_bytes=9, args="MSG_PEEK", errno="EAGAIN"),
            "recv(5, 9, MSG_PEEK) = -1 EAGAIN",
        ),
        (
            call("sendall", 0, 1, 1, requested_bytes=9, result=4, errno="EPIPE"),
            "sendall(5, 9) = 4 EPIPE",
        ),
        (call("connect", 0, None, 1, args="[::1]:80"), "connect(5, [::1]:80) <unfinished ...>"),
        (call("exit", 0, 0, 1, fd=None, args="SIGKILL"), "exit(SIGKILL) = ?"),
        (
            call(
                "epoll_wait",
                0,
                1,
                1,
                args="timeout=-1, maxevents=64",
                result=2,
                ready=(Ready(6, 77, POLLIN), Ready(7, None, POLLIN | POLLHUP)),
            ),
            "epoll_wait(5, timeout=-1, maxevents=64, ready=[6:IN, 7:IN|HUP]) = 2",
        ),
        (
            call(
                "epoll_ctl",
                0,
                1,
                1,
                args="EPOLL_CTL_ADD, 6, EPOLLIN",
                result=0,
                ready=(Ready(6, 77, POLLIN),),
            ),  # what it asks for is nothing that was reported
            "epoll_ctl(5, EPOLL_CTL_ADD, 6, EPOLLIN) = 0",
        ),
        (  # a descriptor that comes out is no argument
            call("epoll_create", 0, 1, 1, args="EPOLL_CLOEXEC", result=5),
            "epoll_create(EPOLL_CLOEXEC) = 5",
        ),
    ],
)
def test_the_text_of_a_live_entry_is_as_strace_prints_it(record: CallRecord, text: str) -> None:
    assert journal.strace_text(record) == text
    assert journal.entry(record).endswith(f"\nMESSAGE={text}\n".encode())


def test_what_wireshark_has_fields_for_stands_under_its_names() -> None:
    record = call("recv", 0, 1, 1, errno="ECONNRESET", code="dir/a.py:12")
    lines = journal.entry(record).decode().splitlines()
    expected = {
        "_PID=4711", "_COMM=client", "SYSLOG_IDENTIFIER=client", "_HOSTNAME=localhost",
        "PRIORITY=6", "ERRNO=104", "CODE_FILE=dir/a.py", "CODE_LINE=12",
    }  # fmt: skip
    assert expected <= set(lines)


def test_entries_of_others_are_no_calls() -> None:
    assert journal.maybe_call(journal.note(T0_NS, "NETLAB_WITNESS=probe")) is None
    assert journal.maybe_call(b"__REALTIME_TIMESTAMP=1\nMESSAGE=hello\n") is None


def test_an_entry_of_ours_that_cannot_be_read_says_why() -> None:
    entry = journal.entry(call("send", 0, 1, 1))
    with pytest.raises(ValueError, match="no op"):
        journal.maybe_call(entry.replace(b"NETLAB_OP=", b"NETLAB_PO="))
    with pytest.raises(ValueError, match="invalid literal"):
        journal.maybe_call(entry.replace(b"NETLAB_PID=4711", b"NETLAB_PID=x"))


def test_a_later_version_may_add_fields() -> None:
    record = call("send", 0, 1, 1)
    entry = journal.entry(record).replace(b"\nPRIORITY", b"\nNETLAB_NOVELTY=1\nPRIORITY")
    assert journal.maybe_call(entry) == replace(record)


@given(CALL_RECORDS, TEXT)
def test_both_ways_of_reading_agree(record: CallRecord, message: str) -> None:
    """In netlab's order the quick way reads, in any other the thorough one; a doubled field counts
    as it stands last."""
    head, *fields = journal.entry(record, message).decode().split("\n")
    assert quick_reader("\n".join([head, *fields])) == record
    ours = [line for line in fields if line.startswith("NETLAB_")]
    rest = [line for line in fields if not line.startswith("NETLAB_")]
    turned = "\n".join([head, *reversed(ours), *rest])
    assert quick_reader(turned) is None
    assert journal.maybe_call(turned.encode()) == record
    doubled = "\n".join([head, *ours, "NETLAB_OP=twice", *rest])
    assert quick_reader(doubled) is None
    assert journal.maybe_call(doubled.encode()) == replace(record, op="twice")

"""Two witnesses of the same calls: strace's words with the kernel's times, each call once."""

from __future__ import annotations

from dataclasses import replace

from netlab.capture.agreement import agree
from netlab.model.call import CallRecord, Inheritance
from netlab.model.kernel_event import KernelEvent
from netlab.model.recording import RawRecording

KERNEL_INODE = 1 << 62


def strace(op: str, at: int, **more: object) -> CallRecord:
    """A call that strace saw from `at` to 90 ns later, on socket 17."""
    fields = {"fd": 3, "result": 9, "inode": 17, "peer": "10.0.0.2:80"} | more
    return CallRecord(
        "strace", "lab", "prog", 7, 7, at, op, args="MSG_PEEK", entered_ns=at,
        returned_ns=at + 90, returned_by_ns=at + 95, **fields,
    )  # type: ignore[arg-type]  # fmt: skip


def kernel(op: str, at: int, **more: object) -> CallRecord:
    """The same as the kernel saw it, 10 ns later and 20 ns shorter."""
    fields = {"fd": 3, "result": 9, "inode": KERNEL_INODE, "local": "10.0.0.1:4000"} | more
    return CallRecord(
        "kernel", "lab", "prog", 7, 7, at, op, args="", entered_ns=at + 10, returned_ns=at + 80,
        **fields,
    )  # type: ignore[arg-type]  # fmt: skip


def joined(*calls: CallRecord) -> list[CallRecord]:
    raw = RawRecording(calls=list(calls))
    agree(raw)
    return raw.calls


def test_a_call_that_both_saw_has_the_better_of_both() -> None:
    (call,) = joined(strace("recvfrom", 100), kernel("recvfrom", 100))
    assert (call.witness, call.args, call.inode) == ("strace+kernel", "MSG_PEEK", 17)
    assert (call.entered_ns, call.returned_ns, call.returned_by_ns) == (110, 180, None)
    assert (call.local, call.peer) == ("10.0.0.1:4000", "10.0.0.2:80")


def test_what_one_alone_saw_stays_and_its_socket_has_straces_number() -> None:
    calls = joined(
        strace("socketpair", 100, result=0), strace("sendto", 200), kernel("sendto", 200),
        kernel("sendto", 300),
    )  # fmt: skip
    assert [(one.op, one.witness, one.inode) for one in calls] == [
        ("socketpair", "strace", 17), ("sendto", "strace+kernel", 17), ("sendto", "kernel", 17),
    ]  # fmt: skip


def test_what_was_open_when_netlab_came_is_no_call_that_parts_a_pair() -> None:
    """strace looks up a socket's ends before the kernel notes the entry: meanwhile netlab does."""
    late = kernel("recvfrom", 150)
    calls = joined(strace("recvfrom", 100), strace("attach", 120), late)
    assert [(one.op, one.witness) for one in calls] == [
        ("attach", "strace"), ("recvfrom", "strace+kernel"),
    ]  # fmt: skip


def test_another_result_is_another_call() -> None:
    calls = joined(strace("sendto", 100), kernel("sendto", 100, result=8))
    assert [one.witness for one in calls] == ["strace", "kernel"]


def test_a_call_with_several_records_is_paired_one_by_one() -> None:
    calls = joined(
        strace("dup2", 100, fd=5, inode=18), strace("dup2", 100),
        kernel("dup2", 100, fd=5, inode=KERNEL_INODE + 1), kernel("dup2", 100),
    )  # fmt: skip
    assert [(one.fd, one.inode, one.witness) for one in calls] == [
        (5, 18, "strace+kernel"), (3, 17, "strace+kernel"),
    ]  # fmt: skip


def test_a_call_that_ended_with_its_thread_never_returned() -> None:
    inside = replace(strace("epoll_wait", 100, result=None), returned_ns=None, returned_by_ns=None)
    (call,) = joined(inside, kernel("epoll_wait", 100, result=-1, errno="EINTR"))
    assert (call.witness, call.returned_ns, call.errno) == ("strace+kernel", None, None)


def test_threads_are_kept_apart() -> None:
    other = replace(kernel("sendto", 100), tid=8)
    calls = joined(strace("sendto", 100), other)
    assert sorted(one.witness for one in calls) == ["kernel", "strace"]


def test_births_and_events_go_by_the_same_numbers() -> None:
    raw = RawRecording(
        calls=[strace("sendto", 100), kernel("sendto", 100)],
        inheritances=[
            Inheritance(8, 7, 500, (17,)), Inheritance(8, 7, 510, (KERNEL_INODE,)),
        ],
        kernel_events=[
            KernelEvent(5, "lab", "tcp_probe", inode=KERNEL_INODE), KernelEvent(6, "lab", "x"),
        ],
    )  # fmt: skip
    agree(raw)
    assert raw.inheritances == [Inheritance(8, 7, 500, (17,))]
    assert [event.inode for event in raw.kernel_events] == [17, None]


def test_one_witness_alone_is_left_as_it_is() -> None:
    calls = [kernel("sendto", 100), kernel("sendto", 200)]
    assert joined(*calls) == calls

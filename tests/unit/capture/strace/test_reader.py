"""Logs written down line by line: processes, descriptors, splits, ends, and what is damaged."""

from __future__ import annotations

import pytest

from netlab.capture.journal import strace_text
from netlab.capture.strace.reader import StraceReader
from netlab.model.call import CallRecord, Ready

EXEC = '10 1700000000.000000 execve("/usr/bin/prog", ["prog"], 0x7ffe /* 9 vars */) = 0 <0.000100>'
SOCKET = "10 1700000000.001000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>"
END = "10 1700000000.900000 +++ exited with 0 +++"
START_NS = 1_700_000_000_000_000_000


def log(*lines: str, actor: str = "prog", **more: object) -> StraceReader:
    reader = StraceReader("lab", actor, **more)  # type: ignore[arg-type]
    reader.feed("".join(f"{line}\n" for line in lines).encode())
    reader.finish()
    return reader


def at(tid: int, ms: float, text: str) -> str:
    """A line, `ms` after the start."""
    us = 1_700_000_000_000_000 + round(ms * 1000)
    return f"{tid} {us // 1_000_000}.{us % 1_000_000:06} {text}"


def texts(reader: StraceReader) -> list[str]:
    ordered = sorted(reader.calls, key=lambda r: (r.entered_ns, r.tid, r.order))
    return [f"{record.tid} {strace_text(record)}" for record in ordered]


def on(reader: StraceReader, op: str, nth: int = 1) -> CallRecord:
    ordered = sorted(reader.calls, key=lambda r: (r.entered_ns, r.tid, r.order))
    return [record for record in ordered if record.op == op][nth - 1]


# --- when a call was inside


def test_a_call_returned_between_its_time_and_the_next_line() -> None:
    reader = log(
        EXEC, SOCKET,
        at(10, 2, 'write(3, "x", 1) = 1 <0.000040>'),
        at(11, 2.3, "--- SIGCHLD {si_signo=SIGCHLD} ---"),
    )  # fmt: skip
    write = on(reader, "write")
    assert write.entered_ns - START_NS == 2_000_000
    assert write.returned_ns is not None
    assert write.returned_by_ns is not None
    assert write.returned_ns - START_NS == 2_040_000
    assert write.returned_by_ns - START_NS == 2_300_000


def test_a_call_in_two_lines_returned_before_the_second() -> None:
    reader = log(
        EXEC, SOCKET,
        at(10, 2, "read(3,  <unfinished ...>"),
        at(11, 3, "getpid() = 11 <0.000001>"),
        at(10, 9, '<... read resumed>"abc", 100) = 3 <0.006990>'),
        at(10, 99, "getpid() = 10 <0.000001>"),
    )  # fmt: skip
    read = on(reader, "read")
    assert (read.requested_bytes, read.result) == (100, 3)
    assert read.returned_ns == read.returned_by_ns == START_NS + 9_000_000


def test_ns_are_read_as_ns() -> None:
    reader = log(
        "10 1700000000.000000001 execve(\"/p\", [], 0x1 /* 0 vars */) = 0 <0.000000100>",
        "10 1700000000.000000301 socket(AF_INET, SOCK_STREAM, 0) = 3 <0.000000020>",
        "10 1700000000.000000401 close(3) = 0 <0.000000007>",
    )  # fmt: skip
    close = on(reader, "close")
    assert close.entered_ns == START_NS + 401
    assert close.returned_ns == START_NS + 408
    assert close.returned_by_ns is None


def test_without_T_a_call_ends_with_the_next_line() -> None:
    reader = log(EXEC, SOCKET, at(10, 2, "listen(3, 5) = 0"), at(10, 5, "getpid() = 10"))
    assert on(reader, "listen").returned_ns == START_NS + 5_000_000


def test_a_log_that_was_sorted_bounds_a_call_by_its_threads_next_line() -> None:
    """strace-log-merge puts whole lines in order: those of others stand within a call."""
    reader = log(
        EXEC, SOCKET, at(11, 1.5, "getpid() = 11 <0.000001>"),
        at(10, 2, 'read(3, "x", 1) = 1 <0.005000>'),
        at(11, 3, "getpid() = 11 <0.000001>"),
        at(10, 8, 'write(3, "x", 1) = 1 <0.000010>'),
        at(11, 8.5, "getpid() = 11 <0.000001>"),
        at(10, 9, "close(3) = 0 <0.000010>"),
    )  # fmt: skip
    assert on(reader, "read").returned_ns == START_NS + 7_000_000
    assert on(reader, "read").returned_by_ns == START_NS + 8_000_000
    assert on(reader, "write").returned_by_ns == START_NS + 9_000_000


# --- processes and their descriptors


def test_a_child_of_vfork_speaks_before_its_parent_goes_on() -> None:
    reader = log(
        EXEC, SOCKET,
        at(10, 2, "clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88 <unfinished ...>"),
        at(12, 3, "dup2(3, 1) = 1 <0.000010>"),
        at(12, 4, 'execve("/bin/echo", ["echo"], 0x1 /* 0 vars */ <unfinished ...>'),
        at(10, 5, "<... clone3 resumed> => {parent_tid=[0]}) = 12 <0.003000>"),
        at(12, 5.5, "<... execve resumed>) = 0 <0.001500>"),
        at(12, 6, 'write(1, "hi\\n", 3) = 3 <0.000010>'),
        at(12, 7, "+++ exited with 0 +++"),
        at(10, 8, "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=12} ---"),
    )  # fmt: skip
    assert reader.faults == []
    (fork,) = reader.inheritances
    assert (fork.pid, fork.parent_pid, fork.time_ns) == (12, 10, START_NS + 2_000_000)
    write = on(reader, "write")
    assert (write.pid, write.actor) == (12, "prog/echo-12")
    assert write.inode == on(reader, "socket").inode == fork.inodes[0]
    assert texts(reader)[-1] == "12 exit(status 0) <unfinished ...>"


def test_a_programs_name_may_hold_anything() -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "fork() = 12 <0.000010>"),
        at(12, 3, r'execve("/tmp/\33[2J\342\200\256x y", ["x"], 0x1 /* 0 vars */) = 0 <0.000100>'),
        at(12, 4, 'write(3, "x", 1) = 1 <0.000010>'),
    )  # fmt: skip
    assert on(reader, "write").actor == "prog/?[2J?x y-12"


def test_of_two_that_fork_at_once_the_return_tells_whose_child_it_is() -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "fork() = 20 <0.000010>"),
        at(20, 3, "close(3) = 0 <0.000010>"),
        at(10, 4, "fork( <unfinished ...>"),
        at(20, 5, "fork( <unfinished ...>"),
        at(31, 6, 'write(3, "x", 1) = 1 <0.000010>'),
        at(31, 6.5, "close(3) = 0 <0.000010>"),
        at(20, 7, "<... fork resumed>) = 30 <0.001000>"),
        at(30, 8, 'write(3, "y", 1) = -1 EBADF (Bad file descriptor) <0.000010>'),
        at(10, 9, "<... fork resumed>) = 31 <0.004000>"),
    )  # fmt: skip
    assert [(one.pid, one.parent_pid) for one in reader.inheritances] == [(20, 10), (31, 10)]
    write = on(reader, "write")
    assert (write.pid, write.result) == (31, 1)
    assert write.returned_by_ns == START_NS + 6_500_000
    assert on(reader, "close", 2).returned_by_ns == START_NS + 9_000_000


def test_threads_share_descriptors_and_their_ends_close_nothing() -> None:
    reader = log(
        EXEC,
        at(10, 1, "clone(stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 11 <0.000100>"),
        at(11, 2, "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>"),
        at(11, 3, "exit(0) = ?"),
        at(11, 4, "+++ exited with 0 +++"),
        at(10, 5, 'write(3, "x", 1) = 1 <0.000010>'),
        at(10, 6, "exit_group(4) = ?"),
        at(10, 7, "+++ exited with 4 +++"),
    )  # fmt: skip
    assert texts(reader) == [
        "11 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3",
        "10 write(3, 1) = 1",
        "10 exit(status 4) <unfinished ...>",
    ]
    assert {record.pid for record in reader.calls} == {10}
    end = on(reader, "exit")
    assert (end.entered_ns, end.returned_ns) == (START_NS + 6_000_000, None)
    assert end.returned_by_ns == START_NS + 7_000_000


def test_a_killed_process_ended_after_its_last_sign_of_life() -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "read(3,  <unfinished ...>"), at(10, 9, "+++ killed by SIGKILL +++")
    )
    assert texts(reader)[1:] == [
        "10 read(3) <unfinished ...>",
        "10 exit(SIGKILL) <unfinished ...>",
    ]
    end = on(reader, "exit")
    assert (end.entered_ns, end.returned_by_ns) == (START_NS + 2_000_000, START_NS + 9_000_000)


@pytest.mark.parametrize(
    "ending",
    ["<... read resumed> <unfinished ...>) = ?", "<... read resumed>) = ?",
     "<... read resumed>0x7ffe, 100) = ? <unavailable>"],
)  # fmt: skip
def test_a_call_in_which_a_process_died_never_returned(ending: str) -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "read(3,  <unfinished ...>"), at(10, 8, ending),
        at(10, 9, "+++ killed by SIGTERM +++"),
    )  # fmt: skip
    assert (reader.faults, reader.losses) == ([], [])
    assert on(reader, "read").returned_ns is None
    assert on(reader, "exit").args == "SIGTERM"


def test_a_thread_that_executes_goes_on_as_its_process() -> None:
    reader = log(
        EXEC, "10 1700000000.001000 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3 <0.000010>",
        at(10, 1, "clone(flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 11 <0.000100>"),
        at(10, 2, "read(3,  <unfinished ...>"),
        at(11, 3, 'execve("/bin/cat", ["cat"], 0x1 /* 0 vars */ <pid changed to 10 ...>'),
        at(10, 4, "+++ superseded by execve in pid 11 +++"),
        at(10, 5, "<... execve resumed>) = 0 <0.002000>"),
        at(10, 6, "+++ exited with 0 +++"),
    )  # fmt: skip
    assert reader.faults == []
    assert texts(reader)[-2:] == [
        "10 execve(3, FD_CLOEXEC) = 0", "10 exit(status 0) <unfinished ...>",
    ]  # fmt: skip


def test_a_number_that_is_closed_and_given_out_again_during_a_call() -> None:
    reader = log(
        EXEC, SOCKET,
        at(10, 1.5, "clone(flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 11 <0.000100>"),
        at(10, 2, "read(3,  <unfinished ...>"),
        at(11, 3, "close(3 <unfinished ...>"),
        at(10, 3.5, '<... read resumed>"", 100) = 0 <0.001000>'),
        at(10, 4, "socket(AF_INET6, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>"),
        at(11, 5, "<... close resumed>) = 0 <0.001000>"),
        at(10, 6, 'write(3, "x", 1) = 1 <0.000010>'),
    )  # fmt: skip
    old, new = on(reader, "socket").inode, on(reader, "socket", 2).inode
    assert old != new
    assert on(reader, "read").inode == on(reader, "close").inode == old
    assert on(reader, "write").inode == new


def test_dup2_closes_what_had_the_number() -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4 <0.000010>"),
        at(10, 3, "dup2(3, 4) = 4 <0.000010>"),
        at(10, 4, "dup2(4, 4) = 4 <0.000010>"),
        at(10, 5, "close_range(3, 4294967295, 0) = 0 <0.000010>"),
    )  # fmt: skip
    assert texts(reader)[2:] == [
        "10 dup2(4, 4) = 4", "10 dup2(3, 4) = 4",
        "10 close_range(3, 3, 4294967295) = 0", "10 close_range(4, 3, 4294967295) = 0",
    ]  # fmt: skip
    first, second = on(reader, "socket").inode, on(reader, "socket", 2).inode
    assert [r.inode for r in reader.calls if r.op == "dup2"] == [second, first]


def test_descriptors_in_messages_that_strace_does_not_name() -> None:
    def header(fd: int) -> str:
        return (
            '{msg_name=NULL, msg_iov=[{iov_base="!", iov_len=1}], msg_iovlen=1, msg_control=['
            f"{{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[{fd}]}}]}}"
        )

    reader = log(
        EXEC, SOCKET, at(10, 2, "socketpair(AF_UNIX, SOCK_STREAM, 0, [4, 5]) = 0 <0.000010>"),
        at(10, 3, "fork() = 20 <0.000010>"),
        at(10, 4, f"sendmsg(4, {header(3)}, 0) = 1 <0.000010>"),
        at(10, 5, "close(3) = 0 <0.000010>"),
        at(20, 6, f"recvmsg(5, {header(9)}, MSG_CMSG_CLOEXEC) = 1 <0.000010>"),
        at(20, 7, 'write(9, "x", 1) = 1 <0.000010>'),
        at(20, 8, 'execve("/bin/cat", ["cat"], 0x1 /* 0 vars */) = 0 <0.002000>'),
    )  # fmt: skip
    assert reader.faults == []
    inode = on(reader, "socket").inode
    assert [(one.fd, one.inode) for one in on(reader, "sendmsg").passed] == [(3, inode)]
    assert [(one.fd, one.inode) for one in on(reader, "recvmsg").passed] == [(9, inode)]
    assert on(reader, "write").inode == inode
    assert texts(reader)[-1] == "20 execve(9, FD_CLOEXEC) = 0"


def test_what_strace_shows_is_believed_over_the_table() -> None:
    """The close of 3 was not seen (-e trace=network): it is another connection now."""
    tuples = "3<TCP:[127.0.0.1:80->127.0.0.1:{}]>"
    reader = log(
        EXEC, at(10, 1, f'write({tuples.format(1001)}, "x", 1) = 1 <0.000010>'),
        at(10, 2, f'write({tuples.format(1002)}, "x", 1) = 1 <0.000010>'),
        at(10, 3, f'write({tuples.format(1002)}, "x", 1) = 1 <0.000010>'),
    )  # fmt: skip
    one, two, three = (on(reader, "write", nth) for nth in (1, 2, 3))
    assert one.inode != two.inode == three.inode
    assert (two.local, two.peer) == ("127.0.0.1:80", "127.0.0.1:1002")


def test_calls_on_an_unknown_descriptor_wait_for_proof() -> None:
    lines = [
        at(10, 1, 'read(7, "x", 1) = 1 <0.000010>'), at(10, 2, 'read(8, "x", 1) = 1 <0.000010>'),
        at(10, 3, "dup(7) = 9 <0.000010>"),
        at(10, 4, "shutdown(9, SHUT_WR) = 0 <0.000010>"),
    ]  # fmt: skip
    reader = log(*lines)
    assert [text.split("(")[0] for text in texts(reader)] == ["10 read", "10 dup", "10 shutdown"]
    assert len({record.inode for record in reader.calls}) == 1
    assert reader.faults == ["1 calls on descriptors that may be sockets: strace -y would tell"]
    assert log(EXEC, *lines[:2]).calls == []  # of a program that was started they are files


# --- waits


@pytest.mark.parametrize(
    ("event", "reported"),
    [
        ("{events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}", "{events=EPOLLIN, data={u32=7, u64=7}}"),
        ("{EPOLLIN|EPOLLET, {u32=7, u64=7}}", "{EPOLLIN, {u32=7, u64=7}}"),
        ("{events=EPOLLIN, data=0x7}", "{events=EPOLLIN, data=0x7}"),
    ],
)
def test_an_epoll_reports_the_descriptor_that_has_the_data(event: str, reported: str) -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "epoll_create1(EPOLL_CLOEXEC) = 4 <0.000010>"),
        at(10, 3, f"epoll_ctl(4, EPOLL_CTL_ADD, 3, {event}) = 0 <0.000010>"),
        at(10, 4, f"epoll_pwait(4, [{reported}], 64, -1, NULL, 8) = 1 <0.000010>"),
        at(10, 5, "close(3) = 0 <0.000010>"),
        at(10, 6, f"epoll_wait(4, [{reported}], 64, -1) = 1 <0.000010>"),
    )  # fmt: skip
    inode = on(reader, "socket").inode
    assert on(reader, "epoll_pwait").ready == (Ready(3, inode, 1),)
    assert on(reader, "epoll_wait").ready == ()  # a closed socket reports nothing


PIPE, DATA = "5<pipe:[77]>", "data={u32=7, u64=140000000000007}"
POLL = "4<anon_inode:[eventpoll]>"


@pytest.mark.parametrize(
    ("begun", "result", "shown"),
    [
        (f"EPOLL_CTL_ADD, {PIPE}, {{events=EPOLLIN|EPOLLOUT|EPOLLET, {DATA}}}", "0", True),
        (f"EPOLL_CTL_MOD, {PIPE}, {{events=EPOLLIN|EPOLLET, {DATA}}}", "0", True),
        (f"EPOLL_CTL_ADD, {PIPE}, {{events=EPOLLIN, data={{u32=8, u64=8}}}}", "0", False),
        (f"EPOLL_CTL_DEL, {PIPE}, {{events=EPOLLIN, {DATA}}}", "0", False),
        (f"EPOLL_CTL_ADD, {PIPE}, {{events=EPOLLIN, {DATA}}}", "-1 EPERM (No)", False),
    ],
)
def test_a_wait_may_report_what_another_thread_is_just_registering(
    begun: str, result: str, shown: bool
) -> None:
    """As Go's programs do: one thread waits for all. What failed before was not registered."""
    before = result != "0"
    resumed = at(11, 5, f"<... epoll_ctl resumed>) = {result} <0.000900>")
    reader = log(
        EXEC,
        at(10, 0.5, "clone(child_stack=0x1, flags=CLONE_FILES|CLONE_THREAD) = 11 <0.000010>"),
        at(10, 2, f"epoll_create1(EPOLL_CLOEXEC) = {POLL} <0.000010>"),
        at(10, 3, f"epoll_pwait({POLL},  <unfinished ...>"),
        at(11, 4, f"epoll_ctl({POLL}, {begun} <unfinished ...>"),
        *([resumed] if before else []),
        at(10, 6, f"<... epoll_pwait resumed>[{{events=EPOLLOUT, {DATA}}}], 128, -1, NULL, 0) = 1"
           " <0.001500>"),
        *([] if before else [resumed]),
    )  # fmt: skip
    assert reader.faults == []
    assert on(reader, "epoll_pwait").ready == ((Ready(5, None, 4),) if shown else ())


def test_the_time_out_of_an_epoll_wait_that_never_returned_is_not_told() -> None:
    """strace prints what stands behind the events only when the call returns."""
    reader = log(
        EXEC, SOCKET, at(10, 2, "epoll_create1(EPOLL_CLOEXEC) = 4 <0.000010>"),
        at(10, 4, "epoll_wait(4,  <unfinished ...>"),
        at(10, 5, "<... epoll_wait resumed> <unfinished ...>) = ?"),
        at(10, 6, "+++ exited with 0 +++"),
    )  # fmt: skip
    assert texts(reader)[-2:] == [
        "10 epoll_wait(4) <unfinished ...>", "10 exit(status 0) <unfinished ...>",
    ]  # fmt: skip


def test_a_poll_that_a_signal_interrupts_goes_on() -> None:
    reader = log(
        EXEC, SOCKET,
        at(10, 2, "poll([{fd=3, events=POLLIN}], 1, 5000) = ? ERESTART_RESTARTBLOCK "
           "(Interrupted by signal) <0.001000>"),
        at(10, 3, "--- SIGCONT {si_signo=SIGCONT, si_code=SI_USER} ---"),
        at(10, 4, "restart_syscall(<... resuming interrupted poll ...>) = 1 <0.001000>"),
        at(10, 5, 'read(3, 0x7ffe, 100) = ? ERESTARTSYS (To be restarted) <0.001000>'),
        at(10, 7, 'read(3, "x", 100) = 1 <0.001000>'),
    )  # fmt: skip
    assert texts(reader)[1:] == [
        "10 poll(nfds=1, timeout=5000) = -1 ERESTART_RESTARTBLOCK",
        "10 restart_syscall(resumed) = 1",
        "10 read(3, 100) = -1 ERESTARTSYS",
        "10 read(3, 100) = 1",
    ]


def test_a_poll_of_files_is_no_call_on_a_socket() -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, "pipe2([4, 5], 0) = 0 <0.000010>"),
        at(10, 3, "poll([{fd=4, events=POLLIN}], 1, 0) = 0 (Timeout) <0.000010>"),
        at(10, 4, "select(6, [3 4], NULL, NULL, {tv_sec=1, tv_usec=500000}) = 1 (in [3], "
           "left {tv_sec=1, tv_usec=0}) <0.000010>"),
        at(10, 5, 'read(4, "x", 1) = 1 <0.000010>'),
    )  # fmt: skip
    assert texts(reader)[1:] == ["10 select(nfds=6, timeout=1.5, ready=[3:IN]) = 1"]


# --- what calls moved


def test_sendmmsg_counts_messages() -> None:
    one = '{{msg_hdr={{msg_name={}, msg_iov=[{{iov_base="abc", iov_len=3}}]}}, msg_len=3}}'
    to = '{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.1")}'
    reader = log(
        EXEC, "10 1700000000.001000 socket(AF_INET, SOCK_DGRAM, 0) = 3 <0.000010>",
        at(10, 2, f"sendmmsg(3, [{one.format(to)}, {one.format('NULL')}], 2, MSG_NOSIGNAL) = 2"),
        at(10, 3, "sendmmsg(3, [...], 2, 0) = 2 <0.000010>"),
    )  # fmt: skip
    first, second = on(reader, "sendmmsg"), on(reader, "sendmmsg", 2)
    assert (first.result, first.message_bytes, first.requested_bytes) == (2, (3, 3), 6)
    assert first.message_addresses == ("127.0.0.1:53", "")
    assert first.args == "MSG_NOSIGNAL"
    assert (second.result, second.message_bytes) == (None, ())
    assert len(reader.faults) == 1


def test_messages_that_were_cut_off_say_so() -> None:
    header = '{msg_name=NULL, msg_iov=[{iov_base="ab", iov_len=2}], msg_flags=MSG_TRUNC}'
    reader = log(
        EXEC, "10 1700000000.001000 socket(AF_INET, SOCK_DGRAM, 0) = 3 <0.000010>",
        at(10, 2, f"recvmsg(3, {header}, MSG_PEEK) = 2 <0.000010>"),
    )  # fmt: skip
    assert on(reader, "recvmsg").args == "MSG_PEEK|MSG_TRUNC"


@pytest.mark.parametrize(
    ("printed", "written"),
    [
        ("SOL_TCP, TCP_NODELAY, [1], 4", "SOL_TCP, TCP_NODELAY, 1"),
        ("SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=0}, 8",
         "SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}"),
        ('SOL_SOCKET, SO_BINDTODEVICE, "eth0\\0", 5', "SOL_SOCKET, SO_BINDTODEVICE, 0x6574683000"),
        ('SOL_IP, IP_ADD_MEMBERSHIP, {imr_multiaddr=inet_addr("239.1.2.3"), '
         'imr_interface=inet_addr("10.0.0.1")}, 8',
         "SOL_IP, IP_ADD_MEMBERSHIP, 0xef0102030a000001"),
        ("SOL_SOCKET, SO_RCVTIMEO_OLD, {tv_sec=1, tv_usec=0}, 16",
         "SOL_SOCKET, SO_RCVTIMEO, {tv_sec=1, tv_usec=0}"),
    ],
)  # fmt: skip
def test_options_read_as_the_probe_writes_them(printed: str, written: str) -> None:
    reader = log(EXEC, SOCKET, at(10, 2, f"setsockopt(3, {printed}) = 0 <0.000010>"))
    assert on(reader, "setsockopt").args == written


def test_io_uring_is_noticed() -> None:
    reader = log(EXEC, SOCKET, at(10, 2, "io_uring_setup(64, {flags=0, ...}) = 5 <0.000010>"))
    (loss,) = reader.losses
    assert (loss.what, loss.pid, loss.since_ns) == ("bytes", 10, START_NS + 2_000_000)
    assert "io_uring" in loss.reason


# --- a log from a terminal


def test_lines_of_a_terminal() -> None:
    """There is no number while there is one process, and remarks cut lines in two."""
    reader = log(
        'execve("/usr/bin/prog", ["prog"], 0x7ffe /* 9 vars */) = 0 <0.000100>'
        .join(["1700000000.000000 ", ""]),
        "1700000000.001000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>",
        "1700000000.002000 clone(child_stack=NULL, flags=SIGCHLDstrace: Process 11 attached",
        ", child_tidptr=0x7f) = 11 <0.000100>",
        '[pid    10] 1700000000.003000 write(3, "x", 1 <unfinished ...>',
        '[pid    11] 1700000000.004000 write(3, "yy", 2) = 2 <0.000010>',
        "[pid    10] 1700000000.005000 <... write resumed>) = 1 <0.001000>",
        "[pid    11] 1700000000.006000 +++ exited with 0 +++",
        '1700000000.007000 write(3, "zzz", 3) = 3 <0.000010>',
        "1700000000.008000 +++ exited with 0 +++",
        root_pid=10,
    )  # fmt: skip
    assert reader.faults == []
    assert texts(reader) == [
        "10 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3", "10 write(3, 1) = 1",
        "11 write(3, 2) = 2", "11 exit(status 0) <unfinished ...>", "10 write(3, 3) = 3",
        "10 exit(status 0) <unfinished ...>",
    ]  # fmt: skip
    assert [(one.pid, one.parent_pid) for one in reader.inheritances] == [(11, 10)]


def test_a_remark_in_a_message_is_no_remark() -> None:
    reader = log(
        EXEC, SOCKET, at(10, 2, 'write(3, "strace: Process 77 attached", 27 <unfinished ...>'),
        at(10, 3, "<... write resumed>) = 27 <0.001000>"),
        at(10, 4, 'write(3, "/x/strace: Process 77 attached"..., 99) = 99 <0.000010>'),
    )  # fmt: skip
    assert reader.faults == []
    assert texts(reader)[1:] == ["10 write(3, 27) = 27", "10 write(3, 99) = 99"]


def test_a_number_that_comes_late_is_that_of_the_first_process() -> None:
    reader = log(
        "1700000000.000000 execve(\"/p\", [], 0x1 /* 0 vars */) = 0 <0.000100>",
        "1700000000.001000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>",
        "strace: Process 11 attached",
        '[pid    10] 1700000000.003000 write(3, "x", 1) = 1 <0.000010>',
    )  # fmt: skip
    assert {record.pid for record in reader.calls} == {0}
    assert len({record.inode for record in reader.calls}) == 1


# --- damage


@pytest.mark.parametrize(
    "line",
    [
        "garbage", "\x00\xff\xfe", "10 1700000000.002000 ", "10 1700000000.002000 read(3",
        "10 1700000000.002000 read(3, \"x\" = 1", "10 1700000000.002000 <... read resumed>) = 1",
        "10 12:00:00.123456 read(3, \"x\", 1) = 1", "10 1700000000.002 read(3, \"x\", 1) = 1",
        "99 1700000000.002000 read(3, \"x\", 1) = 1 <0.000010>",
        "10 1700000000.002000 recvmsg(3, {{{{, 0) = 1 <0.000010>",
        "10 1700000000.002000 sendto(3, ((((((((((((((((, 1, 0, NULL, 0) = 1 <0.000010>",
    ],
)  # fmt: skip
def test_a_damaged_line_is_a_fault_and_the_rest_is_read(line: str) -> None:
    reader = log(EXEC, SOCKET, line, at(10, 3, 'write(3, "x", 1) = 1 <0.000010>'), END)
    assert reader.fault_count == 1, reader.faults
    assert [record.op for record in reader.calls if record.op in ("write", "exit")] == [
        "write", "exit",
    ]  # fmt: skip


def test_a_call_that_is_not_understood_is_a_loss_of_its_process() -> None:
    reader = log(EXEC, SOCKET, at(10, 2, 'read(3, "x" = 1'), at(10, 3, "close(3) = 0 <0.000010>"))
    (loss,) = reader.losses
    assert (loss.what, loss.pid, loss.count) == ("calls", 10, 1)
    assert loss.since_ns == START_NS + 2_000_000


def test_of_arguments_that_are_not_understood_the_descriptor_is() -> None:
    reader = log(EXEC, SOCKET, at(10, 2, "sendmsg(3, {{msg_iov=?!(], 0) = 5 <0.000010>"))
    sent = on(reader, "sendmsg")
    assert (sent.fd, sent.result, sent.requested_bytes) == (3, 5, None)
    assert reader.fault_count == 1


def test_a_log_that_ends_within_a_line_says_so() -> None:
    reader = StraceReader("lab", "prog")
    reader.feed(f"{EXEC}\n{SOCKET}\n".encode() + b"10 1700000000.002000 wri")
    reader.finish()
    assert reader.faults == ["the log ends within a line: 10 1700000000.002000 wri"]
    assert len(reader.calls) == 1


def test_faults_do_not_grow_without_bound() -> None:
    reader = log(*(f"garbage {number}" for number in range(1000)))
    assert reader.fault_count == 1000
    assert len(reader.faults) == 101


def test_a_log_that_begins_in_the_middle_starts_with_the_first_whole_call() -> None:
    reader = log(
        at(10, 1, '<... recvfrom resumed>"x", 1, 0, NULL, NULL) = 1 <0.000010>'),
        at(10, 2, 'sendto(3, "x", 1, 0, NULL, 0) = 1 <0.000010>'),
    )
    assert texts(reader) == ["10 sendto(3, 1) = 1"]
    assert reader.faults == []

"""A log of strace that was attached to a process: what that had open is told before."""

from __future__ import annotations

from netlab.capture.strace.reader import StraceReader

START = 1_700_000_000_000_000_000


def attached(*, launched: bool = False) -> StraceReader:
    reader = StraceReader("here", "server")
    reader.attach(7, [7, 8], "server", START, launched=launched)
    reader.hold(
        7, 5, 4711, family="AF_INET", kind="SOCK_STREAM", local="127.0.0.1:80",
        peer="127.0.0.1:9", closing=True,
    )  # fmt: skip
    return reader


def test_calls_are_of_the_sockets_that_were_open_under_the_kernels_number() -> None:
    reader = attached()
    reader.feed(
        b'7 1700000001.000000 read(5<TCP:[127.0.0.1:80->127.0.0.1:9]>, ""..., 100) = 9 <0.000010>\n'
        b'8 1700000002.000000 write(5<TCP:[127.0.0.1:80->127.0.0.1:9]>, ""..., 3) = 3 <0.000010>\n'
    )
    reader.finish()
    assert [(c.op, c.pid, c.tid, c.inode, c.actor) for c in reader.calls] == [
        ("read", 7, 7, 4711, "server"),
        ("write", 7, 8, 4711, "server"),
    ]
    assert reader.faults == []


def test_without_names_in_the_log_the_table_tells() -> None:
    reader = attached()
    reader.feed(b'7 1700000001.000000 sendto(5, ""..., 3, 0, NULL, 0) = 3 <0.000010>\n')
    reader.finish()
    (call,) = reader.calls
    assert (call.inode, call.local, call.peer) == (4711, "127.0.0.1:80", "127.0.0.1:9")


def test_a_descriptor_that_another_took_over_is_not_the_socket_any_more() -> None:
    reader = attached()
    reader.feed(
        b"7 1700000001.000000 close(5<TCP:[127.0.0.1:80->127.0.0.1:9]>) = 0 <0.000010>\n"
        b"7 1700000002.000000 socket(AF_INET, SOCK_STREAM, 0) = 5<TCP:[4712]> <0.000010>\n"
    )
    reader.finish()
    assert [(call.op, call.inode) for call in reader.calls] == [("close", 4711), ("socket", 4712)]


def test_what_waits_to_execute_closes_what_is_not_for_the_program() -> None:
    reader = attached(launched=True)
    reader.feed(
        b'7 1700000001.000000 read(9<pipe:[1]>, ""..., 1) = 1 <0.000010>\n'
        b'7 1700000002.000000 execve("/bin/cat", [...], 0x1 /* 1 var */) = 0 <0.000010>\n'
    )
    reader.finish()
    assert [(call.op, call.fd, call.inode) for call in reader.calls] == [("execve", 5, 4711)]

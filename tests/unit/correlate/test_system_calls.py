"""Calls as a tracer of system calls sees them: more names, descriptors that travel, late ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import INODE, PID, Play, by_role, frames_of, number_of

from netlab.correlate.ledger import ledger_mismatches
from netlab.model.call import Passed
from netlab.model.recording import Loss
from netlab.model.tables import Tables


def opened() -> Play:
    play = Play()
    play.handshake()
    return play


def fin_call(tables: Tables) -> tuple[str, int | None]:
    """The call that a FIN of the client is due to, and the descriptor that it closed."""
    (span,) = [one for one in by_role(tables, "fin") if one.direction == "c>s"]
    call = tables.calls[span.call - 1]
    return call.op, call.fd


@pytest.mark.parametrize("op", ["write", "writev", "sendfile", "sendmmsg", "pwritev2"])
def test_whatever_writes_is_carried(op: str) -> None:
    play = opened()
    more = {"message_bytes": (60, 40)} if op == "sendmmsg" else {}
    with play.call("client", op, 2 if more else 100, **more):
        frame = play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    tables = play.tables()
    call = tables.calls[number_of(tables, op) - 1]
    assert (call.direction, call.start, call.stop) == ("c>s", 0, 100)
    assert frames_of(tables, call.call, "carried") == [frame]


@pytest.mark.parametrize("op", ["read", "readv", "recvmmsg", "preadv2"])
def test_whatever_reads_is_delivered_to(op: str) -> None:
    play = opened()
    play.did("client", "write", 100)
    frame = play.data("c>s", 0, 100)
    more = {"message_bytes": (60, 40)} if op == "recvmmsg" else {}
    play.did("server", op, 2 if more else 100, size=4096, **more)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, op), "delivered") == [frame]
    assert tables.calls[number_of(tables, op) - 1].stop == 100


def test_a_splice_goes_where_its_arguments_say() -> None:
    play = opened()
    with play.call("client", "splice", 100, args="fd_in=8"):
        frame = play.data("c>s", 0, 100)
    play.did("server", "splice", 100, args="fd_out=9")
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "splice"), "carried") == [frame]
    assert frames_of(tables, number_of(tables, "splice", 2), "delivered") == [frame]
    assert tables.unmatched == []


@pytest.mark.parametrize("op", ["close", "close_range", "execve", "dup2", "dup3"])
def test_the_last_descriptor_to_go_sends_the_fin(op: str) -> None:
    play = opened()
    play.did("client", "dup2", 7, args="7")
    play.did("client", "close", 0)
    more = {"args": "7"} if op.startswith("dup") else {}
    with play.call("client", op, 7 if more else 0, fd=7, **more):
        play.fin("c>s", 0)
    play.fin("s>c", 0, 1)
    assert fin_call(play.tables()) == (op, 7)


def test_a_second_number_keeps_the_socket_open() -> None:
    play = opened()
    play.did("client", "fcntl", 60, args="F_DUPFD_CLOEXEC, 60")
    play.did("client", "close", 0)
    with play.call("client", "write", 10, fd=60):
        play.data("c>s", 0, 10)
    with play.call("client", "execve", 0, fd=60, args="FD_CLOEXEC"):
        play.fin("c>s", 10)
    assert fin_call(play.tables()) == ("execve", 60)


@pytest.mark.parametrize("received_first", [False, True])
def test_a_message_holds_the_descriptors_that_it_carries(received_first: bool) -> None:
    play = opened()
    line = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:", "fd": 11}
    sent = play.call(
        "client", "sendmsg", 1, inode=900, passed=(Passed(5, INODE["client"]),), **line
    )  # fmt: skip
    received = play.call(
        "client", "recvmsg", 1, inode=901, pid=77, passed=(Passed(13, INODE["client"]),), **line
    )  # fmt: skip
    if received_first:  # it was entered first, and waited
        with received, sent:
            pass
        play.did("client", "close", 0)
    else:
        with sent:
            pass
        play.did("client", "close", 0)  # the message holds it
        with received:
            pass
    with play.call("client", "close", 0, fd=13, pid=77):
        play.fin("c>s", 0)
    assert fin_call(play.tables()) == ("close", 13)


def test_what_nobody_was_seen_to_receive_stays_open() -> None:
    play = opened()
    line = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:", "fd": 11}
    play.did("client", "sendmsg", 1, inode=900, passed=(Passed(5, INODE["client"]),), **line)
    play.did("client", "close", 0)
    play.fin("c>s", 0)
    assert by_role(play.tables(), "fin") == []


def test_the_latest_end_of_a_call_counts_for_what_it_needed() -> None:
    """strace measured the end of the recv 1 us before the frame that woke it."""
    play = opened()
    with play.call("server", "read", 100, size=4096):
        pass
    early = play.calls[-1]
    play.did("client", "write", 100)
    frame = play.data("c>s", 0, 100)
    play.calls[-2] = replace(early, returned_by_ns=play.now_ns + 1)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "read"), "delivered") == [frame]
    # Without the bound the frame came too late for it.
    play.calls[-2] = early
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "read"), "delivered") == []
    assert {str(row.reason) for row in tables.unmatched} == {
        "the calls do not add up to the stream"
    }


def test_after_a_call_that_could_not_be_read_nothing_has_a_place() -> None:
    play = opened()
    play.did("client", "write", 10)
    frame = play.data("c>s", 0, 10)
    play.raw.losses.append(Loss("strace", "calls", 1, "", "", play.now_ns, PID["client"]))
    play.data("c>s", 10, 30)
    play.now_ns += 10**9
    play.did("client", "write", 10)
    play.data("c>s", 30, 40)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "write"), "carried") == [frame]
    assert frames_of(tables, number_of(tables, "write", 2), "carried") == []


def test_an_interrupted_call_moved_nothing() -> None:
    play = opened()
    play.did("server", "read", None, size=4096, errno="ERESTARTSYS")
    play.did("client", "write", 100)
    frame = play.data("c>s", 0, 100)
    play.did("server", "read", 100, size=4096)
    play.fin("c>s", 100)
    play.did("server", "read", 0, size=4096)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "read", 2), "delivered") == [frame]
    assert tables.unmatched == []


class TestIoUring:
    def uring(self, play: Play, pid: int) -> Play:
        play.raw.losses.append(
            Loss("strace", "bytes", None, "io_uring: calls not seen", "", play.now_ns, pid)
        )
        return play

    def test_bytes_without_a_call_have_it_as_their_reason(self) -> None:
        play = self.uring(opened(), PID["client"])
        play.did("client", "write", 10)
        play.data("c>s", 0, 10)
        play.data("c>s", 10, 100)
        play.did("server", "read", 100, size=4096)
        tables = play.tables()
        assert [(r.what, r.bytes, r.reason) for r in tables.unmatched] == [
            ("sent, place in the stream unknown", 10, "io_uring: calls not seen"),
            ("carried but not sent by a known call", 100, "io_uring: calls not seen"),
        ]
        assert frames_of(tables, number_of(tables, "read"), "delivered")

    def test_calls_that_account_for_every_byte_keep_their_places(self) -> None:
        play = self.uring(opened(), PID["client"])
        play.did("client", "write", 100)
        frame = play.data("c>s", 0, 100)
        play.did("server", "read", 100, size=4096)
        tables = play.tables()
        assert tables.unmatched == []
        assert frames_of(tables, number_of(tables, "write"), "carried") == [frame]

    def test_a_connection_that_no_call_accepted_is_not_said_to_be_queued(self) -> None:
        play = Play()
        with play.call("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None):
            pass
        self.uring(play, PID["server"])
        with play.call("client", "connect", 0, address="127.0.0.1:80"):
            play.syn(), play.synack(), play.ack("c>s", 0)
        play.did("client", "write", 100)
        play.data("c>s", 0, 100)
        tables = play.tables()
        assert [(r.what, r.bytes, r.reason) for r in tables.unmatched] == [
            ("carried but not read", 100, "io_uring: calls not seen"),
        ]

    def test_other_processes_are_not_suspected(self) -> None:
        play = self.uring(opened(), 4711)
        play.did("client", "write", 10)
        play.data("c>s", 0, 10)
        play.data("c>s", 10, 100)
        tables = play.tables()
        assert "io_uring: calls not seen" not in {row.reason for row in tables.unmatched}


class TestSeveralMessages:
    def play(self) -> Play:
        play = Play()
        for side, port in (("client", 5000), ("server", 53)):
            play.did(
                side, "bind", 0, kind="SOCK_DGRAM", address=f"127.0.0.1:{port}",
                local=f"127.0.0.1:{port}", peer=None, args="",
            )  # fmt: skip
            made = play.calls.pop()
            socket = replace(made, op="socket", args="", address=None, local=None)
            bind = replace(made, entered_ns=made.entered_ns + 2, returned_ns=made.entered_ns + 3)
            play.calls += [replace(socket, returned_ns=made.entered_ns + 1), bind]
        return play

    def test_each_message_has_its_frame(self) -> None:
        play = self.play()
        ends = {"kind": "SOCK_DGRAM", "peer": None}
        with play.call(
            "client", "sendmmsg", 2, message_bytes=(30, 20), local="127.0.0.1:5000",
            message_addresses=("127.0.0.1:53", "127.0.0.1:53"), **ends,
        ):  # fmt: skip
            first = play.datagram("127.0.0.1:5000", "127.0.0.1:53", 30)
            second = play.datagram("127.0.0.1:5000", "127.0.0.1:53", 20)
        play.did(
            "server", "recvmmsg", 2, message_bytes=(30, 20), local="127.0.0.1:53", size=4096,
            message_addresses=("127.0.0.1:5000", "127.0.0.1:5000"), **ends,
        )  # fmt: skip
        tables = play.tables()
        for op, role in (("sendmmsg", "carried"), ("recvmmsg", "delivered")):
            call = tables.calls[number_of(tables, op) - 1]
            assert frames_of(tables, call.call, role) == [first, second]
            assert (call.start, call.stop) == (0, 50)
        assert tables.unmatched == []
        assert ledger_mismatches(tables) == []

    def test_a_message_that_was_not_captured_is_listed_alone(self) -> None:
        play = self.play()
        with play.call(
            "client", "sendmmsg", 2, message_bytes=(30, 20), local="127.0.0.1:5000",
            address=None, peer="127.0.0.1:53", kind="SOCK_DGRAM",
        ):  # fmt: skip
            play.datagram("127.0.0.1:5000", "127.0.0.1:53", 30)
        tables = play.tables()
        sent = number_of(tables, "sendmmsg")
        assert [(r.bytes, r.call) for r in tables.unmatched if r.call == sent] == [(20, sent)]
        assert ledger_mismatches(tables) == []

"""Events in the order of time -> calls: conversations of threads with the kernel, and its gaps."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.capture.descriptors import Descriptors
from netlab.capture.kernel.calls import Calls
from netlab.capture.kernel.network import Network
from netlab.capture.kernel.tracepoints import (
    Begun,
    Ended,
    Entered,
    Event,
    Executed,
    Gap,
    Left,
    Lost,
    Moved,
    Routed,
    Seen,
    Signalled,
)
from netlab.model.call import Ready
from netlab.model.kernel_event import KernelEvent

PID, OTHER_THREAD, CHILD = 100, 101, 200
CLONE_THREAD, CLONE_FILES = 0x10000, 0x400
SOCKET = {"family": 2, "type": 1, "protocol": 0}
SEND = {"len": 23, "flags": 0}
A, B = 0xFFFF_0001, 0xFFFF_0002  # where the kernel keeps sockets
ADDRESSES = "10.0.0.1:4000", "10.0.0.2:80"


class Story:
    """Tells events, each a microsecond after the one before."""

    def __init__(self, **attach: Any) -> None:
        self.network = Network()
        self.calls = Calls(Descriptors(), self.network)
        self.now_ns = 1000
        self.calls.families.attach(PID, comm="prog", **attach)
        if not attach.get("nursery"):
            self.calls.families.name(PID, "host", "prog")

    def feed(self, event: Event) -> None:
        self.now_ns += 1000
        self.calls.feed(event._replace(time_ns=self.now_ns))

    def enter(self, name: str, tid: int = PID, **arguments: int) -> None:
        self.feed(Entered(0, tid, name, arguments))

    def leave(self, name: str, result: int, tid: int = PID) -> None:
        self.feed(Left(0, tid, name, result))

    def call(self, name: str, result: int, tid: int = PID, **arguments: int) -> None:
        self.enter(name, tid, **arguments)
        self.leave(name, result, tid)

    def send(self, fd: int, sk: int, tid: int = PID, moved: int = 23) -> None:
        self.enter("sendto", tid, fd=fd, **SEND)
        self.feed(Moved(0, tid, sk, 2, 6, moved, outbound=True))
        self.leave("sendto", moved, tid)

    def state(self, sk: int, old: str, new: str, *, interrupt: bool, tid: int = PID) -> None:
        event = KernelEvent(
            self.now_ns, "", "inet_sock_set_state", *ADDRESSES, state=new, old_state=old
        )
        self.feed(Seen(0, tid, interrupt, sk, None, event, begins=old == "CLOSED"))

    @property
    def told(self) -> list[str]:
        """`op(fd) = result`, sockets by letters in the order in which they are met."""
        letters: dict[int, str] = {}
        found = []
        for one in self.calls.families.records:
            letter = ""
            if one.inode is not None:
                letter = letters.setdefault(one.inode, "abcdefgh"[len(letters)])
            found.append(f"{one.op}({one.fd}{letter}) = {one.errno or one.result}")
        return found


def test_a_descriptor_that_came_unseen_is_the_socket_that_the_kernel_says() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.send(3, A)
    story.send(9, A)  # the same socket by another number: a message brought it
    story.send(9, A)
    story.send(10, B)
    assert story.told == [
        "socket(3a) = 3", "sendto(3a) = 23", "sendto(9a) = 23", "sendto(9a) = 23",
        "sendto(10b) = 23",
    ]  # fmt: skip


def test_a_place_that_is_used_again_is_not_the_socket_before() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.send(3, A)
    story.call("close", 0, fd=3)
    story.call("socket", 3, **SOCKET)
    story.send(3, A)
    assert story.told == ["socket(3a) = 3", "sendto(3a) = 23", "close(3a) = 0", "socket(3b) = 3",
                          "sendto(3b) = 23"]  # fmt: skip


def test_a_new_socket_is_believed_though_an_old_one_was_at_its_place() -> None:
    story = Story()
    story.send(7, A)  # came unseen, and its end will not be seen either
    story.call("socket", 3, **SOCKET)
    story.send(3, A)
    assert story.told == ["sendto(7a) = 23", "socket(3b) = 3", "sendto(3b) = 23"]


def test_a_number_that_another_thread_gets_before_close_returns_is_not_closed() -> None:
    story = Story()
    story.feed(Begun(0, PID, OTHER_THREAD, "prog", CLONE_THREAD | CLONE_FILES))
    story.call("socket", 3, **SOCKET)
    story.enter("close", fd=3)
    story.call("socket", 3, tid=OTHER_THREAD, **SOCKET)  # the number is free already
    story.leave("close", 0)
    story.call("close", 0, tid=OTHER_THREAD, fd=3)
    assert story.told == ["socket(3a) = 3", "socket(3b) = 3", "close(3a) = 0", "close(3b) = 0"]


def test_a_fork_inherits_and_an_execve_closes_what_was_to_be_closed() -> None:
    story = Story()
    story.call("socket", 3, family=2, type=1 | 0o2000000, protocol=0)
    story.call("socket", 4, **SOCKET)
    story.feed(Begun(0, PID, CHILD, "prog", 0))
    story.enter("execve", tid=CHILD)
    story.feed(Executed(0, CHILD, CHILD, "/usr/bin/other"))
    story.leave("execve", 0, tid=CHILD)
    story.call("close", 0, tid=CHILD, fd=3)  # a file by now
    story.call("write", 5, tid=CHILD, fd=4, count=5)
    story.feed(Ended(0, CHILD, True))
    records = story.calls.families.records
    assert story.told[2:] == ["execve(3a) = 0", "write(4b) = 5", "exit(None) = None"]
    assert {one.actor for one in records} == {"prog", "prog/other-200"}
    (item,) = story.calls.families.inheritances
    assert (item.pid, item.parent_pid) == (CHILD, PID)
    assert set(item.inodes) == {records[0].inode, records[1].inode}


def test_whether_an_execve_closed_what_came_unseen_is_not_guessed() -> None:
    story = Story()
    story.send(7, A)
    story.enter("execve")
    story.feed(Executed(0, PID, PID, "/usr/bin/other"))
    story.leave("execve", 0)
    story.call("close", 0, fd=7)  # of a socket, or of a file that was opened since
    assert story.told == ["sendto(7a) = 23"]


def test_what_is_entered_before_a_gap_is_not_paired_with_what_is_left_behind_it() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.enter("recvfrom", fd=3, size=9, flags=0)
    gap_ns = story.now_ns + 1000
    story.feed(Gap(0, True))
    story.enter("recvfrom", fd=3, size=9, flags=0)
    story.feed(Lost(0, gap_ns, 5, True))
    story.leave("recvfrom", 9)
    assert story.told == ["socket(3a) = 3"]
    losses = [(one.what, one.count, one.since_ns) for one in story.calls.losses]
    assert losses == [("events of calls", 5, gap_ns)]


def test_behind_a_gap_a_descriptor_is_what_the_kernel_says_or_nothing() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.call("socket", 4, **SOCKET)
    story.send(3, A)
    story.feed(Gap(0, True))
    story.feed(Lost(0, 0, None, True))
    story.call("close", 0, fd=4)  # it may have been closed in the gap, and be a file by now
    story.send(3, A)
    story.call("close", 0, fd=3)
    assert story.told[3:] == ["sendto(3a) = 23", "close(3a) = 0"]


def test_a_call_that_began_before_the_trace_is_counted_where_it_moved_bytes() -> None:
    story = Story()
    story.leave("read", 5)  # of a file, perhaps
    story.feed(Moved(0, PID, A, 2, 6, 9, outbound=False))
    story.leave("read", 9)
    assert story.told == []
    (loss,) = story.calls.families.losses
    assert (loss.what, loss.count, loss.pid, loss.actor) == ("calls", 1, PID, "prog")


def test_connect_and_listen_learn_their_ends_from_the_states_of_their_own_thread() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.enter("connect", fd=3)
    story.state(B, "LISTEN", "SYN-RECEIVED", interrupt=True)  # a neighbour's, in an interrupt
    story.state(A, "CLOSED", "SYN-SENT", interrupt=False)
    story.leave("connect", 0)
    connect = story.calls.families.records[-1]
    assert (connect.local, connect.peer, connect.address) == (*ADDRESSES, ADDRESSES[1])
    assert story.network.maybe_life(B) is not None
    assert {event.inode for event in story.network.events} == {connect.inode}


DATAGRAMS = {"family": 2, "type": 2, "protocol": 0}


def route(local: str, peer: str, *, interrupt: bool = False) -> Routed:
    return Routed(0, PID, interrupt, 17, local, peer)


def test_several_messages_of_one_call_have_their_sizes_and_addresses() -> None:
    story = Story()
    story.call("socket", 3, **DATAGRAMS)
    story.enter("sendmmsg", fd=3, flags=0)
    for moved, peer in ((7, "10.0.0.2:53"), (4093, "10.0.0.3:53")):
        story.feed(route("0.0.0.0:4000", peer))
        story.feed(Moved(0, PID, A, 2, 17, moved, outbound=True))
    story.leave("sendmmsg", 2)
    record = story.calls.families.records[-1]
    assert (record.result, record.message_bytes, record.kind) == (2, (7, 4093), "SOCK_DGRAM")
    assert record.message_addresses == ("10.0.0.2:53", "10.0.0.3:53")
    assert record.local == "0.0.0.0:4000"


def test_a_datagrams_ends_are_where_its_route_leads() -> None:
    story = Story()
    story.call("socket", 3, **DATAGRAMS)
    story.enter("connect", fd=3)
    story.feed(route("10.9.9.9:9", "10.9.9.8:9", interrupt=True))  # an answer, on top of us
    story.feed(route("0.0.0.0:4000", "10.0.0.2:53"))
    story.leave("connect", 0)
    story.enter("sendto", fd=3, **SEND)
    story.feed(Moved(0, PID, A, 2, 17, 23, outbound=True))
    story.leave("sendto", 23)
    _, connect, send = story.calls.families.records
    assert (connect.address, connect.peer) == ("10.0.0.2:53", "10.0.0.2:53")
    assert (send.address, send.local, send.peer) == (None, "0.0.0.0:4000", "10.0.0.2:53")


def test_a_connect_that_no_state_tells_of_has_the_address_of_its_route() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.enter("connect", fd=3)
    story.feed(Routed(0, PID, False, 6, "0.0.0.0:0", "203.0.113.9:80"))
    story.leave("connect", -101)
    record = story.calls.families.records[-1]
    assert (record.address, record.peer, record.errno) == ("203.0.113.9:80", None, "ENETUNREACH")


def test_a_restarted_call_shows_the_kernels_word_for_it() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.call("accept", -512, fd=3)
    assert story.told[-1] == "accept(3a) = ERESTARTSYS"
    story.call("poll", -516, nfds=1, timeout_msecs=-1, ufds=0)
    story.call("restart_syscall", 1)
    assert story.told[-1] == "restart_syscall(None) = 1"
    story.call("restart_syscall", 0)  # of a sleep
    assert len(story.told) == 4


def test_a_ring_is_named_as_what_the_witness_cannot_see() -> None:
    story = Story()
    story.call("io_uring_setup", 5, entries=8, params=0)
    (loss,) = story.calls.families.losses
    assert (loss.witness, loss.what, loss.pid) == ("kernel", "bytes", PID)
    assert "io_uring" in loss.reason


@pytest.mark.parametrize("named", ["early", "late", "after its end"])
def test_a_nursed_program_is_told_under_its_name_whenever_that_is_learnt(named: str) -> None:
    story = Story(nursery=True)
    families = story.calls.families
    if named == "early":
        families.name(CHILD, "host", "prog")
    story.feed(Begun(0, PID, CHILD, "helper", 0))
    story.call("socket", 3, tid=CHILD, **SOCKET)  # the helper's, before there is a program
    story.enter("execve", tid=CHILD)
    story.feed(Executed(0, CHILD, CHILD, "/usr/bin/prog"))
    story.leave("execve", 0, tid=CHILD)
    story.call("socket", 5, tid=CHILD, **SOCKET)
    if named == "late":
        assert story.told == []
        families.name(CHILD, "host", "prog")
    story.feed(Begun(0, CHILD, CHILD + 1, "prog", 0))
    story.call("close", 0, tid=CHILD + 1, fd=5)
    story.feed(Ended(0, CHILD, True))
    if named == "after its end":
        families.name(CHILD, "host", "prog")
    assert story.told == ["socket(5a) = 5", "close(5a) = 0", "exit(None) = None"]
    assert [one.actor for one in families.records] == ["prog", "prog/prog-201", "prog"]
    assert {one.host for one in families.records} == {"host"}
    assert len(families.inheritances) == 1


def test_a_dismissed_program_leaves_nothing() -> None:
    story = Story(nursery=True)
    story.feed(Begun(0, PID, CHILD, "helper", 0))
    story.feed(Executed(0, CHILD, CHILD, "/usr/bin/prog"))
    story.leave("execve", 0, tid=CHILD)
    story.call("socket", 5, tid=CHILD, **SOCKET)
    story.calls.families.dismiss(CHILD)
    story.call("close", 0, tid=CHILD, fd=5)
    story.calls.families.name(CHILD, "host", "prog")
    assert story.told == []


def test_an_end_by_a_signal_has_its_name() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.feed(Signalled(0, PID, 17, by_default=True))  # SIGCHLD, which nobody dies of
    story.call("close", 0, fd=3)
    story.feed(Signalled(0, PID, 15, by_default=False))  # handled
    story.feed(Signalled(0, PID, 9, by_default=True))
    story.feed(Ended(0, PID, True))
    last = story.calls.families.records[-1]
    assert (last.op, last.args) == ("exit", "SIGKILL")


def test_an_end_by_exit_group_is_not_the_kill_of_its_threads() -> None:
    story = Story()
    story.feed(Begun(0, PID, OTHER_THREAD, "prog", CLONE_THREAD | CLONE_FILES))
    story.call("socket", 3, **SOCKET)
    story.enter("exit_group", error_code=7)
    story.feed(Signalled(0, OTHER_THREAD, 9, by_default=True))
    story.feed(Ended(0, PID, None))
    story.feed(Ended(0, OTHER_THREAD, None))
    assert story.calls.families.records[-1].args == "status 7"


def test_a_call_that_never_returns_is_told_at_the_end() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.enter("accept", fd=3)
    story.enter("exit_group", tid=PID + 5, error_code=0)  # of nobody that is followed
    story.calls.finish()
    last = story.calls.families.records[-1]
    assert (last.op, last.returned_ns, last.result) == ("accept", None, None)


def test_an_epoll_ctl_says_which_socket_it_is_about_and_no_events() -> None:
    story = Story()
    story.call("socket", 3, **SOCKET)
    story.call("epoll_create1", 4, flags=0)
    story.call("epoll_ctl", 0, epfd=4, op=1, fd=3)
    story.call("epoll_ctl", 0, epfd=4, op=1, fd=9)  # no socket, so nobody's business
    made, _, changed = story.calls.families.records
    assert changed.op == "epoll_ctl"
    assert changed.ready == (Ready(3, made.inode, 0),)

"""Which frame made a descriptor ready."""

from __future__ import annotations

from playbook import INODE, Play, frames_of, number_of

from netlab.model.call import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, WAITING


def test_readable_is_the_frame_with_the_first_unread_byte() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN)), play.call("client", "send", 200):
        first = play.data("c>s", 0, 100)
        play.data("c>s", 100, 200)
    play.did("server", "recv", 50)
    with play.wait("server", (INODE["server"], POLLIN)):
        pass
    tables = play.tables()
    for nth in (1, 2):
        call = number_of(tables, "epoll_wait", nth)
        assert frames_of(tables, call, "wakeup") == [first]
        assert (tables.calls[call - 1].connection, tables.calls[call - 1].side) == (0, "server")


def test_what_a_wait_reported_is_in_its_arguments() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN), args="timeout=-1, maxevents=64"):
        play.data("c>s", 0, 100)
    with play.wait("server", (INODE["server"], POLLIN | POLLHUP), op="poll"):
        pass
    with play.wait("server"):
        pass
    args = [call.args for call in play.tables().calls if call.op in WAITING]
    assert args == ["timeout=-1, maxevents=64, ready=[9:IN]", "ready=[9:IN|HUP]", ""]


def test_readable_behind_a_gap_is_the_frame_that_filled_it() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 200):
        play.data("c>s", 100, 200)
    with play.wait("server", (INODE["server"], POLLIN)):
        fill = play.data("c>s", 0, 100)
    play.did("server", "recv", 100)
    with play.wait("server", (INODE["server"], POLLIN)):
        pass
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "epoll_wait", 1), "wakeup") == [fill]
    assert frames_of(tables, number_of(tables, "epoll_wait", 2), "wakeup") == [fill]


def test_readable_at_the_end_of_the_stream_is_the_fin() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN | POLLRDHUP), op="poll"):
        fin = play.fin("c>s", 0)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [fin]


def test_an_error_is_the_reset() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN | POLLERR | POLLHUP), op="poll"):
        reset = play.rst("c>s", 0)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [reset]


def test_a_listener_is_readable_by_the_end_of_the_handshake_accepted_next() -> None:
    play = Play()
    with (
        play.wait("server", (INODE["listener"], POLLIN)),
        play.call("client", "connect", 0, address="127.0.0.1:80"),
    ):
        play.syn()
        play.synack()
        done = play.ack("c>s", 0)
    with play.accept():
        pass
    tables = play.tables()
    call = number_of(tables, "epoll_wait")
    assert frames_of(tables, call, "wakeup") == [done]
    assert tables.calls[call - 1].connection is None


def test_writable_after_a_connect_in_progress_is_the_synack() -> None:
    play = Play()
    with play.call("client", "connect", None, errno="EINPROGRESS", address="127.0.0.1:80"):
        play.syn()
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        answer = play.synack()
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [answer]


def test_writable_again_is_the_ack_that_freed_space() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=300):
        play.data("c>s", 0, 100)
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        freed = play.ack("s>c", 100)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [freed]


def test_writable_all_along_was_made_so_by_no_frame() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        play.ack("s>c", 100)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == []


def test_a_wait_for_two_connections_belongs_to_none() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN), (999, POLLIN)):
        play.fin("c>s", 0)
    tables = play.tables()
    assert tables.calls[number_of(tables, "epoll_wait") - 1].connection is None

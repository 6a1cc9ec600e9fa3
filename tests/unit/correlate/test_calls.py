"""Which connection a call belongs to, which range it has, and when that is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import Play, frames_of, number_of, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.call import Inheritance
from netlab.model.frame import Interface
from netlab.model.recording import Loss


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def test_connect_and_accept_have_every_copy_of_the_handshake() -> None:
    play = Play()
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        syns = [play.syn(), play.syn()]
        synacks = [play.synack(), play.synack()]
        done = play.ack("c>s", 0)
    with play.accept():
        pass
    tables = closes(play)
    for op in ("connect", "accept"):
        call = number_of(tables, op)
        assert frames_of(tables, call, "syn") == syns
        assert frames_of(tables, call, "synack") == synacks
        assert frames_of(tables, call, "handshake_ack") == [done]
        assert tables.calls[call - 1].connection == 0
    assert [c.side for c in tables.calls] == ["client", "server"]


def test_a_reused_port_gives_each_socket_its_own_connection() -> None:
    play = Play()
    for round_, inode in enumerate((100, 300)):
        with play.call("client", "connect", 0, address="127.0.0.1:80", inode=inode):
            play.syn()
            play.synack()
            play.ack("c>s", 0)
        with play.call("client", "send", 10, inode=inode):
            play.data("c>s", 0, 10)
        with play.call("client", "close", 0, inode=inode):
            play.fin("c>s", 10)
        play.fin("s>c", 0, ack=11)
        play.ack("c>s", 1, at=11)
        play.iss += 50_000 * (round_ + 1)
    tables = closes(play)
    assert [c.connection for c in tables.calls] == [0, 0, 0, 1, 1, 1]


def test_calls_of_two_threads_that_do_not_overlap_are_exact() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 10, tid=1):
        play.data("c>s", 0, 10)
    with play.call("client", "send", 20, tid=2):
        play.data("c>s", 10, 30)
    play.did("server", "recv", 30)
    tables = closes(play)
    assert [(c.start, c.stop) for c in tables.calls if c.op == "send"] == [(0, 10), (10, 30)]


def test_calls_of_two_threads_that_overlap_are_not_guessed() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 10, tid=1), play.call("client", "send", 20, tid=2):
        play.data("c>s", 0, 30)
    with play.call("client", "send", 5, tid=1):
        play.data("c>s", 30, 35)
    play.did("server", "recv", 35)
    tables = closes(play)
    assert [(c.start, c.stop) for c in tables.calls if c.op == "send"] == [
        (None, None), (None, None), (30, 35),
    ]  # fmt: skip
    reasons = {(u.reason, u.start, u.stop) for u in tables.unmatched}
    assert reasons == {("shared socket, order ambiguous", 0, 30)}
    assert sorted(u.bytes for u in tables.unmatched if u.call) == [10, 20]


def test_a_send_that_never_returned_leaves_later_ones_of_others_unplaced() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", None, inside=True, tid=1):
        play.data("c>s", 0, 40)
    with play.call("client", "send", 20, tid=2):
        play.data("c>s", 40, 60)
    tables = closes(play)
    assert [(c.start, c.stop) for c in tables.calls if c.op == "send"] == [(None, None)] * 2


def test_bytes_of_a_send_still_inside_are_of_the_stream_only() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "sendall", None, inside=True):
        play.data("c>s", 0, 40)
    play.did("server", "recv", 40)
    tables = closes(play)
    assert [(u.call, u.reason, u.bytes) for u in tables.unmatched] == [
        (None, "call still inside", 40)
    ]


def test_a_probe_that_began_late_is_pinned_by_the_fin() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    with play.call("client", "send", 50):
        last = play.data("c>s", 100, 150)
    with play.call("client", "close", 0):
        play.fin("c>s", 150)
    tables = closes(play)
    assert spans_of(tables, number_of(tables, "send"), "carried") == [(last, 100, 150)]
    assert ("carried but not sent by a known call", 0, 100) in {
        (u.what, u.start, u.stop) for u in tables.unmatched
    }


def test_a_probe_that_began_late_without_an_end_says_so() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    with play.call("client", "send", 50):
        play.data("c>s", 100, 150)
    tables = closes(play)
    assert tables.calls[0].connection == 0
    assert tables.calls[0].start is None
    assert (50, "no call witness: watching began late", 1) in {
        (u.bytes, u.reason, u.call) for u in tables.unmatched
    }


def test_a_capture_that_began_late_cuts_what_came_before() -> None:
    play = Play()
    play.handshake(capture=False)
    play.did("client", "send", 100)
    with play.call("client", "send", 50):
        play.data("c>s", 100, 150)
    with play.call("client", "close", 0):
        play.fin("c>s", 150)
    tables = closes(play)
    assert [(c.start, c.stop) for c in tables.calls if c.op == "send"] == [(None, None), (0, 50)]
    assert (100, "not captured: capture began late") in {
        (u.bytes, u.reason) for u in tables.unmatched if u.call
    }


def test_a_connection_without_frames_stands_last_and_its_bytes_are_listed() -> None:
    play = Play()
    play.handshake(capture=False)
    play.did("client", "send", 100)
    play.did("server", "recv", 100)
    play.datagram("10.0.0.1:1", "10.0.0.2:2", 5)
    tables = closes(play)
    assert [(c.protocol, c.first_ns is None) for c in tables.connections] == [
        ("udp", False), ("tcp", True),
    ]  # fmt: skip
    assert {c.connection for c in tables.calls if c.op in ("send", "recv")} == {1}
    assert [u.reason for u in tables.unmatched if u.call] == ["not captured: no packet witness"] * 2


@pytest.mark.parametrize(
    ("received", "dropped", "reason"),
    [
        (None, None, "no packet witness"),
        (0, 0, "no packet witness"),
        (0, None, "the recording is cut short"),
    ],
)
def test_a_recorder_that_was_killed_was_a_witness(
    received: int | None, dropped: int | None, reason: str
) -> None:
    play = Play()
    play.raw.interfaces = [Interface("lo", 1, 0, received=received, dropped=dropped)]
    play.handshake(capture=False)
    play.did("client", "send", 100)
    tables = closes(play)
    assert [u.reason for u in tables.unmatched] == [f"not captured: {reason}"]


def test_what_a_recording_that_is_cut_short_does_not_hold_is_not_known() -> None:
    play = Play()
    play.raw.cut_short = True
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.data("c>s", 100, 130)  # by a call that is missing
    tables = closes(play)
    assert {u.reason for u in tables.unmatched} == {"not known: the recording is cut short"}
    assert tables.connections[0].close_kind is None  # not "open"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("open", "still queued"),
        ("closed", "closed before it was read"),
        ("reset", "reset before delivery"),
        ("inside", "no call witness"),  # an accept that never returned may have taken it
        ("lost", "no call witness"),  # calls of the server are missing
    ],
)
def test_bytes_for_a_connection_that_was_never_accepted(end: str, reason: str) -> None:
    play = Play()
    listener = {"inode": 201, "fd": 3, "peer": None}
    play.did("server", "listen", 0, **listener)
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    if end == "inside":
        play.did("server", "accept", inside=True, **listener)
    elif end == "lost":
        play.raw.losses = [Loss("probe", "calls", 7, "spool damaged", actor="server")]
    elif end != "open":
        with play.call("server", "close", 0, **listener):
            if end == "reset":
                play.rst("s>c", 0, ack=100)
    (row,) = closes(play).unmatched
    assert (row.what, row.reason, row.bytes) == ("carried but not read", reason, 100)


def test_the_fin_belongs_to_the_last_close_of_the_last_holder() -> None:
    play = Play()
    play.handshake()
    play.forks = [Inheritance(21, 20, play.tick(), (200,))]
    play.did("server", "close", 0)  # the parent's: the child still holds it
    with play.call("server", "close", 0, pid=21):
        fin = play.fin("s>c", 0)
    play.did("client", "recv", 0, size=10)
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "close", 1), "fin") == []
    assert frames_of(tables, number_of(tables, "close", 2), "fin") == [fin]
    assert frames_of(tables, number_of(tables, "recv"), "fin") == [fin]


def test_the_end_of_a_process_closes_what_it_held_and_a_dup_holds_on() -> None:
    play = Play()
    play.handshake()
    play.did("client", "dup", 8)
    play.did("client", "close", 0)
    with play.call("client", "exit", None, inside=True, inode=None, fd=None):
        fin = play.fin("c>s", 0)
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "close"), "fin") == []
    assert frames_of(tables, number_of(tables, "exit"), "fin") == [fin]


def dies(play: Play, side: str, alive_ns: int | None = None) -> None:
    """The end of a process as its parent saw it: since its last sign of life, and before now."""
    play.did(side, "exit", None, args="SIGKILL", inside=True, inode=None, fd=None)
    record = play.calls[-1]
    since_ns = record.entered_ns if alive_ns is None else alive_ns
    play.calls[-1] = replace(record, entered_ns=since_ns, returned_by_ns=play.tick())


@pytest.mark.parametrize("when", ["inside", "later", "detached"])
def test_a_fin_is_of_the_end_of_a_process_if_it_left_before_that_was_known(when: str) -> None:
    play = Play()
    play.handshake()
    if when == "detached":
        play.did("client", "detach", 5)
    alive_ns = play.now_ns
    if when == "later":  # nothing held it back: a holder that is not known has closed
        dies(play, "client")
    fin = play.fin("c>s", 0)
    if when != "later":
        play.ack("s>c", 1)
        dies(play, "client", alive_ns)
    tables = closes(play)
    expected = [fin] if when == "inside" else []
    assert frames_of(tables, number_of(tables, "exit"), "fin") == expected


@pytest.mark.parametrize("why", ["unread", "linger", "nothing", "option", "asked", "probed"])
def test_a_reset_is_of_the_end_of_a_process_that_had_a_reason_for_one(why: str) -> None:
    play = Play()
    play.handshake()
    if why == "linger":
        play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}")
    if why in ("option", "asked", "probed"):
        play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_KEEPALIVE, 1")
        play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_USER_TIMEOUT, 30000")
    if why not in ("linger", "nothing"):
        with play.call("client", "send", 10):
            play.data("c>s", 0, 10)
        play.ack("s>c", 10)
    alive_ns = play.now_ns
    if why in ("asked", "probed"):  # and its timer may have given the peer up, an interval later
        play.frame("s>c", "A", 0, 11)
        play.now_ns += 1_000_000_000
        if why == "asked":
            play.ack("c>s", 0, at=10)
    reset = play.rst("s>c", 0, ack=10)
    dies(play, "server", alive_ns)
    tables = closes(play)
    expected = [] if why in ("nothing", "probed") else [reset]
    assert frames_of(tables, number_of(tables, "exit"), "rst") == expected


def test_bytes_that_a_killed_recv_may_have_taken_are_not_called_unread() -> None:
    play = Play()
    play.handshake()
    with play.call("server", "recv", None, inside=True, size=100):
        with play.call("client", "send", 10):
            play.data("c>s", 0, 10)
        play.fin("s>c", 0)  # no reset: nothing was left
    dies(play, "server")
    with play.call("client", "send", 5):
        play.data("c>s", 10, 15, ack=1)
        play.answer_rst("s>c", 1)
    tables = closes(play)
    assert {(u.start, u.stop, u.reason) for u in tables.unmatched} == {
        (0, 10, "call still inside"), (10, 15, "reset before delivery"),
    }  # fmt: skip


def test_shutdown_sends_the_fin_and_the_later_close_does_not() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "shutdown", 0, args="SHUT_WR"):
        fin = play.fin("c>s", 0)
    play.did("client", "close", 0)
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "shutdown"), "fin") == [fin]
    assert frames_of(tables, number_of(tables, "close"), "fin") == []


def test_a_reset_belongs_to_the_close_that_sent_it_and_the_recv_it_ended() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 10):
        play.data("c>s", 0, 10)
    with play.call("server", "close", 0):
        reset = play.rst("s>c", 0, ack=10)
    play.did("client", "recv", None, errno="ECONNRESET")
    play.did("client", "send", None, errno="EPIPE")
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "close"), "rst") == [reset]
    assert frames_of(tables, number_of(tables, "recv"), "rst") == [reset]
    assert frames_of(tables, number_of(tables, "send", 2), "rst") == [reset]


def test_a_reset_belongs_to_the_end_of_the_process_that_left_bytes_unread() -> None:
    play = Play()
    play.handshake()
    with play.call("server", "exit", None, inside=True, inode=None, fd=None):
        with play.call("client", "send", 10):
            play.data("c>s", 0, 10)
        reset = play.rst("s>c", 0, ack=10)
    play.did("client", "recv", None, errno="ECONNRESET")
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "exit"), "rst") == [reset]


def test_a_reset_that_answers_data_after_the_close_belongs_to_the_send() -> None:
    play = Play()
    play.handshake()
    with play.call("server", "close", 0):
        play.fin("s>c", 0)
    play.ack("c>s", 1)
    with play.call("client", "send", 10):
        play.data("c>s", 0, 10, ack=1)
        reset = play.answer_rst("s>c", 1)
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "close"), "rst") == []
    assert frames_of(tables, number_of(tables, "send"), "rst") == [reset]


def test_a_refused_connect_was_ended_by_the_reset() -> None:
    play = Play()
    with play.call("client", "connect", None, errno="ECONNREFUSED", address="127.0.0.1:80"):
        play.syn()
        reset = play.rst("s>c", -1, ack=0)
    tables = closes(play)
    assert frames_of(tables, 1, "rst") == [reset]


def test_epipe_after_the_own_shutdown_blames_no_frame() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "shutdown", 0, args="SHUT_WR"):
        play.fin("c>s", 0)
    with play.call("server", "close", 0):
        play.rst("s>c", 0)
    play.did("client", "send", None, errno="EPIPE")
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "send"), "rst") == []


def test_calls_are_numbered_by_entry_whatever_order_they_were_read_in() -> None:
    play = Play()
    play.handshake()
    play.did("client", "send", 1)
    play.did("client", "send", 2)
    play.calls.reverse()
    tables = play.tables()
    assert [c.call for c in tables.calls] == [1, 2, 3, 4, 5]
    assert [c.result for c in tables.calls if c.op == "send"] == [1, 2]

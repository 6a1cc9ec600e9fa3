"""Reads that no witness saw: what a detach and the samples of the queue tell of them."""

from __future__ import annotations

from playbook import Play, number_of

from netlab.correlate.ledger import ledger_mismatches
from netlab.model.tables import Tables

CONTRADICTION = "the calls do not add up to the stream"


def nine_bytes() -> Play:
    play = Play()
    play.handshake()
    with play.call("client", "send", 9):
        play.data("c>s", 0, 9)
        play.ack("s>c", 9)
    return play


def ranges(tables: Tables) -> list[tuple[int | None, int | None]]:
    assert ledger_mismatches(tables) == []
    return [(c.start, c.stop) for c in tables.calls if c.op == "recv"]


def unread(tables: Tables) -> list[tuple[int | None, int | None, str]]:
    return [(u.start, u.stop, u.reason) for u in tables.unmatched if u.call is None]


def test_after_a_detach_nothing_is_placed() -> None:
    play = nine_bytes()
    play.did("server", "recv", 3)
    play.did("server", "detach", 5)
    play.did("server", "recv", 3)  # by the socket that adopted it; between them is a plain read
    tables = play.tables()
    assert ranges(tables) == [(0, 3), (None, None)]
    detached = "no call witness: some calls of the process are missing"
    assert unread(tables) == [(3, 9, detached)]
    assert [u.reason for u in tables.unmatched if u.call == number_of(tables, "recv", 2)] == [
        detached
    ]


def test_a_queue_that_is_shorter_than_it_should_be_proves_an_unseen_read() -> None:
    play = nine_bytes()
    play.did("server", "recv", 3, inq_before_bytes=9, inq_after_bytes=6)
    play.did("server", "recv", 3, inq_before_bytes=3, inq_after_bytes=0)
    tables = play.tables()
    assert ranges(tables) == [(0, 3), (None, None)]
    assert unread(tables) == [(3, 9, CONTRADICTION)]


def test_calls_before_the_proof_are_doubted_unless_a_sample_vouches_for_them() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 9):
        play.data("c>s", 0, 9)
    # Not acknowledged yet: os.read(3) before this one leaves no proof.
    play.did("server", "recv", 3, inq_before_bytes=6, inq_after_bytes=3)
    play.ack("s>c", 9)
    play.did("server", "recv", 3, inq_before_bytes=3, inq_after_bytes=0)
    tables = play.tables()
    assert ranges(tables) == [(None, None), (None, None)]


def test_an_unseen_read_of_the_rest_does_not_leave_it_queued() -> None:
    play = nine_bytes()
    play.did("server", "recv", 3, inq_before_bytes=9, inq_after_bytes=6)
    play.did("server", "recv", None, errno="EAGAIN", inq_before_bytes=0, inq_after_bytes=0)
    tables = play.tables()
    assert ranges(tables) == [(0, 3), (None, None)]
    assert unread(tables) == [(3, 9, CONTRADICTION)]


def test_samples_that_add_up_and_those_that_lag_raise_no_doubt() -> None:
    play = nine_bytes()
    play.did("server", "recv", 3, inq_before_bytes=9, inq_after_bytes=6)
    with play.call("client", "send", 5):
        play.data("c>s", 9, 14)
    play.did("server", "recv", 6, inq_before_bytes=6, inq_after_bytes=0)  # 5 are on their way
    play.ack("s>c", 14)
    play.did("server", "recv", 4, inq_before_bytes=5, inq_after_bytes=1)
    tables = play.tables()
    assert ranges(tables) == [(0, 3), (3, 9), (9, 13)]
    assert unread(tables) == [(13, 14, "still queued")]


def test_a_fin_is_not_counted_as_a_queued_byte() -> None:
    play = nine_bytes()
    with play.call("client", "close", 0):
        play.fin("c>s", 9)
    play.ack("s>c", 10)
    play.did("server", "recv", 9, inq_before_bytes=9, inq_after_bytes=0)
    play.did("server", "recv", 0, size=10, inq_before_bytes=0, inq_after_bytes=0)
    assert ranges(play.tables()) == [(0, 9), (None, None)]


def test_a_read_of_another_thread_under_way_is_no_unseen_one() -> None:
    play = nine_bytes()
    with play.call("server", "recv", 3, tid=21, inq_before_bytes=9, inq_after_bytes=0):
        with play.call("server", "recv", None, tid=22, errno="EAGAIN", inq_before_bytes=6):
            pass
        with play.call("server", "recv", 6, tid=22, inq_before_bytes=6, inq_after_bytes=0):
            pass
    tables = play.tables()
    assert {u.reason for u in tables.unmatched} == {"shared socket, order ambiguous"}


def test_samples_of_a_stream_that_began_before_the_probe_say_nothing() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    with play.call("client", "send", 50):
        play.data("c>s", 100, 150)
    play.did("server", "recv", 50, inq_before_bytes=50, inq_after_bytes=0)
    with play.call("client", "close", 0):
        play.fin("c>s", 150)
    play.did("server", "recv", 0, size=10, inq_before_bytes=0, inq_after_bytes=0)
    assert ranges(play.tables())[0] == (100, 150)

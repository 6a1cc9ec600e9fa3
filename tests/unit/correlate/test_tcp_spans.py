"""Which frames belong to which send and recv."""

from __future__ import annotations

import pytest
from playbook import Play, frames_of, number_of, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.sockets import MSG_FASTOPEN
from netlab.model.recording import Loss


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def test_an_echo_is_mapped_whole() -> None:
    play = Play()
    play.handshake()
    with (
        play.call("server", "recv", 100, size=4096),
        play.call("client", "send", 100, size=100),
    ):
        sent = play.data("c>s", 0, 100)
    with play.call("server", "send", 100, size=100):
        answer = play.data("s>c", 0, 100, ack=100)
    play.did("client", "recv", 100, size=4096)
    acked = play.ack("c>s", 100, at=100)
    tables = closes(play)
    send, recv = number_of(tables, "send", 1), number_of(tables, "recv", 1)
    assert spans_of(tables, send) == [("carried", sent, 0, 100), ("acked", answer, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", sent, 0, 100)]
    assert spans_of(tables, number_of(tables, "send", 2), "acked") == [(acked, 0, 100)]
    assert tables.unmatched == []


def test_many_sends_in_one_frame_and_one_send_in_many_frames() -> None:
    play = Play()
    play.handshake()
    play.did("client", "send", 10)
    play.did("client", "send", 20)
    with play.call("client", "sendall", 100):
        first = play.data("c>s", 0, 60)
        second = play.data("c>s", 60, 130)
    play.ack("s>c", 130)
    play.did("server", "recv", 130)
    tables = closes(play)
    assert spans_of(tables, number_of(tables, "send", 1), "carried") == [(first, 0, 10)]
    assert spans_of(tables, number_of(tables, "send", 2), "carried") == [(first, 10, 30)]
    assert spans_of(tables, number_of(tables, "sendall"), "carried") == [
        (first, 30, 60), (second, 60, 130),
    ]  # fmt: skip
    assert frames_of(tables, number_of(tables, "recv"), "delivered") == [first, second]


def test_a_resent_copy_is_resent_for_the_sender_and_a_duplicate_for_the_reader() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        first = play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    again = play.data("c>s", 40, 100)
    play.ack("s>c", 100, options=play.sack_option("c>s", (40, 100)))
    play.did("server", "recv", 100)
    tables = closes(play)
    send, recv = number_of(tables, "send"), number_of(tables, "recv")
    assert spans_of(tables, send, "carried") == [(first, 0, 100)]
    assert spans_of(tables, send, "resent") == [(again, 40, 100)]
    assert spans_of(tables, recv, "delivered") == [(first, 0, 100)]
    assert spans_of(tables, recv, "duplicate") == [(again, 40, 100)]


def test_the_later_copy_is_delivered_when_the_receiver_shows_it_had_not_the_first() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        lost = play.data("c>s", 0, 100)
    kept = play.data("c>s", 0, 100)
    play.ack("s>c", 100)  # no D-SACK
    play.did("server", "recv", 100)
    tables = closes(play)
    recv = number_of(tables, "recv")
    assert spans_of(tables, number_of(tables, "send"), "carried") == [(lost, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", kept, 0, 100)]


@pytest.mark.parametrize("why", ["no sack", "d-sack", "read before", "acked between", "no answer"])
def test_the_first_copy_stays_delivered_without_such_evidence(why: str) -> None:
    play = Play(sack=why != "no sack")
    play.handshake()
    with play.call("client", "send", 100):
        first = play.data("c>s", 0, 100)
    if why == "acked between":
        play.ack("s>c", 100)
    if why == "read before":
        play.did("server", "recv", 100)
    play.data("c>s", 0, 100)
    if why != "no answer":
        blocks = [(0, 100)] if why == "d-sack" else []
        play.ack("s>c", 100, options=play.sack_option("c>s", *blocks))
    if why != "read before":
        play.did("server", "recv", 100)
    tables = closes(play)
    assert spans_of(tables, number_of(tables, "recv"), "delivered") == [(first, 0, 100)]


def test_what_a_filled_gap_released_is_told_apart_from_who_brought_it() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 300):
        late = play.data("c>s", 100, 200)
        later = play.data("c>s", 200, 300)
    play.ack("s>c", 0, options=play.sack_option("c>s", (100, 300)))
    fill = play.data("c>s", 0, 100)
    play.ack("s>c", 300)
    play.did("server", "recv", 300)
    tables = closes(play)
    recv = number_of(tables, "recv")
    assert spans_of(tables, recv, "delivered") == [
        (fill, 0, 100), (late, 100, 200), (later, 200, 300),
    ]  # fmt: skip
    assert spans_of(tables, recv, "released") == [(fill, 100, 200), (fill, 200, 300)]


def test_nothing_is_released_when_all_came_in_order() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 200):
        play.data("c>s", 0, 100)
        play.data("c>s", 100, 200)
    play.did("server", "recv", 200)
    tables = closes(play)
    assert spans_of(tables, number_of(tables, "recv"), "released") == []


def test_data_beyond_the_window_is_not_delivered_until_a_copy_fits() -> None:
    play = Play(wscale=None)
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn(window=100)
        play.synack(window=100)
        play.ack("c>s", 0, window=100)
    with play.accept():
        pass
    with play.call("client", "send", 150):
        first = play.data("c>s", 0, 100)
        early = play.data("c>s", 100, 150)
    play.ack("s>c", 100, window=0)
    play.did("server", "recv", 100)
    update = play.ack("s>c", 100, window=100)
    again = play.data("c>s", 100, 150)
    play.ack("s>c", 150, window=100)
    play.did("server", "recv", 50)
    tables = closes(play)
    assert early != again
    assert spans_of(tables, number_of(tables, "recv", 1), "delivered") == [(first, 0, 100)]
    assert spans_of(tables, number_of(tables, "recv", 2), "delivered") == [(again, 100, 150)]
    assert frames_of(tables, number_of(tables, "recv", 1), "window") == [update]


def test_data_after_a_reset_is_not_delivered() -> None:
    play = Play()
    play.handshake()
    with play.call("server", "close", 0):
        play.rst("s>c", 0)
    with play.call("client", "send", 10):
        play.data("c>s", 0, 10)
    tables = closes(play)
    assert [(u.what, u.reason, u.bytes) for u in tables.unmatched] == [
        ("carried but not read", "reset before delivery", 10)
    ]


def test_a_keep_alive_holds_no_data() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    play.frame("c>s", "A", 100, 1)
    play.frame("c>s", "A", 100, 1, 1)
    play.ack("s>c", 100)
    play.did("server", "recv", 100)
    tables = closes(play)
    assert spans_of(tables, number_of(tables, "send"), "resent") == []
    assert spans_of(tables, number_of(tables, "recv"), "duplicate") == []


def test_peek_and_eagain_move_nothing_and_trunc_consumes() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.did("client", "send", None, errno="EAGAIN")
    play.did("server", "recv", 60, flags=2, args="MSG_PEEK")
    play.did("server", "recv", 60, flags=0x20, args="MSG_TRUNC")
    play.did("server", "recv", 40)
    play.did("server", "recv", None, errno="EAGAIN")
    tables = closes(play)
    ranges = [(c.start, c.stop) for c in tables.calls if c.op == "recv"]
    assert ranges == [(None, None), (0, 60), (60, 100), (None, None)]


def test_sendall_that_failed_midway_counts_what_went() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "sendall", 60, size=100, errno="EAGAIN"):
        play.data("c>s", 0, 60)
    play.did("server", "recv", 60)
    tables = closes(play)
    assert tables.calls[number_of(tables, "sendall") - 1].stop == 60


def test_bytes_never_captured_are_listed_with_the_reason() -> None:
    play = Play()
    play.raw.losses = [Loss("packets", "frames", 1, "ring full")]
    play.handshake()
    play.did("client", "send", 100)
    with play.call("client", "send", 100):
        play.data("c>s", 100, 200)
    play.ack("s>c", 200)
    play.did("server", "recv", 200)
    play.did("client", "send", 50)  # and these never left
    tables = closes(play)
    listed = {(u.what, u.reason, u.start, u.stop) for u in tables.unmatched}
    assert listed == {
        ("sent but not captured", "not captured: ring drop", 0, 100),
        ("read but not captured", "not captured: ring drop", 0, 100),
        ("sent but not captured", "not known: the ring lost frames", 200, 250),
    }


@pytest.mark.parametrize("fins", [0, 1, 2])
def test_how_it_ended_is_not_known_where_a_fin_may_be_lost(fins: int) -> None:
    for lost in (False, True):
        play = Play()
        play.raw.losses = [Loss("packets", "frames", 1, "ring full")] if lost else []
        play.handshake()
        for direction in ("c>s", "s>c")[:fins]:
            play.fin(direction, 0)
        row = play.tables().connections[0]
        known = ("open", "half-close", "fin")[fins]
        assert row.close_kind == (None if lost and fins < 2 else known)


@pytest.mark.parametrize(("taken", "read_from"), [(0, "resent"), (5, "syn"), (3, "both")])
@pytest.mark.parametrize("sack", [False, True])
def test_data_in_a_syn_counts_as_far_as_the_synack_took_it(
    taken: int, read_from: str, sack: bool
) -> None:
    play = Play(sack=sack)
    with play.call("client", "sendto", 5, flags=MSG_FASTOPEN, address="127.0.0.1:80"):
        syn = play.syn(length=5)
        play.frame("s>c", "SA", 0, 1 + taken, options=play._offer())
    play.ack("c>s", 0, at=taken)
    with play.accept():
        pass
    resent = play.data("c>s", taken, 5) if taken < 5 else 0
    play.ack("s>c", 5)
    play.did("server", "recv", 5)
    tables = closes(play)
    delivered = {
        "syn": [(syn, 0, 5)],
        "resent": [(resent, 0, 5)],
        "both": [(syn, 0, 3), (resent, 3, 5)],
    }
    assert spans_of(tables, number_of(tables, "recv"), "delivered") == delivered[read_from]
    assert spans_of(tables, number_of(tables, "sendto"), "carried") == [(syn, 0, 5)]


def test_what_the_peer_read_is_never_called_still_queued() -> None:
    for lost in (True, False):
        play = Play()
        if lost:
            play.raw.losses = [Loss("packets", "frames", 1, "ring full")]
        play.handshake()
        with play.call("client", "send", 100):
            play.data("c>s", 0, 100)
        play.did("client", "send", 50)
        play.did("server", "recv", 150)
        tables = closes(play)
        reason = "not captured: ring drop" if lost else "not captured: missing in the capture"
        assert {(u.what, u.reason, u.start, u.stop) for u in tables.unmatched} == {
            ("sent but not captured", reason, 100, 150),
            ("read but not captured", reason, 100, 150),
        }


def test_bytes_that_a_fin_proves_had_left_are_not_still_queued() -> None:
    play = Play()
    play.handshake()
    play.did("client", "send", 100)
    with play.call("client", "close", 0):
        play.fin("c>s", 100)
    tables = closes(play)
    assert [(u.start, u.stop, u.reason) for u in tables.unmatched if u.call] == [
        (0, 100, "not captured: missing in the capture")
    ]


def test_with_lost_frames_nothing_is_said_of_what_they_may_have_told() -> None:
    play = Play()
    play.raw.losses = [Loss("packets", "frames", 1, "ring full")]
    play.handshake()
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.did("server", "recv", 30)
    tables = closes(play)
    assert [(u.start, u.stop, u.reason) for u in tables.unmatched] == [
        (30, 100, "not known: the ring lost frames")
    ]


def test_bytes_left_in_the_receive_buffer_are_still_queued_or_closed_unread() -> None:
    for closed, reason in ((False, "still queued"), (True, "closed before it was read")):
        play = Play()
        play.handshake()
        with play.call("client", "send", 100):
            play.data("c>s", 0, 100)
        play.did("server", "recv", 30)
        if closed:
            play.did("server", "close", 0)
        tables = closes(play)
        assert [(u.start, u.stop, u.reason) for u in tables.unmatched] == [(30, 100, reason)]


def test_urgent_byte_leaves_a_hole_in_the_readers_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    from netlab.correlate import call_join
    from netlab.correlate.call_layout import UrgentMark
    from netlab.model.tables import Direction

    play = Play()
    play.handshake()
    with play.call("client", "send", 3):
        play.data("c>s", 0, 3)
    with play.call("client", "send", 1, flags=1, args="MSG_OOB"):
        play.data("c>s", 3, 4)
        marked = play.now_ns
    with play.call("client", "send", 3):
        play.data("c>s", 4, 7)
    play.did("server", "recv", 3)
    play.did("server", "recv", 1, flags=1, args="MSG_OOB")
    play.did("server", "recv", 3)
    monkeypatch.setattr(
        call_join, "urgent_marks", lambda *_: {(0, Direction.C2S): (UrgentMark(3, marked),)}
    )
    tables = closes(play)
    assert [(c.start, c.stop) for c in tables.calls if c.op == "recv"] == [(0, 3), (3, 4), (4, 7)]
    assert tables.unmatched == []


def test_acks_that_a_read_sent_are_its_own_and_answers_to_arrivals_are_not() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    with play.call("server", "recv", 100):
        own = play.ack("s>c", 100)
    with play.call("server", "recv", 50), play.call("client", "send", 50):
        play.data("c>s", 100, 150)
        play.ack("s>c", 150)
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "recv", 1), "ack_sent") == [own]
    assert frames_of(tables, number_of(tables, "recv", 2), "ack_sent") == []


def test_the_tables_of_a_capture_without_calls_have_no_ledger() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    tables = closes(play)
    assert (tables.spans, tables.unmatched, tables.calls) == ([], [], [])
    assert tables.connections[0].client_bytes == 100

"""What calls moved against what the frames hold: a place in the stream, or that there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from playbook import Play

from netlab.correlate.causality import Step
from netlab.correlate.contents import Moved, Place, place_by_content
from netlab.correlate.join import correlate
from netlab.correlate.ledger import ledger_mismatches
from netlab.correlate.payloads import StreamBytes
from netlab.correlate.reasons import Reason
from netlab.model.frame import Frame, Interface
from netlab.model.ranges import RangeMap
from netlab.model.tables import Tables, Unmatched

REQUEST = b"GET /one HTTP/1.1\r\nHost: here\r\n\r\nGET /two HTTP/1.1\r\nHost: here\r\n\r\n"
HALF = len(REQUEST) // 2
STRACE = {"witness": "strace"}


def seen_by_strace(play: Play) -> None:
    """The calls as strace tells them: without the addresses of sockets that it met in mid-life."""
    play.calls = [
        replace(call, witness="strace", returned_by_ns=call.returned_ns) for call in play.calls
    ]


def tables_of(play: Play, stream: bytes, *, of: str = "c>s", base: int = 0) -> Tables:
    """The tables, with frames that hold `stream` in this direction, whose first byte is `base`."""
    seen_by_strace(play)
    mine = play.iss if of == "c>s" else play.irs
    source = 40000 if of == "c>s" else 80
    frames = []
    for packet in play.packets:
        payload = b"?" * (packet.payload_len_bytes or 0)
        if packet.sport == source:
            start = (packet.seg_seq or 0) - mine - 1 - base
            payload = stream[start : start + len(payload)]
        frames.append(Frame(packet.frame, packet.time_ns, 0, bytes(66) + payload, 66))
    play.raw.frames = frames
    play.raw.calls = sorted(play.calls, key=lambda call: call.entered_ns)
    play.raw.interfaces = [Interface("lo", 1, 0)]
    tables = correlate(play.raw, play.packets)
    assert ledger_mismatches(tables) == []
    return tables


def of_calls(tables: Tables) -> list[Unmatched]:
    return [row for row in tables.unmatched if row.call is not None]


def attached(*contents: bytes, before: int = 500, **more: Any) -> Play:
    """A client that was attached to after `before` bytes, then sent these; all is captured."""
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, before)
    at = before
    for content in contents:
        with play.call("client", "write", len(content), data=content, **more):
            play.data("c>s", at, at + len(content))
        at += len(content)
    play.ack("s>c", at)
    return play


def test_a_program_that_was_attached_to_is_placed_by_what_it_sent() -> None:
    first, second = REQUEST[:HALF], REQUEST[HALF:]
    tables = tables_of(attached(first, second), b"x" * 500 + REQUEST)
    assert [(call.start, call.stop) for call in tables.calls] == [
        (500, 500 + HALF), (500 + HALF, 500 + len(REQUEST)),
    ]  # fmt: skip
    assert of_calls(tables) == []


def test_what_was_said_twice_has_no_place() -> None:
    """Before it was attached the program had sent the very same."""
    again = REQUEST[:HALF]
    play = Play()
    play.handshake(calls=False)
    with play.call("client", "write", HALF, data=again):
        play.data("c>s", 0, HALF)
        play.data("c>s", HALF, 2 * HALF)
    tables = tables_of(play, again + again)
    assert [call.start for call in tables.calls] == [None]
    assert [row.reason for row in of_calls(tables)] == [Reason.PROBE_LATE]


def test_a_frame_that_left_before_the_call_is_not_the_call_s() -> None:
    again = REQUEST[:HALF]
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, HALF)
    with play.call("client", "write", HALF, data=again):
        play.data("c>s", HALF, 2 * HALF)
    play.ack("s>c", 2 * HALF)
    tables = tables_of(play, again + again)
    assert [call.start for call in tables.calls] == [HALF]


def test_a_few_bytes_prove_nothing() -> None:
    tables = tables_of(attached(b"quit\r\n", before=20), b"x" * 20 + b"quit\r\n")
    assert [call.start for call in tables.calls] == [None]


def test_calls_whose_content_is_not_in_the_frames_are_no_part_of_the_stream() -> None:
    """Something was sent unseen: what comes after it is not where the sums say."""
    play = Play()
    play.handshake()
    play.did("client", "write", 10, data=b"0123456789")
    play.data("c>s", 0, 10)
    play.data("c>s", 10, 30)
    with play.call("client", "write", 10, data=b"abcdefghij"):
        play.data("c>s", 30, 40)
    tables = tables_of(play, b"0123456789" + b"-" * 20 + b"abcdefghij")
    assert [call.start for call in tables.calls if call.op == "write"] == [0, None]
    assert [row.reason for row in of_calls(tables)] == [Reason.CONTRADICTION]


def test_a_read_is_checked_too() -> None:
    play = Play()
    play.handshake()
    play.data("c>s", 0, 10)
    play.did("server", "read", 10, size=100, data=b"abcdefghi!")
    tables = tables_of(play, b"abcdefghij")
    assert [call.start for call in tables.calls if call.op == "read"] == [None]
    assert [row.reason for row in of_calls(tables)] == [Reason.CONTRADICTION]


def test_a_socket_of_unknown_ends_is_found_by_what_it_said() -> None:
    """Of two connections one holds the bytes; ports and addresses were never shown."""
    play = attached(REQUEST[:HALF], before=0, local=None, peer=None)
    other = Play(now_ns=play.now_ns, frames_before=len(play.packets))
    other.packets = play.packets
    for flags, seq in (("S", 0), ("A", 1)):
        play.frame("c>s", flags, seq, 1, sport=40001)
    play.frame("c>s", "PA", 1, 1, HALF, sport=40001)
    tables = tables_of(play, REQUEST[:HALF])
    assert [(call.connection, call.side, call.start) for call in tables.calls] == [
        (0, "client", 0)
    ]  # fmt: skip


def test_one_of_two_that_said_the_same_is_not_chosen() -> None:
    play = Play()
    play.syn(sport=40002)
    with play.call("client", "write", HALF, data=REQUEST[:HALF], local=None, peer=None):
        play.frame("c>s", "PA", 1, 1, HALF)
        play.frame("c>s", "PA", 1, 1, HALF, sport=40001)
    play.ack("s>c", HALF)
    play.ack("s>c", HALF, sport=40001)
    seen_by_strace(play)
    play.raw.frames = [
        Frame(p.frame, p.time_ns, 0, bytes(66) + REQUEST[: p.payload_len_bytes or 0], 66)
        for p in play.packets
    ]
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert [call.connection for call in tables.calls] == [None]
    assert [row.reason for row in of_calls(tables)] == [Reason.HIDDEN]
    assert {row.reason for row in tables.unmatched if row.what.startswith("carried but not s")} == {
        Reason.HIDDEN
    }


# --- queues


def test_a_sample_of_the_receive_queue_places_the_reads() -> None:
    """The receiver had acknowledged all 700 bytes; 200 of them waited: it had read 500."""
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 700)
    play.ack("s>c", 700)
    play.did("server", "ioctl", 0, args="FIONREAD, [200]", inq_after_bytes=200)
    play.did("server", "read", 150, size=150)
    tables = tables_of(play, bytes(700))
    assert [(call.start, call.stop) for call in tables.calls] == [(None, None), (500, 650)]


def test_a_sample_while_data_was_on_its_way_leaves_it_open() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 700)
    play.did("server", "ioctl", 0, args="FIONREAD, [200]", inq_after_bytes=200)
    play.ack("s>c", 700)
    play.did("server", "read", 150, size=150)
    tables = tables_of(play, bytes(700))
    assert [call.start for call in tables.calls] == [None, None]


def test_a_sample_of_the_send_queue_places_the_sends() -> None:
    """All that had left was acknowledged, and the kernel held nothing more."""
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 300)
    play.ack("s>c", 300)
    play.did("client", "ioctl", 0, args="TIOCOUTQ, [0]", outq_after_bytes=0)
    with play.call("client", "write", 70):
        play.data("c>s", 300, 370)
    tables = tables_of(play, bytes(400))
    assert [call.start for call in tables.calls] == [None, 300]


def test_a_send_queue_with_bytes_in_it_may_mean_either() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 300)
    play.ack("s>c", 300)
    play.did("client", "ioctl", 0, args="TIOCOUTQ, [40]", outq_after_bytes=40)
    with play.call("client", "write", 70):
        play.data("c>s", 300, 410)
    tables = tables_of(play, bytes(500))
    assert [call.start for call in tables.calls] == [None, None]


# --- any stream, any calls

streams = st.binary(min_size=1, max_size=120).map(lambda data: bytes(b % 3 + 97 for b in data))


@given(streams, st.data())
def test_a_place_by_content_is_the_true_one(stream: bytes, data: st.DataObject) -> None:
    """In streams of three letters, where much is said again."""
    begins = data.draw(st.integers(0, len(stream) - 1))
    cuts = sorted(data.draw(st.sets(st.integers(begins, len(stream)), max_size=6)) | {len(stream)})
    pieces: RangeMap[tuple[int, memoryview]] = RangeMap()
    pieces.claim(0, len(stream), (0, memoryview(stream)))
    moved, steps = [], []
    at = begins
    if begins:
        steps.append(Step(begins, 5, 1))
    for number, stop in enumerate([cut for cut in cuts if cut > begins], 1):
        shown = data.draw(st.integers(0, stop - at))
        content = stream[at : at + shown]
        moved.append(Moved(number, at - begins, stop - at, content, number * 10, number * 10 + 3))
        steps.append(Step(stop, number * 10 + 1, number + 1))
        at = stop
    place = Place(StreamBytes(pieces), steps if data.draw(st.booleans()) else [], 0, 1000)
    if moved:
        assert place_by_content(moved, place, outbound=True) in (None, begins)

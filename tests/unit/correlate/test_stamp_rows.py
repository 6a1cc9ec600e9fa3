"""The kernel's stamps find their calls, and say of every byte which one is the first about it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from playbook import INODE, Play

from netlab.correlate.stamps import stamp_notes
from netlab.model.seqnum import SEQ_MODULUS
from netlab.model.stamp import StampRecord
from netlab.model.tables import Stamp

CLIENT = INODE["client"]


def played() -> Play:
    """A conversation without frames, up to its connection."""
    play = Play()
    play.handshake(capture=False)
    return play


def stamp(play: Play, what: str, key: int, inode: int = CLIENT) -> None:
    play.raw.stamps.append(StampRecord(play.tick(), "localhost", 7, inode, what, key % SEQ_MODULUS))


def rows(play: Play, what: str = "sent") -> list[tuple[int | None, int | None, int | None]]:
    return [(row.call, row.start, row.stop) for row in play.tables().stamps if row.what == what]


def test_each_stamp_stands_for_the_bytes_since_the_one_before() -> None:
    play = played()
    one = play.did("client", "send", 100)
    stamp(play, "sent", 99)
    two = play.did("client", "send", 50)
    stamp(play, "sent", 149)
    stamp(play, "acked", 149)
    assert rows(play) == [(one, 0, 100), (two, 100, 150)]
    assert rows(play, "acked") == [(two, 0, 150)]  # the first one was acknowledged with it
    (connection,) = play.tables().connections
    assert {(s.connection, s.direction) for s in play.tables().stamps} == {
        (connection.connection, "c>s")
    }


def test_a_send_in_parts_has_several_and_a_repeat_is_of_one_byte() -> None:
    play = played()
    send = play.did("client", "send", 100)
    for key in (39, 99, 39):
        stamp(play, "sent", key)
    assert rows(play) == [(send, 0, 40), (send, 40, 100), (send, 39, 40)]


def test_sends_that_share_a_segment_share_its_stamp() -> None:
    play = played()
    play.did("client", "send", 10)
    two = play.did("client", "send", 10)
    stamp(play, "sent", 19)
    assert rows(play) == [(two, 0, 20)]


def test_both_ends_have_their_own_count() -> None:
    play = played()
    play.did("client", "send", 10)
    stamp(play, "sent", 9)
    play.did("server", "send", 3)
    stamp(play, "sent", 2, INODE["server"])
    assert [(row.direction, row.stop) for row in play.tables().stamps] == [("c>s", 10), ("s>c", 3)]


@given(st.lists(st.integers(1, (1 << 31) - 4096), min_size=1, max_size=9))
def test_the_count_may_wrap_any_number_of_times(sizes: list[int]) -> None:
    play = played()
    at, expected = 0, []
    for size in sizes:
        number = play.did("client", "send", size)
        stamp(play, "sent", at + size - 1)
        expected.append((number, at, at + size))
        at += size
    assert rows(play) == expected


def test_a_stamp_of_a_socket_or_byte_that_no_call_knows_is_kept() -> None:
    play = played()
    play.did("client", "send", 10)
    stamp(play, "sent", 9, inode=999)
    stamp(play, "sent", 12)
    strange, beyond = play.tables().stamps
    assert strange == Stamp(None, None, None, "sent", strange.time_ns, None, None)
    assert (beyond.call, beyond.start, beyond.stop) == (None, 0, 13)


def test_an_inode_that_comes_round_again_is_another_socket() -> None:
    play = played()
    play.did("client", "send", 10)
    stamp(play, "sent", 9)
    play.did("client", "close", 0)
    again = {"local": "127.0.0.1:40001"}
    play.did("client", "socket", 5, local=None, peer=None)
    play.did("client", "connect", 0, address="127.0.0.1:80", **again)
    second = play.did("client", "send", 7, **again)
    stamp(play, "sent", 6)
    first, other = play.tables().stamps
    assert (first.stop, other.start, other.stop, other.call) == (10, 0, 7, second)
    assert first.connection != other.connection


# -- stamps that the kernel dropped ----------------------------------------------------------------


def noted(*stamps: tuple[str, int]) -> list[str]:
    play = played()
    play.did("client", "send", 10)
    play.did("client", "send", 10)
    for what, key in stamps:
        stamp(play, what, key)
    return stamp_notes(play.tables().stamps)


def test_whole_sets_of_stamps_need_no_word_nor_what_is_under_way() -> None:
    first = ("scheduled", 9), ("sent", 9), ("acked", 9)
    assert noted(*first) == []
    assert noted(*first, ("scheduled", 19)) == []
    assert noted(*first, ("scheduled", 19), ("sent", 19)) == []
    assert (
        noted(("scheduled", 9), ("scheduled", 19), ("sent", 9), ("sent", 19), ("acked", 19)) == []
    )
    assert noted() == []


def test_a_stamp_that_others_prove_to_be_missing_is_told_of() -> None:
    one = ["1 stamp is missing: the kernel drops one for which the receive buffer has no room"]
    assert noted(("scheduled", 9), ("acked", 9)) == one
    assert noted(("sent", 9), ("acked", 9)) == one
    assert noted(("scheduled", 9), ("scheduled", 19), ("sent", 19)) == one
    two = noted(("acked", 9))
    assert two == [
        "2 stamps are missing: the kernel drops one for which the receive buffer has no room"
    ]

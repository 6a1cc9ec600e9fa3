"""Whatever the bytes, the pieces and the gaps: conversations never raise and lose no byte."""

from __future__ import annotations

import tracemalloc

import pytest
from application_samples import ANSWER, POSTGRES, QUERY, TALKS, C, S, play, protocol_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netlab.decode.applications.message import Said
from netlab.decode.applications.registry import APPLICATIONS, by_name
from netlab.model.tables import Side

TALKING = sorted({protocol_of(talk) for talk in TALKS})
ASKING = ["dns", "mdns", "llmnr", "dhcp", "dhcpv6", "ntp", "ssdp"]
Pieces = list[tuple[Side, bytes]]

SIDES = st.sampled_from([C, S])
# What protocols look at: digits, line ends, first bytes, lengths.
BITS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([
        b"\r\n", b"\n", b"*1\r\n", b"$3\r\nabc\r\n", b"$-1\r\n", b"*?\r\n", b".\r\n", b"|1\r\n",
        b"220 a\r\n", b"250-a\r\n", b"354 a\r\n", b"DATA\r\n", b"STARTTLS\r\n", b"AUTH X\r\n",
        b"BDAT 9999999\r\n", b"334 \r\n", b"D\0\0\0\5a", b"d\0\0\0\4", b"Z\0\0\0\5I", b"S", b"N",
        b"\x30\xff\xff\x7f", b"\x10\0", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\x0c", b"GET a\r\n",
        b"*99999999999\r\n", b"$99999999999\r\n", b"\0\x20" + QUERY[:30],
    ]),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Pieces]:
    """A good talk with bytes changed, left out and put in."""
    talk = draw(st.sampled_from(sorted(TALKS)))
    pieces = list(TALKS[talk])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(pieces) - 1))
        side, data = pieces[at]
        place = draw(st.integers(0, len(data)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 7]))
        pieces[at] = side, data[:place] + draw(BITS) + data[place + gone :]
    return protocol_of(talk), pieces


def check(said: dict[Side, list[Said]], sizes: dict[Side, int]) -> None:
    """Messages lie one behind the other and hold their fields."""
    for side in Side:
        at = 0
        for one in said[side]:
            assert one.start == at < one.stop
            at = one.stop
            assert one.text
            for item in one.items:
                assert one.start <= item.start <= item.stop <= one.stop, item
        assert at == sizes[side]


def sizes_of(pieces: Pieces) -> dict[Side, int]:
    return {side: sum(len(data) for who, data in pieces if who is side) for side in Side}


@settings(max_examples=100)
@given(st.sampled_from(TALKING), st.lists(st.tuples(SIDES, BITS), max_size=8))
@example("redis", [(C, b"*1\r\n|1\r\n*0\r\n")])
@example("redis", [(C, b"*1\r\n+\r\n"), (S, b"+\r\n")])
@example("postgres", [(C, b"\0\0\0\x08\x04\xd2\x16\x30"), (S, b"Gabc"), (C, b"abc")])
def test_any_bytes(name: str, pieces: Pieces) -> None:
    check_if_not_handed_over(name, pieces)


@settings(max_examples=100)
@given(mutated())
@example(("postgres", [POSTGRES[0], POSTGRES[2], POSTGRES[3]]))  # held until the server answers
@example(("postgres", [POSTGRES[0], (C, b"\0\x1f\0\3"), POSTGRES[3], (C, b"Q\0\0\0\5\0")]))
def test_changed_talks(changed: tuple[str, Pieces]) -> None:
    check_if_not_handed_over(*changed)


@pytest.mark.slow
@settings(max_examples=5000)
@given(mutated())
def test_many_changed_talks(changed: tuple[str, Pieces]) -> None:
    check_if_not_handed_over(*changed)


def check_if_not_handed_over(name: str, pieces: Pieces) -> None:
    whole = play(name, pieces)
    ours = by_name(name).title
    if all(one.protocol.startswith(ours) for side in Side for one in whole[side]):
        check(whole, sizes_of(pieces))
    assert play(name, pieces, 1) == whole


@settings(max_examples=60)
@given(mutated(), st.data())
def test_gaps(changed: tuple[str, Pieces], data: st.DataObject) -> None:
    """Some pieces are missing; what is left is read or told, in order, and never raises."""
    name, pieces = changed
    talk = by_name(name).conversation
    assert talk is not None
    conversation = talk()
    said: dict[Side, list[Said]] = {C: [], S: []}
    at = {C: 0, S: 0}
    for side, whole in pieces:
        for start in range(0, len(whole), 7):
            piece = whole[start : start + 7]
            stop = at[side] + len(piece)
            if data.draw(st.integers(0, 9)) == 0:
                said[side] += conversation.gap(side, at[side], stop)
            else:
                said[side] += conversation.feed(side, piece, at[side])
            at[side] = stop
    for side in Side:
        said[side] += conversation.end(side)
        begun = 0
        for one in said[side]:
            assert begun <= one.start < one.stop <= at[side]
            begun = one.stop


@settings(max_examples=200)
@given(
    st.sampled_from(ASKING),
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda at, bit: ANSWER[:at] + bit + ANSWER[at + len(bit) :],
                  st.integers(0, len(ANSWER)), st.binary(max_size=4)),
        st.builds(lambda head, tail: head + bytes(232) + b"c\x82Sc" + tail,
                  st.binary(min_size=4, max_size=4), st.binary(max_size=80)),
        st.builds(lambda kind, tail: bytes([kind]) + tail, st.integers(0, 255),
                  st.binary(max_size=90)),
    ),
)  # fmt: skip
def test_any_datagram(name: str, payload: bytes) -> None:
    datagram = by_name(name).datagram
    assert datagram is not None
    (said,) = datagram(payload)
    assert (said.start, said.stop) == (0, len(payload))
    for item in said.items:
        assert 0 <= item.start <= item.stop <= len(payload)
        assert item.source
    for application in APPLICATIONS.values():
        application.likely(payload, b"")
        application.likely(b"", payload)


RECORDS = b"\0\0\1\0\1\0\0\0\0\0\0" * 1499
HOSTILE = {
    "redis array": ("redis", b"*9999999\r\n" + b":1\r\n" * 5_003),
    "redis nest": ("redis", b"*1\r\n" * 5_003),
    "redis string": ("redis", b"$999999999\r\n" + b"x" * 150_001),
    "redis line": ("redis", b"+" + b"x" * 150_001),
    "smtp reply": ("smtp", b"250-a\r\n" * 3_001),
    "smtp line": ("smtp", b"2" * 150_001),
    "postgres rows": ("postgres", b"D\0\0\0\6\0\0" * 3_001),
    "postgres long": ("postgres", b"T\x3f\0\0\0\xff\xff" + b"x" * 150_001),
    "mqtt publish": ("mqtt", b"\x30\xff\xff\x7f\0\1t" + b"x" * 150_001),
    "dns": ("dns", b"\xff\xff" + QUERY[:4] + b"\0\0\xff\xff\0\0\0\0" + RECORDS),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_memory_is_bounded_by_the_bytes(what: str) -> None:
    """Fed in segments, a conversation keeps no more than a few times what it was given."""
    name, data = HOSTILE[what]
    tracemalloc.start()
    said = play(name, [(S, data)], 1448)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said[S]
    assert peak < 4 * len(data) + 300_000

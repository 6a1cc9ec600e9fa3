"""Framings, each case fed whole, byte by byte, and with bytes of the next message behind it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from netlab.model.errors import UsageError
from netlab.server.sockets.framing import (
    LENGTH_TYPES,
    FixedSize,
    Framing,
    FramingError,
    LengthFunction,
    LengthPrefix,
    NoFraming,
    Terminator,
)

MAX = 64
Make = Callable[[], Framing]


def length_of_kind(view: memoryview) -> int:
    """One letter says how long: a 3 bytes, b 7 bytes; anything else is malformed."""
    return {b"a": 3, b"b": 7}.get(bytes(view[:1]), -1)


def length_of_header(view: memoryview) -> int:
    """Digits up to a colon, as a netstring begins."""
    head = bytes(view[:8])
    if b":" not in head:
        return 0 if len(head) < 8 else -7
    digits = head.partition(b":")[0]
    return len(digits) + 1 + int(digits)


CASES: dict[str, tuple[Make, list[bytes]]] = {
    "crlf": (lambda: Terminator(b"\r\n", MAX), [b"one\r\n", b"\r\n", b"t\rw\no\r\n"]),
    "one byte": (lambda: Terminator(b"\n", MAX), [b"a\n", b"\n", b"\n", b"\r\n"]),
    "terminator overlaps itself": (lambda: Terminator(b"aab", MAX), [b"aaab", b"aab", b"xaaab"]),
    "exactly the longest": (lambda: Terminator(b"--", MAX), [b"x" * (MAX - 2) + b"--"] * 2),
    "network order": (
        lambda: LengthPrefix("N", 0, 4, MAX),
        [b"\0\0\0\3abc", b"\0\0\0\0", b"\0\0\0\1x"],
    ),
    "length counts all": (lambda: LengthPrefix("n", 0, 0, MAX), [b"\0\5abc", b"\0\2", b"\0\3x"]),
    "length in the middle": (
        lambda: LengthPrefix("v", 3, 7, MAX),
        [b"typ\2\0xxab", b"typ\0\0xx", b"TYP\3\0yyabc"],
    ),
    "longest body": (lambda: LengthPrefix("C", 0, 1, MAX), [b"\x3f" + b"x" * 63, b"\0"]),
    "fixed": (lambda: FixedSize(5), [b"12345", b"abcde", b"\0\0\0\0\0"]),
    "fixed, one byte": (lambda: FixedSize(1), [b"1", b"2"]),
    "function of a letter": (lambda: LengthFunction(length_of_kind, MAX), [b"axx", b"b123456"]),
    "function of a header": (
        lambda: LengthFunction(length_of_header, MAX),
        [b"3:abc", b"0:", b"12:xxxxxxxxxxxx"],
    ),
}

# What breaks the rules, the messages before it, and what the error must say.
FAULTS: dict[str, tuple[Make, list[bytes], bytes, list[str]]] = {
    "text taken for a length": (
        lambda: LengthPrefix("N", 0, 4, MAX),
        [b"\0\0\0\1x"],
        b"GET / HTTP/1.1\r\n",
        ["1195725856", "0x47455420", '"GET "', "max_message 64"],
    ),
    "one more than the longest": (
        lambda: LengthPrefix("n", 0, 2, MAX),
        [],
        b"\0\x3f",
        ["length 63", '0x003f as text are ".?"'],
    ),
    "negative": (lambda: LengthPrefix("c", 0, 1, MAX), [b"\1x"], b"\xff", ["length -1"]),
    "shorter than its header": (
        lambda: LengthPrefix("N", 2, 0, MAX),
        [],
        b"ab\0\0\0\5",
        ["length 5", "header of 6"],
    ),
    "no terminator": (
        lambda: Terminator(b"\r\n", MAX),
        [b"ok\r\n"],
        b"y" * MAX,
        ["max_message 64", r"b'\r\n'", "b'yyyy"],
    ),
    "terminator comes one byte late": (
        lambda: Terminator(b"\n", MAX),
        [],
        b"z" * MAX + b"\n",
        ["max_message 64"],
    ),
    "function says malformed": (
        lambda: LengthFunction(length_of_kind, MAX),
        [b"axx"],
        b"c",
        ["returned -1", '0x63 as text are "c"'],
    ),
    "function says too long": (
        lambda: LengthFunction(length_of_header, MAX),
        [b"1:x"],
        b"999:",
        ["length 1003", "max_message 64"],
    ),
    "function never knows": (
        lambda: LengthFunction(lambda view: 0, MAX),
        [],
        b"w" * MAX,
        ["no length", "max_message 64"],
    ),
}


def byte_by_byte(framing: Framing, stream: bytes) -> list[bytes]:
    messages: list[bytes] = []
    for index in range(len(stream)):
        try:
            messages += framing.feed(stream[index : index + 1])
        except FramingError as error:
            error.messages = messages + error.messages
            raise
    return messages


@pytest.mark.parametrize("case", CASES)
def test_whole(case: str) -> None:
    make, messages = CASES[case]
    framing = make()
    assert framing.feed(b"".join(messages)) == messages
    assert (framing.pending, framing.pending_bytes) == (b"", 0)


@pytest.mark.parametrize("case", CASES)
def test_byte_by_byte(case: str) -> None:
    make, messages = CASES[case]
    framing = make()
    assert byte_by_byte(framing, b"".join(messages)) == messages
    assert framing.pending_bytes == 0


@pytest.mark.parametrize("case", CASES)
def test_bytes_of_the_next_message_stay_pending(case: str) -> None:
    make, messages = CASES[case]
    for cut in range(len(messages[0])):
        framing = make()
        assert framing.feed(b"".join(messages) + messages[0][:cut]) == messages
        assert framing.pending == messages[0][:cut]
        assert framing.pending_bytes == cut
        assert framing.feed(messages[0][cut:]) == messages[:1]


@pytest.mark.parametrize("case", CASES)
def test_another_goes_on_with_what_is_pending(case: str) -> None:
    make, messages = CASES[case]
    stream = b"".join(messages)
    for cut in range(len(stream) + 1):
        first, second = make(), make()
        before = first.feed(stream[:cut])
        second.restore(first.pending)
        assert before + byte_by_byte(second, stream[cut:]) == messages


@pytest.mark.parametrize("case", CASES)
def test_nothing_fed_is_nothing_found(case: str) -> None:
    make, messages = CASES[case]
    framing = make()
    assert framing.feed(b"") == []
    assert framing.feed(messages[0][:-1]) == []
    assert framing.feed(b"") == []
    assert framing.pending == messages[0][:-1]


@pytest.mark.parametrize("how", ["whole", "byte by byte"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_keep_the_messages_before_and_show_the_bytes(fault: str, how: str) -> None:
    make, before, bad, says = FAULTS[fault]
    stream = b"".join(before) + bad
    with pytest.raises(FramingError) as caught:
        make().feed(stream) if how == "whole" else byte_by_byte(make(), stream)
    assert caught.value.messages == before
    for part in says:
        assert part in str(caught.value)


def test_too_long_is_refused_with_the_header_alone() -> None:
    framing = LengthPrefix("N", 0, 4, 1000)
    assert framing.feed(b"\0\0\x03") == []
    with pytest.raises(FramingError, match="length 997 is over max_message 1000"):
        framing.feed(b"\xe5")


def test_a_length_that_fills_the_limit_is_taken() -> None:
    framing = LengthPrefix("N", 0, 4, 1000)
    assert framing.feed(b"\0\0\x03\xe4") == []
    assert [len(message) for message in framing.feed(b"x" * 996)] == [1000]


@pytest.mark.parametrize(
    ("letter", "size", "signed", "order"),
    [
        ("c", 1, True, "="), ("C", 1, False, "="), ("s", 2, True, "="), ("S", 2, False, "="),
        ("n", 2, False, ">"), ("v", 2, False, "<"), ("l", 4, True, "="), ("L", 4, False, "="),
        ("N", 4, False, ">"), ("V", 4, False, "<"), ("q", 8, True, "="), ("Q", 8, False, "="),
        ("J", 8, False, ">"), ("P", 8, False, "<"),
    ],
)  # fmt: skip
def test_every_length_type(letter: str, size: int, signed: bool, order: str) -> None:
    code = {1: "b", 2: "h", 4: "i", 8: "q"}[size]
    head = struct.pack(order + (code if signed else code.upper()), 7)
    assert len(head) == size
    framing = LengthPrefix(letter, 0, size, MAX)
    assert framing.feed(head + b"seven b" + head) == [head + b"seven b"]
    assert framing.pending == head
    minus_one = b"\xff" * size
    with pytest.raises(FramingError, match="negative" if signed else "over max_message"):
        LengthPrefix(letter, 0, size, MAX).feed(minus_one)


def test_the_table_of_length_types_is_complete() -> None:
    assert "".join(LENGTH_TYPES) == "cCsSnvlLNVqQJP"


def test_no_framing_passes_pieces_as_they_come() -> None:
    piece = b"piece"
    framing = NoFraming()
    assert framing.feed(piece)[0] is piece
    assert framing.feed(b"") == []
    assert (framing.pending, framing.pending_bytes) == (b"", 0)
    framing.restore(b"")
    with pytest.raises(ValueError, match="3 bytes pending"):
        framing.restore(b"abc")


def test_a_single_message_in_one_piece_is_not_copied() -> None:
    piece = b"\0\0\0\3abc"
    assert LengthPrefix("N", 0, 4, MAX).feed(piece)[0] is piece


def test_an_empty_terminator_and_no_size_are_refused() -> None:
    with pytest.raises(UsageError, match="empty terminator"):
        Terminator(b"", MAX)
    with pytest.raises(UsageError, match="0 bytes"):
        FixedSize(0)


def test_the_length_function_cannot_write_or_keep_what_it_sees() -> None:
    kept: list[memoryview] = []

    def length_of(view: memoryview) -> int:
        assert view.readonly
        kept.append(view)
        return 3

    framing = LengthFunction(length_of, MAX)
    assert framing.feed(b"ab") == []
    assert framing.feed(b"cd") == [b"abc"]
    with pytest.raises(ValueError, match="released"):
        bytes(kept[0])


def test_a_length_function_may_change_its_mind_when_it_sees_more() -> None:
    """It waited at 4 bytes, and at 6 says that the message had 2."""
    framing = LengthFunction(lambda view: 0 if len(view) == 4 else 2, MAX)
    assert framing.feed(b"abcd") == []
    assert framing.feed(b"ef") == [b"ab"]
    assert framing.pending == b"cdef"
    assert framing.feed(b"gh") == [b"cd"]
    assert framing.pending == b"efgh"


def test_a_length_function_that_raises_is_a_fault_with_its_cause() -> None:
    def length_of(view: memoryview) -> int:
        return 4 // view[0]

    with pytest.raises(FramingError, match="raised ZeroDivisionError") as caught:
        LengthFunction(length_of, MAX).feed(b"\4\4\0")
    assert caught.value.messages == [b"\4", b"\4"]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_searching_a_terminator_does_not_begin_again() -> None:
    """A message that comes in 100,000 pieces is not searched 100,000 times from its start."""
    framing = Terminator(b"\r\n", 1 << 20)
    measured: list[int] = []

    class Counting(bytearray):
        def find(self, what: bytes, start: int = 0, end: int = 0) -> int:  # type: ignore[override]
            measured.append(len(self) - start)
            return super().find(what, start, end)

    framing._held = Counting(b"x")
    for _ in range(1000):
        assert framing.feed(b"x") == []
    assert framing.feed(b"\r\n") == [b"x" * 1001 + b"\r\n"]
    assert max(measured[1:]) <= 3


def test_a_body_in_pieces_is_measured_only_when_it_is_whole() -> None:
    looks: list[int] = []

    class Watched(LengthPrefix):
        def _measure(self, data: bytes | bytearray, start: int) -> int:
            looks.append(len(data))
            return super()._measure(data, start)

    framing = Watched("N", 0, 4, 1 << 20)
    assert framing.feed(b"\0\0\x03\xe8") == []
    for _ in range(999):
        assert framing.feed(b"x") == []
    assert framing.feed(b"x") == [b"\0\0\x03\xe8" + b"x" * 1000]
    assert looks == [4, 1004]

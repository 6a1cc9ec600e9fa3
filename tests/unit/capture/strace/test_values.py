"""strace's notation, value by value; and that nothing in it can stop the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture.strace.flat import maybe_flat
from netlab.capture.strace.reader import StraceReader
from netlab.capture.strace.syscalls import maybe_syscall
from netlab.capture.strace.values import (
    Applied,
    Changed,
    Descriptor,
    Group,
    Text,
    parse_arguments,
    unescaped,
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("3, NULL, -1", ["3", "NULL", "-1"]),
        ("MSG_PEEK|0x100 /* MSG_??? */", ["MSG_PEEK|0x100"]),
        (r'"a\"b\\\n\0\33[31m"', [Text(b'a"b\\\n\0\x1b[31m', True)]),
        (r'"\x61\x2c"...', [Text(b"a,", False)]),
        ('@"name"', [Text(b"name", True, True)]),
        ('""...', [Text(b"", False)]),
        ("3<socket:[12]>", [Descriptor(3, "socket:[12]")]),
        ("3<TCP:[127.0.0.1:80->127.0.0.1:9]>, 1",
         [Descriptor(3, "TCP:[127.0.0.1:80->127.0.0.1:9]"), "1"]),
        ("3<TCPv6:[[::1]:80->[::1]:9]>", [Descriptor(3, "TCPv6:[[::1]:80->[::1]:9]")]),
        ('3<UNIX-STREAM:[1->2,@"]>\\", 9"]>', [Descriptor(3, 'UNIX-STREAM:[1->2,@"]>\\", 9"]')]),
        (r"3</tmp/\74a\76>(deleted)", [Descriptor(3, r"/tmp/\74a\76")]),
        ("1</dev/pts/0<char 136:0>>", [Descriptor(1, "/dev/pts/0<char 136:0>")]),
        (r"3<\x73\x6f\x63\x6b\x65\x74\x3a\x5b\x31\x5d>", [Descriptor(3, "socket:[1]")]),
        ("AT_FDCWD</tmp>", [Descriptor(-100, "/tmp")]),
        ("htons(80)", [Applied("htons", Group(items=["80"]))]),
        ("[16 => 0]", [Group(items=[Changed("16", "0")])]),
        ("[0] => [500]", [Changed(Group(items=["0"]), Group(items=["500"]))]),
        ("{n=16 => 0, 5}", [Group({"n": Changed("16", "0")}, ["5"])]),
        ("[3<a:[1]> 5<a:[2]>]", [Group(items=[Descriptor(3, "a:[1]"), Descriptor(5, "a:[2]")])]),
        ("[{fd=3, events=POLLIN}, ...]",
         [Group(items=[Group({"fd": "3", "events": "POLLIN"})], whole=False)]),
        ("[...], 2", [Group(whole=False), "2"]),
    ],
)  # fmt: skip
def test_notation(text: str, values: list[object]) -> None:
    assert parse_arguments(text) == Group(items=values)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["{", "[1", ")", '"abc', "a{", "((((", "=> 1", "[" * 100])
def test_what_is_not_its_notation(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_arguments(text)


@given(st.binary())
def test_escapes_are_undone(data: bytes) -> None:
    full = "".join(f"\\{byte:03o}" for byte in data)
    hexadecimal = "".join(f"\\x{byte:02x}" for byte in data)
    assert unescaped(full) == unescaped(hexadecimal) == data


# --- what a program may put into a log

escaped = st.binary(max_size=12).map(lambda data: "".join(f"\\x{b:02x}" for b in data))
readable = st.text(st.characters(codec="ascii", exclude_characters='"\\\n'), max_size=12)
strings = st.builds(
    lambda text, cut: f'"{text}"{cut}', escaped | readable, st.sampled_from(["", "..."])
)
names = st.sampled_from([
    "<socket:[12]>", "<TCP:[1.2.3.4:5->6.7.8.9:10]>", "<TCP:[12]>", "<TCPv6:[[::1]:80->[::1]:9]>",
    "</tmp/x>", "<pipe:[9]>", "<anon_inode:[eventpoll]>", r"</tmp/\76>", "</dev/null<char 1:3>>",
    '<UNIX-STREAM:[1->2,"/x"]>',
])  # fmt: skip
descriptors = st.builds(lambda fd, name: f"{fd}{name}", st.integers(-1, 99), names)
words = st.sampled_from(["0", "65536", "NULL", "-1", "MSG_PEEK|MSG_DONTWAIT", "0x7ffe0010", "0"])
events = st.builds(
    lambda events, data: f"[{{events={events}, data={{u32={data}, u64={data}}}}}]",
    st.sampled_from(["EPOLLIN", "EPOLLIN|EPOLLHUP"]), st.integers(0, 99),
)  # fmt: skip
arguments = st.lists(st.one_of(descriptors, strings, words, events), min_size=1, max_size=7)


@given(arguments)
def test_the_patterns_and_the_parser_agree(found: list[str]) -> None:
    text = ", ".join(found)
    quick = maybe_flat(text)
    assert quick is None or quick == parse_arguments(text)


@pytest.mark.parametrize(
    "text",
    [
        '3<TCP:[1.2.3.4:5->6.7.8.9:10]>, ""..., 65536, 0, NULL, NULL',
        '3, "abc", 3, MSG_NOSIGNAL, NULL, 0', "3<socket:[9]>",
        "4<anon_inode:[eventpoll]>, [{events=EPOLLIN, data={u32=5, u64=5}}], 64, -1",
        "4<anon_inode:[eventpoll]>, [{events=EPOLLIN, data={u32=5, u64=5}}], 64, -1, NULL, 8",
    ],
)  # fmt: skip
def test_common_arguments_have_their_patterns(text: str) -> None:
    assert maybe_flat(text) == parse_arguments(text)


@given(st.lists(st.sampled_from(list('"\\<>[]{}(),= .->ax0')), max_size=40).map("".join))
def test_no_text_stops_the_parser(text: str) -> None:
    try:
        slow = parse_arguments(text)
    except ValueError:
        assert maybe_flat(text) is None
    else:
        assert maybe_flat(text) in (None, slow)


@given(strings, descriptors, st.integers(0, 1 << 40), st.sampled_from(["", " <0.000012>"]))
def test_the_result_is_what_stands_last(string: str, fd: str, result: int, took: str) -> None:
    call = maybe_syscall(1, 1, "write", f"{fd}, {string}, 9) = {result}{took}", 1000)
    assert call is not None
    assert call.text == f"{fd}, {string}, 9"
    assert call.result == result
    assert call.returned_ns == (13_000 if took else None)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_read_or_counted(one: bytes, other: bytes) -> None:
    reader = StraceReader("h", "a")
    reader.feed(b"1 1700000000.000000 socket(AF_INET, SOCK_STREAM, 0) = 3 <0.000001>\n" + one)
    reader.feed(other + b"\n")
    reader.finish()
    assert len(reader.calls) >= 1

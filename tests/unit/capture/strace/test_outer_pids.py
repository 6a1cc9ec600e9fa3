"""What fork returned inside a PID namespace becomes the number by which the log's lines begin."""

from __future__ import annotations

import pytest

from netlab.capture.strace.outer_pids import OuterPids, pair_text

HEAD = '700 1.000000001 execve("/bin/sh", ["sh"], 0x7ffc /* 9 vars */) = 0 <0.000100000>\n'
FLAGS = "child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f"


def whole(inner: int, parent: int = 700) -> str:
    return f"{parent} 2.000000001 clone({FLAGS}) = {inner} <0.000200000>\n"


def translated(log: str, notes: bytes) -> str:
    pids = OuterPids()
    pids.note(notes)
    return pids.feed(log.encode(), wait=False).decode()


@pytest.mark.parametrize(
    "line",
    [
        "700 2.5 clone(" + FLAGS + ") = {} <0.0002>\n",
        "700 2.5 clone(" + FLAGS + ") = {}\n",
        "700 2.5 <... clone3 resumed> => {{parent_tid=[9]}}, 88) = {} <0.0002>\n",
        "700 2.5 <... clone resumed>, child_tidptr=0x7f) = {} <0.0002>\n",
        "700 2.5 vfork( <unfinished ...>\n700 2.6 <... vfork resumed>) = {} <0.0002>\n",
        "700 2.5 fork() = {} <0.0002>\n",
    ],
)
def test_each_way_to_make_a_process(line: str) -> None:
    log = HEAD + line.format(9)
    assert translated(log, pair_text(700, 2) + pair_text(731, 9)) == HEAD + line.format(731)


def test_other_numbers_stay_as_they_are() -> None:
    rest = (
        '700 3.1 read(9<TCP:[1]>, ""..., 9) = 9 <0.1>\n700 3.2 clone3({x}) = -1 EAGAIN (x) <0.1>\n'
    )
    assert translated(HEAD + rest, pair_text(731, 9)) == HEAD + rest


def test_a_line_waits_for_its_number_and_all_behind_it() -> None:
    pids = OuterPids()
    pids.note(pair_text(700, 2))
    log = HEAD + whole(9) + "731 2.1 close(3) = 0 <0.1>\n"
    assert pids.feed(log.encode(), wait=True).decode() == HEAD
    assert pids.waits
    assert pids.feed(b"", wait=True) == b""
    pids.note(b"731 ")  # a note that is being written
    assert pids.feed(b"", wait=True) == b""
    pids.note(b"9\n")
    assert pids.feed(b"", wait=True).decode() == whole(731) + "731 2.1 close(3) = 0 <0.1>\n"
    assert not pids.waits


def test_one_that_was_gone_is_told_by_rank() -> None:
    notes = pair_text(700, 2) + pair_text(731, None) + pair_text(735, 12) + pair_text(733, None)
    log = HEAD + whole(11) + whole(9) + whole(12)
    assert translated(log, notes) == HEAD + whole(733) + whole(731) + whole(735)


def test_where_not_as_many_are_known_nobody_guesses() -> None:
    notes = pair_text(700, 2) + pair_text(731, None) + pair_text(735, 12)
    log = HEAD + whole(9) + whole(11) + whole(12)
    assert translated(log, notes) == HEAD + whole(0) + whole(0) + whole(735)


def test_numbers_that_came_round_are_not_ranked() -> None:
    notes = pair_text(32_760, 2) + pair_text(301, None)
    assert translated(HEAD + whole(9), notes) == HEAD + whole(0)


def test_what_comes_before_the_program_is_left_out() -> None:
    waiting = "700 0.5 read(25<pipe:[8]>, 0x7f, 1) = ? ERESTARTSYS (To be restarted)\n"
    waiting += '700 0.6 read(25<pipe:[8]>, "", 1) = 0 <0.5>\n'
    assert translated(waiting + HEAD, b"") == HEAD
    assert translated(waiting, b"") == ""


def test_any_cut_gives_the_same() -> None:
    log = ('700 0.5 read(25<pipe:[8]>, "", 1) = 0 <0.5>\n' + HEAD + whole(9) + whole(10)).encode()
    notes = pair_text(731, 9) + pair_text(732, 10)
    for cut in range(len(log) + 1):
        pids = OuterPids()
        pids.note(notes[: cut % len(notes)])
        pids.note(notes[cut % len(notes) :])
        found = pids.feed(log[:cut], wait=True) + pids.feed(log[cut:], wait=True)
        assert found.decode() == HEAD + whole(731) + whole(732)


def test_a_line_that_was_cut_off_is_kept_for_the_end() -> None:
    pids = OuterPids()
    assert pids.feed((HEAD + "700 2.0 recvfr").encode(), wait=False).decode() == HEAD
    assert pids.rest() == b"700 2.0 recvfr"

"""Findings that a hair's breadth separates from none: where each speaks and where it is silent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import MSG_WAITALL
from tests.playbook import ADDRESS, INODE, Play
from tests.unit.explain.test_waits_stopped import shut_window, stop
from tests.waits_told import MS

FULL = 1460


def of(play: Play, kind: str) -> list[Finding]:
    return [one for one in findings_of(explained(play.tables(), play.raw)) if one.kind == kind]


def opened(**more: int) -> Play:
    play = Play(wired=True, **more)  # type: ignore[arg-type]
    play.handshake()
    return play


def two_writes(*, late_ms: int, on_its_way: bool = False) -> Play:
    """A small write behind a small write: the ACK between them is sat on, or long on its way."""
    play = opened()
    with play.call("client", "send", 64, size=64):
        play.data("c>s", 0, 64)
    play.did("server", "recv", 64, size=4096)
    with play.call("server", "recv", 65, size=4096):
        play.did("client", "send", 65, size=65)
        if on_its_way:
            ack = play.ack("s>c", 64, way="hold")
            play.now_ns += late_ms * MS
            play.arrives(ack)
        else:
            play.now_ns += late_ms * MS
            play.ack("s>c", 64)
        play.data("c>s", 64, 129)
    return play


def full_window(*, stalled_ms: int) -> Play:
    play = opened(window=512)
    with play.call("client", "send", 100_000, size=100_000):
        at = 0
        while at + FULL <= 65_536:
            play.data("c>s", at, at + FULL)
            at += FULL
        play.ack("s>c", at, window=0)
        play.now_ns += stalled_ms * MS
        with play.call("server", "recv", at, size=at):
            play.ack("s>c", at, window=512)
    return play


def on_its_way(*, window: int = 512) -> Play:
    """The reader waits in its read while what fills the window of 65,536 bytes is on its way.

    `window`: what the ACK of that says; after 0 another opens it 40 ms later.
    """
    play = opened(window=512)
    with play.call("server", "recv", 100_000, size=100_000, flags=0x100):
        play.did("client", "send", 100_000, size=100_000)
        frames = [play.data("c>s", at, at + FULL, way="hold") for at in range(0, 64_000, FULL)]
        end = FULL * len(frames)
        play.now_ns += 20 * MS
        for frame in frames:
            play.arrives(frame)
        ack = play.ack("s>c", end, window=window, way="hold")
        play.now_ns += 20 * MS
        play.arrives(ack)
        if not window:
            play.now_ns += 40 * MS
            play.ack("s>c", end, window=512)
        while end < 100_000:
            play.data("c>s", end, min(end + FULL, 100_000))
            end += FULL
    return play


def queued(*, for_ms: int) -> Play:
    """A client that asks while nobody calls accept."""
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    with play.call("client", "recv", 5, size=10):
        play.now_ns += for_ms * MS
        with play.accept():
            pass
        play.did("server", "recv", 10, size=10)
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5, 10)
    return play


def writes(count: int, size: int = 10, apart_ms: int = 0) -> Play:
    play = opened()
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    for number in range(count):
        play.now_ns += apart_ms * MS
        with play.call("client", "send", size, size=size):
            play.data("c>s", number * size, (number + 1) * size)
    return play


def closed(*, read: bool) -> Play:
    """The server closes after the client's 100 bytes: read, or not, which resets."""
    play = opened()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    if read:
        play.did("server", "recv", 100, size=4096)
    with play.call("server", "close", 0):
        (play.fin if read else play.rst)("s>c", 0, 100)
    return play


def filled(times: int, *, round_trip_ms: int = 20) -> Play:
    """A sender that fills the window of 8,192 bytes again and again, over a long way."""
    play = Play(wired=True, window=64)  # 8,192 bytes
    play.syn()
    play.now_ns += round_trip_ms * MS
    play.synack(), play.ack("c>s", 0)
    play.ack("s>c", 0)
    at = 0
    for _ in range(times):
        for size in (FULL, FULL, FULL, FULL, FULL, 892):
            play.data("c>s", at, at + size)
            at += size
        play.now_ns += round_trip_ms * MS
        play.ack("s>c", at)
    return play


def probed(times: int, *, answered: bool = True) -> Play:
    """Keep-alives: one before the next byte, empty."""
    play = opened()
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    play.did("server", "recv", 10, size=10)
    play.ack("s>c", 10)
    for _ in range(times):
        play.now_ns += 1000 * MS
        play.frame("c>s", "A", 10, 1)
        if answered:
            play.ack("s>c", 10)
    return play


def probed_window(times: int) -> Play:
    """Probes of a closed window look like keep-alives: bytes wait behind them."""
    play = full_window(stalled_ms=0)
    play.calls.pop()
    play.packets.pop()
    for _ in range(times):
        play.now_ns += 400 * MS
        play.frame("c>s", "A", 44 * FULL, 1)
        play.ack("s>c", 44 * FULL, window=0)
    return play


def one_byte_again(times: int) -> Play:
    """A resend of a single byte looks like a keep-alive, too: it is not acknowledged."""
    play = probed(0)
    with play.call("client", "send", 1, size=1):
        play.data("c>s", 10, 11, way="drop")
    for nth in range(times):
        play.now_ns += (1000 << nth) * MS
        play.data("c>s", 10, 11, way="drop")
    return play


def spoken_between(probes: int) -> Play:
    play = probed(2)
    play.now_ns += 1000 * MS
    play.data("c>s", 10, 20), play.ack("s>c", 20)
    for _ in range(probes):
        play.now_ns += 1000 * MS
        play.frame("c>s", "A", 20, 1)
        play.ack("s>c", 20)
    return play


SPEAKS: dict[str, Callable[[], Play]] = {
    "nagle_delayed_ack": lambda: two_writes(late_ms=40),
    "zero_window": lambda: full_window(stalled_ms=11),
    "slow_accept": lambda: queued(for_ms=11),
    "small_writes": lambda: writes(21),
    "reset": lambda: closed(read=False),
    "never_read": lambda: closed(read=False),
    "window_limited": lambda: filled(3),
    "keep_alive_only": lambda: probed(3),
}
SILENT: list[tuple[str, Callable[[], Play], str]] = [
    ("nagle_delayed_ack", lambda: two_writes(late_ms=40, on_its_way=True), "the ACK's long way"),
    ("nagle_delayed_ack", lambda: two_writes(late_ms=1), "an ACK in time"),
    ("zero_window", lambda: full_window(stalled_ms=9), "a short stall"),
    ("zero_window", on_its_way, "full of what was in flight"),
    ("slow_accept", lambda: queued(for_ms=9), "an accept in time"),
    ("small_writes", lambda: writes(20), "few"),
    ("small_writes", lambda: writes(30, size=200), "larger ones"),
    ("small_writes", lambda: writes(30, apart_ms=2), "each on its own"),
    ("reset", lambda: closed(read=True), "a FIN"),
    ("never_read", lambda: closed(read=True), "all read"),
    ("window_limited", lambda: filled(2), "twice"),
    ("window_limited", lambda: filled(3, round_trip_ms=0), "no way to speak of"),
    ("keep_alive_only", lambda: probed(2), "two"),
    ("keep_alive_only", lambda: probed_window(4), "probes of a closed window"),
    ("keep_alive_only", lambda: one_byte_again(5), "a byte sent again"),
    ("keep_alive_only", lambda: spoken_between(2), "bytes between them"),
]


@pytest.mark.parametrize("kind", SPEAKS)
def test_it_speaks_with_evidence_and_says_what_to_change(kind: str) -> None:
    (one,) = of(SPEAKS[kind](), kind)
    assert one.frames or one.calls
    assert one.advice
    assert one.source


@pytest.mark.parametrize(
    ("kind", "play"), [item[:2] for item in SILENT], ids=[f"{k}: {why}" for k, _, why in SILENT]
)
def test_it_is_silent(kind: str, play: Callable[[], Play]) -> None:
    assert of(play(), kind) == []


def test_of_a_full_window_only_the_time_counts_in_which_it_was_closed() -> None:
    play = on_its_way(window=0)
    (one,) = of(play, "zero_window")
    assert one.text.startswith("The sender stood still for 40.0 ms because the window of the")


@pytest.mark.parametrize(("stalled_ms", "severity"), [(11, "medium"), (300, "high")])
def test_how_grave_a_closed_window_is_its_time_says(stalled_ms: int, severity: str) -> None:
    (one,) = of(full_window(stalled_ms=stalled_ms), "zero_window")
    assert one.severity == severity


def test_of_a_reader_that_was_stopped_nobody_asks_to_read_sooner() -> None:
    (one,) = of(shut_window(stopped=True), "zero_window")
    assert "SIGSTOP had stopped it" in one.text
    assert one.advice.startswith("Find out who stopped it")
    (one,) = of(shut_window(stopped=False), "zero_window")
    assert one.advice.startswith("Let the peer's program read sooner")


def test_where_the_ack_that_opened_it_was_lost_the_loss_is_to_be_found() -> None:
    play = opened(window=512)
    at = 44 * FULL
    with play.call("client", "send", 100_000, size=100_000):
        for start in range(0, at, FULL):
            play.data("c>s", start, start + FULL)
        play.ack("s>c", at, window=0)
        with play.call("server", "recv", at, size=at):
            play.ack("s>c", at, window=512, way="drop")
        play.now_ns += 400 * MS
        play.frame("c>s", "A", at, 1)
        play.ack("s>c", at, window=512)
        play.data("c>s", at, at + FULL)
    (one,) = of(play, "zero_window")
    assert "that said so was dropped by the wire" in one.text
    assert one.advice == "Find out where segments are lost."


def filled_and_read(option: str, *, stop_ms: int = 0) -> Play:
    """A reader that reads at once, or is stopped, and a sender that fills its window thrice."""
    play = Play(wired=True, window=64)  # 8,192 bytes
    play.did("server", "socket", 3, inode=INODE["listener"], fd=3, peer=None, local=None)
    if option:
        play.did("server", "setsockopt", 0, inode=INODE["listener"], fd=3, peer=None, args=option)
    play.did("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 20 * MS
        play.synack(), play.ack("c>s", 0)
    with play.accept():
        pass
    play.ack("s>c", 0)
    at = 0
    for _ in range(3):
        for size in (FULL, FULL, FULL, FULL, FULL, 892):
            play.data("c>s", at, at + size)
            at += size
        if stop_ms:
            stop(play, "server", stop_ms)
            stop_ms = 1 if stop_ms == 1 else stop_ms // 8
        play.did("server", "recv", 8_192, size=8_192)
        play.now_ns += 5 * MS
        play.ack("s>c", at)
    return play


def test_a_buffer_that_the_kernel_adapts_is_not_to_be_set() -> None:
    (one,) = of(filled_and_read(""), "window_limited")
    assert "with the 8,192 bytes that its kernel had let it grow to" in one.text
    assert one.advice.startswith("No SO_RCVBUF was seen to be set")
    (one,) = of(filled_and_read("SOL_SOCKET, SO_RCVBUF, 4096"), "window_limited")
    assert "with 8,192 bytes and" in one.text
    assert one.advice.startswith("A larger SO_RCVBUF")


def test_a_window_that_a_stopped_reader_filled_names_the_stop() -> None:
    play = filled_and_read("", stop_ms=400)
    (one,) = of(play, "window_limited")
    assert "lie unread, for " in one.text
    assert "in all, and SIGSTOP had stopped it (server stop #" in one.text
    assert one.advice.startswith("Find out who stopped it")
    assert len(one.calls) == 1


def test_a_listener_that_is_closed_resets_those_in_its_queue() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.call("server", "close", 0, inode=INODE["listener"], fd=3, peer=None):
        play.rst("s>c", 0)
    (one,) = of(play, "reset")
    assert "closed its listener before anybody had accepted it" in one.text
    assert "Accept what stands in the queue" in one.advice


def test_keep_alives_without_answer_are_grave() -> None:
    (one,) = of(probed(3, answered=False), "keep_alive_only")
    assert one.severity == "high"
    assert "had no answer" in one.text
    assert "connect anew" in one.advice


def test_what_a_window_allows_is_said_in_bytes_a_second() -> None:
    (one,) = of(filled(3), "window_limited")
    assert "The client filled the window of the server 3 times: with 8,192 bytes" in one.text
    assert "SO_RCVBUF at the server" in one.advice


def ended(how: str, *, read: bool = False) -> Play:
    """The end of the server's process resets, with 100 bytes unread or none."""
    play = opened()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    play.did("server", "recv", 100 if read else 1, size=100 if read else 1)
    with play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None, args=how,
                   inside=True, returned_by_ns=play.now_ns + MS):  # fmt: skip
        play.rst("s>c", 0, 100)
    return play


@pytest.mark.parametrize(
    ("how", "advice"), [("SIGKILL", "Find out who sent"), ("SIGSEGV", "Find out why it crashed")]
)
def test_who_was_killed_is_not_told_to_read_first(how: str, advice: str) -> None:
    (one,) = of(ended(how), "reset")
    assert f"its process was killed ({how}, server exit #" in one.text
    assert one.text.endswith(" with 99 bytes unread.")
    assert one.advice.startswith(advice)


def test_who_ends_by_itself_is() -> None:
    (one,) = of(ended("status 0"), "reset")
    assert "left 99 bytes unread" in one.text
    assert "killed" not in one.text
    assert one.advice.startswith("Read to the end before close")


def reset_without_a_call(*, sent_on: bool, answers: bool) -> Play:
    play = opened()
    if answers:
        play.data("s>c", 0, 10, ack=0)
    else:
        play.now_ns += 20 * MS
    play.answer_rst("c>s", 0)
    if sent_on:
        play.did("client", "send", 5, size=5)
        play.data("c>s", 0, 5)
    return play


def test_a_reset_in_the_name_of_an_end_that_sent_on_was_made_by_something_else() -> None:
    (found,) = of(reset_without_a_call(sent_on=True, answers=False), "reset")
    assert "something else made it" in found.text
    assert "reset the connection" not in found.text


@pytest.mark.parametrize(
    ("answers", "words"), [(True, "an answer to frame 4,"), (False, "answers no frame")]
)
def test_of_a_reset_that_no_call_made_only_its_form_is_said(answers: bool, words: str) -> None:
    (found,) = of(reset_without_a_call(sent_on=False, answers=answers), "reset")
    assert words in found.text
    assert "something else" not in found.text


@pytest.mark.parametrize(("way", "words"), [("hold", "Nothing was lost"), ("drop", "Losses cost")])
def test_a_segment_that_came_late_is_no_loss(way: str, words: str) -> None:
    play = opened()
    with play.call("server", "recv", 2 * FULL, size=2 * FULL, flags=0x100):
        with play.call("client", "send", 2 * FULL, size=2 * FULL):
            late = play.data("c>s", 0, FULL, way=way)
            play.data("c>s", FULL, 2 * FULL)
        options = play.sack_option("c>s", (FULL, 2 * FULL))
        play.ack("s>c", 0, options=options)
        play.now_ns += 20 * MS
        if way == "hold":
            play.arrives(late)
        else:
            play.data("c>s", 0, FULL)
    (found,) = of(play, "loss_recovery")
    assert found.text.startswith(words)


def behind_a_loss(
    *, rounds: int = 5, each: int = 7, way: str = "drop", settled: bool = False
) -> Play:
    """20 segments, the first of which is lost; then so many at once, 20 ms each.

    `settled`: five times as many have gone before, 20 at a time, and the last time 20 go again.
    """
    play = opened()
    play.ack("s>c", 0)
    base = 5 * 20 * FULL if settled else 0
    for at in range(0, base, 20 * FULL):
        with play.call("client", "send", 20 * FULL, size=20 * FULL):
            for start in range(at, at + 20 * FULL, FULL):
                play.data("c>s", start, start + FULL)
        play.did("server", "recv", 20 * FULL, size=20 * FULL)
        play.now_ns += 20 * MS
        play.ack("s>c", at + 20 * FULL)
    size = (20 + rounds * each) * FULL
    with play.call("client", "send", size, size=size):
        with play.call("server", "recv", 20 * FULL, size=20 * FULL, flags=MSG_WAITALL):
            late = play.data("c>s", base, base + FULL, way=way)
            for at in range(base + FULL, base + 20 * FULL, FULL):
                play.data("c>s", at, at + FULL)
            for last in (2, 3, 4, 20):
                sacked = play.sack_option("c>s", (base + FULL, base + last * FULL))
                play.ack("s>c", base, options=sacked)
            play.now_ns += 20 * MS
            if way == "hold":
                play.arrives(late)
            play.data("c>s", base, base + FULL)
        twice = play.sack_option("c>s", (base, base + FULL)) if way == "hold" else None
        at, end = base + 20 * FULL, base + size
        play.ack("s>c", at, options=twice)
        while at < end:
            stop_at = min(at + (20 if settled and at > end - 40 * FULL else each) * FULL, end)
            for start in range(at, stop_at, FULL):
                play.data("c>s", start, start + FULL)
            at = stop_at
            if at < end:
                ack = play.ack("s>c", at, way="hold")
                play.now_ns += 20 * MS
                play.arrives(ack)
    return play


def test_what_a_loss_made_of_the_congestion_window_is_told() -> None:
    play = behind_a_loss()
    (one,) = of(play, "loss_recovery")
    again = next(p.frame for p in play.packets if p.seg_seq == play.iss + 1 and p.frame > 20)
    assert f"too: from frame {again} on no more than" in one.text
    assert "29,200 bytes of the client were in flight" in one.text
    assert "waited for that window waited 80.0 ms (inferred)." in one.text
    assert again in one.frames
    assert one.severity == "medium"
    (long,) = of(behind_a_loss(rounds=8), "loss_recovery")
    assert long.severity == "high"


def test_a_window_that_had_settled_counts_until_it_is_as_large_again() -> None:
    (one,) = of(behind_a_loss(rounds=15, settled=True), "loss_recovery")
    assert " after frame " in one.text
    assert "when the client had 29,200 bytes in flight again, what waited for that window" in (
        one.text
    )
    shorter = behind_a_loss(rounds=9, settled=True)
    assert "waited 80.1 ms" in of(shorter, "loss_recovery")[0].text


@pytest.mark.parametrize(
    "play",
    [behind_a_loss(rounds=1), behind_a_loss(rounds=3, each=43), behind_a_loss(way="hold")],
    ids=["nothing waited", "it grew on", "nothing was lost"],
)
def test_a_loss_that_held_nothing_up_behind_itself_is_not_told_so(play: Play) -> None:
    (one,) = of(play, "loss_recovery")
    assert "congestion window smaller" not in one.text


def read_across(*reads: tuple[int, int], **more: int) -> list[Finding]:
    """What is said of reads (requested, returned) of four writes of 10 bytes that are all there."""
    play = opened()
    for start in range(0, 40, 10):
        with play.call("client", "send", 10, size=10):
            play.data("c>s", start, start + 10)
    for asked, got in reads:
        play.did("server", "recv", got, size=asked, **more)
    return of(play, "coalesced")


@pytest.mark.parametrize(
    "reads",
    [
        [(4096, 40)],
        [(4096, 25), (4071, 15)],  # what is left of a buffer is no length of a message
        [(15, 15), (15, 15), (15, 10)],  # a buffer that was full
    ],
)
def test_a_read_of_whatever_is_there_goes_across_messages(reads: list[tuple[int, int]]) -> None:
    assert len(read_across(*reads)) == 1


@pytest.mark.parametrize(
    "reads",
    [
        [(20, 20), (20, 20)],  # two whole messages
        [(4, 4), (11, 11), (25, 25)],  # a length, and so many bytes
        [(30, 12), (18, 18), (10, 10)],  # and once more for what was missing
    ],
)
def test_a_read_of_a_known_length_is_no_surprise(reads: list[tuple[int, int]]) -> None:
    assert read_across(*reads) == []


def test_who_waits_for_all_of_it_knows_how_much_that_is() -> None:
    assert read_across((15, 15), (15, 15), flags=MSG_WAITALL) == []

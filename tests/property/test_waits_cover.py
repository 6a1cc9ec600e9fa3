"""The time ledger closes: the waits of a call are disjoint, ordered, and cover it.

On random conversations, their calls blocked for random times, some of them unknown to the witness;
on every recording in captures/; and on the captures of others, whose frames have no calls.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import INODE, Play
from waits_told import check_recording, told

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.call import POLLIN, POLLOUT
from netlab.model.errors import NetlabError
from netlab.model.tables import Call
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import why_lines
from netlab.show.views.why import why

RECORDINGS = sorted((Path(__file__).parents[2] / "captures").glob("*/*.pcapng"))
ERRORS = ("EAGAIN", "EINTR", "ETIMEDOUT", "ECONNRESET")
WAYS = ("carry", "carry", "carry", "drop", "hold", "spoil")
OPTIONS = ("SOL_TCP, TCP_NODELAY, 1", "SOL_TCP, TCP_CORK, 1", "SOL_TCP, TCP_CORK, 0",
           "SOL_SOCKET, SO_SNDBUF, 5000", "SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}")  # fmt: skip


class Chaos:
    """Calls and frames at random, on both sides at once; offsets stay those of a stream."""

    def __init__(self, random: Random, play: Play) -> None:
        self.random, self.play = random, play
        self.written = {"client": 0, "server": 0}
        self.sent = {"client": 0, "server": 0}
        self.read = {"client": 0, "server": 0}
        self.held: list[int] = []

    def side(self) -> str:
        return self.random.choice(("client", "server"))

    def pause(self) -> None:
        self.play.now_ns += self.random.choice((0, 10_000, 3_000_000, 250_000_000))

    def send(self) -> None:
        side = self.side()
        count = self.random.choice((1, 100, 1460, 40_000))
        flags = self.random.choice((0, 0, 0, 0x8000))
        with self.play.call(side, "send", count, size=count, flags=flags):
            self.written[side] += count
            if self.random.random() < 0.6:
                self.segment(side)
            self.pause()

    def segment(self, side: str = "") -> None:
        side = side or self.side()
        start = (
            self.sent[side]
            if self.random.random() < 0.8
            else self.random.randint(0, self.sent[side])
        )
        stop = min(self.written[side], start + self.random.choice((1, 100, 1460)))
        if stop <= start:
            return
        way = self.random.choice(WAYS) if self.play.wired else "carry"
        other = "server" if side == "client" else "client"
        frame = self.play.data(direction(side), start, stop, self.sent[other], way=way)
        if way == "hold":
            self.held.append(frame)
        self.sent[side] = max(self.sent[side], stop)

    def ack(self) -> None:
        side = self.side()
        other = "server" if side == "client" else "client"
        window = self.random.choice((512, 512, 3, 0))
        self.play.ack(direction(side), self.random.randint(0, self.sent[other]), self.sent[side],
                      window=window)  # fmt: skip

    def land(self) -> None:
        if self.held:
            self.play.arrives(self.held.pop(0))

    def recv(self) -> None:
        side = self.side()
        other = "server" if side == "client" else "client"
        left = self.sent[other] - self.read[side]
        fails = left <= 0
        count = 0 if fails else self.random.randint(1, left)
        errno = (
            self.random.choice(("EAGAIN", "EINTR", "ETIMEDOUT", "ECONNRESET")) if fails else None
        )
        with self.play.call(side, "recv", None if fails else count, size=65536, errno=errno):
            self.pause()
            if self.random.random() < 0.4:
                self.random.choice((self.segment, self.land, self.ack))()
        self.read[side] += count

    def wait(self) -> None:
        side = self.side()
        ready = [(INODE[side], self.random.choice((POLLIN, POLLOUT)))] * self.random.randint(0, 1)
        with self.play.wait(side, *ready, args="timeout=50, maxevents=9"):
            self.pause()
            if self.random.random() < 0.5:
                self.random.choice((self.segment, self.land, self.ack))()

    def option(self) -> None:
        self.play.did(self.side(), "setsockopt", 0, args=self.random.choice(OPTIONS))

    def close(self) -> None:
        side = self.side()
        with self.play.call(side, "close", 0):
            self.play.fin(direction(side), self.sent[side])
            self.pause()


def direction(side: str) -> str:
    return "c>s" if side == "client" else "s>c"


@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32),
    acts=st.lists(
        st.sampled_from(("send", "segment", "ack", "land", "recv", "wait", "option", "pause")),
        min_size=1, max_size=40,
    ),
    wired=st.booleans(),
    closes=st.booleans(),
    seen=st.sampled_from(("both", "both", "client", "server")),
)  # fmt: skip
def test_the_waits_of_random_conversations_cover_their_calls(
    seed: int, acts: list[str], wired: bool, closes: bool, seen: str
) -> None:
    play = Play(wired=wired)
    play.handshake()
    chaos = Chaos(Random(seed), play)
    for act in [*acts, *(["close", "recv"] if closes else [])]:
        getattr(chaos, act)()
    if seen != "both":
        play.calls = [call for call in play.calls if call.actor == seen]
    tables, _ = told(play)
    lines = why_lines(why(tables, play.raw, "a recording"), 60)
    assert max(len(plain(line)) for line in lines) <= 60


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_waits_of_every_recording_cover_its_calls(path: Path) -> None:
    raw = read_raw(path)
    tables = analyse(raw)
    assert check_recording(tables, raw) or not any(takes_time(call) for call in tables.calls)


def takes_time(call: Call) -> bool:
    """Of IPC and of processes nothing but their ends may have been recorded."""
    return call.op not in ("settimeout", "exit")


def test_captures_of_others_have_no_calls_and_break_nothing(captures_dir: Path) -> None:
    seen = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except NetlabError:
            continue
        tables = analyse(raw)
        assert check_recording(tables, raw) == []
        view = why(tables, raw, path.name)
        assert max(map(len, map(plain, why_lines(view, 60))), default=0) <= 60
        seen += 1
    assert seen > 50

"""A recorder killed at random moments: what opens, and what recover gives, against the spools."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sample_recordings import conversation

from netlab.capture.files import read_raw, recover
from netlab.capture.probe import SpoolReader
from netlab.capture.recording import finish, make_spool_folder
from netlab.model.call import CallRecord

ROUNDS = 13
MESSAGES = 499
TESTS = Path(__file__).resolve().parent.parent

# Talks to itself through a socket pair: a few messages for each byte on its standard input, what is
# left of MESSAGES when that ends. Its last call is one that it is still inside when it is killed.
WATCHED = """
import socket, sys
from netlab.capture.probe import JournalProbe
probe = JournalProbe(sys.argv[1], actor="client", segment_bytes=1 << 16)
a, b = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
print("began", flush=True)
for n in range(int(sys.argv[2])):
    if n % 7 == 0:
        sys.stdin.buffer.raw.read(1)
    a.send(b"x" * (1 + n % 97))
    assert len(b.recv(4096)) == 1 + n % 97
print("done", flush=True)
b.recv(1)
"""

# Takes calls from the spools and frames from nowhere, a turn at a time; a byte for each turn.
RECORDER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from netlab.capture.probe import SpoolReader
from netlab.capture.recording import LiveRecording, spool_folder
from sample_recordings import DESCRIPTION, LO, conversation
spools = SpoolReader(spool_folder(sys.argv[1]))
limit = int(sys.argv[3])
recording = LiveRecording.create(
    sys.argv[1], description=DESCRIPTION, interfaces=[LO], journal_limit=limit
)
frames = conversation(b"x" * 60_000) * 17
while True:
    recording.calls(spools.poll())
    recording.frames(0, frames)
    os.write(1, b".")
"""


def in_order(calls: list[CallRecord]) -> list[CallRecord]:
    return sorted(calls, key=lambda c: (c.entered_ns, c.host, c.pid, c.tid, c.order))


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_what_a_killed_recorder_left_opens_and_recovers(tmp_path: Path, turn: int) -> None:
    chance = random.Random(7919 * turn)
    path = tmp_path / "killed.pcapng"
    folder = make_spool_folder(path)
    watched = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(folder), str(MESSAGES)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    recorder = None
    try:
        assert watched.stdin is not None
        assert watched.stdout is not None
        assert watched.stdout.readline() == b"began\n"
        journal_limit = chance.choice([100_000, 101])
        recorder = subprocess.Popen(
            [sys.executable, "-c", RECORDER, str(path), str(TESTS), str(journal_limit)],
            stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert recorder.stdout is not None
        for _ in range(chance.randrange(1, 11)):
            assert recorder.stdout.read(1) == b"."
            watched.stdin.write(b".")
        for _ in range(chance.randrange(50_000)):  # somewhere into its next turn
            pass
        recorder.kill()
        assert recorder.wait() == -signal.SIGKILL
        watched.stdin.close()
        assert watched.stdout.readline() == b"done\n"
    finally:
        for process in (recorder, watched):
            if process is not None:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()

    spools = SpoolReader(folder)
    held = in_order([*spools.poll(), *spools.finish()])
    assert [call.op for call in held].count("send") == MESSAGES
    # The kill may come before its last recv was entered, or within it.
    assert [call.op for call in held if call.returned_ns is None] in ([], ["recv"])

    live = read_raw(path)
    frames = conversation(b"x" * 60_000) * 17
    assert live.description.form == "live"
    assert {repr(call) for call in live.calls} < {repr(call) for call in held}
    assert len(set(map(repr, live.calls))) == len(live.calls)
    assert len(live.frames) >= len(frames)
    for n, frame in enumerate(live.frames):
        assert (frame.time_ns, frame.data) == frames[n % len(frames)][:2]
    assert all("cut short" in fault for fault in live.faults)

    raw = recover(path)
    assert raw.calls == held
    assert raw.frames == live.frames
    assert raw.losses == spools.losses
    finish(path, raw, frame_comments={}, call_messages={}, threads={}, journal_limit=journal_limit)
    finished = read_raw(path)
    assert finished.calls == held
    assert len(finished.frames) == len(live.frames)
    assert not finished.faults
    path.unlink()  # megabytes

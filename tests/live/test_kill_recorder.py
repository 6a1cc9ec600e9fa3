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
from netlab.model.errors import BadRecording
from netlab.model.recording import RawRecording

ROUNDS = 13
TURN_BYTES = 1_100_000  # about so much a turn writes
EARLY = {0: -1, 1: 0, 2: 37}  # by round: killed before the first turn
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

# Takes calls from the spools and frames from nowhere, a turn at a time; a byte for each turn. It is
# killed within the write that would take the file beyond so many bytes: -1, before there is a file.
RECORDER = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from netlab.capture import recording as module
from netlab.capture.probe import SpoolReader
from sample_recordings import DESCRIPTION, LO, conversation
left, write = int(sys.argv[4]), os.write
def write_until_killed(fd, data):
    global left
    if fd != 1:
        if len(data) > left:
            write(fd, data[:left])
            os.kill(os.getpid(), signal.SIGKILL)
        left -= len(data)
    return write(fd, data)
os.write = write_until_killed
if left < 0:
    os.kill(os.getpid(), signal.SIGKILL)
spools = SpoolReader(module.spool_folder(sys.argv[1]))
recording = module.LiveRecording.create(
    sys.argv[1], description=DESCRIPTION, interfaces=[LO], journal_limit=int(sys.argv[3])
)
frames = conversation(b"x" * 60_000) * 17
while True:
    recording.calls(spools.poll())
    recording.frames(0, frames)
    write(1, b".")
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
        kill_at = EARLY.get(turn, chance.randrange(10 * TURN_BYTES))
        journal_limit = chance.choice([100_000, 101])
        recorder = subprocess.Popen(
            [sys.executable, "-c", RECORDER, str(path), str(TESTS), str(journal_limit),
             str(kill_at)],
            stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert recorder.stdout is not None
        while recorder.stdout.read(1) == b".":
            watched.stdin.write(b".")
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

    frames = conversation(b"x" * 60_000) * 17
    try:
        live = read_raw(path)
    except BadRecording:
        assert turn in EARLY
        live = RawRecording()
    else:
        assert live.description.form == "live"
        assert path.stat().st_size == kill_at
    assert {repr(call) for call in live.calls} < {repr(call) for call in held}
    assert len(set(map(repr, live.calls))) == len(live.calls)
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

"""What being watched by strace costs a program, on a loop of requests and responses.

Two processes of one host speak over its loopback: a request of 11 bytes, a response as long, four
calls in all. Measured in a lab: unwatched; watched as netlab does it (strace attached); and, so
that README can say why not so, with strace as its parent and a seccomp filter, which lets pass at
full speed what is not shown. Beside it the cost of a system call that nobody asked to see, of a
connection that is made and closed, whose addresses strace looks for among all sockets of the host
(-yy), and of a shell script that does nothing but start programs.

Wall time is the machine's: each is measured several times and the best counts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlab.capture.strace.asked import strace_options
from netlab.lab.experiment import Lab
from netlab.lab.tracing.strace_tool import find_strace

ROUNDS = 4_999  # a prime
CONNECTIONS = 199
STARTS = 53
TRIES = 3
MOST_US = 5_000.0  # for a request and its response, watched

LOOP = f"""
import os, socket, time
listener = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := sock.recv(100):
        sock.send(data)
    os._exit(0)
sock = socket.create_connection(listener.getsockname())
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def spent(what, times={ROUNDS}):
    began = time.perf_counter()
    for _ in range(times):
        what()
    return (time.perf_counter() - began) / times * 1e6
def ask():
    sock.send(b"x" * 11)
    sock.recv(100)
def meet():
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    theirs.close()
    ours.close()
print(spent(ask), spent(os.getppid), spent(meet, {CONNECTIONS}))
"""
STARTING = f"i=0; while [ $i -lt {STARTS} ]; do /bin/true; i=$((i+1)); done"


@dataclass(frozen=True)
class Cost:
    """Of one way to be watched, in microseconds."""

    round_us: float
    other_us: float  # a call that is not shown
    meet_us: float  # a connection made and closed
    start_us: float

    def show(self, name: str, plain: Cost) -> str:
        return (
            f"{name:34} {1e6 / self.round_us:7,.0f} requests/s, {self.round_us:6.1f} us each "
            f"(+{(self.round_us - plain.round_us) / 4:5.1f} a call); "
            f"another call {self.other_us:5.1f} us; a connection {self.meet_us / 1000:5.2f} ms; "
            f"a start {self.start_us / 1000:5.2f} ms"
        )


def with_filter(command: list[str]) -> list[str]:
    """The same, started by strace with its seccomp filter."""
    strace = find_strace()
    return [strace.file, "--seccomp-bpf", *strace_options(), "-o", "/dev/null", *command]


def cost(lab: Lab, loop: list[str], starting: list[str], *, watched: bool) -> Cost:
    rounds, others, meets, starts = [], [], [], []
    for _ in range(TRIES):
        program = lab.start("client", loop, watched=watched)
        lab.wait(program)
        assert program.status == 0, program.stderr
        assert not program.blind
        round_us, other_us, meet_us = map(float, program.stdout.split())
        rounds.append(round_us)
        others.append(other_us)
        meets.append(meet_us)
        program = lab.start("client", ["sh", "-c", TIMED, "sh", *starting], watched=watched)
        lab.wait(program)
        assert program.status == 0, program.stderr
        began, ended = map(int, program.stdout.split())
        starts.append((ended - began) / 1000 / STARTS)
    return Cost(min(rounds), min(others), min(meets), min(starts))


TIMED = 'date +%s%N; "$@"; date +%s%N'


@pytest.mark.bench
def test_requests_and_responses_watched_and_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = [sys.executable, "-c", LOOP]
    starting = ["sh", "-c", STARTING]
    with Lab(path=tmp_path / "a.pcapng") as lab:
        plain = cost(lab, loop, starting, watched=False)
        attached = cost(lab, loop, starting, watched=True)
        filtered = cost(lab, with_filter(loop), with_filter(starting), watched=False)
    with capsys.disabled():
        print(f"\n  {plain.show('unwatched', plain)}")
        print(f"  {attached.show('strace attached (netlab)', plain)}")
        print(f"  {filtered.show('strace with a seccomp filter', plain)}")
    moved = [c for c in lab.recording.tables.calls if c.result == 11 and c.witness == "strace"]
    assert len(moved) == 4 * ROUNDS * TRIES  # none of them is missing
    assert attached.round_us < MOST_US

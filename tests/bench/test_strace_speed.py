"""100,000 calls in a log of strace: how long it takes to read them, to join them with their frames
and to write both (in processor time, since others may use the machine), and how much memory.

A server with an epoll answers 50 clients of one process, as strace -f -yy shows it: five calls a
request (the client's sendto, the server's epoll_wait, recvfrom and sendto, the client's recvfrom),
the sends and every seventh other call split in two lines; a frame for each message.
"""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from netlab.capture.strace.reader import StraceReader
from netlab.correlate.ledger import ledger_mismatches
from netlab.lab.finish import finish_raw
from netlab.model.frame import LINK_ETHERNET, Frame, Interface
from netlab.model.recording import Description, RawRecording

CALLS = 100_000
CLIENTS = 50
ASKED, ANSWERED = 101, 1013
T0_NS = 1_700_000_000_000_000_000
SYN, SYNACK, ACK, PUSH = 0x02, 0x12, 0x10, 0x18
HERE = 'sin_addr=inet_addr("127.0.0.1")'
SERVER, CLIENT, IDLE = 10, 20, 30
EPOLL = "4<anon_inode:[eventpoll]>"
LISTENER = "3<TCP:[0.0.0.0:80]>"
MOST_S = 15.0
MOST_BYTES = 1000


class Run:
    """Writes the log and the frames of a run of `calls` calls as they would have come."""

    def __init__(self, calls: int) -> None:
        self.now_ns = T0_NS
        self.lines: list[str] = []
        self.frames: list[Frame] = []
        self.calls = 0
        self.next_byte: dict[tuple[int, bool], int] = {}
        self.near: dict[int, str] = {}
        self.far: dict[int, str] = {}
        self.line(SERVER, 'execve("/usr/bin/server", ["server"], 0x7ffe /* 9 */) = 0 <0.000008>')
        self.call(SERVER, "socket(", "AF_INET, SOCK_STREAM, IPPROTO_IP", "3<TCP:[5000]>")
        self.call(SERVER, f"listen({LISTENER}, ", "128", 0)
        self.call(SERVER, "epoll_create1(", "0", EPOLL)
        self.line(SERVER, f"clone(flags=CLONE_FILES|CLONE_THREAD) = {IDLE} <0.000008>")
        self.line(SERVER, f"fork() = {CLIENT} <0.000008>")
        for port in range(40_000, 40_000 + CLIENTS):
            self.open(port)
        while self.calls < calls:
            self.exchange(40_000 + self.calls // 5 % CLIENTS)

    def line(self, tid: int, text: str) -> None:
        self.now_ns += 10_000
        stamp = f"{self.now_ns // 10**9}.{self.now_ns % 10**9 // 1000:06}"
        self.lines.append(f"{tid:<5} {stamp} {text}\n")

    def call(self, tid: int, entry: str, rest: str, result: object) -> None:
        if (self.calls + 1) % 7:
            self.calls += 1
            self.line(tid, f"{entry}{rest}) = {result} <0.000008>")
            return
        self.entered(tid, entry)
        self.line(IDLE, "futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 0 <0.000001>")
        self.resumed(tid, entry.partition("(")[0], rest, result)

    def entered(self, tid: int, entry: str) -> None:
        self.line(tid, f"{entry} <unfinished ...>")

    def resumed(self, tid: int, name: str, rest: str, result: object) -> None:
        self.calls += 1
        self.line(tid, f"<... {name} resumed>{rest}) = {result} <0.000008>")

    def frame(self, port: int, client: bool, flags: int, payload: int = 0) -> None:
        self.now_ns += 1_000
        ports = (port, 80) if client else (80, port)
        mine = self.next_byte.get((port, client), 1000)
        theirs = self.next_byte.get((port, not client), 0) if flags & ACK else 0
        tcp = (
            ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big") + mine.to_bytes(4, "big")
            + theirs.to_bytes(4, "big") + bytes((0x50, flags)) + b"\xff\xff\0\0\0\0"
            + bytes(payload)
        )  # fmt: skip
        ip = b"\x45\0" + (20 + len(tcp)).to_bytes(2, "big") + b"\0\0\x40\0\x40\x06\0\0"
        data = bytes(12) + b"\x08\0" + ip + bytes((127, 0, 0, 1)) * 2 + tcp
        self.frames.append(Frame(len(self.frames) + 1, self.now_ns, 0, data, len(data)))
        self.next_byte[port, client] = mine + payload + bool(flags & SYN)

    def open(self, port: int) -> None:
        fd = 5 + port - 40_000
        fresh = f"{fd}<TCP:[{port}]>"
        self.call(CLIENT, "socket(", "AF_INET, SOCK_STREAM, IPPROTO_IP", fresh)
        to = f"{{sa_family=AF_INET, sin_port=htons(80), {HERE}}}"
        self.entered(CLIENT, f"connect({fresh}, {to}, 16")
        self.frame(port, True, SYN)
        self.frame(port, False, SYNACK)
        self.frame(port, True, ACK)
        self.resumed(CLIENT, "connect", "", 0)
        self.near[port] = f"{fd}<TCP:[127.0.0.1:{port}->127.0.0.1:80]>"
        self.far[port] = f"{fd}<TCP:[127.0.0.1:80->127.0.0.1:{port}]>"
        peer = f"{{sa_family=AF_INET, sin_port=htons({port}), {HERE}}}"
        self.call(SERVER, f"accept4({LISTENER}, ", f"{peer}, [128 => 16], 0", self.far[port])
        event = f"{{events=EPOLLIN, data={{u32={fd}, u64={fd}}}}}"
        self.call(SERVER, f"epoll_ctl({EPOLL}, EPOLL_CTL_ADD, {self.far[port]}, ", event, 0)

    def exchange(self, port: int) -> None:
        fd, near, far = 5 + port - 40_000, self.near[port], self.far[port]
        self.send(CLIENT, port, near, ASKED)
        event = f"{{events=EPOLLIN, data={{u32={fd}, u64={fd}}}}}"
        self.call(SERVER, f"epoll_wait({EPOLL}, ", f"[{event}], 64, -1", 1)
        self.call(SERVER, f"recvfrom({far}, ", '""..., 65536, 0, NULL, NULL', ASKED)
        self.send(SERVER, port, far, ANSWERED)
        self.call(CLIENT, f"recvfrom({near}, ", '""..., 65536, 0, NULL, NULL', ANSWERED)

    def send(self, tid: int, port: int, socket: str, size: int) -> None:
        self.entered(tid, f'sendto({socket}, ""..., {size}, MSG_NOSIGNAL, NULL, 0')
        self.frame(port, tid == CLIENT, PUSH | ACK, size)
        self.resumed(tid, "sendto", "", size)


def read(log: bytes) -> StraceReader:
    reader = StraceReader("lab", "prog")
    for at in range(0, len(log), 1 << 16):
        reader.feed(log[at : at + (1 << 16)])
    reader.finish()
    assert reader.faults == []
    return reader


@pytest.mark.bench
def test_a_hundred_thousand_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(CALLS)
    log = "".join(run.lines).encode()
    begun = time.process_time()
    reader = read(log)
    read_s = time.process_time() - begun
    path = tmp_path / "calls.pcapng"
    path.touch()
    raw = RawRecording(
        run.frames, [Interface("lo", LINK_ETHERNET, 0, len(run.frames), 0)], reader.calls,
        reader.inheritances, description=Description("0", "bench", "live", 1),
    )  # fmt: skip
    done = finish_raw(path, raw)
    all_s = time.process_time() - begun
    assert len(reader.calls) >= CALLS
    assert ledger_mismatches(done.tables) == []
    assert done.tables.unmatched == []
    held = memory_a_call()
    with capsys.disabled():
        print(
            f"\n{len(reader.calls):,} calls, {len(run.lines):,} lines, {len(run.frames):,} frames:"
            f" read {read_s:.1f} s ({read_s / len(run.lines) * 1e6:.0f} us a line),"
            f" joined and written {all_s - read_s:.1f} s"
        )
        print(f"read, joined and written in {all_s:.1f} s (at most {MOST_S} s)")
        print(f"a record holds {held:.0f} bytes (at most {MOST_BYTES})")
    assert all_s < MOST_S
    assert held < MOST_BYTES


def memory_a_call() -> float:
    """Bytes that the records of a log hold, each."""
    log = "".join(Run(20_000).lines).encode()
    read(log)  # what is kept once
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    reader = read(log)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (held - before) / len(reader.calls)

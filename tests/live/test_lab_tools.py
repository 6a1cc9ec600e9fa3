"""What other tools say of a lab: tshark of its recording, and a tcpdump on each of its hosts."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dpkt
import lab_case_programs as programs
import pytest
from lab_cases import MSS_BYTES, again_if_the_wire_was_late, ask
from lab_process import ROOT, run_netlab
from seen_frames import Seen, differences

from netlab.lab.experiment import Lab
from netlab.model.tables import Role

ANSWER_WITHIN_S = 60
MESSAGES = 7
MACS = {"client": bytes.fromhex("020000000001"), "server": bytes.fromhex("020000000002")}


def frames_that_tshark_flags(path: Path, condition: str) -> list[int]:
    done = subprocess.run(
        ["tshark", "-n", "-r", path, "-Y", condition, "-T", "fields", "-e", "frame.number"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


@again_if_the_wire_was_late
def test_tshark_flags_nothing_where_the_wire_only_delays(tmp_path: Path) -> None:
    case = ask(tmp_path, "delay 30ms", 23 * MSS_BYTES)
    flags = "tcp.analysis.flags and not tcp.analysis.window_update"
    bad = f"({flags}) or _ws.malformed or tcp.checksum.status == 0 or _ws.expert.severity > 4194304"
    assert frames_that_tshark_flags(case.path, bad) == []
    assert case.frames(Role.RESENT) == case.frames(Role.DUPLICATE) == []


class Dump:
    """A tcpdump on a host, from when it listens to when it has written all that it saw."""

    def __init__(self, lab: Lab, host: str, path: Path) -> None:
        self.path = path
        inhabitant = lab.start(host, ["sleep", "1000"])
        script = Path(__file__).with_name("host_tcpdump.py")
        self.process = subprocess.Popen(
            [sys.executable, script, str(inhabitant.pid), path],
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.heard = b""
        self._hear(rb"listening on eth0")

    def finish(self) -> None:
        """End it once it has written all that the kernel had for it."""
        until_s = time.monotonic() + ANSWER_WITHIN_S
        while True:
            self.heard = b""
            self.process.send_signal(signal.SIGUSR1)  # it tells its counts
            counts = self._hear(rb"(\d+) packets captured, (\d+) packets received by filter, 0 ")
            if counts[1] == counts[2]:
                break
            assert time.monotonic() < until_s, self.heard
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(ANSWER_WITHIN_S) == 0, self.heard

    def _hear(self, wanted: bytes) -> re.Match[bytes]:
        assert self.process.stderr is not None
        while not (found := re.search(wanted, self.heard)):
            ready = select.select([self.process.stderr], [], [], ANSWER_WITHIN_S)[0]
            assert ready, self.heard
            part = os.read(self.process.stderr.fileno(), 4096)
            assert part, self.heard
            self.heard += part
        return found

    def close(self) -> None:
        assert self.process.stderr is not None
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@contextmanager
def dumps(lab: Lab, folder: Path) -> Iterator[list[Dump]]:
    with ExitStack() as opened:
        found = []
        for host in lab.host_names:
            found.append(Dump(lab, host, folder / f"{host}.pcap"))
            opened.callback(found[-1].close)
        yield found


def frames_of(path: Path, host: str) -> list[Seen]:
    """The frames of a file as dpkt reads it."""
    with path.open("rb") as file:
        reader = (dpkt.pcapng if path.suffix == ".pcapng" else dpkt.pcap).Reader(file)
        return [
            Seen(round(time_s * 10**9), data[6:12] == MACS[host], data) for time_s, data in reader
        ]


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "delay 3ms",
        "delay 3ms; drop c>s data 3; drop s>c data 5; drop c>s ack 4",
        "delay 3ms; duplicate data 2,5 times 2; corrupt c>s data 4; reorder s>c data 7 by 2",
        "delay 3ms; mtu 900 after c>s data 5",
        "loss 5% seed 3; delay 5ms jitter 3ms unordered",
    ],
)
def test_export_at_a_host_is_what_its_own_tcpdump_saw(tmp_path: Path, wire: str) -> None:
    path = tmp_path / "lab.pcapng"
    with Lab(path=path, wire=wire) as lab, dumps(lab, tmp_path) as running:
        server = lab.start("server", programs.echo, actor="echo")
        lab.wait_listening("server", within_s=60)
        address = lab.address("server")
        client = lab.run("client", programs.say, address, MESSAGES, actor="say")
        lab.wait(server)
        assert (client.status, server.status) == (0, 0), client.stderr + server.stderr
        assert lab.settle()
        for dump in running:
            dump.finish()
    for dump in running:
        host = dump.path.stem
        out = tmp_path / f"{host}.pcapng"
        arguments = ("export", path, "--plain", "--at", host, "-o", out)
        assert run_netlab(tmp_path, *arguments).returncode == 0
        there, said = frames_of(dump.path, host), frames_of(out, host)
        assert len(there) >= 3 * MESSAGES
        assert differences(there, said) == []
        assert [frame.time_ns for frame in said] == sorted(frame.time_ns for frame in said)

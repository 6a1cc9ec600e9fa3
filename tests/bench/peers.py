"""Other programs that read captures, each from its package, and what is asked of them.

Those of PyPI are installed in an environment of their own under a temporary folder; one that is not
there, or cannot be installed, is left out of the table, by name.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_NFSTREAM = """
import sys
from nfstream import NFStreamer
if __name__ == "__main__":
    flows = NFStreamer(source=sys.argv[1], n_dissections=0, statistical_analysis=False)
    print(sum(1 for flow in flows))
"""
_DPKT = """
import sys, dpkt
found = 0
for _, data in dpkt.pcap.Reader(open(sys.argv[1], "rb")):
    packet = dpkt.ethernet.Ethernet(data).data
    segment = getattr(packet, "data", None)
    if isinstance(segment, dpkt.tcp.TCP):
        found += 1 if segment.seq >= 0 else 0
print(found)
"""
_SCAPY = """
import sys
from scapy.all import TCP, PcapReader
print(sum(1 for packet in PcapReader(sys.argv[1]) if TCP in packet and packet[TCP].seq >= 0))
"""
_PYSHARK = """
import sys, pyshark
with pyshark.FileCapture(sys.argv[1], keep_packets=False) as packets:
    print(sum(1 for packet in packets if "TCP" in packet and int(packet.tcp.seq) >= 0))
"""
SCRIPTS = {"nfstream": _NFSTREAM, "dpkt": _DPKT, "scapy": _SCAPY, "pyshark": _PYSHARK}


@dataclass(frozen=True, slots=True)
class Took:
    """A whole process: from start to exit."""

    wall_s: float
    cpu_s: float


def took(
    command: list[str], environment: dict[str, str] | None = None, into: Path = Path(os.devnull)
) -> Took:
    """Run a command to its end, its output into a new file. Raises CalledProcessError where it
    fails."""
    if into.is_file():  # to give an old one's pages back is nobody's work
        into.unlink()
    with into.open("wb") as out:
        begun = time.monotonic()
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Took(time.monotonic() - begun, _cpu_s(usage))


def _cpu_s(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


_PEAK = """
import sys
from netlab.__main__ import main
sys.argv = ["netlab", *sys.argv[1:]]
try:
    main()
finally:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""


def peak_bytes(*arguments: str) -> int:
    """The most memory that netlab had at a time."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *arguments], check=True, capture_output=True, text=True
    )
    return int(done.stderr.split()[-1]) << 10


def best(command: list[str], rounds: int, into: Path = Path(os.devnull)) -> Took:
    """The quickest of some, by processor time: others may use the machine."""
    return min((took(command, into=into) for _ in range(rounds)), key=lambda one: one.cpu_s)


def from_pypi(name: str, folder: Path) -> list[str] | None:
    """How to run a peer's script, with the file to be added; None: it cannot be installed."""
    home = folder / name
    python = home / "bin" / "python"
    script = folder / f"{name}_reads.py"
    script.write_text(SCRIPTS[name])
    try:
        subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", name], check=True, capture_output=True
        )
    except subprocess.CalledProcessError:
        return None
    return [str(python), str(script)]


def from_debian(*command: str) -> list[str] | None:
    """A command, the file to be added; None: it is not installed."""
    return list(command) if shutil.which(command[0]) else None


def machine_text() -> str:
    """The processor, how many of it, and how busy they are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    return f"{len(os.sched_getaffinity(0))} x {model}, load {load:.1f}, Python {sys.version[:6]}"

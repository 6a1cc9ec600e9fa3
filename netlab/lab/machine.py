"""What this machine allows, found by trying: each fact with a verdict and what would grant more.

Everything is tried in a short-lived child process, so nothing of the attempt stays; version numbers
are shown and never believed. Prints nothing. `netlab doctor` shows these facts.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from netlab.capture import ring
from netlab.capture.ring import PacketRing
from netlab.lab import itself, namespaces, sysctls
from netlab.model.errors import NetlabError
from netlab.model.frame import TCP_SEGMENTATION_OFFLOAD

_TRIAL_SECONDS = 20  # a child that hangs is ended by its own alarm
_LITTLE_DISK_BYTES = 1 << 30  # the spools of one recording may take this much
_NO_DISK_BYTES = 64 << 20
_PACKAGES = ("click>=8.1", "rich>=13.7", "scapy>=2.5", "dpkt>=1.9.8", "polars>=1.0")


class Verdict(StrEnum):
    """How far something goes on this machine."""

    OK = "ok"
    LIMITED = "limited"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that netlab needs or uses."""

    name: str
    verdict: Verdict
    text: str
    grant: str = ""  # the command that gives what is missing; empty when nothing is, or none does


@dataclass(frozen=True, slots=True)
class Machine:
    """All facts, and what follows for `netlab run`."""

    facts: tuple[Fact, ...]
    can_run: bool
    summary: str


@dataclass(slots=True)
class Trial:
    """What happened when a child made a lab, as `netlab run` does, and captured in it."""

    refused_step: str = ""  # empty: the namespaces were made
    refused_errno: int = 0
    own_user: bool = False
    settings_count: int = 0
    notes: list[str] = field(default_factory=list)
    capture_fault: str = ""  # empty: every packet of the trial was captured
    captured: int = 0
    ring_ms: float = 0.0
    once_by_option: bool = False  # PACKET_IGNORE_OUTGOING is there
    offload_marked: bool = False
    ipv6: bool = False


def examine(folder: Path) -> Machine:
    """Try everything; `folder` is where recordings would be written."""
    from netlab.lab.tracing.kernel_trial import try_kernel_witness
    from netlab.lab.tracing.trace_trial import trace_fact, try_strace

    trial = try_lab()
    here = capture_here()
    wired = () if trial.refused_step else (try_wire(),)
    strace, kernel = try_strace(), try_kernel_witness()
    facts = (
        _namespaces(trial),
        *_lab(trial),
        *wired,
        here,
        strace,
        kernel,
        trace_fact(here, strace, kernel),
        _buffers(),
        _tcp_settings(),
        _disk(folder),
        _python(),
        packages(_required()),
        _program("tshark", "lists recordings and checks netlab's verdicts"),
        _program("wireshark", "opens recordings"),
    )
    return conclude(
        facts,
        wire=any(fact.verdict is Verdict.OK for fact in wired),
        lab=not trial.refused_step and not trial.capture_fault,
        here=here.verdict is Verdict.OK,
    )


def conclude(facts: tuple[Fact, ...], *, wire: bool, lab: bool, here: bool) -> Machine:
    """What the facts mean for `netlab run`: on two hosts, on one, on this machine, or not."""
    broken = [fact.name for fact in facts if fact.name in ("python", "packages")
              and fact.verdict is Verdict.NO]  # fmt: skip
    if broken:
        return Machine(facts, False, f"netlab run cannot work: see {' and '.join(broken)}")
    if wire:
        return Machine(facts, True, "netlab run works, on two hosts with a wire between")
    if lab:
        summary = "netlab run works, but only on the loopback of one host: see hosts and wire"
        return Machine(facts, True, summary)
    if here:
        return Machine(facts, True, "netlab run works, but only on this machine's own loopback")
    return Machine(
        facts, False, "netlab run cannot work: no namespaces, and no right to capture without"
    )


def in_child(work: Callable[[], object]) -> bytes:
    """What a forked child's `work()` gives, as JSON; empty when the child did not live to say."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_TRIAL_SECONDS)
            answer = json.dumps(work()).encode()
            while answer:
                answer = answer[os.write(writer, answer) :]
            status = 0
        finally:
            os._exit(status)  # never back into the caller's program, whatever happened
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def try_lab() -> Trial:
    """Make the lab's namespaces in a child, set a host up, capture on its loopback."""
    answer = in_child(_try_namespaces)
    if not answer:
        return Trial(refused_step="trial process", refused_errno=0)
    return Trial(**json.loads(answer))


def _try_namespaces() -> dict[str, object]:
    try:
        own_user = namespaces.enter()
    except namespaces.Refused as refused:
        return asdict(Trial(refused_step=refused.step, refused_errno=refused.number))
    # The process namespace holds for children only: its first process is the next one forked.
    answer = in_child(_try_host)
    if not answer:
        return asdict(Trial(refused_step="first process of the lab"))
    found: dict[str, object] = json.loads(answer)
    found["own_user"] = own_user
    return found


def _try_host() -> dict[str, object]:
    trial = Trial()
    try:
        host = namespaces.set_up_host()
    except namespaces.Refused as refused:
        return asdict(Trial(refused_step=refused.step, refused_errno=refused.number))
    trial.settings_count = sum(s.wanted is not None and s.held for s in host.settings)
    trial.notes = list(host.notes)
    started = time.monotonic()
    try:
        opened = PacketRing.open("lo")
    except (NetlabError, OSError) as error:
        trial.capture_fault = str(error)
        return asdict(trial)
    trial.ring_ms = (time.monotonic() - started) * 1000
    with opened:
        trial.ipv6 = _answers(socket.AF_INET6, "::1")
        if not _answers(socket.AF_INET, "127.0.0.1"):
            trial.capture_fault = "TCP over loopback does not work"
        frames = opened.drain()
        counted = opened.statistics()
        trial.once_by_option = _has_option(opened.socket)
    trial.captured = len(frames)
    trial.offload_marked = any(flags & TCP_SEGMENTATION_OFFLOAD for _, _, _, flags in frames)
    if not trial.capture_fault and (not frames or counted.received != len(frames)):
        trial.capture_fault = f"{len(frames)} of {counted.received} packets came through the ring"
    return asdict(trial)


def _answers(family: socket.AddressFamily, address: str) -> bool:
    """Move 20 kB over one TCP connection in segments small enough to need offload."""
    try:
        with (
            socket.create_server((address, 0), family=family) as listener,
            socket.socket(family) as client,
        ):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                client.sendall(bytes(20_000))
                return len(server.recv(20_000, socket.MSG_WAITALL)) == 20_000
    except OSError:
        return False


def _has_option(sock: socket.socket) -> bool:
    try:
        sock.getsockopt(ring.SOL_PACKET, ring.PACKET_IGNORE_OUTGOING)
    except OSError:
        return False
    return True


def try_wire() -> Fact:
    """Whether two hosts with a wire between can be had, as `netlab run` and `netlab lab` do it."""
    from netlab.lab.trial import WireTrial, place_to_record, run_on_two_hosts

    with place_to_record() as folder:
        answer = in_child(lambda: asdict(run_on_two_hosts(folder)))
    trial = WireTrial(**json.loads(answer)) if answer else WireTrial("the trial did not end")
    if not trial.fault:
        text = f"all {trial.frames} frames of a trial carried, {trial.late_ns / 1e6:.1f} ms late"
        return Fact("hosts and wire", Verdict.OK, f"{text} at most")
    grant = _grant() if trial.refused else ""
    text = trial.fault if trial.refused or not trial.hint else f"{trial.fault}: {trial.hint}"
    return Fact("hosts and wire", Verdict.NO, f"{text}: no netlab lab, and no --wire", grant)


def capture_here() -> Fact:
    """Whether this process may capture on the interfaces of the network that it is in."""

    def attempt() -> str:
        try:
            PacketRing.open("lo", block_bytes=1 << 16, blocks=2).close()
        except (NetlabError, OSError) as error:
            return str(error)
        return ""

    fault = json.loads(in_child(attempt) or '"the trial process died"')
    if not fault:
        return Fact("own interfaces", Verdict.OK, "packets of this machine can be captured")
    grant = f"sudo setcap cap_net_raw+ep {os.path.realpath(sys.executable)}"
    text = "no right to capture on them: netlab.record keeps calls without packets"
    if "no right to capture" not in fault:
        text, grant = fault, ""
    return Fact("own interfaces", Verdict.LIMITED, text, grant)


def _namespaces(trial: Trial) -> Fact:
    if not trial.refused_step:
        how = "as an ordinary user" if trial.own_user else "as root"
        text = f"network, processes and mounts of its own, {how}"
        return Fact("namespaces", Verdict.OK, text)
    reason = os.strerror(trial.refused_errno) if trial.refused_errno else "the trial did not end"
    return Fact("namespaces", Verdict.NO, f"{trial.refused_step}: {reason.lower()}", _grant())


def _grant() -> str:
    """What lets a user have namespaces: all settings that stand in the way, not only the first."""
    grants = [f"{name}={on}" for name, off, on in namespaces.SWITCHES if sysctls.read(name) == off]
    return f"sudo sysctl -w {' '.join(grants)}" if grants else _rerun_as_root()


def _rerun_as_root() -> str:
    """No setting forbids it: a container's seccomp profile or a missing capability does."""
    if os.geteuid() != 0:
        return itself.as_root("doctor")
    return "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined"


def _lab(trial: Trial) -> list[Fact]:
    """What a lab's host can do; nothing to say where no namespaces were to be had."""
    if trial.refused_step:
        return []
    count = f"{trial.settings_count} TCP settings written and read back"
    verdict = Verdict.LIMITED if trial.notes else Verdict.OK
    facts = [Fact("lab host", verdict, "; ".join([count, *trial.notes]))]
    if trial.capture_fault:
        return [*facts, Fact("lab capture", Verdict.NO, trial.capture_fault)]
    size_mib = ring.BLOCK_BYTES * ring.BLOCKS >> 20
    text = (
        f"all {trial.captured} packets of a trial, ring of {size_mib} MiB in {trial.ring_ms:.0f} ms"
    )
    facts.append(Fact("lab capture", Verdict.OK, text))
    facts.append(_kernel(trial))
    if trial.ipv6:
        facts.append(Fact("IPv6", Verdict.OK, "answers on the lab's loopback"))
    else:
        facts.append(Fact("IPv6", Verdict.NO, "not on the lab's loopback: --ipv6 cannot be used"))
    return facts


def _kernel(trial: Trial) -> Fact:
    release = f"Linux {platform.release()}"
    lacks = []
    if not trial.once_by_option:
        lacks.append("loopback frames are told apart by a filter (before 4.20)")
    if not trial.offload_marked:
        lacks.append("segmentation offload is not marked (before 6.2)")
    if lacks:
        return Fact("kernel", Verdict.LIMITED, "; ".join([release, *lacks]))
    return Fact("kernel", Verdict.OK, f"{release}; marks direction and segmentation offload")


def _buffers() -> Fact:
    """The limits of SO_RCVBUF and SO_SNDBUF: the machine owner's, no lab can change them."""
    limits = {name: sysctls.read(f"net.core.{name}") for name in ("rmem_max", "wmem_max")}
    unseen = [name for name, value in limits.items() if value is None]
    if unseen:
        text = f"net.core.{' and '.join(unseen)} cannot be read"
        return Fact("socket buffers", Verdict.LIMITED, text)
    most = [f"{name} {int(value):,}" for name, value in limits.items() if value is not None]
    text = f"{', '.join(most)} bytes"
    return Fact("socket buffers", Verdict.OK, text)


def _tcp_settings() -> Fact:
    names = [name for name, _ in sysctls.BASELINE]
    unseen = [name for name in names if sysctls.read(name) is None]
    if unseen:
        text = f"{len(unseen)} of {len(names)} cannot be read: {', '.join(unseen)}"
        return Fact("TCP settings", Verdict.LIMITED, text)
    return Fact("TCP settings", Verdict.OK, f"all {len(names)} that a recording names can be read")


def _disk(folder: Path) -> Fact:
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        return Fact("disk", Verdict.NO, f"{folder}: {error.strerror}")
    text = f"{free_bytes / 1e9:,.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Fact("disk", Verdict.LIMITED, f"{text}, but not writable: use -o FILE")
    if free_bytes < _NO_DISK_BYTES:
        return Fact("disk", Verdict.NO, text)
    return Fact("disk", Verdict.LIMITED if free_bytes < _LITTLE_DISK_BYTES else Verdict.OK, text)


def _python() -> Fact:
    # That this file was compiled at all says that the version is new enough.
    where = os.path.realpath(sys.executable)
    return Fact("python", Verdict.OK, f"{platform.python_version()} ({where})")


def _required() -> tuple[str, ...]:
    """What the installed netlab asks for, extras left out; a bare checkout has no such list."""
    try:
        listed = metadata.requires("netlab") or []
    except metadata.PackageNotFoundError:
        return _PACKAGES
    return tuple(item for item in listed if ";" not in item) or _PACKAGES


def packages(required: tuple[str, ...]) -> Fact:
    """Whether the packages (`name>=bound`) are there and new enough."""
    present, missing = [], []
    for item in required:
        name, _, bound = item.partition(">=")
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(item)
            continue
        present.append(f"{name} {version}")
        if numbers(version) < numbers(bound):
            missing.append(item)
    text = ", ".join(present)
    if not missing:
        return Fact("packages", Verdict.OK, text)
    quoted = " ".join(f"'{item}'" for item in missing)
    return Fact("packages", Verdict.NO, f"missing or too old: {', '.join(missing)}; have {text}",
                f"{sys.executable} -m pip install {quoted}")  # fmt: skip


def numbers(version: str) -> tuple[int, ...]:
    """A version's leading numbers, for comparing: "1.9.8" is (1, 9, 8), "2.5rc1" is (2, 5)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _program(name: str, use: str) -> Fact:
    """A program of others that recordings are made for; netlab works without."""
    where = shutil.which(name)
    if where is None:
        grant = f"sudo apt-get install {name}"
        return Fact(name, Verdict.LIMITED, f"not found; {use}", grant)
    try:
        answer = subprocess.run([where, "--version"], capture_output=True, text=True,
                                errors="replace", timeout=10, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return Fact(name, Verdict.LIMITED, f"{where} does not answer: {error}")
    version = re.search(r"\d+\.\d+(\.\d+)?", answer.stdout)
    return Fact(name, Verdict.OK, f"{version[0] if version else 'version unknown'} ({where})")

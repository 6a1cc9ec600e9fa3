"""What the kernel and the mode make of the options: values that were asked for to values that hold.

`effective` is pure: the facts about the machine are handed to it; `facts_of_this_machine` reads
them. Read first: man 2 listen, man 7 socket (SO_RCVBUF is doubled), man 7 tcp.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netlab.server.settings.option_table import OPTIONS, Options
from netlab.server.settings.option_text import value_text
from netlab.server.settings.options import FRAMING_OF
from netlab.server.terms import (
    SESSION_SLOTS,
    SIDE_BY_SIDE,
    SPARE_WORKERS,
    DispatchKind,
    Mode,
    PollerKind,
)

OWN_DESCRIPTORS: Final = 64  # for listeners, pollers, channels, log files
SELECT_DESCRIPTORS: Final = 1024  # FD_SETSIZE: select takes no descriptor from this number on
_FASTOPEN_SERVER_BIT: Final = 2
_LEAST_RCVBUF_BYTES: Final = 2304  # Linux, SOCK_MIN_RCVBUF on 64 bits
_LEAST_SNDBUF_BYTES: Final = 4608  # SOCK_MIN_SNDBUF
_NOT_USED: Final = "not used"


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """Limits of this process and this network namespace; None is not known."""

    somaxconn: int | None
    descriptors: int  # RLIMIT_NOFILE, the soft limit
    descriptors_hard: int
    rmem_max: int | None
    wmem_max: int | None
    fastopen: int | None  # the bits of net.ipv4.tcp_fastopen
    cpus: int


@dataclass(frozen=True, slots=True)
class EffectiveRow:
    """One option as asked and as it holds, in the words of users; `why` when they differ."""

    name: str
    asked: str
    effective: str
    why: str = ""


Outcome = tuple[object, str]  # what holds, and why


def effective(options: Options, facts: KernelFacts) -> list[EffectiveRow]:
    """A row for every option, in the order of the table, and the limits they depend on."""
    rows = [
        EffectiveRow(
            "RLIMIT_NOFILE", "", str(facts.descriptors), f"hard: {facts.descriptors_hard}"
        ),
        EffectiveRow("net.core.somaxconn", "", value_text(facts.somaxconn)),
    ]
    for option in OPTIONS:
        value = getattr(options, option.name)
        given = option.name in options.given
        holds, why = _outcome(option.name, options, facts)
        if not why and option.derived and not given:
            why = option.derived
        rows.append(
            EffectiveRow(
                option.name, value_text(value) if given else "default", value_text(holds), why
            )
        )
    return rows


def connection_limit(options: Options, facts: KernelFacts) -> tuple[int, str]:
    """How many connections one process can have open, and what limits them below what was asked."""
    limit, why = options.max_connections, ""
    room = facts.descriptors - OWN_DESCRIPTORS
    if room < limit:
        limit = max(1, room)
        why = (
            f"RLIMIT_NOFILE is {facts.descriptors}, {OWN_DESCRIPTORS} of them for the server itself"
        )
    room = SELECT_DESCRIPTORS - OWN_DESCRIPTORS
    if options.poller is PollerKind.SELECT and options.mode is not Mode.THREADS and room < limit:
        limit = room
        why = f"select takes no descriptor from {SELECT_DESCRIPTORS} on; poll and epoll do"
    if options.mode is Mode.BASE:
        sharers = SIDE_BY_SIDE * (options.workers + SPARE_WORKERS)
        if limit * sharers > SESSION_SLOTS:
            limit = SESSION_SLOTS // sharers
            why = f"{SESSION_SLOTS} session numbers, in {sharers} shares: each worker and its heir"
    return limit, why


def facts_of_this_machine(sysctls: Path = Path("/proc/sys")) -> KernelFacts:
    """The facts as they are now, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return KernelFacts(
        somaxconn=_sysctl(sysctls / "net/core/somaxconn"),
        descriptors=soft,
        descriptors_hard=hard,
        rmem_max=_sysctl(sysctls / "net/core/rmem_max"),
        wmem_max=_sysctl(sysctls / "net/core/wmem_max"),
        fastopen=_sysctl(sysctls / "net/ipv4/tcp_fastopen"),
        cpus=len(os.sched_getaffinity(0)),
    )


def _sysctl(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not in every namespace, nor in every sandbox
        return None


def _outcome(name: str, options: Options, facts: KernelFacts) -> Outcome:
    for rule in (_unused_by_mode, _unused_by_another):
        why = rule(name, options)
        if why:
            return _NOT_USED, why
    special = _RULES.get(name)
    return special(options, facts) if special else (getattr(options, name), "")


_OF_WORKERS: Final = frozenset(
    {"workers", "tasks", "ipc", "max_requests", "max_requests_jitter"}
    | {"task_max_requests", "memory_limit", "boot_fail_limit"}
)
_OF_DISPATCH: Final = frozenset({"reactors", "dispatch", "dispatch_func", "input_limit"})


def _unused_by_mode(name: str, options: Options) -> str:
    mode = options.mode
    alone = mode in (Mode.SINGLE, Mode.THREADS)
    if (alone and name in _OF_WORKERS) or (mode is not Mode.PROCESS and name in _OF_DISPATCH):
        return f"mode is {mode}"
    if mode is Mode.THREADS and name == "poller":
        return "mode is threads: each waits in its own call"
    return ""


def _unused_by_another(name: str, options: Options) -> str:
    belongs_to = FRAMING_OF.get(name)
    if belongs_to is not None and belongs_to is not options.framing:
        return f"framing is {options.framing}"
    if name.startswith("keepalive_") and not options.keepalive:
        return "keepalive is off"
    if name == "max_requests_jitter" and not options.max_requests:
        return "max_requests is off"
    if name == "task_max_requests" and not options.tasks:
        return "there are no task workers"
    if name == "low_watermark" and not options.high_watermark:
        return "high_watermark is off"
    if name == "dispatch_func" and options.dispatch is not DispatchKind.FUNCTION:
        return f"dispatch is {options.dispatch}"
    return ""


def _workers(options: Options, facts: KernelFacts) -> Outcome:
    many = options.workers > facts.cpus
    return options.workers, f"this machine has {facts.cpus} CPUs" if many else ""


def _reactors(options: Options, facts: KernelFacts) -> Outcome:
    several = options.reactors > 1
    return options.reactors, "the GIL lets one of them run Python at a time" if several else ""


def _dispatch(options: Options, facts: KernelFacts) -> Outcome:
    if not options.dispatch.keeps_order:
        return options.dispatch, "the messages of one session may go to several workers"
    return options.dispatch, ""


def _framing(options: Options, facts: KernelFacts) -> Outcome:
    if "framing" in options.given:
        return options.framing, ""
    parts = sorted(name for name in options.given if name in FRAMING_OF)
    return options.framing, f"follows from {', '.join(parts)}" if parts else ""


def _backlog(options: Options, facts: KernelFacts) -> Outcome:
    if facts.somaxconn is not None and options.backlog > facts.somaxconn:
        return facts.somaxconn, "net.core.somaxconn"
    return options.backlog, ""


def _defer_accept(options: Options, facts: KernelFacts) -> Outcome:
    held_s = deferred_s(options.defer_accept)
    differs = held_s != options.defer_accept
    return held_s, "the kernel counts repeated SYN-ACKs, 1, 2, 4... s apart" if differs else ""


def deferred_s(asked_s: int) -> int:
    """What TCP_DEFER_ACCEPT makes of a number of seconds (Linux, secs_to_retrans)."""
    if not asked_s:
        return 0
    wait_s = held_s = 1
    while held_s < asked_s:
        wait_s = min(2 * wait_s, 120)
        held_s += wait_s
    return held_s


def _fastopen(options: Options, facts: KernelFacts) -> Outcome:
    if not options.fastopen:
        return 0, ""
    if facts.fastopen is not None and not facts.fastopen & _FASTOPEN_SERVER_BIT:
        return 0, f"net.ipv4.tcp_fastopen is {facts.fastopen}, without the server's bit 2"
    if facts.somaxconn is not None and options.fastopen > facts.somaxconn:
        return facts.somaxconn, "net.core.somaxconn"
    return options.fastopen, ""


def _keepalive(options: Options, facts: KernelFacts) -> Outcome:
    both = options.keepalive and options.user_timeout
    why = f"user_timeout of {options.user_timeout:g} s decides, not keepalive_count" if both else ""
    return options.keepalive, why


def _cork(options: Options, facts: KernelFacts) -> Outcome:
    both = options.cork and options.nodelay
    return options.cork, "while set it counts for more than nodelay" if both else ""


def _rcvbuf(options: Options, facts: KernelFacts) -> Outcome:
    return _buffer(options.rcvbuf, facts.rmem_max, _LEAST_RCVBUF_BYTES, "net.core.rmem_max")


def _sndbuf(options: Options, facts: KernelFacts) -> Outcome:
    return _buffer(options.sndbuf, facts.wmem_max, _LEAST_SNDBUF_BYTES, "net.core.wmem_max")


def _buffer(asked: int, most: int | None, least: int, limit_name: str) -> Outcome:
    if not asked:
        return 0, "the kernel adapts it"
    if most is not None and asked > most:
        return max(2 * most, least), f"{limit_name} is {most}, and the kernel doubles"
    if 2 * asked < least:
        return least, "the kernel's least"
    return 2 * asked, "the kernel doubles it, for its own records"


_RULES: Final[dict[str, Callable[[Options, KernelFacts], Outcome]]] = {
    "workers": _workers,
    "reactors": _reactors,
    "dispatch": _dispatch,
    "framing": _framing,
    "backlog": _backlog,
    "max_connections": connection_limit,
    "defer_accept": _defer_accept,
    "fastopen": _fastopen,
    "keepalive": _keepalive,
    "cork": _cork,
    "rcvbuf": _rcvbuf,
    "sndbuf": _sndbuf,
}

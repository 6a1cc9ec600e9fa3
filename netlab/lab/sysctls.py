"""The lab's baseline: TCP settings of a host, each with Debian's value, written and read back.

A host starts from these and not from the machine's own, so that a recording means the same on
every machine. What could not be written is reported with the value that holds instead; what only
the machine's owner can set is read, so that a recording says it. Read
Documentation/networking/ip-sysctl.rst of the kernel.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

CONGESTION_CONTROL, CUBIC = "net.ipv4.tcp_congestion_control", "cubic"
# Names that a host may have of its own; none leads out of /proc/sys/net.
NAME = re.compile(r"net(\.[A-Za-z0-9_-]+)+")

# Written in the namespace in which the host's own is made: its sockets then get a small hash of
# their own, and a dump of them walks 256 buckets, not the machine's 262,144.
BEFORE_HOST = (("net.ipv4.tcp_child_ehash_entries", "256"),)

BASELINE = (
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ip_local_port_range", "32768 60999"),
    (CONGESTION_CONTROL, CUBIC),
    ("net.ipv4.tcp_rmem", "4096 131072 6291456"),
    ("net.ipv4.tcp_wmem", "4096 16384 4194304"),
    ("net.ipv4.tcp_moderate_rcvbuf", "1"),
    ("net.ipv4.tcp_window_scaling", "1"),
    ("net.ipv4.tcp_timestamps", "1"),
    ("net.ipv4.tcp_sack", "1"),
    ("net.ipv4.tcp_dsack", "1"),
    ("net.ipv4.tcp_ecn", "2"),
    ("net.ipv4.tcp_slow_start_after_idle", "1"),
    ("net.ipv4.tcp_mtu_probing", "0"),
    ("net.ipv4.tcp_no_metrics_save", "0"),
    ("net.ipv4.tcp_autocorking", "1"),
    ("net.ipv4.tcp_fastopen", "1"),
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv4.tcp_syn_retries", "6"),
    ("net.ipv4.tcp_synack_retries", "5"),
    ("net.ipv4.tcp_retries1", "3"),
    ("net.ipv4.tcp_retries2", "15"),
    ("net.ipv4.tcp_orphan_retries", "0"),
    ("net.ipv4.tcp_fin_timeout", "60"),
    ("net.ipv4.tcp_keepalive_time", "7200"),
    ("net.ipv4.tcp_keepalive_intvl", "75"),
    ("net.ipv4.tcp_keepalive_probes", "9"),
)

# Read only: set by the machine's owner, or not per network namespace, or (those of recovery) a new
# namespace has the kernel's own values and older kernels lack some.
FACTS = (
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.core.somaxconn",
    "net.ipv4.tcp_available_congestion_control",
    "net.ipv4.tcp_syn_linear_timeouts",
    "net.ipv4.tcp_rto_min_us",
    "net.ipv4.tcp_early_retrans",
    "net.ipv4.tcp_recovery",
    "net.ipv4.tcp_reordering",
    "net.ipv4.tcp_frto",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One sysctl: what was wanted (None: only read) and what holds (None: not there)."""

    name: str
    wanted: str | None
    value: str | None

    @property
    def held(self) -> bool:
        return self.wanted is None or self.wanted == self.value


def path_of(name: str) -> str:
    """Where the kernel shows a sysctl. Names with dots inside a part do not occur here."""
    return "/proc/sys/" + name.replace(".", "/")


def read(name: str) -> str | None:
    """A sysctl's value with single blanks; None where this kernel or this namespace has none."""
    try:
        with open(path_of(name), encoding="ascii", errors="replace") as file:
            return " ".join(file.read().split())
    except OSError:
        return None


def write(name: str, value: str) -> Setting:
    """Write a sysctl and read it back: only the reading says what holds."""
    try:
        # One write(2), so that its error is raised here and not lost when a buffer is flushed.
        descriptor = os.open(path_of(name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError:
        pass  # the value read back tells
    return Setting(name, value, read(name))


def write_all(wanted: tuple[tuple[str, str], ...]) -> list[Setting]:
    """Write several; those that this kernel does not have are left out."""
    return [write(name, value) for name, value in wanted if read(name) is not None]


def read_all(names: tuple[str, ...]) -> list[Setting]:
    """Read several; those that cannot be seen are left out."""
    settings = [Setting(name, None, read(name)) for name in names]
    return [setting for setting in settings if setting.value is not None]

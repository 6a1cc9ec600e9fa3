"""What a host sees under /etc, /sys and /proc: its own names, its own links.

Runs inside the host's network and mount namespaces. What cannot be had becomes a note, and the
host does without. Read man 7 mount_namespaces, man 5 hosts, man 5 resolv.conf.
"""

from __future__ import annotations

import os

from netlab.lab.network.plan import Plan
from netlab.lab.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    detach,
    mount,
)

_PLAIN = MS_NOSUID | MS_NODEV | MS_NOEXEC
_STORE = "/proc"  # a folder that every machine has, borrowed while nobody looks
_NAME_CACHE = "/run/nscd"  # its daemon would answer with the machine's names


def hosts_file(plan: Plan, *, both: bool) -> str:
    """The names of the lab: with IPv4, and with IPv6 too (`both`) or as `server-ipv6` alone."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{host.ipv4.ip} {host.name}" for host in plan.hosts]
    for host in plan.hosts:
        alone = f"{host.name}-ipv6"
        names = (alone, host.name) if both else (alone,)
        lines.append(f"{host.ipv6.ip} {' '.join(names)}")
    return "\n".join(lines) + "\n"


# Without it the C library tries IPv6 first, and a server that has IPv4 alone costs each connection
# a SYN and a RST before it begins.
_PREFERENCES = "/etc/gai.conf"
GAI_CONF = "# IPv4 first\nprecedence ::ffff:0:0/96 100\n"
# Nobody answers there, and the kernel says so at once: no program waits for a name server.
RESOLV_CONF = "# no name server in this lab: see /etc/hosts\nnameserver 127.0.0.1\n"


def furnish(plan: Plan) -> list[str]:
    """Give this host its files and its /sys. Returns notes on what could not be had."""
    notes = []
    both = os.path.exists(_PREFERENCES)
    files = {"/etc/hosts": hosts_file(plan, both=both), "/etc/resolv.conf": RESOLV_CONF}
    if both:
        files[_PREFERENCES] = GAI_CONF
    try:
        notes += _bind_files(files)
    except OSError as error:
        names = " and ".join(files)
        notes.append(f"programs see the machine's {names} ({error.strerror})")
    try:
        mount("sysfs", "/sys", "sysfs", _PLAIN)
    except OSError as error:
        # Refused where parts of /sys are covered, as in most containers.
        notes.append(f"programs see the machine's /sys, not their own ({error.strerror})")
    if os.path.isdir(_NAME_CACHE):
        try:
            mount("tmpfs", _NAME_CACHE, "tmpfs", _PLAIN)
        except OSError as error:
            notes.append(f"nscd may answer with the machine's names ({error.strerror})")
    return notes


def _bind_files(files: dict[str, str]) -> list[str]:
    """Put each text in the place of a file, from a file system in memory that has no other name."""
    notes = []
    mount("tmpfs", _STORE, "tmpfs", _PLAIN)
    try:
        for place, text in files.items():
            path = f"{_STORE}/{os.path.basename(place)}"
            with open(path, "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(text)
            try:
                mount(path, place, None, MS_BIND)
            except OSError as error:
                notes.append(f"programs see no {place} of their own ({error.strerror})")
    finally:
        detach(_STORE)
    return notes

"""Takes a freshly started process into the lab's own namespaces, and sets up a host inside.

One user namespace owns the rest (none as root): mounts, processes, network. The caller's uid and
gid map to themselves. Runs only in the lab's helper, which has one thread; knows nothing of
programs or recordings. Read man 7 user_namespaces, man 7 pid_namespaces, man 7 network_namespaces.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netlab.lab import sysctls
from netlab.lab.network import links, routes
from netlab.lab.syscalls import (
    CAP_NET_RAW,
    CAP_SYS_ADMIN,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    has_capability,
    mount,
    unshare,
)

SWITCHES = (  # setting, the value that forbids namespaces, the one that allows them
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
    ("user.max_net_namespaces", "0", "10000"),
    ("user.max_mnt_namespaces", "0", "10000"),
    ("user.max_pid_namespaces", "0", "10000"),
    ("user.max_uts_namespaces", "0", "10000"),
)


class Refused(Exception):
    """This machine does not give us namespaces: at which step, and the kernel's errno."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step = step
        self.number = number


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host as it was set up: settings as read back, and what did not go as wanted."""

    settings: tuple[sysctls.Setting, ...]
    notes: tuple[str, ...]
    on_routes: str = ""  # the congestion control that the routes carry; empty: the sysctl holds


@contextmanager
def step(name: str) -> Iterator[None]:
    """What fails inside is a refusal of this step."""
    try:
        yield
    except OSError as error:
        raise Refused(name, error.errno or errno.EPERM) from error


def enter_user() -> bool:
    """Enter the user namespace that owns the rest; True: there is one.

    Raises Refused; the process is then spoilt for anything but saying so.
    """
    own_user = not has_capability(CAP_SYS_ADMIN)
    if own_user:
        uid, gid = os.geteuid(), os.getegid()
        with step("user namespace"):
            unshare(CLONE_NEWUSER)
        with step("mapping of user and group"):
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
    return own_user


def enter_others() -> None:
    """Enter the namespaces for network, mounts and processes, where all forked from now on live.

    Raises Refused, as `enter_user`.
    """
    with step("network namespace"):
        unshare(CLONE_NEWNET)
    with step("mount and process namespaces"):
        unshare(CLONE_NEWNS | CLONE_NEWPID)
        mount("none", "/", None, MS_REC | MS_PRIVATE)
    # A host takes the size of its socket hash from the namespace it is made in: so make one,
    # set it there, and make the host's.
    sysctls.write_all(sysctls.BEFORE_HOST)
    with step("network namespace"):
        unshare(CLONE_NEWNET)


def enter() -> bool:
    """Enter all namespaces; True: with a user namespace. Raises Refused."""
    own_user = enter_user()
    enter_others()
    return own_user


def set_up_host() -> HostFacts:
    """In the first process of the new process namespace: /proc, loopback and the baseline."""
    notes = mount_proc()
    with step("loopback interface"):
        links.bring_up("lo")
    facts = set_baseline(sysctls.CUBIC)
    return HostFacts(facts.settings, (*notes, *facts.notes), facts.on_routes)


def mount_proc() -> tuple[str, ...]:
    """Show the processes of this process namespace under /proc; where that is refused, a note."""
    try:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError as error:
        # Refused where parts of /proc are covered, as in most containers.
        return (f"programs see the machine's /proc, not their own ({error.strerror})",)
    return ()


def set_baseline(congestion_control: str) -> HostFacts:
    """Write the baseline in the network namespace that this process is in, and read it back."""
    notes = []
    wanted = {**dict(sysctls.BASELINE), sysctls.CONGESTION_CONTROL: congestion_control}
    settings = sysctls.write_all(tuple(wanted.items()))
    by_name = {setting.name: setting for setting in settings}
    congestion = by_name.get(sysctls.CONGESTION_CONTROL)
    on_routes = ""
    if congestion is not None and not congestion.held:
        # Outside the machine's first network namespace only "allowed" algorithms can be set so.
        del by_name[congestion.name]
        try:
            routes.set_loopback_congestion_control(congestion_control)
            settings.append(sysctls.Setting("routes: congctl", None, congestion_control))
            on_routes = congestion_control
        except OSError as error:
            notes.append(
                f"congestion control is {congestion.value}, not {congestion_control} "
                f"({error.strerror})"
            )
    notes += [
        f"{setting.name} is {setting.value}, not {setting.wanted}: writing it did not take"
        for setting in by_name.values()
        if not setting.held
    ]
    hash_bucket_count = sysctls.read_all(("net.ipv4.tcp_ehash_entries",))
    facts = sysctls.read_all(sysctls.FACTS)
    return HostFacts((*settings, *hash_bucket_count, *facts), tuple(notes), on_routes)


def may_capture() -> bool:
    """Whether this process may open a packet socket in the namespace it is in."""
    return has_capability(CAP_NET_RAW)


def why_refused(refused_step: str, number: int) -> str:
    """What to do about a refusal, in words: the setting of this machine that stands in the way."""
    for name, off, on in SWITCHES:
        if sysctls.read(name) == off:
            return f"have the owner of this machine run: sysctl {name}={on} (see netlab doctor)"
    if number == errno.ENOSPC:
        return f"the limit of namespaces is reached at the {refused_step} (see netlab doctor)"
    return (
        "run netlab as root, or, in a container, start it with CAP_SYS_ADMIN and CAP_NET_ADMIN "
        "(see netlab doctor)"
    )


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

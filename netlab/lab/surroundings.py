"""Where and as whom a run takes place: namespaces or the machine's loopback, and which user.

Turns what the machine allows into a `Lab`, the notes that a reader of the recording must know, and
the recording's description.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import netlab
from netlab.capture.ownership import caller
from netlab.lab.hosts import House, User
from netlab.lab.namespaces import Refused, why_refused
from netlab.lab.recorder import stamps_witness
from netlab.lab.syscalls import CAP_SYS_ADMIN, has_capability
from netlab.model.errors import PrivilegeError, UsageError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host

if TYPE_CHECKING:
    from netlab.lab.options import RunOptions

Notes = tuple[str, ...]


def choose_user(name: str | None) -> tuple[User | None, Notes]:
    """Who the programs are: as root `name`, else who called sudo; everyone else: themselves (None).

    Raises UsageError for a name that is not there, or that only root could take.
    """
    if os.geteuid() != 0:
        if name is not None and name != _own_name():
            raise UsageError("only root may run programs as another user", "leave --user out")
        return None, ()
    name = name or os.environ.get("SUDO_USER") or "root"
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"there is no user {name}", "name another with --user") from None
    if entry.pw_uid == 0:
        return None, ("programs ran as root, with all its rights (choose a user with --user)",)
    if not has_capability(CAP_SYS_ADMIN):
        return None, (f"programs ran as root: this root cannot become {name}",)
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return User(name, entry.pw_uid, entry.pw_gid, groups), ()


def open_loopback(
    port: int, user: User | None, no_lab: Refused | None = None
) -> tuple[House, Notes]:
    """A loopback of its own; where namespaces are refused, this machine's, with a note.

    `no_lab`: why there are no two hosts with a wire, if they were wanted; a note says that too.
    Raises PrivilegeError when neither is allowed.
    """
    try:
        lab = House.open(own=True, user=user)
    except Refused as refused:
        try:
            lab = House.open(own=False, ports=[port], user=user)
        except (Refused, PrivilegeError):
            raise PrivilegeError(
                f"this machine allows neither namespaces ({refused}) nor packet capture",
                why_refused(refused.step, refused.number),
            ) from None
        return lab, (
            f"no namespaces here ({refused}): this ran on the machine's own loopback, with the "
            f"machine's own settings, and only port {port} was captured",
        )
    if no_lab is not None:
        why = f"no two hosts with a wire here ({no_lab}): this ran on one host, over its loopback"
        return lab, (why, *lab.notes)
    return lab, lab.notes


def become_caller() -> None:
    """Under sudo, be from now on who called it: what needed root is open, the rest needs none.

    For good: this process cannot be root again.
    """
    found = caller()
    if found is None or found[0] == 0:
        return
    uid, gid = found
    try:
        entry = pwd.getpwuid(uid)
        gid = entry.pw_gid if gid < 0 else gid
        groups = os.getgrouplist(entry.pw_name, gid)
    except KeyError:
        groups = [gid] if gid >= 0 else []
    os.setgroups(groups)
    if gid >= 0:
        os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def describe(options: RunOptions, lab: House, notes: Notes) -> tuple[Description, Interface]:
    """What the recording says of itself, and the interface that it captures."""
    from netlab.capture.bpf import SNAPLEN_BYTES

    host = Host("localhost", os.uname().release, lab.settings)
    queues = {
        "calls": "queue lengths around each call",
        "events": "queue lengths when a call would block and at close",
        "off": "no queue lengths",
    }[options.queues]
    witnesses = (
        "packets: a TPACKET_V3 ring on lo, each frame as it arrives",
        f"calls: the probe in server and client, {queues}"
        + (", TCP_INFO around each call" if options.tcp_info else ""),
        *stamps_witness(bool(options.stamps), options.stamped_text),
    )
    description = Description(
        netlab_version=netlab.__version__,
        title=options.title,
        hosts=(host,),
        witnesses=witnesses,
        notes=notes,
    )
    return description, Interface("lo", LINK_ETHERNET, SNAPLEN_BYTES)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())

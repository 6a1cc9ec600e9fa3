"""What a program of a lab is started with: a command or a function, as whom, where, seeing what.

Turns what the caller says into `Orders`. Starts nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import netlab
from netlab.capture.probe.stamps import StampsOf, stamps_text
from netlab.lab.become import Orders
from netlab.lab.function_program import call_from
from netlab.lab.hosts import User, hint_about_us, python_arguments
from netlab.model.errors import UsageError

Command = Sequence[str] | Callable[..., object]


@dataclass(frozen=True, slots=True)
class Watching:
    """How the calls of programs that use the probe, and the hosts' sockets, are recorded."""

    queues: str = "calls"
    tcp_info: bool = False
    spool_limit_bytes: int = 1 << 30
    stamps: StampsOf = False  # of which connections the kernel stamps what leaves
    sample_every_ns: int = 0  # how often all sockets of the hosts are looked at; 0: never

    def environment(self, actor: str, host: str, spools: Path) -> dict[str, str]:
        """The variables that the probe reads."""
        return {
            "NETLAB_SPOOL": str(spools),
            "NETLAB_ACTOR": actor,
            "NETLAB_HOST": host,
            "NETLAB_QUEUES": self.queues,
            "NETLAB_TCP_INFO": "1" if self.tcp_info else "",
            "NETLAB_STAMPS": stamps_text(self.stamps),
            "NETLAB_SPOOL_LIMIT": str(self.spool_limit_bytes),
        }


def orders_for(
    command: Command,
    arguments: tuple[object, ...],
    *,
    env: Mapping[str, str],
    fd_names: Sequence[str],
    user: User | None,
    as_root: bool,
    foreground: bool = False,
    ignore: Sequence[int] = (),
    keep: Sequence[int] = (),
) -> Orders:
    """How to start a command (words) or a function (with arguments) in our working directory.

    Raises UsageError for a program that is not there, and for a function that cannot be found
    from elsewhere.
    """
    environment = {**os.environ, **env}
    readable: list[str] = []
    if callable(command):
        call = call_from(command, arguments)
        argv = python_arguments("netlab.lab.function_program", call.as_json(), isolated=False)
        files = [sys.executable]
        readable = [str(Path(netlab.__file__).resolve())]
        hint = hint_about_us()
    else:
        argv = list(command)
        files = program_files(argv, environment.get("PATH", os.defpath))
        hint = "see that it can be executed"
        if user is not None:
            hint = f"name a file that {user.name} may execute, or choose another user with --user"
    if user is not None:
        home = os.path.expanduser(f"~{user.name}")
        environment |= {"HOME": home, "USER": user.name, "LOGNAME": user.name}
    return Orders(
        argv=argv,
        env=environment,
        files=files,
        fd_names=list(fd_names),
        user=[user.uid, user.gid, *user.groups] if user is not None else None,
        drop=user is not None or not as_root,
        readable=readable,
        cwd=os.getcwd(),
        foreground=foreground,
        ignore=list(ignore),
        keep=list(keep),
        hint=hint,
    )


def set_id_note(orders: Orders) -> str:
    """What to know of a program that would be somebody else outside; nothing of most."""
    if not orders.files or not orders.drop:
        return ""
    try:
        mode = os.stat(os.path.join(orders.cwd, orders.files[0])).st_mode
    except OSError:
        return ""  # it will not start either
    if not mode & (stat.S_ISUID | stat.S_ISGID):
        return ""
    return f"{orders.argv[0]} is set-uid or set-gid: in a lab it gets no more rights by that"


def program_files(argv: Sequence[str], path: str) -> list[str]:
    """The files that a command's first word may mean, in the order of PATH. Raises UsageError when
    there is none.

    Several, since whoever the program is to be may be unable to execute what we can: root's PATH
    often begins in root's own folder.
    """
    if not argv:
        raise UsageError("a command without words", "name a program")
    folders = [""] if "/" in argv[0] else list(dict.fromkeys(path.split(os.pathsep)))
    found = [
        file for folder in folders if (file := shutil.which(argv[0], path=folder or os.curdir))
    ]
    if not found:
        where = "that can be executed" if "/" in argv[0] else "in PATH"
        raise UsageError(f"there is no program {argv[0]} {where}", "install it or name another")
    return found

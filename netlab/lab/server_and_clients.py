"""A server and clients of anybody, each on a host of its own, run once: what `netlab lab` does.

The server is waited for until it listens, the clients have the caller's terminal, the server may
finish what it has begun and is stopped. Prints nothing; `on_open` is told what a user can do while
the lab stands. Read `experiment` for what it is told with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netlab.capture.layout import JOURNAL_LIMIT
from netlab.lab.actor import Program
from netlab.lab.company import how_ended
from netlab.lab.experiment import LISTEN_WITHIN_S, Lab
from netlab.lab.network.plan import SERVER, host_names
from netlab.lab.starting import program_files
from netlab.model.errors import CheckFailed, NetlabError, UsageError

if TYPE_CHECKING:
    from netlab.lab.finish import Finished
    from netlab.lab.wire.rules import Rule

_RESIDENT = ("sleep", "infinity")  # who is on a host so that it can be entered


@dataclass(frozen=True, slots=True)
class LabOptions:
    """What runs where, what is between, and where the recording goes."""

    path: Path
    server: Sequence[str] = ()  # words; none: nobody serves
    clients: Sequence[Sequence[str]] = ()  # one for all client hosts, or one each
    hosts: int = 0  # how many; 0: as many as there are clients, and the server
    shell: str = ""  # the host on which a shell is opened in place of clients
    shell_command: Sequence[str] = ()
    wire: Sequence[Rule] = ()
    sysctls: Sequence[tuple[str, str, str]] = ()  # host, name, value
    listen_within_s: float = LISTEN_WITHIN_S
    user: str | None = None
    witness: str = "auto"  # of the programs' calls: auto, strace, kernel, both, none
    journal_limit: int = JOURNAL_LIMIT
    sample_every_ns: int = 0
    title: str = "netlab lab"

    @property
    def host_names(self) -> tuple[str, ...]:
        return host_names(self.hosts or max(2, len(self.clients) + 1))

    def check(self) -> None:
        """Raises UsageError where the parts do not fit each other."""
        client_hosts = [name for name in self.host_names if name != SERVER]
        if self.clients and self.shell:
            raise UsageError("a shell takes the client's place", "give --client or --shell")
        if len(self.clients) > 1 and len(self.clients) != len(client_hosts):
            hosts = "1 host" if len(client_hosts) == 1 else f"{len(client_hosts)} hosts"
            raise UsageError(
                f"{len(self.clients)} clients on {hosts}",
                "give one --client for all of them, or one for each",
            )
        if self.shell and self.shell not in self.host_names:
            raise UsageError(f"there is no host {self.shell!r}", f"{', '.join(self.host_names)}")
        path = os.environ.get("PATH", os.defpath)
        for words in (self.server, *self.clients, self.shell_command if self.shell else ()):
            if words:
                program_files(words, path)


@dataclass(frozen=True, slots=True)
class Standing:
    """A lab that stands until it is interrupted: whom to enter, by the pids of the machine."""

    pids: Mapping[str, int]  # of a process on each host
    listening: tuple[str, ...]


@dataclass(slots=True)
class LabResult:
    """What came of it."""

    path: Path
    exit_code: int = 0  # the clients': the first that is not 0
    finished: Finished | None = None
    notes: tuple[str, ...] = ()
    interrupted: int | None = None
    complaints: list[str] = field(default_factory=list)  # what the user should hear


def run_lab(options: LabOptions, on_open: Callable[[Standing], None] = lambda _: None) -> LabResult:
    """Carry it out. Interrupted, it finishes what it has and says so in the result.

    Raises UsageError or PrivilegeError when it could not begin (nothing is left then), CheckFailed
    when the server did not come to listen or the lab broke; what was recorded is at `options.path`.
    """
    options.check()
    result = LabResult(options.path)
    sysctls: dict[str, dict[str, str]] = {}
    for host, name, value in options.sysctls:
        sysctls.setdefault(host, {})[name] = value
    lab = Lab(
        options.host_names,
        path=options.path,
        wire=options.wire,
        sysctls=sysctls,
        user=options.user,
        witness=options.witness,
        journal_limit=options.journal_limit,
        title=options.title,
        sample_every_ns=options.sample_every_ns,
    )
    try:
        with lab:
            _carry_out(lab, options, result, on_open)
    except KeyboardInterrupt:
        result.interrupted = lab.interruptions.first
        if result.interrupted is None or not lab.has_recording:
            raise lab.interruptions.as_error() from None
    except NetlabError as error:
        raise _with_remains(lab, error) from None
    result.finished = lab.recording
    result.notes = lab.notes
    return result


def _with_remains(lab: Lab, error: NetlabError) -> NetlabError:
    """The error that says what was kept, too; a recording in which nothing is goes."""
    if not lab.has_recording:
        return error
    raw = lab.recording.raw
    if not raw.frames and not raw.calls:
        lab.path.unlink(missing_ok=True)
        return error
    if not isinstance(error, CheckFailed):
        return error
    kept = f"what was recorded is in {lab.path}"
    return CheckFailed(error.message, f"{error.hint}; {kept}" if error.hint else kept)


def _carry_out(
    lab: Lab, options: LabOptions, result: LabResult, on_open: Callable[[Standing], None]
) -> None:
    """What happens while the lab is open."""
    listening: tuple[str, ...] = ()
    server: Program | None = None
    if options.server:
        server = lab.start(SERVER, options.server)
        rows = lab.wait_listening(SERVER, within_s=options.listen_within_s)
        # Of a port for IPv4 and for IPv6 there may be a socket each.
        listening = tuple(dict.fromkeys(f"{row.protocol}:{row.port}" for row in rows))
    names = [name for name in options.host_names if name != SERVER]
    if options.shell:
        shell = lab.start(options.shell, options.shell_command, stdio="shell", actor="shell")
        programs = [shell]
    elif options.clients:
        several = len(options.clients) > 1
        commands = options.clients if several else [options.clients[0]] * len(names)
        programs = [
            lab.start(name, command, stdio="ours")
            for name, command in zip(names, commands, strict=True)
        ]
    else:
        residents = {
            name: lab.start(name, _RESIDENT, actor="resident", watched=False)
            for name in lab.host_names
        }
        on_open(Standing({n: p.pid for n, p in residents.items() if p.pid}, listening))
        lab.stay()
        if server is not None:
            lab.stop(SERVER)
        return
    lab.wait(*programs, within_s=None)
    result.exit_code = next((p.exit_code for p in programs if p.exit_code), 0)
    if server is not None:
        _stop(lab, server, result)


def _stop(lab: Lab, server: Program, result: LabResult) -> None:
    """Let the server finish, and end it."""
    if not lab.settle():
        what = "connections" if lab.has_open_connections() else "frames"
        still = "open" if what == "connections" else "on their way"
        result.complaints.append(f"{what} were still {still} when the server was stopped")
    by_itself = lab.process_count(SERVER) == 0 or not server.running
    lab.stop(SERVER)
    if by_itself and server.status != 0:  # 0: it left a daemon behind, or served once
        why = f"the server ended ({how_ended(server)}) before it was stopped"
        result.complaints.append(": ".join(filter(None, [why, server.last_words])))

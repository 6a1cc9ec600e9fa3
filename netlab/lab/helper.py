"""The lab's helper: a small process that makes the namespaces and is the parent of the programs.

Started by `hosts.Lab` as a fresh interpreter with one thread, because only such a process may enter
a user namespace. It enters, and forks the lab's first process (pid 1 of the process namespace),
which sets the host up, opens the packet ring, and starts programs when told to over the control
connection. Whatever dies, everything dies: when netlab ends, the control connection ends and the
helper gets a death signal; when the helper ends, the first process does; and with that process the
kernel ends every other in its namespace, daemonised or not.

Messages to netlab: `ready`, `refused`, `started`, `ended`, `failed`; from it: `start`, `signal`.
It never reads a recording and never speaks to a user. Read man 7 pid_namespaces, man 2 prctl.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from netlab.lab.namespaces import HostFacts, Refused, enter, may_capture, set_up_host
from netlab.lab.syscalls import adopt_orphans, give_up_privileges
from netlab.lab.sysctls import BASELINE, FACTS, read_all
from netlab.model.errors import NetlabError
from netlab.server.family.process import die_with_parent
from netlab.server.messages import control

LOOPBACK = "lo"


def main(arguments: list[str]) -> NoReturn:
    """Run as `helper CONTROL_FD own|machine PORTS`: own namespaces, or this machine's loopback."""
    sock = socket.socket(fileno=int(arguments[0]))
    sock.set_inheritable(False)  # else each program could give orders
    own = arguments[1] == "own"
    ports = [int(port) for port in arguments[2].split(",") if port]
    # The outer /proc: through it a program of the lab learns its pid as the machine sees it.
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not own:
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        _first_process(sock, proc, False, ports)
    try:
        enter()
    except Refused as refused:
        control.send(sock, {"event": "refused", "step": refused.step, "errno": refused.number})
        os._exit(0)
    die_with_parent(signal.SIGKILL)  # after the last change of credentials, which forgets it
    try:
        child = os.fork()
    except OSError as error:
        control.send(sock, {"event": "refused", "step": "first process", "errno": error.errno})
        os._exit(0)
    if child == 0:
        die_with_parent(signal.SIGKILL)
        _first_process(sock, proc, True, ports)
    sock.close()  # so that netlab sees the end of the first process at once
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _first_process(sock: socket.socket, proc: int, own: bool, ports: list[int]) -> NoReturn:
    code = 70  # EX_SOFTWARE: a traceback on stderr says the rest
    try:
        House(sock, proc, own).serve(ports)
        code = 0
    except (Refused, NetlabError) as error:
        if isinstance(error, Refused):
            message = {"event": "refused", "step": error.step, "errno": error.number}
        else:
            message = {"event": "failed", **error.as_message()}
        control.send(sock, message)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # netlab is gone: so are we
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


class House:
    """The first process of the lab: parent of its programs."""

    def __init__(self, sock: socket.socket, proc: int, own: bool) -> None:
        self._sock = sock
        self._proc = proc
        self._own = own
        self._actors: dict[int, str] = {}  # by pid as this process sees it
        self._pids: dict[str, int] = {}
        self._killed_ns: dict[int, int] = {}

    def serve(self, ports: list[int]) -> None:
        """Set up, say so, then do what netlab asks until it closes the connection."""
        if self._own:
            facts = set_up_host()
        else:
            facts = HostFacts(tuple(read_all((*(name for name, _ in BASELINE), *FACTS))), ())
        wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # netlab decides, over the connection
        self._open_ring(facts, ports)
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        poller.register(wake, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                    self._reap()
                elif not self._obey():
                    self._end_all()
                    return

    def _open_ring(self, facts: HostFacts, ports: list[int]) -> None:
        from netlab.capture.bpf import accept_all, only_ports
        from netlab.capture.ring import PacketRing

        if not self._own and not may_capture():
            raise Refused("packet socket", errno.EPERM)
        ring = PacketRing.open(LOOPBACK, filter=only_ports(ports) if ports else accept_all())
        control.send(
            self._sock,
            {
                "event": "ready",
                "settings": [[s.name, s.value] for s in facts.settings],
                "notes": list(facts.notes),
            },
            (ring.fileno(),),
        )
        ring.close()  # netlab has it now; the socket lives as long as either holds it

    def _obey(self) -> bool:
        """Carry out one message; False when there will be none any more."""
        received = control.receive(self._sock)
        if received is None:
            return False
        message, descriptors = received
        try:
            if message["do"] == "start":
                self._start(message, descriptors)
            else:
                for actor in message["actors"]:
                    self._signal(actor, message["signal"])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _signal(self, actor: str, number: int) -> None:
        pid = self._pids.get(actor)
        if pid is None:
            return  # it is over
        if number == signal.SIGKILL:
            self._killed_ns.setdefault(pid, time.time_ns())
        os.kill(pid, number)

    def _start(self, message: control.Message, descriptors: list[int]) -> None:
        """Fork and execute a program; answer with its pid outside, or with why it did not start."""
        actor = message["actor"]
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError as error:
            os.close(read_end)
            os.close(write_end)
            self._tell(
                {
                    "event": "failed",
                    "message": f"cannot start the {actor}: {error.strerror}",
                    "hint": "end other programs",
                    "exit_code": 1,
                }
            )
            return
        if pid == 0:
            self._become(message, descriptors, write_end)
        os.close(write_end)
        self._actors[pid] = actor
        self._pids[actor] = pid
        with os.fdopen(read_end, "rb") as reports:
            words = reports.read().decode(errors="replace").split("\n")
        outer = int(words[0]) if words[0].isdigit() else pid
        if len(words) > 2:
            text = f"cannot start the {actor}: {words[1]}"
            self._tell(
                {
                    "event": "failed",
                    "message": text,
                    "exit_code": 3,
                    "hint": "use a netlab that this user can read, or choose another with --user",
                }
            )
        else:
            self._tell({"event": "started", "actor": actor, "pid": outer})

    def _become(self, message: control.Message, descriptors: list[int], report: int) -> NoReturn:
        """In the new child: be the program. Reports pid, then (only on failure) the reason."""
        try:
            os.write(report, os.readlink("self", dir_fd=self._proc).encode() + b"\n")
            os.setsid()
            _reset_signals()
            environment = dict(message["env"])
            environment["NETLAB_PROC_FD"] = str(os.dup(self._proc))
            kept = [int(environment["NETLAB_PROC_FD"])]
            for name, descriptor in zip(message["fd_names"], descriptors, strict=True):
                kept.append(os.dup(descriptor))
                environment[name] = environment.get(name, "{}").format(kept[-1])
            for descriptor in kept:
                os.set_inheritable(descriptor, True)
            _take_identity(message["user"], message["drop"])
            for path in message["readable"]:
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            die_with_parent(signal.SIGKILL)  # the change of identity would have made it forgotten
            os.execve(message["argv"][0], message["argv"], environment)
        except BaseException as error:
            reason = repr(error)
            if isinstance(error, OSError):
                reason = f"{error.filename or message['argv'][0]}: {error.strerror}"
            os.write(report, f"{reason}\n".encode())
        os._exit(127)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            now_ns = self._killed_ns.pop(pid, None) or time.time_ns()
            actor = self._actors.pop(pid, None)
            if actor is None:
                continue  # a descendant that outlived its parent
            self._pids.pop(actor, None)
            self._tell(
                {
                    "event": "ended",
                    "actor": actor,
                    "time_ns": now_ns,
                    "status": os.waitstatus_to_exitcode(status),
                }
            )

    def _end_all(self) -> None:
        for pid in self._actors:
            os.kill(pid, signal.SIGKILL)

    def _tell(self, message: control.Message) -> None:
        control.send(self._sock, message)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _take_identity(user: list[int] | None, drop: bool) -> None:
    """Become `user` (uid, gid, groups...) if one is named, and give up every privilege if asked."""
    if user is not None:
        uid, gid, *groups = user
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if drop:
        give_up_privileges()


if __name__ == "__main__":
    main(sys.argv[1:])

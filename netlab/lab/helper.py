"""The lab's helper: a small process that makes the namespaces and is the parent of the programs.

Started by `hosts.House` as a fresh interpreter with one thread, because only such a process may
enter a user namespace. It enters, and forks the lab's first process (pid 1 of the process
namespace), which sets the hosts up and starts programs on them when told to over the control
connection. Whatever dies, everything dies: when netlab ends, the control connection ends and the
helper gets a death signal; when the helper ends, the first process does; and with that process the
kernel ends every other in its namespace, daemonised or not.

Messages to netlab: `ready`, `refused`, `connected`, `started`, `ended`, `left`, `unwatched`,
`failed`; from it: `connect`, `start`, `signal`, `end`, `unwatch`. It never reads a recording and
never speaks to a user. Read `keeper` for who stays outside; man 7 pid_namespaces, man 2 prctl.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from netlab.lab.become import Orders
from netlab.lab.namespaces import (
    HostFacts,
    Refused,
    enter_others,
    enter_user,
    may_capture,
    mount_proc,
    set_up_host,
    step,
)
from netlab.lab.syscalls import adopt_orphans
from netlab.lab.sysctls import BASELINE, FACTS, read_all
from netlab.lab.tracing.keeper import fork_keeper
from netlab.lab.tracing.launch import launch
from netlab.model.errors import NetlabError
from netlab.server.family.process import die_with_parent
from netlab.server.messages import control

if TYPE_CHECKING:
    from netlab.lab.network.builder import Network, Place

LOOPBACK = "lo"
LOCALHOST = "localhost"  # the host that a lab of one has
MACHINE, OWN, HOSTS = "machine", "own", "hosts"


def main(arguments: list[str]) -> NoReturn:
    """Run as `helper CONTROL_FD machine PORTS`, this machine's loopback; `own -`, a loopback of its
    own; or `hosts PLAN`, several hosts (PLAN is JSON).
    """
    sock = socket.socket(fileno=int(arguments[0]))
    sock.set_inheritable(False)  # else each program could give orders
    kind, detail = arguments[1:]
    # The outer /proc: through it a program of the lab learns its pid as the machine sees it.
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if kind == MACHINE:
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        _first_process(sock, proc, kind, detail)
    keeper = None
    try:
        enter_user()
        if kind == HOSTS:
            with step("keeper"):
                keeper = fork_keeper(proc, sock)
        enter_others()
    except Refused as refused:
        control.send(sock, {"event": "refused", "step": refused.step, "errno": refused.number})
        os._exit(0)
    die_with_parent(signal.SIGKILL)  # after the last change of credentials, which forgets it
    try:
        first = os.fork()
    except OSError as error:
        control.send(sock, {"event": "refused", "step": "first process", "errno": error.errno})
        os._exit(0)
    if first == 0:
        die_with_parent(signal.SIGKILL)
        _first_process(sock, proc, kind, detail, keeper)
    sock.close()  # so that netlab sees the end of the first process at once
    if keeper is not None:
        keeper.close()
    _, status = os.waitpid(-1, 0)  # of whichever: with this process the other ends
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _first_process(
    sock: socket.socket, proc: int, kind: str, detail: str, keeper: socket.socket | None = None
) -> NoReturn:
    code = 70  # EX_SOFTWARE: a traceback on stderr says the rest
    try:
        FirstProcess(sock, proc, keeper).serve(kind, detail)
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


class FirstProcess:
    """The first process of the lab: parent of its programs."""

    def __init__(self, sock: socket.socket, proc: int, keeper: socket.socket | None) -> None:
        self._sock = sock
        self._proc = proc
        self._keeper = keeper  # who starts tracers
        self._network: Network | None = None
        self._actors: dict[int, str] = {}  # by pid as this process sees it
        self._pids: dict[str, int] = {}
        self._foreground: set[int] = set()  # pids that have a terminal
        self._killed_ns: dict[int, int] = {}
        # Hosts whose last process is waited for; with those that were there, as /proc has them.
        self._emptying: dict[str, dict[str, int]] = {}

    def serve(self, kind: str, detail: str) -> None:
        """Set up, say so, then do what netlab asks until it closes the connection."""
        wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # netlab decides, over the connection
        if kind == HOSTS:
            self._build(detail)
        else:
            self._open_ring(
                kind == OWN, [int(port) for port in detail.split(",") if port.isdigit()]
            )
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        poller.register(wake, select.POLLIN)
        if self._keeper is not None:
            poller.register(self._keeper, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                    self._reap()
                elif self._keeper is not None and descriptor == self._keeper.fileno():
                    self._pass_on()
                elif not self._obey():
                    self._end_all()
                    return

    def _build(self, plan: str) -> None:
        """Hosts and their links to a wire, as planned."""
        from netlab.lab.network.builder import Network
        from netlab.lab.network.plan import Plan

        notes = mount_proc()
        self._network = network = Network(Plan.from_json(plan))
        sockets = network.diagnosis_sockets()
        self._tell_ready(network.facts, notes, tuple(sock.fileno() for sock in sockets))
        for sock in sockets:
            sock.close()  # netlab has them now

    def _open_ring(self, own: bool, ports: list[int]) -> None:
        """One host, and a ring on its loopback."""
        from netlab.capture.bpf import accept_all, only_ports
        from netlab.capture.ring import PacketRing

        if own:
            facts = set_up_host()
        else:
            facts = HostFacts(tuple(read_all((*(name for name, _ in BASELINE), *FACTS))), ())
            if not may_capture():
                raise Refused("packet socket", errno.EPERM)
        ring = PacketRing.open(LOOPBACK, filter=only_ports(ports) if ports else accept_all())
        self._tell_ready({LOCALHOST: facts}, (), (ring.fileno(),))
        ring.close()  # netlab has it now; the socket lives as long as either holds it

    def _tell_ready(
        self, facts: dict[str, HostFacts], notes: tuple[str, ...], descriptors: tuple[int, ...]
    ) -> None:
        settings = {n: [[s.name, s.value] for s in f.settings] for n, f in facts.items()}
        every = [(name, note) for name, f in facts.items() for note in f.notes]
        shared = {note for _, note in every if sum(n == note for _, n in every) == len(facts)}
        told = [*notes, *(dict.fromkeys(note for _, note in every if note in shared))]
        told += [f"{name}: {note}" for name, note in every if note not in shared]
        message = {"event": "ready", "settings": settings, "notes": told}
        control.send(self._sock, message, descriptors)

    def _obey(self) -> bool:
        """Carry out one message; False when there will be none any more."""
        received = control.receive(self._sock)
        if received is None:
            return False
        message, descriptors = received
        try:
            if message["do"] == "start":
                self._start(message, descriptors)
            elif message["do"] == "signal":
                for actor in message["actors"]:
                    self._signal(actor, message["signal"])
            elif message["do"] == "unwatch":
                if self._keeper is not None:
                    control.send(self._keeper, message)
            elif message["do"] == "end":
                self._end_host(message["host"], message["signal"])
            else:
                self._connect()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _connect(self) -> None:
        """The wire is there: bring the links up."""
        assert self._network is not None
        self._network.connect()
        self._tell({"event": "connected"})

    def _signal(self, actor: str, number: int) -> None:
        pid = self._pids.get(actor)
        if pid is None:
            return  # it is over
        if number == signal.SIGKILL:
            self._killed_ns.setdefault(pid, time.time_ns())
        os.kill(pid, number)

    def _start(self, message: control.Message, descriptors: list[int]) -> None:
        """Fork and execute a program; answer with its pid outside, or with why it did not start.

        One that is to be watched comes with the orders of its tracer, its log and that of its pids.
        """
        actor, host = message["actor"], message["host"]
        tracer = descriptors[1:4] if message["watched"] else []
        own = descriptors[1 + len(tracer) :]
        orders = Orders.from_file(descriptors[0])
        watch = partial(self._watch, actor, host, tracer) if tracer else None
        try:
            found = launch(orders, own, proc=self._proc, place=self._place(host), watch=watch)
        except OSError as error:
            self._refuse(actor, os.strerror(error.errno or 0), "end other programs", 1)
            return
        self._actors[found.pid] = actor
        self._pids[actor] = found.pid
        if orders.foreground:
            self._foreground.add(found.pid)
        if found.failure:
            self._refuse(actor, found.failure, orders.hint, found.exit_code)
        else:
            message = {"event": "started", "actor": actor, "pid": found.outer, "blind": found.blind}
            self._tell(message)

    def _watch(self, actor: str, host: str, tracer: list[int], outer: int) -> str:
        """Have a program traced that waits to be executed; why it is not, or nothing."""
        place = self._place(host)
        if self._keeper is None or place is None:
            return "there is no keeper here"
        try:
            message = {"do": "watch", "actor": actor, "pid": outer}
            control.send(self._keeper, message, (*tracer, place.network))
            while (received := control.receive(self._keeper)) is not None:
                answer, _ = received
                if answer["event"] == "watching":
                    return ""
                if answer["event"] == "blind":
                    return answer["reason"] or "no reason was given"
                self._tell(answer)  # of another tracer
        except (BrokenPipeError, ConnectionResetError):
            pass  # the keeper is gone, and we shall be soon
        return "the lab's helper is gone"

    def _pass_on(self) -> None:
        """What the keeper says unasked is for netlab.

        It may be taken already: whoever waited for an answer heard this first.
        """
        assert self._keeper is not None
        if not select.select([self._keeper], [], [], 0)[0]:
            return
        received = control.receive(self._keeper)
        if received is None:
            raise BrokenPipeError  # it does not go before us
        self._tell(received[0])

    def _refuse(self, actor: str, reason: str, hint: str, exit_code: int) -> None:
        text = f"cannot start the {actor}: {reason}"
        self._tell({"event": "failed", "message": text, "hint": hint, "exit_code": exit_code})

    def _place(self, host: str) -> Place | None:
        """Where a program goes; None: it is there already."""
        if self._network is None:
            return None
        return self._network.places.get(host, self._network.wire)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status))
                continue
            now_ns = self._killed_ns.pop(pid, None) or time.time_ns()
            self._foreground.discard(pid)
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
        for host in list(self._emptying):
            self._tell_if_empty(host)

    def _stopped(self, pid: int, number: int) -> None:
        """It has stopped itself at Ctrl-Z: nobody could ever continue it, so it goes on."""
        if pid in self._foreground and number == signal.SIGTSTP:
            os.killpg(pid, signal.SIGCONT)

    def _end_host(self, host: str, number: int) -> None:
        """Send a signal to every process of a host, daemons too; tell how many there are, and
        again once none is left."""
        there = self._population(host)
        for pid in there.values():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        self._tell({"event": "left", "host": host, "count": len(there)})
        if there:
            self._emptying[host] = there
            self._tell_if_empty(host)

    def _tell_if_empty(self, host: str) -> None:
        if not self._population(host) and not any(map(_ends, self._emptying[host])):
            del self._emptying[host]
            self._tell({"event": "left", "host": host, "count": 0})

    def _population(self, host: str) -> dict[str, int]:
        """The processes of a host, as /proc names them, with their pid in this process namespace.

        Zombies are left out, and so is who ends just now: it has given up its namespaces.
        """
        assert self._network is not None
        network = os.fstat(self._network.places[host].network)
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdecimal():
                continue
            try:
                theirs = os.stat(f"/proc/{entry}/ns/net")
                with open(f"/proc/{entry}/status", "rb") as status:
                    pids = next(line for line in status if line.startswith(b"NSpid:"))
            except (OSError, StopIteration):
                continue  # gone, or not ours to look at
            if (theirs.st_dev, theirs.st_ino) == (network.st_dev, network.st_ino):
                found[entry] = int(pids.split()[-1])
        return found

    def _end_all(self) -> None:
        for pid in self._actors:
            os.kill(pid, signal.SIGKILL)

    def _tell(self, message: control.Message) -> None:
        control.send(self._sock, message)


def _ends(entry: str) -> bool:
    """Whether this process is not a zombie yet.

    The kernel takes its namespaces first and then closes its sockets (do_exit: files whose last
    user it was are closed by exit_task_work, after exit_task_namespaces).
    """
    try:
        with open(f"/proc/{entry}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2][:1] not in (b"Z", b"X")
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])

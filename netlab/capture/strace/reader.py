"""The log of `strace -f -ttt -T` -> records of the calls on sockets, in pieces of any size.

When a call was inside: strace prints the time, then decodes the arguments, then measures how long
it takes (-T); what it prints next, of any thread, it prints later than the call's end. So a call
returned between `returned_ns` = time + T and `returned_by_ns` = the time of the next line. (A log
that was sorted afterwards shows that by lines within calls; there it is the thread's next line.)
A call that was split in two returned when its second line was printed, or a little earlier.
What this module must not know: files, and what single calls mean (see `moving`, `making`,
`waiting`, `processes`).
Read first: man 1 strace; `lines` and `syscalls` for the notation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from netlab.capture.descriptors import OWN_INODES
from netlab.capture.strace import making, moving, processes, waiting
from netlab.capture.strace.entries import SEVERAL, descriptors_of, first_descriptor
from netlab.capture.strace.lines import Line, LineReader, Says
from netlab.capture.strace.stops import Stop, Stops
from netlab.capture.strace.syscalls import Syscall, maybe_syscall
from netlab.capture.strace.values import (
    Group,
    Value,
    number_from,
)
from netlab.capture.strace.world import World
from netlab.model.call import STOP, CallRecord, Inheritance
from netlab.model.recording import Loss

_HANDLERS = {**moving.HANDLERS, **waiting.HANDLERS, **making.HANDLERS, **processes.HANDLERS}
UNDERSTOOD = frozenset(_HANDLERS) | {"exit", "exit_group"}  # names of calls
_AT_ENTRY = {**waiting.ENTERED, **making.ENTERED, **processes.ENTERED}
_EXITING = frozenset({"exit", "exit_group"})
_CALL, _ENTERED, _RESUMED, _EXITED = Says.CALL, Says.ENTERED, Says.RESUMED, Says.EXITED
_UNREAD = "a line of its log could not be read"
_SHOWN_CHARACTERS = 120
CUT_SHORT = "the log ends within a line"
# Of sockets that are known all calls are; these are others, if they are any.
MAYBE_SOCKETS = "calls on descriptors that may be sockets: strace -y would tell"


class StraceReader:
    """Takes one log and hands out what it says; whoever feeds it takes and clears the lists."""

    def __init__(
        self, host: str, actor: str, *, root_pid: int | None = None, keep_bytes: int = 0
    ) -> None:
        """`keep_bytes`: so much of the content of each call, where the log has it, is kept."""
        self._world = World(host, actor, keep_bytes)
        self._world.root = root_pid
        self._lines = LineReader()
        self._last: Syscall | None = None  # whole, and the time of the next line is not known yet
        self._inside: dict[int, Syscall] = {}  # by thread
        self._unmet: dict[int, list[Line]] = {}  # lines of threads whose parent is not known yet
        self._alive_ns: dict[int, int] = {}  # by thread: its latest sign of life
        self._ended_ns: dict[int, int] = {}  # by process: that of its threads that have ended
        self._exits_ns: dict[int, int] = {}  # by process: when its end began
        self._bounded: dict[int, list[CallRecord]] = {}  # by thread, in a log that was sorted
        self._sorted = False
        self._launched: bool | None = None  # the log begins with the program's execve
        self._alone: int | None = root_pid  # whose lines those without a number are
        self._live: set[int] = set()
        self._attached: set[int] = set()
        self._stops = Stops()
        self._alias: int | None = None  # the number of the thread that goes by 0

    @property
    def calls(self) -> list[CallRecord]:
        return self._world.calls

    @property
    def inheritances(self) -> list[Inheritance]:
        return self._world.inheritances

    @property
    def losses(self) -> list[Loss]:
        return self._world.losses

    @property
    def faults(self) -> list[str]:
        return self._world.faults

    @property
    def fault_count(self) -> int:
        """Lines that were not understood, also those that `faults` has no room for."""
        return self._world.fault_count

    def announce(self, threads: Iterable[int], pid: int) -> None:
        """Tell which threads a process has that strace was attached to."""
        for tid in threads:
            if not self._world.descriptors.knows(tid):
                if not self._world.descriptors.knows(pid):
                    self._world.descriptors.start(pid)
                self._world.descriptors.thread(tid, pid)

    def attach(
        self, pid: int, threads: Iterable[int], program: str, time_ns: int, *, launched: bool
    ) -> None:
        """Tell of a process that strace was attached to, before any of the log is fed.

        `launched`: it waits to execute the program that is wanted.
        """
        if self._launched is None:
            self._launched = launched
            self._world.descriptors.number_from(OWN_INODES + own_number(time_ns))
        self.announce(threads, pid)
        if self._world.root is None:
            self._world.root = pid
        self._world.runs(pid, program.encode())

    def hold(
        self,
        pid: int,
        fd: int,
        inode: int,
        *,
        family: str,
        kind: str,
        local: str,
        peer: str | None,
        closing: bool,
    ) -> None:
        """Tell of a socket that such a process had open then."""
        known = self._world.descriptors
        found = known.with_inode(inode)
        if found is None:
            found = known.socket(inode)
            found.family, found.kind = family, kind
            known.has_ends(found, local, peer)
            found.told = peer is not None
        known.put(pid, fd, found, closing=closing)
        self._world.inherits(pid)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        for line in self._lines.feed(data):
            self._take(line)

    def finish(self) -> None:
        """The log has ended: calls still inside come out unreturned, a cut line is a fault."""
        self._settle(None)
        for tid in list(self._unmet):
            self._world.descriptors.start(tid)
            self._replay(tid, None)
        rest = self._lines.finish().decode("latin-1")
        if rest.strip():
            self._world.fault(f"{CUT_SHORT}: {_shown(rest)}")
        for call in sorted(self._inside.values(), key=lambda one: one.entered_ns):
            self._interpret(call)
        self._inside.clear()
        self._record_stops(self._stops.left())
        unproven = self._world.unproven_calls
        if unproven and not self._launched:
            self._world.fault(f"{unproven} {MAYBE_SOCKETS}")
        for held in self._bounded.values():
            self._world.calls += held
        self._bounded.clear()

    # --- lines

    def _take(self, line: Line) -> None:
        if not line.time_ns:
            if line.says is Says.ATTACHED:
                self._attached.add(line.number)
                self._live.add(line.number)
            else:
                self._world.fault(f"not a line of strace -f -ttt: {_shown(line.text)}")
            return
        tid = line.tid
        if tid is None or self._alone == 0:
            tid = self._tid(line)
        self._live.add(tid)
        if self._last is not None:
            self._settle(line.time_ns)
        if not self._world.descriptors.knows(tid) and not self._meet(tid, line):
            self._unmet.setdefault(tid, []).append(line)
            return
        self._use(tid, line)

    def _tid(self, line: Line) -> int:
        tid = line.tid
        if tid is None:
            if len(self._live) == 1:
                return next(iter(self._live))
            if self._alone is None:
                self._alone = 0  # nobody says its number
            self._live.add(self._alone)
            return self._alone
        if self._alone == 0 and tid not in self._live and tid not in self._attached:
            self._alone_is(tid)
        return 0 if tid == self._alias else tid

    def _alone_is(self, tid: int) -> None:
        """The number of the process that was alone at first is `tid`; it goes by 0 here."""
        if self._alias is None and not self._world.descriptors.knows(tid):
            self._alias = tid

    def _settle(self, next_ns: int | None) -> None:
        """The last whole call had returned when the next line was printed."""
        call, self._last = self._last, None
        if call is None:
            return
        if call.returned_ns is None:  # no -T
            call.returned_ns = next_ns
        if next_ns is not None and call.returned_ns is not None and next_ns < call.returned_ns:
            self._sorted = True
        if not self._sorted:
            call.returned_by_ns = next_ns
            self._interpret(call)
            return
        before = len(self._world.calls)
        self._interpret(call)
        if len(self._world.calls) > before:
            self._bounded.setdefault(call.tid, []).extend(self._world.calls[before:])
            del self._world.calls[before:]

    def _use(self, tid: int, line: Line) -> None:
        says = line.says
        if says is not _EXITED:
            self._alive_ns[tid] = line.time_ns
        if self._bounded:
            for record in self._bounded.pop(tid, ()):
                self._world.calls.append(replace(record, returned_by_ns=line.time_ns))
        if says is _CALL:
            self._whole(tid, line)
        elif says is _ENTERED:
            self._entered(tid, line)
        elif says is _RESUMED:
            self._resumed(tid, line)
        elif says is _EXITED:
            self._exited(tid, line)
        elif says is Says.SIGNAL:
            pid = self._world.descriptors.process_of(tid)
            self._record_stops(self._stops.signal(tid, pid, line.text, line.time_ns))
        elif says is Says.SUPERSEDED:
            self._live.discard(line.number)
        elif says is Says.OTHER:
            self._world.fault(f"not understood: {_shown(line.text)}")

    # --- threads that were not met before

    def _meet(self, tid: int, line: Line) -> bool:
        """Find out whose child a new thread is; False: that will be known later."""
        world = self._world
        if tid in self._unmet:
            return False
        if self._launched is None:
            self._launched = line.op in ("execve", "execveat")
            world.descriptors.number_from(OWN_INODES + own_number(line.time_ns))
            if world.root is None:
                world.root = tid
            world.descriptors.start(tid)
            return True
        parents = [parent for parent in world.clones if parent in self._inside]
        if not parents:
            if self._launched:
                world.fault(f"process {tid} appears without the call that made it (trace %process)")
            world.descriptors.start(tid)
            return True
        if len(parents) > 1 or not self._launched:
            return False
        call = self._inside[parents[0]]
        processes.begin(world, tid, call, world.clones[parents[0]])
        world.assumed.add(tid)
        return True

    def _replay(self, tid: int, until_ns: int | None) -> None:
        """Use the lines of a thread that is known now."""
        lines = self._unmet.pop(tid, [])
        for line, following in zip(lines, [*lines[1:], None], strict=True):
            self._use(tid, line)
            self._settle(following.time_ns if following is not None else until_ns)

    # --- calls

    def _whole(self, tid: int, line: Line) -> None:
        if line.op in _EXITING:
            self._exits(tid, line)
            return
        if line.op not in _HANDLERS:
            return
        pid = self._world.descriptors.process_of(tid)
        call = maybe_syscall(tid, pid, line.op, line.text, line.time_ns)
        if call is None:
            self._missed(tid, line.op, line.time_ns, line.text)
            return
        if call.result is None and call.errno is None:  # `= ?`: its process ended in it
            self._inside[tid] = call
            return
        self._last = call

    def _entered(self, tid: int, line: Line) -> None:
        if line.op in _EXITING:
            self._exits(tid, line)
            return
        if line.op not in _HANDLERS:
            return
        pid = self._world.descriptors.process_of(tid)
        call = Syscall(tid, pid, line.op, line.text, line.time_ns)
        if line.number:  # its thread goes on with the number of its process
            call.tid = line.number
        self._inside[call.tid] = call
        handler = _AT_ENTRY.get(line.op)
        if handler is None and line.op not in SEVERAL:
            first = first_descriptor(call.text)  # the rest is read when it is whole
            if first is not None:
                self._look_up(call, [first])
        elif self._parse(call):
            if line.op in SEVERAL:
                self._look_up(call, list(descriptors_of(call)))
            if handler is not None:
                handler(self._world, call)

    def _look_up(self, call: Syscall, values: list[Value]) -> None:
        """Note what the descriptors lead to when the call begins: another thread may close them."""
        for value in values:
            fd = number_from(value)
            if fd is not None:
                opened = self._world.opened(call, value)
                if opened is not None:
                    call.at_entry[fd] = opened

    def _resumed(self, tid: int, line: Line) -> None:
        begun = self._inside.pop(tid, None)
        if begun is None:
            if line.op in _HANDLERS and self._launched:
                self._world.fault(f"{line.op} of {tid} goes on that did not begin")
            return
        if begun.op != line.op:
            self._missed(tid, begun.op, begun.entered_ns, f"{line.op} goes on instead")
            return
        pid = self._world.descriptors.process_of(tid)
        # Behind a comma strace has put a blank already: two are none of the common shapes.
        joined = line.text[:1] == ")" or begun.text[-1:] == " "
        text = begun.text + line.text if joined else f"{begun.text} {line.text}"
        call = maybe_syscall(tid, pid, begun.op, text, begun.entered_ns)
        if call is None:
            self._missed(tid, line.op, begun.entered_ns, line.text)
            return
        call.at_entry = begun.at_entry
        if call.result is None and call.errno is None:
            self._inside[tid] = replace(begun, text=call.text)
            return
        call.returned_ns = call.returned_by_ns = line.time_ns
        self._interpret(call)
        if call.op in processes.CLONING and call.result in self._unmet:
            self._replay(call.result, line.time_ns)

    def _parse(self, call: Syscall) -> bool:
        """Read the arguments; of what is not understood the descriptor at least."""
        if call.op == "restart_syscall":
            return True
        try:
            call.parse()
        except (ValueError, RecursionError) as error:
            self._world.fault(f"{call.op}: {error}: {_shown(call.text)}")
            first = first_descriptor(call.text)
            if first is None:
                return False
            call.arguments = Group(items=[first], whole=False)
        return True

    def _interpret(self, call: Syscall) -> None:
        call.pid = self._world.descriptors.process_of(call.tid)
        if not self._parse(call):
            self._lost(call.tid, call.entered_ns)
            return
        try:
            _HANDLERS[call.op](self._world, call)
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            self._world.fault(f"{call.op}: {error!r}: {_shown(call.text)}")
            self._lost(call.tid, call.entered_ns)

    def _missed(self, tid: int, op: str, time_ns: int, text: str) -> None:
        """A call that may have been on a socket was not understood."""
        self._world.fault(f"not understood: {op}: {_shown(text)}")
        self._lost(tid, time_ns)

    def _lost(self, tid: int, time_ns: int) -> None:
        pid = self._world.descriptors.process_of(tid)
        actor = self._world.actor_of(pid)
        self._world.losses.append(Loss("strace", "calls", 1, _UNREAD, actor, time_ns, pid))

    # --- ends

    def _exits(self, tid: int, line: Line) -> None:
        pid = self._world.descriptors.process_of(tid)
        if line.op == "exit_group":
            self._exits_ns.setdefault(pid, line.time_ns)

    def _exited(self, tid: int, line: Line) -> None:
        world = self._world
        pid = world.descriptors.process_of(tid)
        begun = self._inside.pop(tid, None)
        if begun is not None:
            self._interpret(begun)
        self._live.discard(tid)
        # The latest sign of life of the process, whose threads may have ended before.
        alive_ns = max(self._alive_ns.pop(tid, 0), self._ended_ns.pop(pid, 0)) or line.time_ns
        if not world.descriptors.end(tid):
            self._ended_ns[pid] = alive_ns
            return
        self._record_stops(self._stops.gone(pid, line.time_ns))
        if not world.concerns(pid):  # one of the many that a script starts
            return
        call = Syscall(pid, pid, "exit", "", self._exits_ns.pop(pid, alive_ns))
        call.returned_by_ns = line.time_ns
        world.record(call, args=line.text)

    def _record_stops(self, stops: list[Stop]) -> None:
        """A thread that was stopped is told as a call that it was inside."""
        for stop in stops:
            if self._world.concerns(stop.pid):
                call = Syscall(stop.tid, stop.pid, STOP, "", stop.since_ns)
                call.returned_ns = call.returned_by_ns = stop.until_ns
                self._world.record(call, args=stop.signal)


def own_number(first_ns: int) -> int:
    """Where a log's own numbers of sockets begin: those of two logs of one host never meet.

    A microsecond each, of two million sockets, for 34 years.
    """
    return first_ns // 1000 % (1 << 40) << 21


def _shown(text: str) -> str:
    """The beginning of a line, for a message."""
    return ascii(text[:_SHOWN_CHARACTERS])[1:-1] + ("..." if len(text) > _SHOWN_CHARACTERS else "")

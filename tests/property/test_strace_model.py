"""A kernel's descriptor tables in small, what strace prints of it, and what is read of that.

Processes make sockets, give them second numbers, pass them on in messages, fork, execute and end in
any order; every call is printed as strace would, with names (-y) or without, in one line or two,
and fed in pieces of any size. Each record must name the socket that the kernel used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.capture.strace.reader import StraceReader

LINE, FAR = 3, 4  # a pair of Unix sockets, which every process has
Told = tuple[int, str, int | None, int | None]  # process, call, descriptor, inode


@dataclass
class Process:
    sockets: dict[int, int] = field(default_factory=dict)  # inode by descriptor
    closing: set[int] = field(default_factory=set)


@dataclass
class Kernel:
    names: bool
    processes: dict[int, Process] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    expected: list[Told] = field(default_factory=list)
    us: int = 1_700_000_000_000_000
    next_inode: int = 1000
    next_pid: int = 100

    def __post_init__(self) -> None:
        self.processes[99] = Process({LINE: 500, FAR: 501})
        self.print(99, 'execve("/bin/p", ["p"], 0x7 /* 0 vars */) = 0 <0.000001>')
        pair = f"{self.shown(99, LINE)}, {self.shown(99, FAR)}"
        self.print(99, f"socketpair(AF_UNIX, SOCK_STREAM, 0, [{pair}]) = 0 <0.000001>")
        self.told(99, "socketpair", LINE, 500)

    def print(self, pid: int, text: str) -> None:
        self.us += 10
        self.lines.append(f"{pid} {self.us // 10**6}.{self.us % 10**6:06} {text}\n")

    def told(self, pid: int, op: str, fd: int | None, inode: int | None) -> None:
        self.expected.append((pid, op, fd, inode))

    def shown(self, pid: int, fd: int) -> str:
        inode = self.processes[pid].sockets.get(fd)
        return f"{fd}<socket:[{inode}]>" if self.names and inode is not None else str(fd)

    def free(self, pid: int, least: int = 5) -> int:
        held = self.processes[pid].sockets
        return next(fd for fd in range(least, 1000) if fd not in held)

    # --- what a process may do; `fd` and `number` are any, the call prints what comes of it

    def socket(self, pid: int, closing: bool) -> None:
        process, fd = self.processes[pid], self.free(pid)
        process.sockets[fd] = self.next_inode
        (process.closing.add if closing else process.closing.discard)(fd)
        self.next_inode += 1
        kind = "SOCK_STREAM|SOCK_CLOEXEC" if closing else "SOCK_STREAM"
        made = self.shown(pid, fd)
        self.print(pid, f"socket(AF_INET, {kind}, IPPROTO_IP) = {made} <0.000001>")
        self.told(pid, "socket", fd, process.sockets[fd])

    def write(self, pid: int, fd: int, split: bool) -> None:
        inode = self.processes[pid].sockets.get(fd)
        entry = f'write({self.shown(pid, fd)}, "x"'
        result = "1" if inode else "-1 EBADF (Bad file descriptor)"
        if split:
            self.print(pid, f"{entry}, 1 <unfinished ...>")
            self.print(99, "getpid() = 99 <0.000001>") if 99 in self.processes else None
            self.print(pid, f"<... write resumed>) = {result} <0.000009>")
        else:
            self.print(pid, f"{entry}, 1) = {result} <0.000001>")
        if inode:
            self.told(pid, "write", fd, inode)

    def close(self, pid: int, fd: int, split: bool) -> None:
        process = self.processes[pid]
        shown = self.shown(pid, fd)
        inode = process.sockets.pop(fd, None)
        process.closing.discard(fd)
        result = "0" if inode else "-1 EBADF (Bad file descriptor)"
        if split:
            self.print(pid, f"close({shown} <unfinished ...>")
            self.print(pid, f"<... close resumed>) = {result} <0.000009>")
        else:
            self.print(pid, f"close({shown}) = {result} <0.000001>")
        if inode:
            self.told(pid, "close", fd, inode)

    def dup2(self, pid: int, fd: int, number: int) -> None:
        process = self.processes[pid]
        inode, before = process.sockets.get(fd), process.sockets.get(number)
        if inode is None or fd == number:
            return
        shown, over = self.shown(pid, fd), self.shown(pid, number)
        process.sockets[number] = inode
        process.closing.discard(number)
        self.print(pid, f"dup2({shown}, {over}) = {self.shown(pid, number)} <0.000001>")
        if before is not None:
            self.told(pid, "dup2", number, before)
        self.told(pid, "dup2", fd, inode)

    def dup(self, pid: int, fd: int, number: int, closing: bool) -> None:
        process = self.processes[pid]
        inode = process.sockets.get(fd)
        if inode is None:
            return
        shown, new = self.shown(pid, fd), self.free(pid, max(number, 5))
        process.sockets[new] = inode
        (process.closing.add if closing else process.closing.discard)(new)
        command = "F_DUPFD_CLOEXEC" if closing else "F_DUPFD"
        made = self.shown(pid, new)
        self.print(pid, f"fcntl({shown}, {command}, {max(number, 5)}) = {made} <0.000001>")
        self.told(pid, "fcntl", fd, inode)

    def set_closing(self, pid: int, fd: int, on: bool) -> None:
        process = self.processes[pid]
        if fd in process.sockets:
            (process.closing.add if on else process.closing.discard)(fd)
            flag = "FD_CLOEXEC" if on else "0"
            self.print(pid, f"fcntl({self.shown(pid, fd)}, F_SETFD, {flag}) = 0 <0.000001>")

    def fork(self, pid: int, early: bool) -> None:
        child, self.next_pid = self.next_pid, self.next_pid + 1
        parent = self.processes[pid]
        self.processes[child] = Process(dict(parent.sockets), set(parent.closing))
        if not early:
            self.print(pid, f"fork() = {child} <0.000001>")
            return
        self.print(pid, "vfork( <unfinished ...>")
        for fd in sorted(self.processes[child].sockets)[:3]:
            self.write(child, fd, split=False)
        self.print(pid, f"<... vfork resumed>) = {child} <0.000009>")

    def execute(self, pid: int) -> None:
        process = self.processes[pid]
        self.print(pid, 'execve("/bin/q", ["q"], 0x7 /* 0 vars */) = 0 <0.000001>')
        for fd in sorted(process.closing):
            self.told(pid, "execve", fd, process.sockets.pop(fd))
        process.closing.clear()

    def pass_on(self, pid: int, fd: int, to: int, closing: bool) -> None:
        sender, receiver = self.processes[pid], self.processes[to]
        inode = sender.sockets.get(fd)
        if inode is None or not self.has_line(pid) or not self.has_line(to):
            return
        self.message(pid, "sendmsg", LINE, self.shown(pid, fd), "0")
        self.told(pid, "sendmsg", LINE, 500)
        new = self.free(to)
        receiver.sockets[new] = inode
        (receiver.closing.add if closing else receiver.closing.discard)(new)
        flags = "MSG_CMSG_CLOEXEC" if closing else "0"
        self.message(to, "recvmsg", FAR, self.shown(to, new), flags)
        self.told(to, "recvmsg", FAR, 501)

    def has_line(self, pid: int) -> bool:
        held = self.processes[pid].sockets
        return (held.get(LINE), held.get(FAR)) == (500, 501)

    def message(self, pid: int, op: str, line: int, carried: str, flags: str) -> None:
        control = "{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[%s]}"
        header = (
            '{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="!", iov_len=1}], msg_iovlen=1, '
            f"msg_control=[{control % carried}], msg_controllen=24, msg_flags=0}}"
        )
        self.print(pid, f"{op}({self.shown(pid, line)}, {header}, {flags}) = 1 <0.000001>")

    def end(self, pid: int) -> None:
        self.print(pid, "exit_group(0) = ?")
        self.print(pid, "+++ exited with 0 +++")
        del self.processes[pid]
        self.told(pid, "exit", None, None)


numbers = st.integers(0, 12)
flags = st.booleans()
actions = st.one_of(
    st.tuples(st.just("socket"), flags),
    st.tuples(st.just("write"), numbers, flags),
    st.tuples(st.just("write"), numbers, flags),
    st.tuples(st.just("close"), numbers, flags),
    st.tuples(st.just("dup2"), numbers, numbers),
    st.tuples(st.just("dup"), numbers, numbers, flags),
    st.tuples(st.just("set_closing"), numbers, flags),
    st.tuples(st.just("fork"), flags),
    st.tuples(st.just("execute")),
    st.tuples(st.just("pass_on"), numbers, st.just("whom"), flags),
    st.tuples(st.just("end")),
)


@settings(max_examples=150)
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 9), actions), max_size=60), st.data())
def test_every_record_names_the_socket_that_the_kernel_used(
    names: bool, steps: list[tuple[int, tuple[object, ...]]], data: st.DataObject
) -> None:
    kernel = Kernel(names)
    for who, (what, *arguments) in steps:
        alive = sorted(kernel.processes)
        if not alive:
            break
        pid = alive[who % len(alive)]
        given_ = [alive[(who + 1) % len(alive)] if a == "whom" else a for a in arguments]
        getattr(kernel, str(what))(pid, *given_)
    log = "".join(kernel.lines).encode()
    reader = StraceReader("lab", "prog")
    at = 0
    while at < len(log):
        size = data.draw(st.integers(1, len(log)))
        reader.feed(log[at : at + size])
        at += size
    reader.finish()
    assert reader.faults == []
    found: list[Told] = [
        (record.pid, record.op, record.fd, record.inode)
        for record in sorted(reader.calls, key=lambda r: (r.entered_ns, r.order))
    ]
    expected = sorted(kernel.expected, key=lambda one: one[1] == "exit")
    found.sort(key=lambda one: one[1] == "exit")
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    pairs = {(ours, theirs) for (*_, ours), (*_, theirs) in zip(found, expected, strict=True)}
    assert len(pairs) == len({ours for ours, _ in pairs}) == len({theirs for _, theirs in pairs})
    if names:
        assert all(ours == theirs for ours, theirs in pairs)

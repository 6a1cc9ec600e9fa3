"""fork, clone, exec, exit and what else makes, changes and ends processes -> tables and records.

A child's lines may stand before the line in which its parent's call returns (vfork: always), so the
table that it inherits is the parent's at the *entry* of that call.
Read first: man 2 clone, man 2 vfork, man 2 execve, man 2 io_uring_setup.
"""

from __future__ import annotations

from netlab.capture.descriptors import OTHER, Table
from netlab.capture.strace.moving import Handler
from netlab.capture.strace.syscalls import Syscall
from netlab.capture.strace.values import Text, text_of
from netlab.capture.strace.world import World
from netlab.model.call import Inheritance
from netlab.model.recording import Loss

CLONING = frozenset({"clone", "clone2", "clone3", "fork", "vfork"})
IO_URING = "io_uring: calls not seen"


def clone_entered(world: World, call: Syscall) -> None:
    """A call that makes a process or a thread begins."""
    world.clones[call.tid] = world.descriptors.table(call.pid).copy()


def clone(world: World, call: Syscall) -> None:
    """It has returned: with the number of the child."""
    inherited = world.clones.pop(call.tid, None)
    if call.errno is not None or call.result is None or call.result <= 0:
        return
    if world.descriptors.knows(call.result) and call.result in world.assumed:
        world.assumed.discard(call.result)
        return
    if inherited is None:
        inherited = world.descriptors.table(call.pid).copy()
    begin(world, call.result, call, inherited)


def begin(world: World, tid: int, call: Syscall, inherited: Table) -> None:
    """Follow the child of `call`, which has what its parent held in `inherited`."""
    flags = call.text
    if "CLONE_THREAD" in flags:
        world.descriptors.thread(tid, call.pid)
        return
    if "CLONE_FILES" in flags:
        inodes = world.descriptors.share(tid, call.pid)
    else:
        inodes = world.descriptors.fork(tid, inherited)
    world.begins_like(tid, call.pid)
    if inodes:
        world.inherits(tid)
        world.inheritances.append(Inheritance(tid, call.pid, call.entered_ns, inodes))


def execute(world: World, call: Syscall) -> None:
    """execve, execveat: another program; a record for each descriptor that it closed."""
    if call.errno is not None or call.result != 0:
        return
    items = call.arguments.items
    path = next((item for item in items if isinstance(item, Text)), None)
    for fd, socket in world.descriptors.exec(call.pid):
        world.on_socket(call, socket, fd, args="FD_CLOEXEC")
    if path is not None and path.data:
        world.runs(call.pid, path.data)


def unshare(world: World, call: Syscall) -> None:
    """unshare: CLONE_FILES gives the process a table of its own."""
    words = "|".join(text_of(item) for item in call.arguments.items)
    if call.errno is None and "CLONE_FILES" in words:
        world.descriptors.unshare(call.pid)


def io_uring(world: World, call: Syscall) -> None:
    """io_uring_setup: from now on the process may move bytes without a call."""
    if call.errno is not None or call.result is None or call.result < 0:
        return
    world.descriptors.put(call.pid, call.result, OTHER, closing=True)
    world.losses.append(
        Loss("strace", "bytes", None, IO_URING, world.actor_of(call.pid), call.entered_ns, call.pid)
    )


def take_from_process(world: World, call: Syscall) -> None:
    """pidfd_getfd: a descriptor of another process, which only strace's name of it tells."""
    if call.errno is not None or call.result is None or call.result < 0:
        return
    if call.made is not None and call.made.name is not None:
        world.descriptors.close(call.pid, call.result)
        world.lookup(call.pid, call.result, call.made.name)
    else:
        world.descriptors.close(call.pid, call.result)


ENTERED: dict[str, Handler] = dict.fromkeys(CLONING, clone_entered)
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(CLONING, clone),
    "execve": execute, "execveat": execute, "unshare": unshare, "io_uring_setup": io_uring,
    "pidfd_getfd": take_from_process,
}  # fmt: skip

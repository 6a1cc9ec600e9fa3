"""Calls that make, name, connect, set up and close sockets -> records, and changed tables.

Read first: man 2 socket, man 2 accept, man 2 connect, man 2 close_range, man 2 dup.
"""

from __future__ import annotations

from netlab.capture.descriptors import OTHER, Opened, OpenSocket
from netlab.capture.strace.moving import Handler
from netlab.capture.strace.names import FAMILIES, address_of, family_of, kind_of, shown_by
from netlab.capture.strace.options import option_args
from netlab.capture.strace.syscalls import Syscall
from netlab.capture.strace.values import Descriptor, Group, Value, number_from, text_of
from netlab.capture.strace.world import World

_LAST_FD = (1 << 32) - 1
_FAILED = frozenset({"ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"})


def make_socket(world: World, call: Syscall) -> None:
    """socket: family, kind, protocol."""
    fd = call.result
    if fd is None or fd < 0:
        return
    items = call.arguments.items
    family = text_of(items[0]) if items else ""
    family = "AF_UNIX" if family == "AF_LOCAL" else family
    kind, closing = kind_of(items[1] if len(items) > 1 else None)
    if family not in FAMILIES:
        world.descriptors.put(call.pid, fd, OTHER, closing=closing)
        return
    socket = _new(world, call.made, family, kind)
    world.descriptors.put(call.pid, fd, socket, closing=closing)
    world.on_socket(call, socket, fd, args=", ".join(map(text_of, items)))


def make_pair(world: World, call: Syscall) -> None:
    """socketpair: family, kind, protocol, [two descriptors]."""
    items = call.arguments.items
    if call.errno is not None or len(items) < 4 or not isinstance(items[3], Group):
        return
    kind, closing = kind_of(items[1])
    family = text_of(items[0])
    family = "AF_UNIX" if family == "AF_LOCAL" else family
    pair: list[tuple[int, OpenSocket]] = []
    for item in items[3].items[:2]:
        fd = number_from(item)
        if fd is None:
            continue
        socket = _new(world, item if isinstance(item, Descriptor) else None, family, kind)
        world.descriptors.put(call.pid, fd, socket, closing=closing)
        pair.append((fd, socket))
    if len(pair) < 2:
        world.fault("socketpair: the log does not show the two descriptors (use -v)")
        return
    (fd, one), (_, other) = pair
    one.peer_inode, other.peer_inode = other.inode, one.inode
    world.on_socket(
        call, one, fd, args=", ".join(map(text_of, items[:3])), new_inode=other.inode
    )  # fmt: skip


def accept(world: World, call: Syscall) -> None:
    """accept, accept4: listener, address, length, flags."""
    items = call.arguments.items
    listener = world.opened(call, items[0], socket=call.errno != "ENOTSOCK") if items else None
    if not isinstance(listener, OpenSocket):
        return
    address = address_of(items[1]) if len(items) > 1 else None
    flags = text_of(items[3]) if len(items) > 3 else ""
    made: OpenSocket | None = None
    if call.errno is None and call.result is not None:
        listener.listens = True
        family = listener.family or (family_of(items[1]) if len(items) > 1 else None)
        made = _new(world, call.made, family, listener.kind)
        if made.local is None or made.peer is None:
            local = made.local or listener.local
            world.descriptors.has_ends(made, local, made.peer or address)
        address = address or made.peer
        world.descriptors.put(
            call.pid, call.result, made, closing="SOCK_CLOEXEC" in flags
        )  # fmt: skip
    world.on_socket(
        call, listener, number_from(items[0]), flags, address=address,
        local=made.local if made is not None else None,
        new_inode=made.inode if made is not None else None,
        peer_inode=made.peer_inode if made is not None else None,
    )  # fmt: skip


def connect(world: World, call: Syscall) -> None:
    """connect: descriptor, address, length."""
    items = call.arguments.items
    socket = world.opened(call, items[0], socket=call.errno != "ENOTSOCK") if items else None
    if not isinstance(socket, OpenSocket):
        return
    address = address_of(items[1]) if len(items) > 1 else None
    if socket.family is None and len(items) > 1:
        socket.family = family_of(items[1])
    stands = call.errno in (None, "EINPROGRESS") and call.returned_ns is not None
    if _begins_anew(socket, call, address):
        world.parts(socket)
    if stands and address is not None:
        if socket.kind != "SOCK_STREAM" and socket.told:
            socket.former = socket.local, socket.peer
        world.descriptors.has_ends(socket, socket.local, address)
        socket.told = False
    world.on_socket(call, socket, number_from(items[0]), args=address or "", address=address)


def _begins_anew(socket: OpenSocket, call: Syscall, address: str | None) -> bool:
    """Whether the socket is connected to nothing any more, or was not before this attempt.

    EINPROGRESS is what a first attempt returns, never one that goes on (man 2 connect).
    """
    if call.errno is None:
        return address is None and "AF_UNSPEC" in call.text
    if socket.kind == "SOCK_DGRAM" or socket.peer is None:
        return False
    return call.errno == "EINPROGRESS" or (call.errno in _FAILED and socket.told)


def bind(world: World, call: Syscall) -> None:
    """bind: descriptor, address, length."""
    items = call.arguments.items
    socket = world.opened(call, items[0], socket=call.errno != "ENOTSOCK") if items else None
    if not isinstance(socket, OpenSocket):
        return
    address = address_of(items[1]) if len(items) > 1 else None
    if call.errno is None and address is not None and not address.endswith(":0"):
        world.descriptors.has_ends(socket, address, socket.peer)
    world.on_socket(call, socket, number_from(items[0]), args=address or "", address=address)


def learn_name(world: World, call: Syscall) -> None:
    """getsockname, getpeername: no record, but an address."""
    items = call.arguments.items
    socket = world.opened(call, items[0], socket=call.errno != "ENOTSOCK") if items else None
    if not isinstance(socket, OpenSocket) or call.errno is not None or len(items) < 2:
        return
    address = address_of(items[1])
    socket.family = socket.family or family_of(items[1])
    if address is None or address.endswith(":0"):
        return
    if call.op == "getsockname":
        world.descriptors.has_ends(socket, address, socket.peer)
    else:
        world.descriptors.has_ends(socket, socket.local, address)


def simple(world: World, call: Syscall) -> None:
    """listen, shutdown: descriptor and a word."""
    items = call.arguments.items
    socket = world.opened(call, items[0], socket=call.errno != "ENOTSOCK") if items else None
    if not isinstance(socket, OpenSocket):
        return
    if call.op == "listen" and call.errno is None:
        socket.listens = True
    args = ", ".join(map(text_of, items[1:]))
    world.on_socket(call, socket, number_from(items[0]), args=args)


def set_option(world: World, call: Syscall) -> None:
    """setsockopt: descriptor, level, option, value, length."""
    items = call.arguments.items
    socket = world.opened(call, items[0], socket=call.errno != "ENOTSOCK") if items else None
    if isinstance(socket, OpenSocket):
        world.on_socket(call, socket, number_from(items[0]), args=option_args(items[1:]))


def close(world: World, call: Syscall) -> None:
    """close: the table has let go of it when the kernel has, at entry."""
    items = call.arguments.items
    fd = number_from(items[0]) if items else None
    if fd is None or call.errno == "EBADF":
        return
    if fd in call.at_entry:
        opened = call.at_entry[fd]
    else:
        opened = world.opened(call, items[0])
        world.descriptors.close(call.pid, fd)
    if isinstance(opened, OpenSocket):
        world.on_socket(call, opened, fd)


def close_entered(world: World, call: Syscall) -> None:
    """A close that another line will end."""
    items = call.arguments.items
    fd = number_from(items[0]) if items else None
    if fd is not None:
        call.at_entry[fd] = world.opened(call, items[0])
        world.descriptors.close(call.pid, fd)


def close_range(world: World, call: Syscall) -> None:
    """close_range: first, last, flags; a record for each socket's descriptor."""
    items = call.arguments.items
    if call.errno is not None or len(items) < 2:
        return
    first, last = number_from(items[0]), number_from(items[1])
    flags = text_of(items[2]) if len(items) > 2 else ""
    if first is None:
        return
    last = _LAST_FD if last is None or last < 0 else last
    if "CLOSE_RANGE_UNSHARE" in flags:
        world.descriptors.unshare(call.pid)
    if "CLOSE_RANGE_CLOEXEC" in flags:
        held = world.descriptors.table(call.pid).opened
        fds = [fd for fd in held if first <= fd <= last]
        world.descriptors.set_closing(call.pid, fds, True)
        return
    for fd, socket in world.descriptors.close_range(call.pid, first, last):
        world.on_socket(call, socket, fd, args=f"{first}, {last}")


def duplicate(world: World, call: Syscall) -> None:
    """dup, dup2, dup3: descriptor, its new number, flags."""
    items = call.arguments.items
    if not items or call.errno is not None or call.result is None or call.result < 0:
        return
    flags = text_of(items[2]) if len(items) > 2 else ""
    opened = world.opened(call, items[0])
    if call.op == "dup2" and number_from(items[0]) == call.result:
        return
    args = ", ".join([str(number_from(item)) for item in items[1:2]] + ([flags] if flags else []))
    _second_name(world, call, items[0], opened, "O_CLOEXEC" in flags, args)


def control(world: World, call: Syscall) -> None:
    """fcntl: F_DUPFD and its kin, F_SETFD; the rest changes nothing here."""
    items = call.arguments.items
    if len(items) < 2 or call.errno is not None or call.result is None or call.result < 0:
        return
    command = text_of(items[1])
    if command in ("F_DUPFD", "F_DUPFD_CLOEXEC"):
        opened = world.opened(call, items[0])
        args = ", ".join(map(text_of, items[1:]))
        _second_name(world, call, items[0], opened, command.endswith("CLOEXEC"), args)
    elif command == "F_SETFD" and len(items) > 2:
        world.opened(call, items[0])
        fd = number_from(items[0])
        if fd is not None:
            on = "FD_CLOEXEC" in text_of(items[2])
            world.descriptors.set_closing(call.pid, [fd], on)


# Linux has one number for FIONREAD and SIOCINQ, and one for TIOCOUTQ and SIOCOUTQ.
_QUEUES = {
    "FIONREAD": "inq_after_bytes", "SIOCINQ": "inq_after_bytes",
    "TIOCOUTQ": "outq_after_bytes", "SIOCOUTQ": "outq_after_bytes",
}  # fmt: skip


def device_control(world: World, call: Syscall) -> None:
    """ioctl: FIOCLEX and FIONCLEX set FD_CLOEXEC; others tell what is queued (man 7 tcp)."""
    items = call.arguments.items
    if len(items) < 2 or call.errno is not None:
        return
    command, fd = text_of(items[1]), number_from(items[0])
    if command in _QUEUES and len(items) > 2 and call.result == 0:
        opened = world.opened(call, items[0])
        told = items[2]
        queued = number_from(told.items[0]) if isinstance(told, Group) and told.items else None
        if isinstance(opened, OpenSocket) and queued is not None:
            args = f"{command}, [{queued}]"
            world.on_socket(call, opened, fd, args=args, **{_QUEUES[command]: queued})
    if command in ("FIOCLEX", "FIONCLEX") and fd is not None:
        world.opened(call, items[0])
        world.descriptors.set_closing(call.pid, [fd], command == "FIOCLEX")


def _second_name(
    world: World, call: Syscall, value: Value, opened: Opened | None, closing: bool, args: str
) -> None:
    """A descriptor got another number; what had that before is closed."""
    new = call.result
    if new is None:
        return
    if opened is None:
        before = world.descriptors.close(call.pid, new)
    else:
        before = world.descriptors.put(call.pid, new, opened, closing=closing)
    # Else the number was free: a close by another thread has not returned yet, and notes it.
    if isinstance(before, OpenSocket) and call.op in ("dup2", "dup3"):
        world.on_socket(call, before, new, args=args)
    if isinstance(opened, OpenSocket):
        world.on_socket(call, opened, number_from(value), args=args)


def other(world: World, call: Syscall) -> None:
    """open, pipe, eventfd, ...: what they return is no socket."""
    if call.errno is not None:
        return
    if call.op in ("pipe", "pipe2"):
        items = call.arguments.items
        pair = items[0].items if items and isinstance(items[0], Group) else []
        fds = [number_from(item) for item in pair]
    else:
        fds = [call.result]
    closing = "CLOEXEC" in call.text
    for fd in fds:
        if fd is not None and fd >= 0:
            world.descriptors.put(call.pid, fd, OTHER, closing=closing)


def _new(world: World, made: Descriptor | None, family: str | None, kind: str | None) -> OpenSocket:
    """A socket that a call has just made, with what strace calls it."""
    shown = shown_by(made.name) if made is not None and made.name is not None else None
    known = shown is not None and shown.what == "socket"
    socket = world.descriptors.socket(shown.inode if shown is not None and known else None)
    socket.family, socket.kind = family, kind
    if shown is not None and known:
        world.learn(socket, shown)
    return socket


MAKING_OTHERS = frozenset({
    "open", "openat", "openat2", "creat", "pipe", "pipe2", "eventfd", "eventfd2", "signalfd",
    "signalfd4", "timerfd_create", "inotify_init", "inotify_init1", "memfd_create",
    "memfd_secret", "pidfd_open", "userfaultfd", "fanotify_init", "perf_event_open", "mq_open",
    "open_tree", "fsopen", "fsmount",
})  # fmt: skip
ENTERED: dict[str, Handler] = {"close": close_entered}
HANDLERS: dict[str, Handler] = {
    "socket": make_socket, "socketpair": make_pair, "accept": accept, "accept4": accept,
    "connect": connect, "bind": bind, "listen": simple, "shutdown": simple,
    "setsockopt": set_option, "getsockname": learn_name, "getpeername": learn_name,
    "close": close, "close_range": close_range, "dup": duplicate, "dup2": duplicate,
    "dup3": duplicate, "fcntl": control, "fcntl64": control, "ioctl": device_control,
    **dict.fromkeys(MAKING_OTHERS, other),
}  # fmt: skip

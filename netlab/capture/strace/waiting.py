"""poll, select, epoll and their kin -> records with what each reported.

A poll names its descriptors, and those that are ready behind its result. An epoll_wait names the
data that its descriptors were registered with: epoll_ctl tells which those were. Another thread's
wait may report a descriptor while the epoll_ctl that registers it is still inside.
Read first: man 2 poll, man 2 select, man 2 epoll_ctl, man 2 restart_syscall.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.capture.descriptors import OpenEpoll, Watch, is_socket
from netlab.capture.strace.moving import Handler
from netlab.capture.strace.names import events_from
from netlab.capture.strace.syscalls import Syscall
from netlab.capture.strace.values import Group, Value, number_from, parse_arguments, text_of
from netlab.capture.strace.world import World
from netlab.model.call import POLLIN, POLLOUT, POLLPRI, Ready

_SETS = {"in": POLLIN, "out": POLLOUT, "except": POLLPRI}


def poll(world: World, call: Syscall) -> None:
    """poll, ppoll: [{fd, events}], how many, time-out."""
    items = call.arguments.items
    if not items:
        return
    asked = list(_polled(items[0]))
    if not _concerns(world, call, [value for value, _ in asked], items[0]):
        return
    ready: list[Ready] = []
    if call.errno is None and call.result and call.note:
        for value, events in _polled(_noted(call)):
            _add(world, call, ready, value, events)
    timeout = _timeout_ms(items[2]) if len(items) > 2 else "-1"
    count = text_of(items[1]) if len(items) > 1 else str(len(asked))
    world.record(call, args=f"nfds={count}, timeout={timeout}", ready=tuple(ready))


def select(world: World, call: Syscall) -> None:
    """select, pselect6: how many, three sets, time-out."""
    items = call.arguments.items
    if len(items) < 4:
        return
    values = [value for item in items[1:4] if isinstance(item, Group) for value in item.items]
    if not _concerns(world, call, values, *items[1:4]):
        return
    found: dict[int, int] = {}
    if call.errno is None and call.result and call.note:
        for name, events in _SETS.items():
            for fd in _set_in_note(call, name):
                found[fd] = found.get(fd, 0) | events
    ready = [_ready(world, call, fd, events) for fd, events in sorted(found.items())]
    timeout = _timeout_s(items[4]) if len(items) > 4 else "NULL"
    world.record(call, args=f"nfds={text_of(items[0])}, timeout={timeout}", ready=tuple(ready))


def epoll_create(world: World, call: Syscall) -> None:
    """epoll_create, epoll_create1."""
    if call.result is None or call.result < 0:
        return
    args = ", ".join(map(text_of, call.arguments.items))
    world.descriptors.put(call.pid, call.result, OpenEpoll(), closing="CLOEXEC" in args)
    world.record(call, fd=call.result, args=args)


def epoll_control_entered(world: World, call: Syscall) -> None:
    """An epoll_ctl that was split in the log has begun."""
    items = call.arguments.items
    if len(items) < 4 or text_of(items[1]) == "EPOLL_CTL_DEL":
        return
    epoll, fd = world.opened(call, items[0]), number_from(items[2])
    events, data = _event(items[3])
    if isinstance(epoll, OpenEpoll) and fd is not None and data is not None:
        target = world.opened(call, items[2])
        epoll.begin(call.tid, fd, Watch(data, events, target if is_socket(target) else None))


def epoll_control(world: World, call: Syscall) -> None:
    """epoll_ctl: epoll, command, descriptor, {events, data}."""
    items = call.arguments.items
    if len(items) < 3:
        return
    epoll = _epoll(world, call, items[0])
    if epoll is not None:
        epoll.end(call.tid)
    command, fd = text_of(items[1]), number_from(items[2])
    if fd is None:
        return
    target = world.opened(call, items[2])
    socket = target if is_socket(target) else None
    event = items[3] if len(items) > 3 else None
    events, data = _event(event)
    if epoll is not None and call.errno is None:
        if command == "EPOLL_CTL_DEL":
            epoll.unwatch(fd)
        elif data is not None:
            epoll.watch(fd, Watch(data, events, socket))
    if socket is None:
        return
    words = [command, str(fd)]
    if isinstance(event, Group) and command != "EPOLL_CTL_DEL":
        words.append(_events_word(event))
    world.record(
        call, fd=number_from(items[0]), args=", ".join(words),
        ready=(Ready(fd, socket.inode, events if command != "EPOLL_CTL_DEL" else 0),),
    )  # fmt: skip


def epoll_wait(world: World, call: Syscall) -> None:
    """epoll_wait, epoll_pwait, epoll_pwait2: epoll, [{events, data}], room, time-out."""
    items = call.arguments.items
    if not items:
        return
    epoll = _epoll(world, call, items[0])
    ready: list[Ready] = []
    listed = items[1] if len(items) > 1 else None
    if epoll is not None and call.errno is None and call.result and isinstance(listed, Group):
        for entry in listed.items[: call.result]:
            events, data = _event(entry)
            known = epoll.reported(data) if data is not None else None
            if known is not None:
                fd, watch = known
                ready.append(Ready(fd, watch.socket.inode if watch.socket else None, events))
    args = ""  # strace prints what stands behind the events when the call returns
    if len(items) > 3:
        args = f"timeout={_timeout_ms(items[3])}, maxevents={text_of(items[2])}"
    world.record(call, fd=number_from(items[0]), args=args, ready=tuple(ready))


def restart(world: World, call: Syscall) -> None:
    """restart_syscall: a poll that a signal interrupted goes on; what it reports is not shown."""
    if "poll" in call.text or "select" in call.text:
        world.record(call, args="resumed")


def _epoll(world: World, call: Syscall, value: Value) -> OpenEpoll | None:
    epoll = world.opened(call, value)
    if epoll is None and (fd := number_from(value)) is not None and call.errno is None:
        epoll = OpenEpoll()
        world.descriptors.put(call.pid, fd, epoll)
    return epoll if isinstance(epoll, OpenEpoll) else None


def _concerns(world: World, call: Syscall, values: list[Value], *lists: Value) -> bool:
    """Whether any of the descriptors may be a socket's."""
    opened = [world.opened(call, value) for value in values]
    if any(is_socket(one) for one in opened):
        return True
    cut = any(isinstance(one, Group) and not one.whole for one in lists)
    return cut and bool(world.descriptors.table(call.pid).sockets())


def _polled(value: Value | None) -> Iterator[tuple[Value, int]]:
    if not isinstance(value, Group):
        return
    for entry in value.items:
        if isinstance(entry, Group) and "fd" in entry.fields:
            events = entry.fields.get("revents", entry.fields.get("events"))
            yield entry.fields["fd"], events_from(events)


def _noted(call: Syscall) -> Value | None:
    try:
        found = parse_arguments(call.note)
    except ValueError:
        return None
    return found.items[0] if found.items else None


def _set_in_note(call: Syscall, name: str) -> list[int]:
    """The descriptors behind `in`, of `in [5], out [4], left {tv_sec=0, tv_nsec=5}`."""
    try:
        found = parse_arguments(call.note)
    except ValueError:
        return []
    for word, value in zip(found.items, found.items[1:], strict=False):
        if word == name and isinstance(value, Group):
            return [fd for fd in map(number_from, value.items) if fd is not None]
    return []


def _add(world: World, call: Syscall, ready: list[Ready], value: Value, events: int) -> None:
    fd = number_from(value)
    if fd is not None:
        ready.append(_ready(world, call, fd, events))


def _ready(world: World, call: Syscall, fd: int, events: int) -> Ready:
    opened = world.opened(call, str(fd))
    return Ready(fd, opened.inode if is_socket(opened) else None, events)


def _event(value: Value | None) -> tuple[int, int | None]:
    """Events and data of `{events=EPOLLIN, data={u32=5, u64=5}}`; older strace names neither."""
    if not isinstance(value, Group):
        return 0, None
    items = list(value.items)
    events = value.fields.get("events", items.pop(0) if items else None)
    data = value.fields.get("data", items.pop(0) if items else None)
    if isinstance(data, Group):
        data = data.fields.get("u64")
    number = number_from(data)
    return events_from(events), number


def _events_word(event: Group) -> str:
    word = event.fields.get("events", event.items[0] if event.items else "")
    return text_of(word)


def _timeout_ms(value: Value) -> str:
    """Milliseconds; of a struct timespec, too. -1 is for ever."""
    if isinstance(value, Group):
        seconds = number_from(value.fields.get("tv_sec")) or 0
        ns = number_from(value.fields.get("tv_nsec")) or 0
        return f"{seconds * 1000 + ns / 1e6:g}"
    return "-1" if value == "NULL" else text_of(value)


def _timeout_s(value: Value) -> str:
    if isinstance(value, Group):
        seconds = number_from(value.fields.get("tv_sec")) or 0
        ns = number_from(value.fields.get("tv_nsec")) or 0
        us = number_from(value.fields.get("tv_usec")) or 0
        return f"{seconds + ns / 1e9 + us / 1e6:g}"
    return text_of(value)


ENTERED: dict[str, Handler] = {"epoll_ctl": epoll_control_entered}
HANDLERS: dict[str, Handler] = {
    "poll": poll, "ppoll": poll, "ppoll_time64": poll, "select": select, "_newselect": select,
    "pselect6": select, "pselect6_time64": select, "epoll_create": epoll_create,
    "epoll_create1": epoll_create, "epoll_ctl": epoll_control, "epoll_wait": epoll_wait,
    "epoll_pwait": epoll_wait, "epoll_pwait2": epoll_wait, "restart_syscall": restart,
}  # fmt: skip

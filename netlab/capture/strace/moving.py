"""Calls that move bytes: send, recv, read, write and all their kin -> records.

How many bytes were asked for stands in an argument or in the lengths of an iovec. sendfile and
splice name two descriptors: the record is the socket's. Descriptors in messages change the tables.
Read first: man 2 sendmsg, man 2 recvmmsg, man 2 splice, man 7 unix (SCM_RIGHTS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from netlab.capture.descriptors import Opened, OpenSocket, is_socket
from netlab.capture.strace.names import MESSAGE_FLAGS, address_of, flags_from, flags_text
from netlab.capture.strace.syscalls import Syscall
from netlab.capture.strace.values import Changed, Group, Text, Value, number_from, text_of
from netlab.capture.strace.world import World
from netlab.model.call import MSG_CTRUNC, MSG_TRUNC, SPLICE_FROM, Passed

_CLOEXEC = MESSAGE_FLAGS["MSG_CMSG_CLOEXEC"]


def plain(world: World, call: Syscall) -> None:
    """read, write: descriptor, buffer, size."""
    items = call.arguments.items
    _moved(world, call, _number(items, 2), data=_content(world, call, items[1:2]))


def with_flags(world: World, call: Syscall) -> None:
    """send, recv, sendto, recvfrom: descriptor, buffer, size, flags, address."""
    items = call.arguments.items
    _moved(
        world, call, _number(items, 2), flags=flags_from(_at(items, 3)), proof=True,
        address=address_of(_at(items, 4)), data=_content(world, call, items[1:2]),
    )  # fmt: skip


def vector(world: World, call: Syscall) -> None:
    """readv, writev: descriptor, iovec; preadv2 and pwritev2 at offset -1 are the same."""
    items = call.arguments.items
    if call.op in ("preadv2", "pwritev2") and _number(items, 3) != -1:
        return  # a socket has no offsets
    _moved(world, call, _asked(_at(items, 1)), data=_content(world, call, items[1:2]))


def message(world: World, call: Syscall) -> None:
    """sendmsg, recvmsg: descriptor, msghdr, flags."""
    items = call.arguments.items
    header = _at(items, 1)
    flags = flags_from(_at(items, 2))
    requested = address = data = None
    passed: list[Passed] = []
    note = ""
    if isinstance(header, Group):
        requested, address = _asked(header.fields.get("msg_iov")), _name_of(header)
        if call.op == "recvmsg":
            flags |= flags_from(header.fields.get("msg_flags")) & (MSG_TRUNC | MSG_CTRUNC)
        data = _content(world, call, [header.fields.get("msg_iov")])
        if call.errno is None and call.result is not None:
            passed = _passed(world, call, header, flags)
        note = _segment_text(header)
    _moved(
        world, call, requested, flags=flags, proof=True, note=note, address=address, data=data,
        passed=tuple(passed),
    )  # fmt: skip


def messages(world: World, call: Syscall) -> None:
    """sendmmsg, recvmmsg: descriptor, a list of headers with what each moved, how many, flags."""
    items = call.arguments.items
    flags = flags_from(_at(items, 3))
    count = call.result or 0
    lengths: list[int] = []
    addresses: list[str] = []
    passed: list[Passed] = []
    requested: int | None = 0
    listed = _at(items, 1)
    headers = listed.items if isinstance(listed, Group) else []
    for place, entry in enumerate(headers):
        header = entry.fields.get("msg_hdr") if isinstance(entry, Group) else None
        if not isinstance(entry, Group) or not isinstance(header, Group):
            requested = None
            continue
        asked = _asked(header.fields.get("msg_iov"))
        requested = None if asked is None or requested is None else requested + asked
        length = number_from(entry.fields.get("msg_len"))
        if place < count and length is not None:
            lengths.append(length)
            addresses.append(_name_of(header) or "")
            passed += _passed(world, call, header, flags)
    if len(lengths) < count:  # the list was cut off, or not printed
        world.fault(f"{call.op}: the log does not show what each message moved (use a larger -s)")
        lengths, addresses = [], []
    if count > 0 and not lengths:
        call.result = None  # how much it moved is not known
    _moved(
        world, call, requested, flags=flags, proof=True,
        address=addresses[0] or None if len(addresses) == 1 else None, passed=tuple(passed),
        message_bytes=tuple(lengths),
        message_addresses=tuple(addresses) if any(addresses) else (),
    )  # fmt: skip


def sendfile(world: World, call: Syscall) -> None:
    """sendfile: to, from, offset, count."""
    items = call.arguments.items
    note = f"in_fd={number_from(_at(items, 1))}"
    offset = _at(items, 2)
    if isinstance(offset, Changed) and isinstance(offset.before, Group) and offset.before.items:
        note += f", offset={text_of(offset.before.items[0])}"
    _moved(world, call, _number(items, 3), note=note)


def splice(world: World, call: Syscall) -> None:
    """splice: from, its offset, to, its offset, count, flags; one of the two is a pipe."""
    items = call.arguments.items
    source, target = _at(items, 0), _at(items, 2)
    into, out_of = world.opened(call, target), world.opened(call, source)
    if isinstance(into, OpenSocket):
        socket, fd, note = into, number_from(target), f"{SPLICE_FROM}{number_from(source)}"
    elif isinstance(out_of, OpenSocket):
        socket, fd, note = out_of, number_from(source), f"fd_out={number_from(target)}"
    else:
        return
    world.on_socket(call, socket, fd, note, _number(items, 4))


def _moved(
    world: World, call: Syscall, requested: int | None, *, flags: int = 0, proof: bool = False,
    note: str = "", **more: Any,
) -> None:  # fmt: skip
    """Add the record, if the first argument is a socket; `proof`: the call shows that it is one."""
    items = call.arguments.items
    if not items:
        return
    socket = world.opened(call, items[0], socket=proof and call.errno != "ENOTSOCK")
    if isinstance(socket, OpenSocket):
        args = flags_text(flags)
        if note:
            args = f"{args}, {note}" if args else note
        world.on_socket(call, socket, number_from(items[0]), args, requested, flags, **more)


def _at(items: list[Value], place: int) -> Value | None:
    return items[place] if place < len(items) else None


def _number(items: list[Value], place: int) -> int | None:
    return number_from(_at(items, place))


def _asked(vector: Value | None) -> int | None:
    """The bytes that an iovec has room for; None where it is not shown whole."""
    if not isinstance(vector, Group) or not vector.whole:
        return None
    total = 0
    for part in vector.items:
        length = number_from(part.fields.get("iov_len")) if isinstance(part, Group) else None
        if length is None:
            return None
        total += length
    return total


def _content(
    world: World, call: Syscall, buffers: list[Value | None] | list[Value]
) -> bytes | None:
    """The first bytes that the call moved, as far as they are asked for and strace shows them."""
    if not world.keep_bytes or call.result is None or call.result < 0:
        return None
    left = min(call.result, world.keep_bytes)
    parts: list[bytes] = []
    for text in _texts(buffers):
        parts.append(text.data[:left])
        left -= len(parts[-1])
        if not text.whole or left <= 0:
            break
    return b"".join(parts) if parts else None


def _texts(values: list[Value | None] | list[Value]) -> Iterator[Text]:
    for value in values:
        if isinstance(value, Text):
            yield value
        elif isinstance(value, Group):
            for part in value.items:
                base = part.fields.get("iov_base") if isinstance(part, Group) else None
                if not isinstance(base, Text):
                    return
                yield base
            if not value.whole:
                return


def _name_of(header: Group) -> str | None:
    return address_of(header.fields.get("msg_name"))


def _controls(header: Group) -> Iterator[Group]:
    control = header.fields.get("msg_control")
    if isinstance(control, Changed):
        control = control.after
    if isinstance(control, Group):
        yield from (item for item in control.items if isinstance(item, Group))


def _passed(world: World, call: Syscall, header: Group, flags: int) -> list[Passed]:
    """The sockets among the descriptors that a message carries; those received are put in place."""
    found: list[Passed] = []
    for control in _controls(header):
        if control.fields.get("cmsg_type") != "SCM_RIGHTS":
            continue
        carried = control.fields.get("cmsg_data")
        if not isinstance(carried, Group):
            continue
        if not carried.whole:
            world.fault(f"{call.op}: the log does not show all passed descriptors (use -v)")
        line = world.opened(call, call.arguments.items[0])
        if call.op.startswith("send"):
            opened = [world.opened(call, item) for item in carried.items]
            if is_socket(line):
                world.flights.send(line, opened)
        else:
            opened = _received(world, call, line, carried.items, bool(flags & _CLOEXEC))
        for item, one in zip(carried.items, opened, strict=True):
            fd = number_from(item)
            if fd is not None and is_socket(one):
                found.append(Passed(fd, one.inode))
    return found


def _received(
    world: World, call: Syscall, line: Opened | None, items: list[Value], closing: bool
) -> list[Opened | None]:
    """What came in a message, by what strace calls it, else by the message that carried it."""
    shown = [world.shown(item) for item in items]
    known: list[Opened | None] = [
        None if one is None else world.known(one) for one in shown
    ]  # fmt: skip
    landed = world.flights.receive(line, known) if is_socket(line) else None
    found: list[Opened | None] = []
    for place, item in enumerate(items):
        fd = number_from(item)
        opened = known[place]
        if opened is None and landed is not None:
            opened = landed[place]
        found.append(opened)
        if fd is None:
            continue
        if opened is None:  # the number is new, whatever it led to before
            world.descriptors.close(call.pid, fd)
        else:
            world.descriptors.put(call.pid, fd, opened, closing=closing)
    if landed is not None:
        world.flights.done(landed)
    return found


def _segment_text(header: Group) -> str:
    """`UDP_SEGMENT=1000`: the kernel cuts what is sent into datagrams of that size."""
    for control in _controls(header):
        if control.fields.get("cmsg_level") != "SOL_UDP":
            continue
        if control.fields.get("cmsg_type") not in ("UDP_SEGMENT", "0x67"):
            continue
        value = control.fields.get("cmsg_data")
        if isinstance(value, Text):
            return f"UDP_SEGMENT={int.from_bytes(value.data, 'little')}"
        if isinstance(value, Group) and value.items:
            return f"UDP_SEGMENT={number_from(value.items[0])}"
    return ""


Handler = Callable[[World, Syscall], None]
HANDLERS: dict[str, Handler] = {
    "read": plain, "write": plain,
    "send": with_flags, "recv": with_flags, "sendto": with_flags, "recvfrom": with_flags,
    "readv": vector, "writev": vector, "preadv2": vector, "pwritev2": vector,
    "sendmsg": message, "recvmsg": message,
    "sendmmsg": messages, "recvmmsg": messages, "recvmmsg_time64": messages,
    "sendfile": sendfile, "sendfile64": sendfile, "splice": splice,
}  # fmt: skip

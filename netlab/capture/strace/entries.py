"""Which descriptors a call is about, as far as its beginning tells: of one that is split in two.

Between the two lines another thread may close a number and get it again for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netlab.capture.strace.flat import descriptor
from netlab.capture.strace.syscalls import Syscall
from netlab.capture.strace.values import DESCRIPTOR_NAME, Group, Value

_LISTS = frozenset({"poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6",
                    "pselect6_time64"})  # fmt: skip
SEVERAL = _LISTS | {"splice", "epoll_ctl", "sendfile", "sendfile64"}  # descriptors
_FIRST = re.compile(rf"\s*(-?\d+)({DESCRIPTOR_NAME}(?:\(deleted\))?)?(?=\s*(?:,|$))")


def first_descriptor(text: str) -> Value | None:
    """What arguments begin with, if that is a descriptor; the rest need not be understood."""
    first = _FIRST.match(text)
    if first is None:
        return None
    number, name = first.groups()
    return number if name is None else descriptor(number + name)


def descriptors_of(call: Syscall) -> Iterator[Value]:
    """Those among the arguments of a call that has several."""
    items = call.arguments.items
    if call.op not in _LISTS:
        yield from items[:3] if call.op in ("splice", "epoll_ctl") else items[:2]
        return
    for item in items[:4]:
        for part in item.items if isinstance(item, Group) else ():
            if not isinstance(part, Group):
                yield part
            elif "fd" in part.fields:
                yield part.fields["fd"]

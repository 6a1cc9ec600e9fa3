"""A whole line of a call -> its arguments, its result and when it was inside.

`= 5<TCP:[...]> <0.000012>`, `= -1 EAGAIN (Resource temporarily unavailable) <0.000010>`,
`= 1 ([{fd=5, revents=POLLIN}]) <0.000040>`, `= ? ERESTARTSYS (To be restarted ...)`, `= ?`.
What this module must not know: what the call does.
Read first: man 1 strace, "DESCRIPTION" and -T.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from netlab.capture.descriptors import Opened
from netlab.capture.strace.values import (
    DESCRIPTOR_NAME,
    Descriptor,
    Group,
    descriptor_from_token,
    parse_arguments,
)

# From the end of the line: a string in the arguments may read like a result, the result itself
# cannot hold another one (< and > are escaped in names).
_RESULT = re.compile(
    rf"(.*)\)\s+= (?:(-?\d+|0x[0-9a-f]+)({DESCRIPTOR_NAME}(?:\(deleted\))?)?|\?)"
    r"(?: (E[A-Z0-9_]+))?(?: \((.*)\))?(?: \((?:INJECTED|DELAYED)[^()]*\))?"
    r"(?: <(\d+)\.(\d{6}(?:\d{3})?)>)?$",
    re.DOTALL,
)


@dataclass(slots=True)
class Syscall:
    """One system call as strace saw it."""

    tid: int
    pid: int
    op: str
    text: str  # of its arguments
    entered_ns: int
    returned_ns: int | None = None  # None: still inside
    returned_by_ns: int | None = None
    result: int | None = None  # None: `?`
    made: Descriptor | None = None  # the result with its name, where it has one
    errno: str | None = None
    note: str = ""  # what stands in parentheses behind the result
    arguments: Group = field(default_factory=Group)
    at_entry: dict[int, Opened | None] = field(default_factory=dict)  # if it was split in the log

    def parse(self) -> None:
        """Fill in `arguments`. Raises ValueError when they are not in strace's notation."""
        self.arguments = parse_arguments(self.text)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands behind a call's parentheses."""

    arguments: str
    result: int | None
    made: Descriptor | None
    errno: str | None
    note: str
    took_ns: int | None  # None: strace ran without -T


def split_outcome(text: str) -> Outcome | None:
    """Arguments and outcome of `3, "x", 1, 0) = 1 <0.000012>`; None when it is not of this form."""
    match = _RESULT.match(text)
    if match is None:
        return None
    arguments, result, name, errno, note, seconds, fraction = match.groups()
    took = None
    if seconds is not None:
        took = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))
    number = None if result is None else int(result, 0)
    if number is not None and not -(1 << 63) <= number < 1 << 63:  # a pointer, of no interest
        number = None
    made = None
    if name is not None and number is not None:
        made = descriptor_from_token(f"{number}{name}")
    return Outcome(arguments, number, made, errno, note or "", took)

"""A whole line of a call -> its arguments, its result and when it was inside.

`= 5<TCP:[...]> <0.000012>`, `= -1 EAGAIN (Resource temporarily unavailable) <0.000010>`,
`= 1 ([{fd=5, revents=POLLIN}]) <0.000040>`, `= ? ERESTARTSYS (To be restarted ...)`, `= ?`.
What this module must not know: what the call does.
Read first: man 1 strace, "DESCRIPTION" and -T.
"""

from __future__ import annotations

import re
from dataclasses import field

from netlab.capture.descriptors import Opened
from netlab.capture.strace.flat import descriptor, maybe_flat
from netlab.capture.strace.values import (
    DESCRIPTOR_NAME,
    Descriptor,
    Group,
    parse_arguments,
)
from netlab.model.records import dataclass

# From the end of the line: a string in the arguments may read like a result, the result itself
# cannot hold another one (< and > are escaped in names).
_RESULT = re.compile(
    rf"(.*)\)\s+= (?:(-?\d+|0x[0-9a-f]+)({DESCRIPTOR_NAME}(?:\(deleted\))?)?|\?)"
    r"(?: (E[A-Z0-9_]+))?(?: \((.*)\))?(?: \((?:INJECTED|DELAYED)[^()]*\))?"
    r"(?: <(?:unavailable|(\d+)\.(\d{6}(?:\d{3})?))>)?$",
    re.DOTALL,
)
# The end of most lines, which cannot be a part of anything else: no descriptor, no error.
_PLAIN_RESULT = re.compile(r"\)\s+= (\d+) <(\d+)\.(\d{6}(?:\d{3})?)>\Z")
_LONGEST_PLAIN = 48


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
        self.arguments = maybe_flat(self.text) or parse_arguments(self.text)


def maybe_syscall(tid: int, pid: int, op: str, text: str, entered_ns: int) -> Syscall | None:
    """The call of which `text` has all behind the opening parenthesis; None: it has another form.

    `returned_ns` is the end of what strace measured (-T), or None.
    """
    plain = _PLAIN_RESULT.search(text, max(0, len(text) - _LONGEST_PLAIN))
    if plain is not None:
        result, seconds, fraction = plain.groups()
        took = int(seconds) * 1_000_000_000 + int(fraction) * (1000 if len(fraction) == 6 else 1)
        return Syscall(
            tid, pid, op, text[: plain.start()], entered_ns, entered_ns + took, None, int(result)
        )
    match = _RESULT.match(text)
    if match is None:
        return None
    arguments, result, name, errno, note, seconds, fraction = match.groups()
    returned_ns = None
    if seconds is not None:
        returned_ns = entered_ns + int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))
    number = None if result is None else int(result, 0)
    if number is not None and not -(1 << 63) <= number < 1 << 63:  # a pointer, of no interest
        number = None
    made = None
    if name is not None and number is not None:
        made = descriptor(f"{number}{name}")
    return Syscall(
        tid, pid, op, arguments, entered_ns, returned_ns, None, number, made, errno, note or ""
    )

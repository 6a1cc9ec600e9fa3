"""The text that strace prints -> lines: whose each is, when it was printed, and what it says.

strace is asked for `-f -ttt -T` (or ns: `--absolute-timestamps=format:unix,precision:ns`), and
writes with `-o FILE` `123   1700000000.123456 call`, on a terminal `[pid 123] 1700000000.123456
call`, there without the process as long as it is the only one. Its own remarks (`strace: Process 9
attached`) may cut a line of the terminal's in two.
What this module must not know: what a call means.
Read first: man 1 strace, "DESCRIPTION" and -f, -ttt, -i, -n, --decode-pids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum

from netlab.model.records import dataclass

LONGEST_LINE_BYTES = 64 << 20  # a call with -xx and a string of 16 MB
_HEAD = re.compile(
    r"(?:\[pid +(\d+)(?:<[^<>]*>)?\] |(\d{1,7})(?:<[^<>]*>)? +)?"  # \d+<comm>: --decode-pids=comm
    r"(\d{9,11})\.(\d{6}(?:\d{3})?) "
    r"(?:\[[ 0-9a-f?]+\] )*"  # -n and -i
)
# What nearly every line of a file looks like; the rest is looked at more closely.
_PLAIN = re.compile(
    r"(\d{1,7}) +(\d{9,11})\.(\d{6}(?:\d{3})?) "
    r"(?:([a-z_0-9]+)\(|<\.\.\. ([a-z_0-9]+) resumed> ?)"
)
_CUT = " <unfinished ...>"
# Only at the end of a line: within a string a quote follows.
_REMARK = re.compile(
    r"(?:[^ ]*/)?strace: (?:Process (\d+)(?:<[^<>]*>)? (attached|detached)(?: with \d+ threads)?"
    r'|\[[^"]*\])$'
)
_CALL = re.compile(r"([a-z_0-9?]+)\(")
_RESUMED = re.compile(r"<\.\.\. ([a-z_0-9?]+) resumed> ?")
_UNFINISHED = re.compile(r" ?<(?:unfinished|detached|pid changed to (\d+)) \.\.\.>$")
_EXITED = re.compile(r"\+\+\+ exited with (\d+) \+\+\+$")
_KILLED = re.compile(r"\+\+\+ killed by (SIG\w+)(?: \(core dumped\))? \+\+\+$")
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+)(?:<[^<>]*>)? \+\+\+$")
_NS = {6: 1000, 9: 1}


class Says(IntEnum):
    """What kind of thing a line says."""

    CALL = 0  # a whole call; text: arguments and result
    ENTERED = 1  # a call that another line will end; text: the arguments so far
    RESUMED = 2  # text: the rest of the arguments, and the result
    SIGNAL = 3
    EXITED = 4  # text: `status 1`, or SIGKILL
    SUPERSEDED = 5  # by the execve of another thread, which has its number from now on
    ATTACHED = 6
    OTHER = 7  # not understood; text: the line


# Members of an enumeration cost a look-up at every use.
_CALLED, _ENTERED, _RESUMING = Says.CALL, Says.ENTERED, Says.RESUMED


@dataclass(slots=True)
class Line:
    """One line of the log."""

    says: Says
    tid: int | None  # None: strace does not say, it follows one only
    time_ns: int  # when it was printed: before the call, or after it was resumed
    op: str
    text: str
    number: int = 0  # a further process: attached, or the one that changed its number


class LineReader:
    """Takes the log in pieces of any size and hands out its lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._parts: list[bytes] = []  # of a line that has not ended yet
        self._size = 0
        self._head = ""  # a line that a remark cut in two
        self._skipping = False  # the rest of a line that was too long
        self.resolution_ns = 1000

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that end in `data`."""
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return
        whole = b"".join((*self._parts, data[:end]))
        self._parts, self._size = [], 0
        # Each byte a character: a string or a path may hold anything.
        texts = whole.decode("latin-1").split("\n")
        if self._skipping:
            del texts[0]
            self._skipping = False
        for text in texts:
            line = self._line(text)
            if line is not None:
                yield line
        self._keep(data[end + 1 :])

    def finish(self) -> bytes:
        """The log has ended; gives the beginning of a line that was cut off."""
        rest = b"".join(self._parts) or self._head.encode("latin-1")
        self._parts, self._size, self._head = [], 0, ""
        return rest

    def _keep(self, data: bytes) -> None:
        if not data or self._skipping:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > LONGEST_LINE_BYTES:
            self._parts, self._size, self._skipping = [], 0, True

    def _line(self, text: str) -> Line | None:
        plain = _PLAIN.match(text)
        if plain is not None and text[-1] == ">" and not self._head:
            digits, whole_s, fraction, op, resumed = plain.groups()
            cut = text[-2] == "."
            if not cut or (op and text.endswith(_CUT)):
                self.resolution_ns = scale = 1000 if len(fraction) == 6 else 1
                time_ns = int(whole_s) * 1_000_000_000 + int(fraction) * scale
                at = plain.end()
                if cut:
                    return Line(_ENTERED, int(digits), time_ns, op, text[at : -len(_CUT)])
                if op:
                    return Line(_CALLED, int(digits), time_ns, op, text[at:])
                return Line(_RESUMING, int(digits), time_ns, resumed, text[at:])
        return self._uncommon(text)

    def _uncommon(self, text: str) -> Line | None:
        if "strace: " in text and (remark := _REMARK.search(text)):
            if remark.start() and not _whole(text[: remark.start()]):
                self._head = text[: remark.start()]
            if remark[2] == "attached":
                return Line(Says.ATTACHED, None, 0, "", "", int(remark[1]))
            return None
        if self._head:
            if _HEAD.match(text) is None:
                text = self._head + text
            self._head = ""
        head = _HEAD.match(text)
        if head is None:
            if text.strip():
                return Line(Says.OTHER, None, 0, "", text)
            return None
        which, number, seconds, fraction = head.groups()
        scale = _NS[len(fraction)]
        self.resolution_ns = scale
        tid = which or number
        return said(
            text, head.end(), int(tid) if tid else None,
            int(seconds) * 1_000_000_000 + int(fraction) * scale,
        )  # fmt: skip


def _whole(text: str) -> bool:
    """Whether a remark came behind the end of a line rather than within it."""
    return _UNFINISHED.search(text) is not None


def said(text: str, at: int, tid: int | None, time_ns: int) -> Line:
    """What the text of a line says from `at` on."""
    call = _CALL.match(text, at)
    if call is not None:
        if text.endswith(" ...>") and (cut := _UNFINISHED.search(text)):
            body = text[call.end() : cut.start()]
            return Line(Says.ENTERED, tid, time_ns, call[1], body, int(cut[1] or 0))
        return Line(Says.CALL, tid, time_ns, call[1], text[call.end() :])
    resumed = _RESUMED.match(text, at)
    if resumed is not None:
        return Line(Says.RESUMED, tid, time_ns, resumed[1], text[resumed.end() :])
    body = text[at:]
    if body.startswith("--- "):
        return Line(Says.SIGNAL, tid, time_ns, "", body)
    if (exited := _EXITED.match(body)) is not None:
        return Line(Says.EXITED, tid, time_ns, "", f"status {exited[1]}")
    if (killed := _KILLED.match(body)) is not None:
        return Line(Says.EXITED, tid, time_ns, "", killed[1])
    if (gone := _SUPERSEDED.match(body)) is not None:
        return Line(Says.SUPERSEDED, tid, time_ns, "", "", int(gone[1]))
    return Line(Says.OTHER, tid, time_ns, "", body)

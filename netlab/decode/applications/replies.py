"""Replies of three digits, in one line or in several, as FTP and SMTP give them.

A reply's first line may end its number with `-`; it then goes on until a line with the number and a
space. In SMTP each line bears the number (RFC 5321 4.2.1), in FTP only the last must (RFC 959 4.2).
"""

from __future__ import annotations

from dataclasses import field

from netlab.decode.applications.reading import Draft, Malformed, Reading, Tap, brief, text_of
from netlab.model.records import dataclass

MOST_LINES = 64  # kept of a reply
_CLASSES = {
    1: "begun, more follows", 2: "done", 3: "go on", 4: "not now", 5: "no", 6: "protected",
}  # fmt: skip


@dataclass(slots=True)
class Reply:
    """A reply: its number, its first lines, and how many there are."""

    code: int
    lines: list[str] = field(default_factory=list)
    number: int = 0

    @property
    def preliminary(self) -> bool:
        """Whether another reply to the same command follows."""
        return 100 <= self.code < 200


def read_reply(tap: Tap, draft: Draft, source: str, every_line: bool) -> Reading[Reply]:
    """A whole reply; each line becomes a field. Raises Malformed for what is none.

    `every_line`: all lines bear the number, so one with another ends what cannot be read.
    """
    reply: Reply | None = None
    while True:
        start = tap.at
        line = yield from tap.line()
        if reply is None:
            if not _is_coded(line):
                raise Malformed(f"no reply: {brief(line, 24)!r}")
            reply = Reply(int(line[:3]))
        mine = _is_coded(line) and int(line[:3]) == reply.code
        if every_line and not mine:
            raise Malformed(f"no line of reply {reply.code}: {brief(line, 24)!r}")
        text = text_of(line[4:] if mine else line)
        reply.number += 1
        if len(reply.lines) < MOST_LINES:
            reply.lines.append(text)
        name = "reply" if reply.number == 1 else "reply goes on"
        meaning = _CLASSES.get(reply.code // 100, "") if reply.number == 1 else ""
        draft.add(name, text_of(line), start, tap.at, meaning, source)
        draft.text = f"{reply.code} {reply.lines[0]}".rstrip()
        if mine and line[3:4] != b"-":
            return reply


def _is_coded(line: bytes) -> bool:
    return (
        len(line) >= 3 and line[:3].isdigit() and b"1" <= line[:1] <= b"6"
        and line[3:4] in (b"", b" ", b"-")
    )  # fmt: skip

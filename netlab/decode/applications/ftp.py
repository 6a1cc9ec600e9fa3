"""FTP's control connection: commands, replies, and where the data connections go.

The files themselves travel over other connections, which PASV, PORT and their kin name. Read first:
RFC 959 4 (commands and replies), RFC 2428 (EPRT, EPSV), RFC 4217 (AUTH TLS), RFC 3659 (SIZE, MLSD).
"""

from __future__ import annotations

import re
from collections import deque

from netlab.decode.applications.message import Application
from netlab.decode.applications.reading import (
    Draft,
    Malformed,
    Reading,
    Talk,
    Tap,
    brief,
    counted,
    text_of,
)
from netlab.decode.applications.replies import Reply, read_reply
from netlab.model.tables import Side

_HELD = 1 << 16
_COMMANDS = {
    "USER": ("RFC 959 4.1.1", "who the user is"),
    "PASS": ("RFC 959 4.1.1", "the password as it is, readable by anyone"),
    "ACCT": ("RFC 959 4.1.1", "the user's account"),
    "CWD": ("RFC 959 4.1.1", "go to this folder"),
    "CDUP": ("RFC 959 4.1.1", "go to the folder above"),
    "SMNT": ("RFC 959 4.1.1", "mount another file system"),
    "QUIT": ("RFC 959 4.1.1", "the client is done"),
    "REIN": ("RFC 959 4.1.1", "begin again, as another user"),
    "PORT": ("RFC 959 4.1.2", "connect to me there for the data (active)"),
    "PASV": ("RFC 959 4.1.2", "where shall I connect to for the data? (passive)"),
    "TYPE": ("RFC 959 4.1.2", "text (A) or bytes (I)"),
    "STRU": ("RFC 959 4.1.2", "how a file is structured"),
    "MODE": ("RFC 959 4.1.2", "how data is sent"),
    "RETR": ("RFC 959 4.1.3", "send this file"),
    "STOR": ("RFC 959 4.1.3", "store what I send as this file"),
    "STOU": ("RFC 959 4.1.3", "store what I send under a new name"),
    "APPE": ("RFC 959 4.1.3", "put what I send behind this file"),
    "ALLO": ("RFC 959 4.1.3", "make room"),
    "REST": ("RFC 959 4.1.3", "begin the next transfer at this offset"),
    "RNFR": ("RFC 959 4.1.3", "rename this file"),
    "RNTO": ("RFC 959 4.1.3", "to that name"),
    "ABOR": ("RFC 959 4.1.3", "stop the transfer"),
    "DELE": ("RFC 959 4.1.3", "delete this file"),
    "RMD": ("RFC 959 4.1.3", "remove this folder"),
    "MKD": ("RFC 959 4.1.3", "make this folder"),
    "PWD": ("RFC 959 4.1.3", "which folder is this?"),
    "LIST": ("RFC 959 4.1.3", "what is in the folder? (for people)"),
    "NLST": ("RFC 959 4.1.3", "what is in the folder? (names alone)"),
    "SITE": ("RFC 959 4.1.3", "something that only this server knows"),
    "SYST": ("RFC 959 4.1.3", "what system is the server?"),
    "STAT": ("RFC 959 4.1.3", "how do things stand?"),
    "HELP": ("RFC 959 4.1.3", ""),
    "NOOP": ("RFC 959 4.1.3", "nothing, but the server replies"),
    "FEAT": ("RFC 2389 3", "what else can the server do?"),
    "OPTS": ("RFC 2389 4", "set an option of a command"),
    "EPRT": ("RFC 2428 2", "connect to me there for the data, IPv6 too"),
    "EPSV": ("RFC 2428 3", "which port shall I connect to for the data?"),
    "AUTH": ("RFC 4217 4", "everything from here on shall be encrypted"),
    "PBSZ": ("RFC 4217 8", "size of protected pieces"),
    "PROT": ("RFC 4217 9", "whether data is encrypted too"),
    "CCC": ("RFC 4217 6", "encrypt commands no longer"),
    "MDTM": ("RFC 3659 3", "when was this file changed?"),
    "SIZE": ("RFC 3659 4", "how long is this file?"),
    "MLST": ("RFC 3659 7", "facts of one file (for programs)"),
    "MLSD": ("RFC 3659 7", "what is in the folder? (for programs)"),
    "LANG": ("RFC 2640 4.1", "the language of replies"),
    "HOST": ("RFC 7151 3", "which of the server's names is meant"),
}
_VERB = re.compile(rb"[A-Za-z]{3,4}\Z")
_SIX = re.compile(r"(?<![0-9,])([0-9]{1,3}(?:,[0-9]{1,3}){5})(?![0-9,])")
_EXTENDED_REPLY = re.compile(r"\((.)\1\1([0-9]{1,5})\1\)")
_GREETING = re.compile(rb"220[ -][^\r\n]*FTP", re.IGNORECASE)
_USER = re.compile(rb"(USER [^\r\n]{1,200}|AUTH (TLS|SSL))\r\n", re.IGNORECASE)


class Ftp(Talk):
    """A client and an FTP server."""

    protocol = "FTP"

    def __init__(self) -> None:
        super().__init__()
        self._asked: deque[str] = deque()  # commands without their last reply
        self._waits = False  # for the reply to AUTH

    def begins(self, side: Side, head: bytes) -> bool:
        if side is Side.SERVER:
            return head[:3].isdigit() and head[3:4] in (b" ", b"-")
        return text_of(head.split(b"\r\n")[0].split(b" ")[0]).upper() in _COMMANDS

    def missed(self, side: Side) -> None:
        self._asked.clear()
        self._waits = False

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        if tap.side is Side.SERVER:
            reply = yield from read_reply(tap, draft, "RFC 959 4.2", False)
            self._replied(draft, reply)
            return
        yield from self.hold(tap, lambda: not self._waits, _HELD)
        self._waits = False
        line = yield from tap.line()
        # Before ABOR come Telnet's signals, with the bytes 255, 244 and 242 (RFC 959 4.1.3).
        word, _, rest = line.lstrip(b"\xff\xf4\xf2").partition(b" ")
        if not _VERB.match(word):
            raise Malformed(f"no command: {brief(line, 24)!r}")
        self._command(draft, text_of(word).upper(), text_of(rest), len(line) - len(rest), tap.at)

    def _command(self, draft: Draft, name: str, argument: str, before: int, stop: int) -> None:
        source, meaning = _COMMANDS.get(name, ("RFC 959 5.3.1", ""))
        at = draft.start + before
        draft.add("command", name, draft.start, at, meaning, source)
        draft.text = f"{name} {argument[:200]}".rstrip()
        if argument:
            draft.add("argument", argument, at, stop, "", source)
        address = ""
        if name == "PORT":
            address = _six(argument)
        elif name == "EPRT":
            address = _extended(argument)
        if address:
            draft.add("data address", address, at, stop, "the server connects to it", source)
            draft.text = f"{name}: data to {address}"
        if name == "AUTH" and argument.upper() in ("TLS", "TLS-C", "SSL"):
            self._waits = True
        self._asked.append(name)

    def _replied(self, draft: Draft, reply: Reply) -> None:
        greeting = reply.code == 220 and not draft.start
        asked = self._asked[0] if self._asked and not greeting else ""
        if asked and not reply.preliminary:
            self._asked.popleft()
        if reply.number > 1:
            draft.text += f" ... ({counted(reply.number, 'line')})"
        address = ""
        if reply.code == 227:
            address = _six(reply.lines[0])
        elif reply.code == 229:
            found = _EXTENDED_REPLY.search(reply.lines[0])
            address = f"port {int(found.group(2))} of the server" if found else ""
        if address:
            source = "RFC 959 4.1.2" if reply.code == 227 else "RFC 2428 3"
            draft.add("data address", address, draft.start + 4, draft.start + 4, "", source)
            draft.text = f"{reply.code} data at {address}"
        if asked:
            draft.text = f"{asked}: {draft.text}"
            draft.add("answers", asked, draft.start, draft.start,
                      "replies come in the order of the commands", "RFC 959 5.4")  # fmt: skip
        if self._waits and asked in ("AUTH", "") and not reply.preliminary:
            self._waits = False
            if reply.code == 234:
                self.hand_over_to("tls")


def _six(text: str) -> str:
    """`192.0.2.1 port 4093` from six numbers between commas."""
    found = _SIX.search(text)
    numbers = [int(number) for number in found.group(1).split(",")] if found else []
    if not numbers or max(numbers) > 255:
        return ""
    host = ".".join(str(number) for number in numbers[:4])
    return f"{host} port {numbers[4] * 256 + numbers[5]}"


def _extended(argument: str) -> str:
    """`2001:db8::1 port 4093` from `|2|2001:db8::1|4093|` (RFC 2428 2)."""
    parts = argument[1:].split(argument[:1] or "|")
    if len(parts) != 4 or not parts[2].isdigit() or not parts[2].isascii():
        return ""
    return f"{parts[1]} port {parts[2]}"


def _likely(client: bytes, server: bytes) -> bool:
    if _GREETING.match(server):
        return True
    return bool(_USER.match(client)) and server[:3] == b"220"


APPLICATION = Application("ftp", "FTP", frozenset({21, 2121}), frozenset(), _likely, Ftp, None)

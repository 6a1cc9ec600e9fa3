"""SMTP: commands, replies of one line or several, mails counted, STARTTLS handed to TLS.

The reply to DATA tells whether a mail follows, so the client's bytes behind DATA wait for it. Read
first: RFC 5321 3 and 4, RFC 3030 (BDAT), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 2920
(pipelining), RFC 3463 (codes such as 5.1.1).
"""

from __future__ import annotations

import re
from base64 import b64decode
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
_DOT = b".\r\n"
_COMMANDS = {
    "HELO": ("RFC 5321 4.1.1.1", "who the client is"),
    "EHLO": ("RFC 5321 4.1.1.1", "who the client is, and what can the server do?"),
    "LHLO": ("RFC 2033 4.1", "EHLO of LMTP: each recipient gets a reply of its own"),
    "MAIL": ("RFC 5321 4.1.1.2", "a mail begins; where it goes back to if it cannot be delivered"),
    "RCPT": ("RFC 5321 4.1.1.3", "one that shall get the mail"),
    "DATA": ("RFC 5321 4.1.1.4", "the mail itself follows, up to a line with only a dot"),
    "BDAT": ("RFC 3030 2", "so many bytes of the mail follow at once"),
    "RSET": ("RFC 5321 4.1.1.5", "forget the mail that was begun"),
    "VRFY": ("RFC 5321 4.1.1.6", "does this mailbox exist?"),
    "EXPN": ("RFC 5321 4.1.1.7", "who is on this list?"),
    "HELP": ("RFC 5321 4.1.1.8", ""),
    "NOOP": ("RFC 5321 4.1.1.9", "nothing, but the server replies"),
    "QUIT": ("RFC 5321 4.1.1.10", "the client is done"),
    "STARTTLS": ("RFC 3207 4", "everything from here on shall be encrypted"),
    "AUTH": ("RFC 4954 4", "who the client is, with proof"),
    "ETRN": ("RFC 1985 5.2", "send what waits for this host"),
    "TURN": ("RFC 5321 F.1", "change roles; out of use"),
    "XCLIENT": ("RFC 5321 2.2.2", "a proxy tells whom it speaks for"),
}
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?= |$)")
_SUBJECTS = {0: "other", 1: "address", 2: "mailbox", 3: "mail system", 4: "network",
             5: "protocol", 6: "content", 7: "security"}  # fmt: skip
_VERB = re.compile(rb"[A-Za-z]{3,12}\Z")
_PATH = re.compile(r"\s*:\s*<?([^>\s]*)>?\s*(.*)")
_GREETING = re.compile(rb"220[ -][^\r\n]*(SMTP|Postfix|Exim|Sendmail|[Mm]ail)")
_HELLO = re.compile(rb"(EHLO|HELO|LHLO) [^\r\n]{1,255}\r\n", re.IGNORECASE)
_SHOWN_FIELDS = ("from", "to", "subject", "date", "message-id")


class Smtp(Talk):
    """A client and a mail server."""

    protocol = "SMTP"

    def __init__(self) -> None:
        super().__init__()
        self._asked: deque[str] = deque()  # commands without a reply
        self._joined = True
        self._waits = ""  # the command whose reply tells how the client goes on
        self._body = False  # the mail follows
        self._chunk: int | None = None  # bytes of a BDAT that follow
        self._proof = False  # a line of an AUTH exchange follows

    def begins(self, side: Side, head: bytes) -> bool:
        if side is Side.SERVER:
            return head[:3].isdigit() and head[3:4] in (b" ", b"-")
        word = head.split(b"\r\n")[0].split(b" ")[0].split(b":")[0]
        return text_of(word).upper() in _COMMANDS

    def missed(self, side: Side) -> None:
        self._joined = self._body = self._proof = False
        self._asked.clear()
        self._waits = ""
        self._chunk = None

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        if tap.side is Side.SERVER:
            reply = yield from read_reply(tap, draft, "RFC 5321 4.2", True)
            self._replied(draft, reply)
            return
        if self._waits:
            known = yield from self.hold(tap, lambda: not self._waits, _HELD)
            if not known and self._waits == "DATA":
                # Without the reply: what is no command is a mail.
                self._body = not self.begins(Side.CLIENT, tap.unread.peek(64))
            self._waits = ""
        if self._chunk is not None:
            yield from self._chunk_of(tap, draft)
        elif self._body:
            yield from self._mail(tap, draft)
        else:
            yield from self._command(tap, draft)

    # -- the client -----------------------------------------------------------------------------

    def _command(self, tap: Tap, draft: Draft) -> Reading[None]:
        line = yield from tap.line()
        if self._proof:
            self._proof = False
            draft.text = f"proof, {counted(len(line), 'byte')}"
            stop = draft.start + len(line)
            draft.add("authentication data", text_of(line), draft.start, stop, "in base64",
                      "RFC 4954 4")  # fmt: skip
            if plain := _from_base64(line):
                draft.add("decoded", plain, stop, stop, "base64 hides nothing", "RFC 4648 4")
            return
        word, _, rest = line.partition(b" ")
        if not _VERB.match(word):
            raise Malformed(f"no command: {brief(line, 24)!r}")
        name, argument = text_of(word).upper(), text_of(rest.strip())
        source, meaning = _COMMANDS.get(name, ("RFC 5321 4.1.5", ""))
        draft.add("command", name, draft.start, draft.start + len(word), meaning, source)
        if argument:
            draft.add("argument", argument, draft.start + len(word) + 1, draft.start + len(line),
                      "", source)  # fmt: skip
        draft.text = self._said(name, argument)
        if name == "LHLO":  # each recipient's mail is answered by a reply of its own
            self._joined = False
        if self._joined:
            self._asked.append(name)
        if name in ("DATA", "STARTTLS"):
            self._waits = name
        if name == "BDAT":
            size = argument.split(" ")[0]
            if not size.isdigit() or not size.isascii() or len(size) > 18:
                raise Malformed(f"no size of a chunk: {argument[:24]!r}")
            self._chunk = int(size)

    @staticmethod
    def _said(name: str, argument: str) -> str:
        if name in ("MAIL", "RCPT"):
            way, _, rest = argument.partition(":")
            found = _PATH.match(":" + rest)
            if found and way.strip().upper() in ("FROM", "TO"):
                address = found.group(1) or "nobody"
                extra = f" ({found.group(2)})" if found.group(2) else ""
                return f"mail from {address}{extra}" if name == "MAIL" else f"to {address}{extra}"
        if name == "AUTH":
            return f"AUTH {argument.split(' ')[0]}"
        return f"{name} {argument[:200]}".rstrip()

    def _mail(self, tap: Tap, draft: Draft) -> Reading[None]:
        """The mail up to its dot; its header fields are told, its lines counted."""
        self._body = False
        draft.text = "a mail"
        lines = yield from self._header(tap, draft)
        # Only CR LF ends lines here: who took a bare LF for one would see other mails (RFC 5321
        # 4.1.1.4). The mark's first CR LF ends the last line.
        if (yield from tap.peek(3)) == _DOT:
            yield from tap.exactly(3)
        else:
            lines += 1 + (yield from tap.count_until(b"\r\n" + _DOT, b"\n"))
        start = tap.at - 3
        draft.add("end of mail", ".", start, tap.at, "a line with only a dot", "RFC 5321 4.1.1.4")
        draft.text += f": {counted(lines, 'line')}, {counted(start - draft.start, 'byte')}"
        if self._joined:
            self._asked.append("mail")

    @staticmethod
    def _header(tap: Tap, draft: Draft) -> Reading[int]:
        """The lines up to the empty one, which is passed over, or to the dot, which is not."""
        lines = 0
        while (yield from tap.peek(3)) != _DOT:
            start = tap.at
            line = yield from tap.until(b"\r\n", 1024)
            lines += 1
            if not line:
                break
            key, colon, value = line.partition(b":")
            name = text_of(key).lower() if colon else ""
            if name in _SHOWN_FIELDS:
                text = text_of(value.strip())
                draft.add(name, text, start, tap.at, "", "RFC 5322 3.6")
                if name == "subject":
                    draft.text = f'a mail "{text[:80]}"'
        return lines

    def _chunk_of(self, tap: Tap, draft: Draft) -> Reading[None]:
        size, self._chunk = self._chunk or 0, None
        draft.whole = size
        draft.text = "a part of a mail"
        yield from tap.skip(size)
        draft.add("chunk", counted(size, "byte"), draft.start, tap.at, "", "RFC 3030 2")
        draft.text = f"a part of a mail, {counted(size, 'byte')}"

    # -- the server -----------------------------------------------------------------------------

    def _replied(self, draft: Draft, reply: Reply) -> None:
        asked = self._asked[0] if self._asked and not reply.preliminary else ""
        if asked and not (asked == "AUTH" and reply.code == 334):
            self._asked.popleft()
        if asked in ("EHLO", "LHLO") and reply.code == 250:
            names = ", ".join(line.split(" ")[0] for line in reply.lines[1:])
            draft.text += f"; can {names}" if names else ""
        elif reply.number > 1:
            draft.text += f" ... ({counted(reply.number, 'line')})"
        if reply.code == 334 and (plain := _from_base64(reply.lines[0].encode())):
            draft.text = f"334 {plain}"
            at = draft.start + 4
            draft.add("decoded", plain, at, at, "base64 hides nothing", "RFC 4648 4")
        if asked:
            draft.text = f"{asked}: {draft.text}"
            draft.add("answers", asked, draft.start, draft.start,
                      "replies come in the order of the commands", "RFC 2920 3.2")  # fmt: skip
        enhanced = _ENHANCED.match(reply.lines[0])
        if enhanced:
            subject = _SUBJECTS.get(int(enhanced.group(2)), "")
            draft.add("enhanced status", enhanced.group(), draft.start + 4,
                      draft.start + 4 + len(enhanced.group()),
                      f"about the {subject}" if subject else "", "RFC 3463 2")  # fmt: skip
        self._goes_on(asked, reply)

    def _goes_on(self, asked: str, reply: Reply) -> None:
        """What the client's next bytes are, by this reply."""
        if reply.code == 334:
            self._proof = asked in ("AUTH", "")
        elif self._waits and asked in (self._waits, ""):
            if self._waits == "DATA":
                self._body = reply.code == 354
            elif reply.code == 220:
                self.hand_over_to("tls")
            self._waits = ""


def _from_base64(line: bytes) -> str:
    """What a line of AUTH says; nothing where that is no text."""
    try:
        text = b64decode(line, validate=True).decode()
    except ValueError:  # UnicodeDecodeError and binascii.Error are such
        return ""
    return text.replace("\0", " ").strip() if text.replace("\0", "").isprintable() else ""


def _likely(client: bytes, server: bytes) -> bool:
    """A server's greeting that names mail, or a client's hello behind a greeting."""
    if _GREETING.match(server):
        return b"FTP" not in server.partition(b"\r\n")[0]
    return bool(_HELLO.match(client)) and (not server or server[:3] == b"220")


APPLICATION = Application(
    "smtp", "SMTP", frozenset({25, 587, 2525}), frozenset(), _likely, Smtp, None
)

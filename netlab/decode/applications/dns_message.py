"""One message of DNS, mDNS or LLMNR -> its fields, and one line that says what it asks or answers.

Read first: RFC 1035 4.1, RFC 2308 2.2 (a name without such a record), RFC 6762 18, RFC 4795 2.1.1.
"""

from __future__ import annotations

from enum import StrEnum

from netlab.decode.applications import dns_records as records
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.dns_names import read_name
from netlab.decode.applications.dns_words import (
    OPCODES,
    RCODES,
    TYPE_MEANINGS,
    class_name,
    type_name,
)
from netlab.decode.applications.reading import Draft, counted
from netlab.model.records import dataclass

_OPT = 41
_MOST_TOLD = 8  # records kept for the line
_LONGEST_DATA = 200  # characters of a record's data in the line


class Flavour(StrEnum):
    """DNS and those that write its messages a little otherwise."""

    DNS = "DNS"
    MDNS = "mDNS"
    LLMNR = "LLMNR"


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    kind: int
    group: int  # its class
    unicast: bool  # mDNS: answer this asker alone

    def text(self) -> str:
        outside = f" ({class_name(self.group)})" if self.group not in (1, 255) else ""
        return f"{type_name(self.kind)} {self.name}{outside}"


@dataclass(frozen=True, slots=True)
class _Record:
    name: str
    kind: int
    group: int
    ttl: int
    text: str

    def told(self, asked: str) -> str:
        """`www.example.com is 192.0.2.1 (TTL 300 s)`; `asked` is the name that was asked for."""
        name, text, kind = self.name, self.text, self.kind
        if len(text) > _LONGEST_DATA:
            text = text[:_LONGEST_DATA] + "..."
        if kind in (1, 28):
            other = asked and asked.lower() != name.lower()
            said = f"{asked} is {text} as {name}" if other else f"{name} is {text}"
        elif kind == 15:
            preference, _, host = text.partition(" ")
            said = f"mail for {name} goes to {host}, preference {preference}"
        elif kind == 33 and text.count(" ") == 3:
            _, _, port, host = text.split(" ")
            said = f"{name} is at {host} port {port}"
        else:
            verb = _VERBS.get(kind, f"has {type_name(kind)}")
            said = f"{name} {verb} {text}"
        return f"{said} (TTL {self.ttl} s)"


_VERBS = {
    2: "is served by", 5: "is another name for", 12: "points to", 16: "says",
    39: "and all below it are other names for",
}  # fmt: skip


def read_message(draft: Draft, body: Cursor, flavour: Flavour) -> None:
    """Fill the draft from a whole message; where it is cut or wrong, its fault says so.

    Pointers count from the body's first byte, which is the message's.
    """
    draft.text = "a message"
    try:
        _Message(draft, body, flavour).read()
    except Unreadable as bad:
        draft.fault = bad.fault


class _Message:
    """The message while it is read: what is known so far is in the draft."""

    def __init__(self, draft: Draft, body: Cursor, flavour: Flavour) -> None:
        self._draft = draft
        self._body = body
        self._flavour = flavour
        self._questions: list[_Question] = []
        self._sections: list[list[_Record]] = [[], [], []]
        self._counts = [0, 0, 0, 0]
        self._flags = 0
        self._rcode = 0

    def read(self) -> None:
        self._header()
        self._draft.text = self._line()
        for number in range(self._counts[0]):
            self._question(number + 1)
            self._draft.text = self._line()
        try:
            for section in range(3):
                for number in range(self._counts[section + 1]):
                    self._record(section, number + 1)
        finally:
            self._draft.text = self._line()
        if self._body.left:
            self._draft.fault = f"{counted(self._body.left, 'byte')} behind the message"

    @property
    def _is_answer(self) -> bool:
        return bool(self._flags & 0x8000)

    def _add(self, name: str, text: str, start: int, source: str, meaning: str = "") -> None:
        self._draft.add(name, text, start, self._body.place, meaning, source)

    # -- fields ---------------------------------------------------------------------------------

    def _header(self) -> None:
        body, draft = self._body, self._draft
        at = body.place
        number = body.number(2)
        self._add("id", f"0x{number:04x}", at, "RFC 1035 4.1.1", "an answer repeats its query's")
        at = body.place
        self._flags = flags = body.number(2)
        self._rcode = flags & 15
        opcode = flags >> 11 & 15
        kind = "response" if self._is_answer else "query"
        draft.add("response", kind, at, at + 1, "", "RFC 1035 4.1.1")
        draft.add("opcode", OPCODES.get(opcode, str(opcode)), at, at + 1, "", "RFC 1035 4.1.1")
        for bit, name, meaning, source in _FLAGS[self._flavour]:
            if flags & bit:
                first = at if bit > 0xFF else at + 1
                draft.add(name, "set", first, first + 1, meaning, source)
        if self._is_answer:
            rcode = RCODES.get(self._rcode, f"code {self._rcode}")
            draft.add("response code", f"{rcode} ({self._rcode})", at + 1, at + 2, "",
                      "RFC 1035 4.1.1")  # fmt: skip
        update = opcode == 5
        for place, name in enumerate(_UPDATE_SECTIONS if update else _SECTIONS):
            at = body.place
            self._counts[place] = body.number(2)
            self._add(name, str(self._counts[place]), at,
                      "RFC 2136 2.2" if update else "RFC 1035 4.1.1")  # fmt: skip

    def _question(self, number: int) -> None:
        body = self._body
        at = body.place
        name = read_name(body)
        self._add(f"question {number} name", name, at, "RFC 1035 4.1.2")
        at = body.place
        kind = body.number(2)
        self._add(f"question {number} type", type_name(kind), at, "RFC 1035 4.1.2",
                  TYPE_MEANINGS.get(kind, ""))  # fmt: skip
        at = body.place
        group = body.number(2)
        unicast = False
        if self._flavour == Flavour.MDNS:
            unicast, group = bool(group & 0x8000), group & 0x7FFF
        self._add(f"question {number} class", class_name(group), at, "RFC 1035 4.1.2")
        if unicast:
            self._draft.add("unicast response", "wanted", at, at + 1,
                            "the asker wants the answer alone, not by multicast",
                            "RFC 6762 5.4")  # fmt: skip
        if len(self._questions) < _MOST_TOLD:
            self._questions.append(_Question(name, kind, group, unicast))

    def _record(self, section: int, number: int) -> None:
        body = self._body
        titles = _UPDATE_TITLES if self._flags >> 11 & 15 == 5 else _TITLES
        title = f"{titles[section]} {number}"
        at = body.place
        name = read_name(body)
        self._add(f"{title} name", name, at, "RFC 1035 4.1.3")
        at = body.place
        kind = body.number(2)
        self._add(f"{title} type", type_name(kind), at, "RFC 1035 4.1.3",
                  TYPE_MEANINGS.get(kind, ""))  # fmt: skip
        at = body.place
        group, ttl = body.number(2), body.number(4)
        if kind == _OPT:
            self._settings(at, group, ttl)
            return
        if self._flavour == Flavour.MDNS and group & 0x8000:
            group &= 0x7FFF
            self._draft.add(f"{title} cache flush", "set", at, at + 1,
                            "forget others of this name and type", "RFC 6762 10.2")  # fmt: skip
        self._draft.add(f"{title} class", class_name(group), at, at + 2, "", "RFC 1035 4.1.3")
        self._draft.add(f"{title} TTL", f"{ttl} s", at + 2, at + 6,
                        "how long it may be remembered", "RFC 1035 4.1.3")  # fmt: skip
        at = body.place
        length = body.number(2)
        self._add(f"{title} data length", str(length), at, "RFC 1035 4.1.3")
        at = body.place
        data = body.inside(length)
        text = records.data_text(kind, data)
        self._add(f"{title} data", text, at, records.source(kind))
        kept = self._sections[section]
        wanted = section == 0 and self._questions and kind == self._questions[0].kind
        if len(kept) < _MOST_TOLD:
            kept.append(_Record(name, kind, group, ttl, text))
        elif wanted and all(one.kind != kind for one in kept):
            kept[-1] = _Record(name, kind, group, ttl, text)

    def _settings(self, at: int, size: int, more: int) -> None:
        """EDNS: class and TTL of the OPT record are other fields."""
        body, draft = self._body, self._draft
        draft.add("UDP payload size", f"{size} bytes", at, at + 2,
                  "the longest datagram that the sender can take", "RFC 6891 6.1.2")  # fmt: skip
        self._rcode |= more >> 24 << 4
        if more >> 24:
            rcode = RCODES.get(self._rcode, f"code {self._rcode}")
            draft.add("extended response code", f"{rcode} ({self._rcode})", at + 2, at + 3, "",
                      "RFC 6891 6.1.3")  # fmt: skip
        draft.add("EDNS version", str(more >> 16 & 0xFF), at + 3, at + 4, "", "RFC 6891 6.1.3")
        if more & 0x8000:
            draft.add("DNSSEC OK", "set", at + 4, at + 5, "signatures are wanted", "RFC 3225 3")
        options = body.inside(body.number(2))
        while options.left:
            at = options.place
            code = options.number(2)
            data = options.inside(options.number(2))
            text = records.option_text(code, data)
            draft.add(f"EDNS {records.option_name(code)}", text, at, options.place, "",
                      "RFC 6891 6.1.2")  # fmt: skip

    # -- the line -------------------------------------------------------------------------------

    def _line(self) -> str:
        opcode = self._flags >> 11 & 15
        asked = ", ".join(question.text() for question in self._questions)
        if self._counts[0] > len(self._questions) and self._questions:
            asked += f", ... ({self._counts[0]} questions)"
        if opcode == 5:
            return self._changes()
        if opcode:
            word = OPCODES.get(opcode, f"opcode {opcode}")
            said = f"{word} {asked}".rstrip()
            return f"{said}: {self._outcome()}" if self._is_answer else said
        text = self._answers(asked) if self._is_answer else self._asks(asked)
        return text + (", truncated" if self._flags & 0x0200 else "")

    def _outcome(self) -> str:
        return RCODES.get(self._rcode, f"response code {self._rcode}")

    def _asks(self, asked: str) -> str:
        text = f"{asked}?" if asked else "a query without a question"
        if self._flavour != Flavour.MDNS:
            return text
        if self._questions and all(question.unicast for question in self._questions):
            text += " (unicast answer wanted)"
        if self._counts[2]:  # RFC 6762 8.1: who wants a name asks whether another has it
            text = f"probe: {text}, {counted(self._counts[2], 'record')} proposed"
        if self._counts[1]:
            text += f", {counted(self._counts[1], 'answer')} known"
        return text

    def _answers(self, asked: str) -> str:
        if self._rcode:
            return f"{asked}: {self._outcome()}" if asked else self._outcome()
        answers, authority = self._sections[0], self._sections[1]
        if not answers:
            if not asked:
                return "an answer without records"
            servers = [record for record in authority if record.kind == 2]
            if servers and not self._flags & 0x0400 and all(one.kind != 6 for one in authority):
                return f"{asked}: ask {servers[0].text}, which serves {servers[0].name}"
            return f"{asked}: no such record"
        wanted = [r for r in answers if self._questions and r.kind == self._questions[0].kind]
        first = (wanted or answers)[0]
        name = self._questions[0].name if self._questions else ""
        if self._flavour == Flavour.MDNS and first.ttl == 0:  # RFC 6762 10.1
            text = f"{first.name} {type_name(first.kind)} is gone"
        else:
            text = first.told(name if wanted else "")
        if self._counts[1] > 1:
            text += f", {self._counts[1]} answers"
        return text

    def _changes(self) -> str:
        zone = self._questions[0].name if self._questions else "?"
        if self._is_answer:
            return f"update of {zone}: {self._outcome()}"
        return f"update of {zone}: {counted(self._counts[2], 'change')}"


_TITLES = ("answer", "authority", "additional")
_UPDATE_TITLES = ("prerequisite", "update", "additional")
_SECTIONS = ("questions", "answers", "authority records", "additional records")
_UPDATE_SECTIONS = ("zones", "prerequisites", "updates", "additional records")
_AA = (0x0400, "authoritative", "the server itself is in charge of the name", "RFC 1035 4.1.1")
_TC = (0x0200, "truncated", "the rest did not fit: ask again over TCP", "RFC 1035 4.1.1")
_FLAGS = {
    Flavour.DNS: (
        _AA,
        _TC,
        (0x0100, "recursion desired", "ask others until the answer is known", "RFC 1035 4.1.1"),
        (0x0080, "recursion available", "the server asks others", "RFC 1035 4.1.1"),
        (0x0040, "reserved bit", "should be zero", "RFC 1035 4.1.1"),
        (0x0020, "authentic data", "the server has checked the signatures", "RFC 4035 3.2.3"),
        (0x0010, "checking disabled", "the asker checks signatures itself", "RFC 4035 3.2.2"),
    ),
    Flavour.MDNS: (
        _AA,
        (0x0200, "truncated", "more known answers follow", "RFC 6762 18.5"),
    ),
    Flavour.LLMNR: (
        (0x0400, "conflict", "more than one host answered for the name", "RFC 4795 2.1.1"),
        (0x0200, "truncated", "the rest did not fit: ask again over TCP", "RFC 4795 2.1.1"),
        (0x0100, "tentative", "the host is not yet sure of its name", "RFC 4795 2.1.1"),
    ),
}

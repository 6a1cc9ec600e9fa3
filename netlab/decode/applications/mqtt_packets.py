"""The body of one MQTT packet -> its fields, and what it says in one line.

Read first: MQTT 5.0 (OASIS) 3; where 3.1.1 differs, it has no properties and fewer reasons.
"""

from __future__ import annotations

from dataclasses import field

from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.mqtt_words import (
    EXPIRIES,
    PACKETS,
    PROPERTIES,
    QOS_MEANINGS,
    REASONS,
    RETURN_CODES,
    TOPIC_ALIAS,
    VERSIONS,
)
from netlab.decode.applications.reading import Draft, brief, counted, text_of
from netlab.model.records import dataclass
from netlab.model.tables import Side

_MOST_TOLD = 6  # filters in a packet's line
_LENGTHS_BEFORE_5 = {2: 2, 4: 2, 5: 2, 6: 2, 7: 2, 11: 2, 14: 0, 15: -1}  # AUTH was not there


@dataclass(slots=True)
class State:
    """What earlier packets of the connection tell about later ones."""

    version: int | None = None  # the level in CONNECT, or what lengths tell; None: not captured
    older: bool = False  # than 5, which a length told
    aliases: dict[tuple[Side, int], str] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        if self.version is None:
            return "MQTT"
        return f"MQTT {VERSIONS.get(self.version, f'level {self.version}')}"

    def source(self, five: str, before: str = "") -> str:
        """The clause, of the version that is spoken."""
        return f"MQTT 5.0 {five}" if self.version == 5 else f"MQTT 3.1.1 {before or five}"

    @property
    def properties(self) -> bool | None:
        """Whether packets have properties; None where the version is not known."""
        if self.version is None:
            return False if self.older else None
        return self.version == 5

    def learn(self, kind: int, length: int) -> None:
        """What a packet's length tells of a version that was not captured.

        Before MQTT 5 these packets had one length, which with properties they cannot have.
        """
        if self.version is None and not self.older and kind in _LENGTHS_BEFORE_5:
            if length > _LENGTHS_BEFORE_5[kind]:
                self.version = 5
            elif kind in (2, 11):
                self.older = True


def version_of(connect: bytes) -> int | None:
    """The level that a CONNECT names, behind the name of the protocol."""
    place = 2 + int.from_bytes(connect[:2], "big")
    return connect[place] & 0x7F if place < len(connect) else None  # the high bit: a bridge's


def read(
    draft: Draft, body: Cursor, kind: int, flags: int, length: int, side: Side, state: State
) -> None:
    """Fill the draft from a packet's body; raises Unreadable where it ends too early."""
    state.learn(kind, length)
    draft.protocol = state.protocol
    reader = _Packet(draft, body, kind, flags, length, side, state)
    if kind == 1:
        reader.connect()
    elif kind == 2:
        reader.accepted()
    elif kind == 3:
        reader.publish()
    elif kind in (4, 5, 6, 7):
        reader.confirmed()
    elif kind in (8, 10):
        reader.filters()
    elif kind in (9, 11):
        reader.granted()
    elif kind in (14, 15):
        reader.leaves()
    else:
        draft.text = "ping" if kind == 12 else "ping answered"
    if body.left and kind != 3 and len(body.data) == length:
        draft.fault = f"{counted(body.left, 'byte')} behind the packet's fields"


class _Packet:
    def __init__(
        self, draft: Draft, body: Cursor, kind: int, flags: int, length: int, side: Side,
        state: State,
    ) -> None:  # fmt: skip
        self._draft = draft
        self._body = body
        self._kind = kind
        self._flags = flags
        self._length = length
        self._side = side
        self._state = state
        self._clause = f"3.{kind}"

    def _add(self, name: str, text: str, start: int, meaning: str = "", part: str = "") -> None:
        self._draft.add(name, text, start, self._body.place, meaning,
                        self._state.source(f"{self._clause}{part}"))  # fmt: skip

    def _number(self, name: str, size: int, meaning: str = "", part: str = "") -> int:
        at = self._body.place
        number = self._body.number(size)
        self._add(name, str(number), at, meaning, part)
        return number

    def _string(self, name: str, meaning: str = "", part: str = "") -> str:
        at = self._body.place
        text = text_of(self._body.take(self._body.number(2)))
        self._add(name, text, at, meaning, part)
        return text

    def _binary(self, name: str, meaning: str = "", part: str = "") -> bytes:
        at = self._body.place
        data = self._body.take(self._body.number(2))
        self._add(name, brief(data, 64), at, meaning, part)
        return data

    # -- properties -----------------------------------------------------------------------------

    def _properties(self) -> dict[int, str]:
        """Those of MQTT 5; other versions have none."""
        found: dict[int, str] = {}
        if not self._state.properties:
            return found
        part = self._body.inside(self._variable(self._body))
        while part.left:
            at = part.place
            number = self._variable(part)
            name, form = PROPERTIES.get(number, ("", ""))
            if not name:
                raise Unreadable(f"no property has the number {number}, at offset {at}")
            text = self._property(part, number, form)
            found.setdefault(number, text)
            self._draft.add(name, text, at, part.place, "a property", "MQTT 5.0 2.2.2.2")
        return found

    def _property(self, part: Cursor, number: int, form: str) -> str:
        if form == "v":
            return str(self._variable(part))
        if form == "s":
            return text_of(part.take(part.number(2)))
        if form == "b":
            return brief(part.take(part.number(2)), 64)
        if form == "p":
            key = text_of(part.take(part.number(2)))
            return f"{key} = {text_of(part.take(part.number(2)))}"
        value = part.number(int(form))
        return f"{value} s" if number in EXPIRIES or number == 0x13 else str(value)

    @staticmethod
    def _variable(body: Cursor) -> int:
        value = 0
        for place in range(4):
            byte = body.number(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise Unreadable(f"a number of more than four bytes before offset {body.place}")

    def _reason(self, name: str = "reason code") -> str:
        at = self._body.place
        number = self._body.number(1)
        if self._state.version == 5:
            text = REASONS.get(number, f"reason 0x{number:02x}")
        else:
            text = RETURN_CODES.get(number, f"code {number}")
        self._add(name, f"{text} ({number})", at)
        return text

    # -- packets --------------------------------------------------------------------------------

    def connect(self) -> None:
        body, draft = self._body, self._draft
        self._string("protocol name", part=".2.1")
        at = body.place
        level = body.number(1)
        self._add("protocol level", f"{VERSIONS.get(level & 0x7F, 'unknown')} ({level})", at,
                  part=".2.2")  # fmt: skip
        at = body.place
        flags = body.number(1)
        clean = "clean start" if self._state.version == 5 else "clean session"
        names = ((0x80, "user name"), (0x40, "password"), (0x20, "will retained"), (0x04, "will"),
                 (0x02, clean))  # fmt: skip
        said = ", ".join(name for bit, name in names if flags & bit) or "none"
        self._add("connect flags", said, at, part=".2.3")
        alive = self._number("keep alive", 2, "seconds after which a silent client is given up",
                             ".2.10")  # fmt: skip
        self._properties()
        client = self._string("client id", part=".3.1")
        draft.text = f"connect as {client or 'a client without id'}"
        draft.text += f", keep alive {alive} s" if alive else ", no keep alive"
        if flags & 0x02:
            draft.text += f", {clean}"
        if flags & 0x04:
            self._properties()
            topic = self._string("will topic", "told if this client is lost", ".3.3")
            self._binary("will payload", part=".3.4")
            draft.text += f", will on {topic} QoS {flags >> 3 & 3}"
        if flags & 0x80:
            draft.text += f", user {self._string('user name', part='.3.5')}"
        if flags & 0x40:
            self._binary("password", "as it is, readable by anyone", ".3.6")

    def accepted(self) -> None:
        at = self._body.place
        present = self._body.number(1) & 1
        self._add("session present", "yes" if present else "no", at,
                  "whether the server remembers the client", ".2.2")  # fmt: skip
        refused = self._body.data[self._body.at : self._body.at + 1] != b"\0"
        reason = self._reason()
        found = self._properties()
        text = f"refused: {reason}" if refused else "accepted"
        self._draft.text = text + (", session present" if present else "")
        if 0x12 in found:
            self._draft.text += f", as client {found[0x12]}"

    def publish(self) -> None:
        body, draft, flags = self._body, self._draft, self._flags
        qos = flags >> 1 & 3
        first = draft.start
        source = self._state.source("3.3.1")
        draft.add("DUP", "set" if flags & 8 else "not set", first, first + 1,
                  "sent before, and not confirmed", source)  # fmt: skip
        draft.add("QoS", str(qos), first, first + 1, QOS_MEANINGS[qos], source)
        draft.add("RETAIN", "set" if flags & 1 else "not set", first, first + 1,
                  "kept for those that subscribe later", source)  # fmt: skip
        topic = self._string("topic", part=".2.1")
        draft.text = f"publish {topic}"
        number = self._number("packet id", 2, part=".2.2") if qos else None
        found = self._properties()
        topic = self._alias(topic, found)
        size = self._length - body.at
        payload = body.take(body.left)
        unknown = self._state.properties is None
        name = "properties (if this is MQTT 5) and payload" if unknown else "payload"
        draft.add(name, brief(payload, 64, size), body.base + self._length - size,
                  body.base + self._length, "", self._state.source("3.3.3"))  # fmt: skip
        draft.text = f"publish {topic}: {_payload(payload, size)}, QoS {qos}"
        if number is not None:
            draft.text += f", id {number}"
        draft.text += ", retained" if flags & 1 else ""
        draft.text += ", again" if flags & 8 else ""
        if qos == 3:
            draft.fault = "QoS 3 is not allowed"

    def _alias(self, topic: str, found: dict[int, str]) -> str:
        """MQTT 5 lets a number stand for a topic that was named with it before."""
        if TOPIC_ALIAS not in found:
            return topic
        key = (self._side, int(found[TOPIC_ALIAS]))
        if topic:
            self._state.aliases[key] = topic
            return topic
        meant = self._state.aliases.get(key, "unknown topic")
        here = self._body.place
        self._draft.add("topic by alias", meant, here, here, "named with this number before",
                        "MQTT 5.0 3.3.2.3.4")  # fmt: skip
        return f"{meant} (alias {key[1]})"

    def confirmed(self) -> None:
        number = self._number("packet id", 2)
        words = {4: "received", 5: "received, step 2", 6: "released, step 3",
                 7: "complete, step 4"}  # fmt: skip
        self._draft.text = f"{PACKETS[self._kind].lower()} of id {number}: {words[self._kind]}"
        if self._body.left and self._state.version == 5:
            reason = self._reason()
            self._draft.text += f", {reason}" if reason != "success" else ""
            if self._body.left:
                self._properties()

    def _unsaid(self, text: str) -> bool:
        """Whether the rest cannot be read, as only the version tells if properties stand first."""
        if self._state.properties is not None:
            return False
        self._draft.text = text
        at = self._body.place
        size = len(self._body.take(self._body.left))
        self._add("properties (if this is MQTT 5) and filters", counted(size, "byte"), at)
        return True

    def filters(self) -> None:
        number = self._number("packet id", 2)
        subscribing = self._kind == 8
        if self._unsaid(f"{'subscribe' if subscribing else 'unsubscribe'} id {number}"):
            return
        self._properties()
        told = []
        count = 0
        while self._body.left:
            count += 1
            text = self._string("topic filter", "+ stands for one level, # for all below",
                                ".3")  # fmt: skip
            if subscribing:
                at = self._body.place
                options = self._body.number(1)
                self._add("subscription options", self._options(options), at,
                          QOS_MEANINGS[options & 3], ".3.1")  # fmt: skip
                text += f" QoS {options & 3}"
            if count <= _MOST_TOLD:
                told.append(text)
        more = f", ... ({count} filters)" if count > _MOST_TOLD else ""
        verb = "subscribe" if subscribing else "unsubscribe"
        self._draft.text = f"{verb} id {number}: {', '.join(told)}{more}"

    def _options(self, options: int) -> str:
        text = f"QoS {options & 3} at most"
        if self._state.version == 5:
            text += ", not what I publish myself" if options & 4 else ""
            text += ", RETAIN as published" if options & 8 else ""
            kept = {0: "", 1: ", retained ones if new", 2: ", no retained ones"}
            text += kept.get(options >> 4 & 3, "")
        return text

    def granted(self) -> None:
        number = self._number("packet id", 2)
        if self._unsaid(f"{'subscribed' if self._kind == 9 else 'unsubscribed'} id {number}"):
            return
        self._properties()
        told = []
        count = 0
        while self._body.left:
            count += 1
            at = self._body.place
            code = self._body.number(1)
            if self._kind == 9 and code < 3:
                text = f"QoS {code}"
            elif self._state.version == 5:
                text = REASONS.get(code, f"reason 0x{code:02x}")
            else:
                text = "failure" if code == 0x80 else f"code {code}"
            self._add("granted" if self._kind == 9 else "reason code", text, at, part=".3")
            if count <= _MOST_TOLD:
                told.append(text)
        verb = "subscribed" if self._kind == 9 else "unsubscribed"
        self._draft.text = f"{verb} id {number}" + (f": {', '.join(told)}" if told else "")
        self._draft.text += ", ..." if count > _MOST_TOLD else ""

    def leaves(self) -> None:
        self._draft.text = "goodbye" if self._kind == 14 else "authentication"
        if self._body.left and self._state.version == 5:
            reason = self._reason()
            usual = self._kind == 14 and reason == "success"
            self._draft.text += f": {reason}" if not usual else ""
            if self._body.left:
                self._properties()


def _payload(data: bytes, size: int) -> str:
    text = text_of(data[:64])
    if size <= 40 and text.isprintable() and len(data) == size:
        return f"{text} ({counted(size, 'byte')})" if text else "nothing"
    return counted(size, "byte")

"""MQTT 3.1, 3.1.1 and 5: packets with topic, QoS, properties, and the size of what they carry.

CONNECT names the version; where it was not captured, what only a version tells is left unsaid. Read
first: MQTT 5.0 (OASIS) 1.5 (how values are written), 2.1 (the fixed header) and 3; MQTT 3.1.1 3.
"""

from __future__ import annotations

import re

from netlab.decode.applications import mqtt_packets as packets
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.message import Application
from netlab.decode.applications.mqtt_words import PACKET_MEANINGS, PACKETS
from netlab.decode.applications.reading import Draft, Malformed, Reading, Talk, Tap
from netlab.model.tables import Side

_KEPT = 70_000  # of a packet's body: a topic is as long as 65,535 bytes
_CONNECT = re.compile(
    rb"\x10[\x80-\xff]{0,3}[\x00-\x7f](\x00\x04MQTT[\x04\x05]|\x00\x06MQIsdp\x03)"
)
# A length, then a topic of less than 256 bytes, of which the first are no control characters.
_TOPIC = re.compile(rb"[\x80-\xff]{0,3}[\x00-\x7f]\x00[^\x00][^\x00-\x1f\x7f]{1,4}")
_FROM_CLIENT = frozenset({1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15})
_FROM_SERVER = frozenset({2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15})
_FIXED_LENGTH = {4: 2, 5: 2, 6: 2, 7: 2, 12: 0, 13: 0}  # before version 5
_LONGEST_OTHER = 4096  # of a packet that carries no payload, where one is looked for behind a gap


class Mqtt(Talk):
    """A client and a server (broker)."""

    protocol = "MQTT"

    def __init__(self) -> None:
        super().__init__()
        self._state = packets.State()

    def begins(self, side: Side, head: bytes) -> bool:
        kind = head[0] >> 4 if head else 0
        if len(head) < 2 or kind not in (_FROM_CLIENT if side is Side.CLIENT else _FROM_SERVER):
            return False
        flags, length = head[0] & 15, head[1]
        if kind == 3:
            return flags >> 1 & 3 != 3 and bool(_TOPIC.match(head, 1))
        fits = flags == (2 if kind in (6, 8, 10) else 0)
        return fits and (kind not in _FIXED_LENGTH or length in (_FIXED_LENGTH[kind], 3, 4))

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        draft.protocol = self._state.protocol
        first = (yield from tap.exactly(1))[0]
        kind, flags = first >> 4, first & 15
        if kind not in (_FROM_CLIENT if tap.side is Side.CLIENT else _FROM_SERVER):
            raise Malformed(f"no {tap.side} sends a packet of type {PACKETS.get(kind, kind)}")
        length = yield from self._length(tap)
        base = tap.at
        draft.whole = base + length - draft.start
        draft.text = PACKETS[kind].lower()
        data = yield from tap.head(length, _KEPT)
        if kind == 1:
            self._state.version = packets.version_of(data)
        draft.add("packet type", f"{PACKETS[kind]} ({kind})", draft.start, draft.start + 1,
                  PACKET_MEANINGS[kind], self._state.source("2.1.2", "2.2.1"))  # fmt: skip
        draft.add("remaining length", str(length), draft.start + 1, base, "behind this field",
                  self._state.source("2.1.4", "2.2.3"))  # fmt: skip
        try:
            packets.read(draft, Cursor(data, base), kind, flags, length, tap.side, self._state)
        except Unreadable as bad:
            if len(data) == length:  # else it is there, and only not kept
                draft.fault = bad.fault

    @staticmethod
    def _length(tap: Tap) -> Reading[int]:
        """Seven bits a byte, the lowest first; four bytes at most (MQTT 5.0 1.5.5)."""
        value = 0
        for place in range(4):
            byte = (yield from tap.exactly(1))[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise Malformed("a remaining length of more than four bytes")


def _likely(client: bytes, server: bytes) -> bool:
    return bool(_CONNECT.match(client))


APPLICATION = Application("mqtt", "MQTT", frozenset({1883}), frozenset(), _likely, Mqtt, None)

"""DNS over UDP and TCP, and its kin on the local link, mDNS and LLMNR.

Turns a message into its questions and answers in words. dpkt reads the same messages but does not
tell where a field stands, so names and records are read here. Read first: RFC 1035 4.1 and 4.2.2
(two bytes of length before each message over TCP), RFC 6891 (EDNS), RFC 6762 18 (what mDNS does
otherwise), RFC 4795 2.1.1 (and LLMNR).
"""

from __future__ import annotations

import re
from functools import partial

from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.dns_message import Flavour, read_message
from netlab.decode.applications.dns_names import read_name
from netlab.decode.applications.dns_words import TYPES
from netlab.decode.applications.message import Application, Conversation, Said
from netlab.decode.applications.reading import Draft, Reading, Talk, Tap
from netlab.model.tables import Side

# A name as NetBIOS writes it, in a message that looks like DNS but is not (RFC 1002 4.2.1).
_NETBIOS = re.compile(rb"\x20[A-P]{32}\x00\x00[\x20\x21]")


class Dns(Talk):
    """A resolver and a server over TCP."""

    protocol = "DNS"

    def __init__(self, flavour: Flavour = Flavour.DNS) -> None:
        super().__init__()
        self._flavour = flavour
        self.protocol = flavour.value

    def begins(self, side: Side, head: bytes) -> bool:
        """Over TCP a message's flags stand behind its length and id."""
        if len(head) < 14 or int.from_bytes(head[:2], "big") < 12:
            return False
        answer = bool(head[4] & 0x80)
        return answer == (side is Side.SERVER) and 1 <= int.from_bytes(head[6:8], "big") <= 4

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        length = int.from_bytes((yield from tap.exactly(2)), "big")
        draft.whole = 2 + length
        draft.add("length", str(length), draft.start, tap.at, "of the message behind it",
                  "RFC 1035 4.2.2")  # fmt: skip
        base = tap.at
        data = yield from tap.exactly(length)
        read_message(draft, Cursor(data, base), self._flavour)


def _datagram(flavour: Flavour, payload: bytes) -> list[Said]:
    draft = Draft(flavour.value, 0)
    body = Cursor(payload)
    read_message(draft, body, flavour)
    return [draft.said(len(payload))]


def _talk(flavour: Flavour) -> Conversation:
    return Dns(flavour)


def _likely(client: bytes, server: bytes) -> bool:
    return _is_any(client, 0) or _is_any(server, 0x80)


def _is_any(data: bytes, direction: int) -> bool:
    """Whether these bytes begin with a message of DNS, with its length before it or without."""
    length = int.from_bytes(data[:2], "big")
    return _is_message(data, direction) or (
        12 <= length <= len(data) - 2 and _is_message(data[2 : 2 + length], direction)
    )


def _is_message(data: bytes, direction: int) -> bool:
    # A standard query or its answer, no reserved bit, questions that can be read.
    if len(data) < 17 or data[2] & 0xF8 != direction or data[3] & 0x40:
        return False
    if _NETBIOS.match(data, 12):
        return False
    questions = int.from_bytes(data[4:6], "big")
    if direction and not questions:
        return int.from_bytes(data[6:8], "big") > 0 and data[3] & 0x7F == 0 and data[2] == 0x84
    if not 1 <= questions <= 32 or any(data[at] > 1 for at in (6, 8, 10)):  # over 511 records
        return False
    body = Cursor(data, 0, 12)
    try:
        for _ in range(questions):
            read_name(body)
            if body.number(2) not in TYPES or body.number(2) & 0x7FFF not in (1, 3, 255):
                return False
    except Unreadable:
        return False
    return direction != 0 or body.left == 0 or data[6:12] != bytes(6)


APPLICATION = Application(
    "dns", "DNS", frozenset({53}), frozenset({53}), _likely, Dns,
    partial(_datagram, Flavour.DNS),
)  # fmt: skip
MDNS = Application(
    "mdns", "mDNS", frozenset(), frozenset({5353}), _likely, None,
    partial(_datagram, Flavour.MDNS),
)  # fmt: skip
LLMNR = Application(
    "llmnr", "LLMNR", frozenset({5355}), frozenset({5355}), _likely,
    partial(_talk, Flavour.LLMNR), partial(_datagram, Flavour.LLMNR),
)  # fmt: skip

"""DHCP for IPv4, and BOOTP, which it is built on: one datagram -> its fields and what it says.

Read first: RFC 2131 2 (the fixed fields) and 4.3 to 4.4 (what each message means), RFC 2132 (the
options), RFC 3396 (an option in several pieces is one).
"""

from __future__ import annotations

from netlab.decode.addresses import ipv4_text, mac_text
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.dhcp_options import (
    END,
    MESSAGE_MEANINGS,
    MESSAGE_TYPE,
    MESSAGE_TYPES,
    OVERLOAD,
    PAD,
    option,
    option_text,
    seconds,
)
from netlab.decode.applications.message import Application, Said
from netlab.decode.applications.reading import Draft, text_of

_COOKIE = bytes((99, 130, 83, 99))  # RFC 2131 3: options follow
_FIXED = 236
_LONGEST_OPTION = 1024  # kept of an option in pieces
_SOURCE = "RFC 2131 2"
_HARDWARE = {1: "Ethernet", 6: "IEEE 802", 7: "ARCNET", 15: "Frame Relay", 24: "IEEE 1394",
             32: "InfiniBand"}  # fmt: skip
_SNAME, _FILE = slice(44, 108), slice(108, 236)


def _datagram(payload: bytes) -> list[Said]:
    draft = Draft("DHCP" if payload[_FIXED : _FIXED + 4] == _COOKIE else "BOOTP", 0)
    draft.text = "a message"
    body = Cursor(payload)
    try:
        _fixed(draft, body)
        found = _options(draft, body) if draft.protocol == "DHCP" else {}
        draft.text = _line(draft.protocol, payload, found)
    except Unreadable as bad:
        draft.fault = bad.fault
    return [draft.said(len(payload))]


def _fixed(draft: Draft, body: Cursor) -> None:
    def add(name: str, text: str, size: int, meaning: str = "") -> None:
        draft.add(name, text, body.place - size, body.place, meaning, _SOURCE)

    op, hardware, length, hops = body.take(4)
    draft.add("op", {1: "request", 2: "reply"}.get(op, str(op)), 0, 1,
              "from a client, or from a server", _SOURCE)  # fmt: skip
    draft.add("hardware type", _HARDWARE.get(hardware, str(hardware)), 1, 2, "", _SOURCE)
    draft.add("hardware address length", str(length), 2, 3, "", _SOURCE)
    draft.add("hops", str(hops), 3, 4, "how many relays it passed", _SOURCE)
    add("transaction id", f"0x{body.number(4):08x}", 4, "replies repeat their request's")
    add("seconds", str(body.number(2)), 2, "since the client began to ask")
    flags = body.number(2)
    add("flags", "broadcast" if flags & 0x8000 else "none", 2, "how the client can be answered")
    add("client address", ipv4_text(body.take(4)), 4, "that the client has already")
    add("your address", ipv4_text(body.take(4)), 4, "that the server gives")
    add("next server", ipv4_text(body.take(4)), 4, "where to boot from")
    add("relay address", ipv4_text(body.take(4)), 4, "the relay's, on the client's link")
    address = body.take(16)
    draft.add("client hardware address", mac_text(address[: min(length, 16)]), 28,
              28 + min(length, 16), "", _SOURCE)  # fmt: skip
    client = mac_text(address[: min(length, 16)]) or "a client"
    draft.text = f"{'reply to' if op == 2 else 'request from'} {client}"
    for name, size in (("server name", 64), ("boot file", 128)):
        data = body.take(size)
        if data.strip(b"\0"):
            add(name, text_of(data.partition(b"\0")[0]), size)


def _options(draft: Draft, body: Cursor) -> dict[int, bytes]:
    """All options; those that overflow into the fields for names too (RFC 2132 9.3)."""
    draft.add("magic cookie", body.take(4).hex(), _FIXED, _FIXED + 4, "options follow",
              "RFC 2131 3")  # fmt: skip
    found: dict[int, bytearray] = {}
    _read_options(draft, body, found)
    overload = found.get(OVERLOAD, b"\0")
    where = int.from_bytes(overload[:1], "big")
    if where & 1:
        _read_options(draft, Cursor(body.data, 0, _FILE.start, _FILE.stop), found)
    if where & 2:
        _read_options(draft, Cursor(body.data, 0, _SNAME.start, _SNAME.stop), found)
    return {code: bytes(data) for code, data in found.items()}


def _read_options(draft: Draft, body: Cursor, found: dict[int, bytearray]) -> None:
    while body.left:
        at = body.place
        code = body.number(1)
        if code == PAD:
            continue
        if code == END:
            draft.add("end", "of the options", at, body.place, "", "RFC 2132 3.2")
            return
        data = body.take(body.number(1))
        kind = option(code)
        # RFC 3396 7: pieces of one option are read as one, so the text is that of all so far.
        whole = found.setdefault(code, bytearray())
        if len(whole) < _LONGEST_OPTION:
            whole += data
        if draft.full:
            draft.left_out += 1
            continue
        meaning = kind.meaning
        if code == MESSAGE_TYPE:
            meaning = MESSAGE_MEANINGS.get(data[0] if data else 0, "")
        draft.add(kind.name, option_text(kind.kind, bytes(whole)), at, body.place, meaning,
                  kind.source)  # fmt: skip


def _line(protocol: str, payload: bytes, found: dict[int, bytes]) -> str:
    """`offer of 192.0.2.10 to 02:00:00:00:00:01 by 192.0.2.1, lease 3600 s`"""
    client = mac_text(payload[28 : 28 + min(payload[2], 16)]) or "a client"
    own, given = ipv4_text(payload[12:16]), ipv4_text(payload[16:20])
    if MESSAGE_TYPE not in found or not found[MESSAGE_TYPE]:
        return f"request of {client}" if payload[0] == 1 else f"{given} for {client}"
    number = found[MESSAGE_TYPE][0]
    kind = MESSAGE_TYPES.get(number, f"message of type {number}")
    server = _address(found, 54)
    by = f" by {server}" if server else ""
    if number in (1, 3, 8):
        wanted = _address(found, 50) or ("" if own == "0.0.0.0" else own)
        text = f"{kind} from {client}"
        if number == 8:
            return f"{text} at {own}"
        text += f", wants {wanted}" if wanted else ""
        return text + (f" from {server}" if server else "")
    if number in (2, 5):
        text = f"{kind} of {given if given != '0.0.0.0' else 'settings'} to {client}{by}"
        lease = found.get(51, b"")
        return text + (f", lease {seconds(int.from_bytes(lease, 'big'))}" if lease else "")
    if number in (4, 7):
        return f"{kind} of {_address(found, 50) or own} by {client}"
    if number == 6:
        why = text_of(found.get(56, b""))
        return f"{kind} to {client}{by}" + (f": {why}" if why else "")
    return f"{kind} {'from' if payload[0] == 1 else 'to'} {client}"


def _address(found: dict[int, bytes], code: int) -> str:
    data = found.get(code, b"")
    return ipv4_text(data) if len(data) == 4 else ""


def _likely(client: bytes, server: bytes) -> bool:
    return any(
        data[_FIXED : _FIXED + 4] == _COOKIE and data[0] in (1, 2) and data[2] <= 16
        for data in (client, server)
    )


APPLICATION = Application(
    "dhcp", "DHCP", frozenset(), frozenset({67, 68}), _likely, None, _datagram
)

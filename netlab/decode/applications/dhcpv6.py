"""DHCP for IPv6: one datagram -> its message type, its options by name, and what it says.

Read first: RFC 8415 7.3 (message types), 8 and 9 (formats), 11 (DUID) and 21 (options).
"""

from __future__ import annotations

from netlab.decode.addresses import ipv6_text, mac_text
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.dns_names import read_name
from netlab.decode.applications.message import Application, Said
from netlab.decode.applications.reading import Draft, counted, text_of

_RELAYS = (12, 13)
_DEEPEST = 8  # a relayed message in a relayed message: RFC 8415 7.6 lets relays pass 8
_FOR_EVER = 0xFFFFFFFF
_TYPES = {
    1: "solicit", 2: "advertise", 3: "request", 4: "confirm", 5: "renew", 6: "rebind",
    7: "reply", 8: "release", 9: "decline", 10: "reconfigure", 11: "information request",
    12: "relay forward", 13: "relay reply", 14: "lease query", 15: "lease query reply",
    16: "lease query done", 17: "lease query data",
}  # fmt: skip
_MEANINGS = {
    1: "is any server there, and what would it give?",
    2: "a server tells that it is there",
    3: "the client takes what a server advertised",
    4: "the client asks whether its addresses still fit the link",
    5: "the client asks its server for more time",
    6: "the client asks any server for more time",
    7: "what the client gets",
    8: "the client gives addresses back",
    9: "an address is in use by another host",
    11: "the client wants settings, but no address",
}
OPTIONS = {
    1: ("client id", "RFC 8415 21.2"), 2: ("server id", "RFC 8415 21.3"),
    3: ("addresses wanted or given (IA_NA)", "RFC 8415 21.4"),
    4: ("temporary addresses (IA_TA)", "RFC 8415 21.5"),
    5: ("address", "RFC 8415 21.6"), 6: ("option request", "RFC 8415 21.7"),
    7: ("preference", "RFC 8415 21.8"), 8: ("elapsed time", "RFC 8415 21.9"),
    9: ("relayed message", "RFC 8415 21.10"), 11: ("authentication", "RFC 8415 21.11"),
    12: ("server unicast", "RFC 8415 21.12"), 13: ("status", "RFC 8415 21.13"),
    14: ("rapid commit", "RFC 8415 21.14"), 15: ("user class", "RFC 8415 21.15"),
    16: ("vendor class", "RFC 8415 21.16"), 17: ("vendor options", "RFC 8415 21.17"),
    18: ("interface id", "RFC 8415 21.18"), 19: ("reconfigure message", "RFC 8415 21.19"),
    20: ("reconfigure accept", "RFC 8415 21.20"), 23: ("DNS servers", "RFC 3646 3"),
    24: ("domain search", "RFC 3646 4"), 25: ("prefixes wanted or given (IA_PD)", "RFC 8415 21.21"),
    26: ("prefix", "RFC 8415 21.22"), 31: ("SNTP servers", "RFC 4075 4"),
    32: ("information refresh time", "RFC 8415 21.23"), 37: ("remote id", "RFC 4649 3"),
    39: ("client's full name", "RFC 4704 4"), 56: ("NTP server", "RFC 5908 4"),
    59: ("boot file", "RFC 5970 3.1"), 79: ("client link-layer address", "RFC 6939 4"),
    82: ("longest time between solicits", "RFC 8415 21.24"),
    83: ("longest time between information requests", "RFC 8415 21.25"),
}  # fmt: skip
_NESTING = frozenset({3, 4, 5, 9, 25, 26})  # options that hold others, or a message
_STATUSES = {0: "success", 1: "unspecified failure", 2: "no addresses available", 3: "no binding",
             4: "not on link", 5: "use multicast", 6: "no prefix available"}  # fmt: skip


def _datagram(payload: bytes) -> list[Said]:
    draft = Draft("DHCPv6", 0)
    draft.text = "a message"
    try:
        _message(draft, Cursor(payload), 0)
    except Unreadable as bad:
        draft.fault = bad.fault
    return [draft.said(len(payload))]


def _message(draft: Draft, body: Cursor, depth: int) -> None:
    kind = body.number(1)
    name = _TYPES.get(kind, f"message of type {kind}")
    draft.add("message type", f"{name} ({kind})", body.place - 1, body.place,
              _MEANINGS.get(kind, ""), "RFC 8415 7.3")  # fmt: skip
    before = "" if depth == 0 else f"{draft.text}: "
    draft.text = before + name
    if kind in _RELAYS:
        hops = body.number(1)
        draft.add("hops", str(hops), body.place - 1, body.place, "", "RFC 8415 9")
        for what in ("link address", "peer address"):
            text = ipv6_text(body.take(16))
            draft.add(what, text, body.place - 16, body.place, "", "RFC 8415 9")
    else:
        number = body.number(3)
        draft.add("transaction id", f"0x{number:06x}", body.place - 3, body.place,
                  "replies repeat their request's", "RFC 8415 8")  # fmt: skip
    said: list[str] = []
    _read_options(draft, body, depth, said)
    if said and kind not in _RELAYS:
        draft.text += f": {', '.join(said[:4])}{', ...' if len(said) > 4 else ''}"


def _read_options(draft: Draft, body: Cursor, depth: int, said: list[str]) -> None:
    while body.left:
        at = body.place
        code = body.number(2)
        data = body.inside(body.number(2))
        name, source = OPTIONS.get(code, (f"option {code}", "RFC 8415 21.1"))
        nested = depth < _DEEPEST
        begun = data.at
        try:
            text = _text(code, data, said)
        except Unreadable:
            text = ""
        if not text or (data.left and code not in _NESTING):
            data.at = begun
            text, nested = data.take(data.left).hex(), False
        draft.add(name, text, at, body.place, "", source)
        if nested and data.left and code == 9:
            _message(draft, data, depth + 1)
        elif nested and data.left and code in _NESTING:
            _read_options(draft, data, depth + 1, said)


def _text(code: int, data: Cursor, said: list[str]) -> str:
    """An option in words; options inside it are left unread."""
    if code in (1, 2):
        text = duid_text(data.take(data.left))
        said.append(f"{'client' if code == 1 else 'server'} {text}")
        return text
    if code in (3, 25):
        number, renew, rebind = data.number(4), data.number(4), data.number(4)
        return f"association {number}, renew after {_time(renew)}, rebind after {_time(rebind)}"
    if code == 4:
        return f"association {data.number(4)}"
    if code == 5:
        address = ipv6_text(data.take(16))
        preferred, valid = data.number(4), data.number(4)
        said.insert(0, f"{address} for {_time(valid)}")
        return f"{address}, preferred for {_time(preferred)}, valid for {_time(valid)}"
    if code == 26:
        preferred, valid, width = data.number(4), data.number(4), data.number(1)
        prefix = f"{ipv6_text(data.take(16))}/{width}"
        said.insert(0, f"{prefix} for {_time(valid)}")
        return f"{prefix}, preferred for {_time(preferred)}, valid for {_time(valid)}"
    if code == 6:
        codes = [data.number(2) for _ in range(data.left // 2)]
        return ", ".join(OPTIONS.get(one, (f"option {one}",))[0] for one in codes)
    if code == 13:
        number = data.number(2)
        status = _STATUSES.get(number, f"status {number}")
        words = text_of(data.take(data.left))
        if number:
            said.insert(0, status)
        return f"{status}: {words}" if words else status
    if code in (23, 31):
        return ", ".join(ipv6_text(data.take(16)) for _ in range(data.left // 16))
    if code == 24:
        names = []
        while data.left:
            names.append(read_name(data))
        return ", ".join(names)
    if code == 39:
        data.take(1)
        return read_name(data)
    if code in (7, 8, 32, 82, 83):
        number = data.number(data.left)
        return {7: f"{number} of 255", 8: f"{number / 100:.2f} s"}.get(code, f"{number} s")
    if code == 59:
        return text_of(data.take(data.left))
    if code == 12:
        return ipv6_text(data.take(16))
    if code == 9:
        return counted(data.left, "byte")
    return data.take(data.left).hex() or "yes"


def _time(number: int) -> str:
    return "ever" if number == _FOR_EVER else f"{number} s"


def duid_text(data: bytes) -> str:
    """What a host is known by: mostly its MAC address, with a time or without (RFC 8415 11)."""
    kind = int.from_bytes(data[:2], "big")
    if kind == 1 and len(data) > 8:
        return mac_text(data[8:])
    if kind == 3 and len(data) > 4:
        return mac_text(data[4:])
    if kind == 4 and len(data) == 18:
        return f"UUID {data[2:].hex()}"
    if kind == 2 and len(data) > 6:
        return f"enterprise {int.from_bytes(data[2:6], 'big')} {data[6:].hex()}"
    return data.hex()


def _likely(client: bytes, server: bytes) -> bool:
    """A client's first option, nearly always its id or the time it has waited, in a small type."""
    if len(client) < 12 or client[0] not in (1, 3, 4, 5, 6, 8, 9, 11):
        return False
    body = Cursor(client, 0, 4)
    try:
        codes = []
        while body.left:
            codes.append(body.number(2))
            body.take(body.number(2))
    except Unreadable:
        return False
    return (1 in codes or client[0] == 11) and 8 in codes and max(codes) < 256


APPLICATION = Application(
    "dhcpv6", "DHCPv6", frozenset(), frozenset({546, 547}), _likely, None, _datagram
)

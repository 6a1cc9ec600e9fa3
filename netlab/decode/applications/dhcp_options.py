"""Options of DHCP and BOOTP: numbers -> names, clauses, and how their bytes read.

Source: IANA's "BOOTP Vendor Extensions and DHCP Options"; the clauses are those of RFC 2132 unless
another RFC is named. Must not know the message around an option.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from netlab.decode.addresses import ipv4_text, mac_text
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.dns_names import read_name
from netlab.decode.applications.reading import text_of
from netlab.model.records import dataclass

PAD, END, OVERLOAD, MESSAGE_TYPE = 0, 255, 52, 53
MESSAGE_TYPES = {
    1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release",
    8: "inform", 9: "force renew", 10: "lease query", 11: "lease unassigned", 12: "lease unknown",
    13: "lease active", 14: "bulk lease query", 15: "lease query done", 16: "active lease query",
    17: "lease query status", 18: "TLS",
}  # fmt: skip
MESSAGE_MEANINGS = {
    1: "is any server there, and what would it give?",
    2: "a server proposes an address",
    3: "the client takes an offer, or wants to keep what it has",
    4: "the address is in use by another host",
    5: "the address is the client's for the time of the lease",
    6: "the client may not have that address",
    7: "the client gives its address back",
    8: "the client has an address and asks for the other settings",
}


class Kind(Enum):
    """How the bytes of an option read."""

    ADDRESSES = auto()
    NUMBERS_8 = auto()
    NUMBERS_16 = auto()
    SECONDS = auto()
    OFFSET = auto()  # seconds, signed
    TEXT = auto()
    FLAG = auto()
    MESSAGE = auto()
    OVERLOADED = auto()
    WANTED = auto()  # numbers of options
    CLIENT = auto()
    NAMES = auto()
    ROUTES = auto()
    RELAY = auto()
    FULL_NAME = auto()
    BYTES = auto()
    EMPTY = auto()


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its name, how it reads, where it is described, what it is for."""

    name: str
    kind: Kind
    source: str
    meaning: str = ""


def _of_2132(name: str, kind: Kind, section: str, meaning: str = "") -> Option:
    return Option(name, kind, f"RFC 2132 {section}", meaning)


OPTIONS = {
    1: _of_2132("subnet mask", Kind.ADDRESSES, "3.3", "which addresses are on the same link"),
    2: _of_2132("time offset", Kind.OFFSET, "3.4"),
    3: _of_2132("router", Kind.ADDRESSES, "3.5", "where packets for elsewhere go"),
    4: _of_2132("time server", Kind.ADDRESSES, "3.6"),
    5: _of_2132("name server", Kind.ADDRESSES, "3.7", "of IEN 116, long out of use"),
    6: _of_2132("domain name server", Kind.ADDRESSES, "3.8", "whom to ask for names"),
    7: _of_2132("log server", Kind.ADDRESSES, "3.9"),
    12: _of_2132("host name", Kind.TEXT, "3.14"),
    13: _of_2132("boot file size", Kind.NUMBERS_16, "3.15"),
    15: _of_2132("domain name", Kind.TEXT, "3.17", "put behind names without a dot"),
    17: _of_2132("root path", Kind.TEXT, "3.19"),
    19: _of_2132("IP forwarding", Kind.FLAG, "4.1"),
    23: _of_2132("default TTL", Kind.NUMBERS_8, "4.5"),
    26: _of_2132("interface MTU", Kind.NUMBERS_16, "5.1"),
    28: _of_2132("broadcast address", Kind.ADDRESSES, "5.3"),
    31: _of_2132("router discovery", Kind.FLAG, "5.6"),
    33: _of_2132("static route", Kind.ADDRESSES, "5.8", "pairs of destination and router"),
    35: _of_2132("ARP cache timeout", Kind.SECONDS, "6.2"),
    40: _of_2132("NIS domain", Kind.TEXT, "8.1"),
    41: _of_2132("NIS servers", Kind.ADDRESSES, "8.2"),
    42: _of_2132("NTP servers", Kind.ADDRESSES, "8.3", "whom to ask for the time"),
    43: _of_2132("vendor specific", Kind.BYTES, "8.4"),
    44: _of_2132("NetBIOS name server", Kind.ADDRESSES, "8.5"),
    45: _of_2132("NetBIOS datagram server", Kind.ADDRESSES, "8.6"),
    46: _of_2132("NetBIOS node type", Kind.NUMBERS_8, "8.7"),
    47: _of_2132("NetBIOS scope", Kind.TEXT, "8.8"),
    50: _of_2132("requested address", Kind.ADDRESSES, "9.1", "the one that the client would like"),
    51: _of_2132("lease time", Kind.SECONDS, "9.2", "how long the address may be used"),
    52: _of_2132("option overload", Kind.OVERLOADED, "9.3", "options go on in these fields"),
    53: _of_2132("message type", Kind.MESSAGE, "9.6"),
    54: _of_2132("server id", Kind.ADDRESSES, "9.7", "which server's offer is meant"),
    55: _of_2132("parameter request list", Kind.WANTED, "9.8", "options that the client wants"),
    56: _of_2132("message", Kind.TEXT, "9.9", "why not"),
    57: _of_2132("maximum message size", Kind.NUMBERS_16, "9.10"),
    58: _of_2132("renewal time", Kind.SECONDS, "9.11", "then the client asks its server again"),
    59: _of_2132("rebinding time", Kind.SECONDS, "9.12", "then it asks any server"),
    60: _of_2132("vendor class", Kind.TEXT, "9.13", "what kind of client this is"),
    61: _of_2132("client id", Kind.CLIENT, "9.14", "what the server knows the client by"),
    66: _of_2132("TFTP server", Kind.TEXT, "9.4"),
    67: _of_2132("boot file", Kind.TEXT, "9.5"),
    77: Option("user class", Kind.BYTES, "RFC 3004 4"),
    80: Option("rapid commit", Kind.EMPTY, "RFC 4039 4", "two messages instead of four"),
    81: Option("client's full name", Kind.FULL_NAME, "RFC 4702 2"),
    82: Option("relay agent information", Kind.RELAY, "RFC 3046 2.0", "through which port it came"),
    90: Option("authentication", Kind.BYTES, "RFC 3118 2"),
    93: Option("client architecture", Kind.NUMBERS_16, "RFC 4578 2.1"),
    94: Option("client network interface", Kind.BYTES, "RFC 4578 2.2"),
    97: Option("client machine id", Kind.BYTES, "RFC 4578 2.3"),
    100: Option("time zone, POSIX", Kind.TEXT, "RFC 4833 2"),
    101: Option("time zone, name", Kind.TEXT, "RFC 4833 2"),
    108: Option("IPv6-only preferred", Kind.SECONDS, "RFC 8925 3.1", "no IPv4 for so long"),
    114: Option("captive portal", Kind.TEXT, "RFC 8910 2.1"),
    116: Option("auto-configuration", Kind.NUMBERS_8, "RFC 2563 2"),
    118: Option("subnet selection", Kind.ADDRESSES, "RFC 3011 2"),
    119: Option("domain search", Kind.NAMES, "RFC 3397 2", "put behind names one after the other"),
    120: Option("SIP servers", Kind.BYTES, "RFC 3361 3"),
    121: Option("classless static routes", Kind.ROUTES, "RFC 3442", "destination via router"),
    125: Option("vendor-identifying options", Kind.BYTES, "RFC 3925 4"),
    145: Option("force renew nonce", Kind.BYTES, "RFC 6704 3.1.1"),
    150: Option("TFTP server address", Kind.ADDRESSES, "RFC 5859 2"),
    249: Option("classless static routes, Microsoft's", Kind.ROUTES, "RFC 3442"),
    252: Option("proxy auto-configuration", Kind.TEXT, "draft-ietf-wrec-wpad-01 4.4.1"),
}
_UNKNOWN = Option("", Kind.BYTES, "RFC 2132 2")


def option(code: int) -> Option:
    """The option of this number."""
    found = OPTIONS.get(code)
    return found or Option(f"option {code}", _UNKNOWN.kind, _UNKNOWN.source)


def option_text(kind: Kind, data: bytes) -> str:
    """The option's bytes as people read them; bytes that do not fit its kind in hex."""
    try:
        return _TEXTS[kind](Cursor(data))
    except Unreadable:
        return data.hex()


def _addresses(data: Cursor) -> str:
    if data.left % 4 or not data.left:
        raise Unreadable("no whole addresses")
    return ", ".join(ipv4_text(data.take(4)) for _ in range(data.left // 4))


def _numbers(width: int) -> Callable[[Cursor], str]:
    def text(data: Cursor) -> str:
        if data.left % width or not data.left:
            raise Unreadable("no whole numbers")
        return ", ".join(str(data.number(width)) for _ in range(data.left // width))

    return text


_FOR_EVER = 2**32 - 1


def seconds(number: int) -> str:
    """`3600 s`; all ones mean for ever (RFC 2131 3.3)."""
    return "for ever" if number == _FOR_EVER else f"{number} s"


def _flag(data: Cursor) -> str:
    return "yes" if data.number(1) else "no"


def _message(data: Cursor) -> str:
    number = data.number(1)
    return f"{MESSAGE_TYPES.get(number, 'unknown')} ({number})"


def _overloaded(data: Cursor) -> str:
    number = data.number(1)
    return {1: "file", 2: "sname", 3: "file and sname"}.get(number, str(number))


def _wanted(data: Cursor) -> str:
    return ", ".join(option(code).name for code in data.take(data.left))


def _client(data: Cursor) -> str:
    kind = data.number(1)
    rest = data.take(data.left)
    if kind == 1 and len(rest) == 6:
        return mac_text(rest)
    if kind == 255 and len(rest) > 4:  # RFC 4361 6.1: an association and a DUID
        return f"association {rest[:4].hex()}, DUID {rest[4:].hex()}"
    text = text_of(rest)
    return text if not kind and text.isprintable() and text else f"type {kind}, {rest.hex()}"


def _names(data: Cursor) -> str:
    names = []
    while data.left:
        names.append(read_name(data))
    return ", ".join(names)


def _routes(data: Cursor) -> str:
    routes = []
    while data.left:
        width = data.number(1)
        if width > 32:
            raise Unreadable("no width of a prefix")
        prefix = data.take((width + 7) // 8).ljust(4, b"\0")
        routes.append(f"{ipv4_text(prefix)}/{width} via {ipv4_text(data.take(4))}")
    return ", ".join(routes)


def _relay(data: Cursor) -> str:
    names = {1: "circuit", 2: "remote", 5: "link", 6: "subscriber", 11: "server override"}
    parts = []
    while data.left:
        code = data.number(1)
        value = data.take(data.number(1))
        text = ipv4_text(value) if code in (5, 11) and len(value) == 4 else _plain_or_hex(value)
        parts.append(f"{names.get(code, f'sub-option {code}')} {text}")
    return ", ".join(parts)


def _full_name(data: Cursor) -> str:
    flags = data.number(1)
    data.take(2)
    name = read_name(data) if flags & 4 and data.left else text_of(data.take(data.left))
    return f"{name}, the {'server' if flags & 1 else 'client'} tells DNS"


def _plain_or_hex(data: bytes) -> str:
    text = text_of(data)
    return text if text.isprintable() and text.isascii() else data.hex()


_TEXTS: dict[Kind, Callable[[Cursor], str]] = {
    Kind.ADDRESSES: _addresses,
    Kind.NUMBERS_8: _numbers(1),
    Kind.NUMBERS_16: _numbers(2),
    Kind.SECONDS: lambda data: seconds(data.number(4)),
    Kind.OFFSET: lambda data: f"{data.signed(4)} s",
    Kind.TEXT: lambda data: text_of(data.take(data.left).rstrip(b"\0")),
    Kind.FLAG: _flag,
    Kind.MESSAGE: _message,
    Kind.OVERLOADED: _overloaded,
    Kind.WANTED: _wanted,
    Kind.CLIENT: _client,
    Kind.NAMES: _names,
    Kind.ROUTES: _routes,
    Kind.RELAY: _relay,
    Kind.FULL_NAME: _full_name,
    Kind.BYTES: lambda data: data.take(data.left).hex(),
    Kind.EMPTY: lambda data: "yes" if not data.left else data.take(data.left).hex(),
}

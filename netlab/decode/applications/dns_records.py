"""The data of a DNS record -> text as zone files write it.

Must not know the message around it, but for the names that its pointers lead to. Read first:
RFC 1035 3.3, RFC 3597 (unknown types), RFC 4034 (DNSSEC), RFC 9460 (SVCB and HTTPS).
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable

from netlab.decode.addresses import ipv4_text, ipv6_text
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.dns_names import read_name
from netlab.decode.applications.dns_words import (
    ALGORITHMS,
    EDNS_ERRORS,
    EDNS_OPTIONS,
    SERVICE_KEYS,
    type_name,
)
from netlab.decode.applications.reading import brief, counted, text_of

_LAST_SECOND = 253_402_300_799  # of the year 9999
_SOURCES = {
    1: "RFC 1035 3.4.1", 2: "RFC 1035 3.3.11", 5: "RFC 1035 3.3.1", 6: "RFC 1035 3.3.13",
    12: "RFC 1035 3.3.12", 13: "RFC 1035 3.3.2", 15: "RFC 1035 3.3.9", 16: "RFC 1035 3.3.14",
    28: "RFC 3596 2.2", 33: "RFC 2782", 35: "RFC 3403 4.1", 39: "RFC 6672 2.1",
    41: "RFC 6891 6.1.2", 43: "RFC 4034 5.1", 44: "RFC 4255 3.1", 46: "RFC 4034 3.1",
    47: "RFC 4034 4.1", 48: "RFC 4034 2.1", 50: "RFC 5155 3.2", 51: "RFC 5155 4.2",
    52: "RFC 6698 2.1", 59: "RFC 7344 3.1", 60: "RFC 7344 3.2", 64: "RFC 9460 2.2",
    65: "RFC 9460 9", 99: "RFC 7208 3.1", 250: "RFC 8945 4.2", 256: "RFC 7553 4",
    257: "RFC 8659 4.1",
}  # fmt: skip


def source(kind: int) -> str:
    """The clause that describes the data of a type."""
    return _SOURCES.get(kind, "RFC 3597 5")


def data_text(kind: int, data: Cursor) -> str:
    """The data in words; what is no such data, or of a type not read here, in hex (RFC 3597 5)."""
    size, begun = data.left, data.at
    if kind in _READERS:
        try:
            text = _READERS[kind](data)
            if not data.left:
                return text
        except Unreadable:
            pass
        data.at = begun
    raw = data.take(size)
    return f"\\# {size} {raw[:64].hex()}{'...' if size > 64 else ''}".rstrip()


def _text(data: Cursor) -> str:
    """`"one" "two"`: each with its length before it."""
    parts = []
    while data.left:
        parts.append(f'"{text_of(data.take(data.number(1)))}"')
    return " ".join(parts)


def _soa(data: Cursor) -> str:
    names = f"{read_name(data)} {read_name(data)}"
    return " ".join([names, *(str(data.number(4)) for _ in range(5))])


def _service(data: Cursor) -> str:
    return f"{data.number(2)} {data.number(2)} {data.number(2)} {read_name(data)}"


def _naptr(data: Cursor) -> str:
    order = f"{data.number(2)} {data.number(2)}"
    texts = " ".join(f'"{text_of(data.take(data.number(1)))}"' for _ in range(3))
    return f"{order} {texts} {read_name(data)}"


def _algorithm(number: int) -> str:
    return ALGORITHMS.get(number, f"algorithm {number}")


def _digest(data: Cursor) -> str:
    tag, algorithm, digest = data.number(2), _algorithm(data.number(1)), data.number(1)
    return f"key {tag}, {algorithm}, digest {digest} {data.take(data.left).hex()}"


def _key(data: Cursor) -> str:
    flags, protocol, algorithm = data.number(2), data.number(1), _algorithm(data.number(1))
    role = {256: "zone signing key", 257: "key signing key"}.get(flags, f"flags {flags}")
    key = b64encode(data.take(data.left)[:48]).decode()
    return f"{role}, protocol {protocol}, {algorithm}, {key}"


def _signature(data: Cursor) -> str:
    kind, algorithm, labels = type_name(data.number(2)), _algorithm(data.number(1)), data.number(1)
    ttl, until, since, tag = (data.number(size) for size in (4, 4, 4, 2))
    signer = read_name(data)
    size = len(data.take(data.left))
    return (
        f"of {kind} by {signer}, key {tag}, {algorithm}, {counted(labels, 'label')}, TTL {ttl} s, "
        f"from {_time(since)} to {_time(until)}, {counted(size, 'byte')}"
    )


def _time(seconds: int) -> str:
    """A time of a signature, as RFC 4034 3.2 writes it."""
    if seconds > _LAST_SECOND:
        return str(seconds)
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds))


def _types(data: Cursor) -> str:
    """The types that a name has: a map of bits for each 256 of them (RFC 4034 4.1.2)."""
    found = []
    while data.left:
        window = data.number(1)
        for place, byte in enumerate(data.take(data.number(1))):
            found += [
                type_name(window * 256 + place * 8 + bit) for bit in range(8) if byte << bit & 0x80
            ]
    return " ".join(found[:64])


def _next(data: Cursor) -> str:
    return f"{read_name(data)} {_types(data)}".rstrip()


def _hashed(data: Cursor) -> str:
    algorithm, flags, times = data.number(1), data.number(1), data.number(2)
    salt = data.take(data.number(1)).hex() or "-"
    return f"{algorithm} {flags} {times} {salt}"


def _next_hashed(data: Cursor) -> str:
    head = _hashed(data)
    return f"{head} {data.take(data.number(1)).hex()} {_types(data)}".rstrip()


def _certificate(data: Cursor) -> str:
    return f"{data.number(1)} {data.number(1)} {data.number(1)} {data.take(data.left).hex()}"


def _fingerprint(data: Cursor) -> str:
    return f"{data.number(1)} {data.number(1)} {data.take(data.left).hex()}"


def _authority(data: Cursor) -> str:
    flags, tag = data.number(1), text_of(data.take(data.number(1)))
    return f'{flags} {tag} "{text_of(data.take(data.left))}"'


def _uri(data: Cursor) -> str:
    return f'{data.number(2)} {data.number(2)} "{text_of(data.take(data.left))}"'


def _transaction(data: Cursor) -> str:
    algorithm = read_name(data)
    signed, fudge = data.number(6), data.number(2)
    mac = data.take(data.number(2))
    original, error = data.number(2), data.number(2)
    data.take(data.number(2))
    return (
        f"{algorithm}, at {_time(signed)}, fudge {fudge} s, mac {mac.hex()}, id {original}, {error}"
    )


def _binding(data: Cursor) -> str:
    priority, target = data.number(2), read_name(data)
    texts = [f"{priority} {target}"]
    while data.left:
        key = data.number(2)
        value = data.inside(data.number(2))
        name = SERVICE_KEYS.get(key, f"key{key}")
        texts.append(f"{name}={_parameter(key, value)}" if value.left else name)
    return " ".join(texts)


def _parameter(key: int, value: Cursor) -> str:
    if key == 0:
        keys = (value.number(2) for _ in range(value.left // 2))
        return ",".join(SERVICE_KEYS.get(one, f"key{one}") for one in keys)
    if key == 1:
        words = []
        while value.left:
            words.append(text_of(value.take(value.number(1))))
        return ",".join(words)
    if key == 3:
        return str(value.number(2))
    if key == 4:
        return ",".join(ipv4_text(value.take(4)) for _ in range(value.left // 4))
    if key == 6:
        return ",".join(ipv6_text(value.take(16)) for _ in range(value.left // 16))
    if key == 7:
        return text_of(value.take(value.left))
    return f"({counted(value.left, 'byte')})"


def option_text(code: int, data: Cursor) -> str:
    """An option of EDNS in words."""
    if code == 3 and data.left:
        return brief(data.take(data.left))
    if code == 8 and data.left >= 4:
        family, source_bits, scope = data.number(2), data.number(1), data.number(1)
        width = {1: 4, 2: 16}.get(family)
        if width is not None and data.left <= width:
            packed = data.take(data.left).ljust(width, b"\0")
            address = ipv4_text(packed) if width == 4 else ipv6_text(packed)
            return f"{address}/{source_bits}, scope {scope}"
    if code == 10:
        client, server = data.take(min(8, data.left)).hex(), data.take(data.left).hex()
        return f"client {client}" + (f", server {server}" if server else "")
    if code == 11:
        return f"{data.number(2) / 10:.1f} s" if data.left == 2 else "asked for"
    if code == 12:
        return counted(data.left, "byte")
    if code == 15 and data.left >= 2:
        number = data.number(2)
        extra = text_of(data.take(data.left))
        name = EDNS_ERRORS.get(number, f"error {number}")
        return f"{name}: {extra}" if extra else name
    return data.take(data.left).hex()


def option_name(code: int) -> str:
    """The name of an option of EDNS."""
    return EDNS_OPTIONS.get(code, f"option {code}")


def _address(data: Cursor) -> str:
    return ipv4_text(data.take(4))


def _address_6(data: Cursor) -> str:
    return ipv6_text(data.take(16))


def _mail(data: Cursor) -> str:
    return f"{data.number(2)} {read_name(data)}"


_READERS: dict[int, Callable[[Cursor], str]] = {
    1: _address, 2: read_name, 5: read_name, 6: _soa, 12: read_name, 13: _text, 15: _mail,
    16: _text, 28: _address_6, 33: _service, 35: _naptr, 39: read_name, 43: _digest,
    44: _fingerprint, 46: _signature, 47: _next, 48: _key, 50: _next_hashed, 51: _hashed,
    52: _certificate, 59: _digest, 60: _key, 64: _binding, 65: _binding, 99: _text,
    250: _transaction, 256: _uri, 257: _authority,
}  # fmt: skip

"""A certificate's DER bytes -> whom it names: the common name of its subject.

Nothing is verified and nothing but that name is read. Read first: X.690 8.1, RFC 5280 4.1.
"""

from __future__ import annotations

_COMMON_NAME = b"\x06\x03\x55\x04\x03"  # 2.5.4.3
_ORGANISATION = b"\x06\x03\x55\x04\x0a"
_CONTEXT_0 = 0xA0


def subject(der: bytes) -> str:
    """The subject's common name, else its organisation, else nothing."""
    certificate = _value(der, 0)
    to_be_signed = _value(der, certificate[1]) if certificate else None
    if to_be_signed is None:
        return ""
    at = to_be_signed[1]
    if at < len(der) and der[at] == _CONTEXT_0:  # the version stands there unless it is 1
        at = _behind(der, at)
    for _ in range(4):  # serial number, signature, issuer, validity
        at = _behind(der, at)
    name = _value(der, at)
    if name is None:
        return ""
    part = der[name[1] : name[2]]
    return _last(part, _COMMON_NAME) or _last(part, _ORGANISATION)


def _last(name: bytes, oid: bytes) -> str:
    at = name.rfind(oid)
    value = _value(name, at + len(oid)) if at >= 0 else None
    if value is None:
        return ""
    kind, start, stop = value
    return name[start:stop].decode("utf-16-be" if kind == 0x1E else "utf-8", "backslashreplace")


def _value(der: bytes, at: int) -> tuple[int, int, int] | None:
    """Tag, start and stop of the content of the value at `at`."""
    if at + 2 > len(der):
        return None
    size, start = der[at + 1], at + 2
    if size & 0x80:
        many = size & 0x7F
        if not 1 <= many <= 4 or start + many > len(der):
            return None
        size = int.from_bytes(der[start : start + many], "big")
        start += many
    return (der[at], start, start + size) if start + size <= len(der) else None


def _behind(der: bytes, at: int) -> int:
    value = _value(der, at)
    return len(der) if value is None else value[2]

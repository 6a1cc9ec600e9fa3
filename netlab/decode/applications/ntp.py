"""NTP, versions 1 to 4: one datagram -> its fields in words, times in UTC.

Read first: RFC 5905 6 (time formats), 7.3 (the header) and 7.4 (kisses), RFC 7822 (extension
fields), RFC 1305 appendix B (control messages), RFC 8633.
"""

from __future__ import annotations

import time

from netlab.decode.addresses import ipv4_text
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.message import Application, Said
from netlab.decode.applications.reading import Draft, counted, text_of

_SECONDS_1900_TO_1970 = 2_208_988_800
_HEADER = "RFC 5905 7.3"
_LEAPS = {
    0: "no leap second today",
    1: "the last minute of today has 61 seconds",
    2: "the last minute of today has 59 seconds",
    3: "the clock is not synchronised",
}
_MODES = {
    0: "reserved", 1: "symmetric active", 2: "symmetric passive", 3: "client", 4: "server",
    5: "broadcast", 6: "control", 7: "private",
}  # fmt: skip
_KISSES = {
    "ACST": "the association is with a unicast server",
    "AUTH": "authentication failed",
    "AUTO": "automatic keys failed",
    "BCST": "the association is with a broadcast server",
    "CRYP": "authentication or identification failed",
    "DENY": "access denied: ask no more",
    "DROP": "the peer is lost",
    "INIT": "the association has not yet synchronised for the first time",
    "MCST": "the association is with a server found by multicast",
    "NKEY": "no such key",
    "NTSN": "network time security failed",
    "RATE": "asked too often: ask less",
    "RMOT": "somebody alters the association from elsewhere",
    "RSTR": "access denied by rule: ask no more",
    "STEP": "the clock was stepped",
}
_SOURCES = {
    "GOES": "satellite", "GPS": "GPS satellites", "GAL": "Galileo satellites",
    "PPS": "a pulse each second", "IRIG": "an IRIG time code", "WWVB": "radio of Fort Collins",
    "DCF": "radio of Mainflingen", "HBG": "radio of Prangins", "MSF": "radio of Anthorn",
    "JJY": "radio of Japan", "LORC": "Loran-C", "TDF": "radio of Allouis", "CHU": "radio of Ottawa",
    "WWV": "radio of Fort Collins", "WWVH": "radio of Kauai", "NIST": "telephone modem",
    "ACTS": "telephone modem", "USNO": "telephone modem", "PTB": "telephone modem",
    "LOCL": "a clock that nothing corrects", "CESM": "a caesium clock", "RBDM": "a rubidium clock",
    "OMEG": "Omega", "XFAC": "the reference changed its address", "PTP": "precision time protocol",
}  # fmt: skip
_CONTROLS = {
    1: "read status", 2: "read variables", 3: "write variables", 4: "read clock variables",
    5: "write clock variables", 6: "set trap", 7: "trap", 8: "configure", 9: "save configuration",
    10: "read most recently used", 11: "read ordered list", 12: "request nonce", 31: "unset trap",
}  # fmt: skip
_EXTENSIONS = {
    0x0104: "unique identifier", 0x0204: "NTS cookie", 0x0304: "NTS cookie placeholder",
    0x0404: "NTS authenticator", 0x2005: "UDP checksum complement",
}  # fmt: skip


def _datagram(payload: bytes) -> list[Said]:
    draft = Draft("NTP", 0)
    draft.text = "a message"
    body = Cursor(payload)
    try:
        mode = (body.data[0] & 7) if payload else -1
        if mode in (6, 7):
            _control(draft, body, mode)
        else:
            _times(draft, body, mode)
    except Unreadable as bad:
        draft.fault = bad.fault
    return [draft.said(len(payload))]


def _first(draft: Draft, body: Cursor) -> tuple[int, int]:
    """Version and mode."""
    first = body.number(1)
    version, mode = first >> 3 & 7, first & 7
    draft.protocol = f"NTPv{version}"
    if mode < 6:
        draft.add("leap indicator", f"{_LEAPS[first >> 6]} ({first >> 6})", 0, 1, "", _HEADER)
    draft.add("version", str(version), 0, 1, "", _HEADER)
    draft.add("mode", f"{_MODES[mode]} ({mode})", 0, 1, "", _HEADER)
    return version, mode


def _times(draft: Draft, body: Cursor, mode: int) -> None:
    _first(draft, body)
    draft.text = _MODES.get(mode, "a message")
    stratum = body.number(1)
    draft.add("stratum", _stratum_text(stratum), 1, 2,
              "how many servers stand between this clock and a true source", _HEADER)  # fmt: skip
    for name, meaning in (
        ("poll interval", "how often the sender asks"),
        ("precision", "the finest step of the sender's clock"),
    ):
        exponent = body.signed(1)
        text = f"{_power(exponent)} (2^{exponent} s)"
        draft.add(name, text, body.place - 1, body.place, meaning, _HEADER)
    for name, meaning in (
        ("root delay", "there and back to the true source"),
        ("root dispersion", "how wrong the clock may be against it"),
    ):
        value = body.number(4)
        text = f"{value / 65536 * 1000:.3f} ms"
        draft.add(name, text, body.place - 4, body.place, meaning, _HEADER)
    reference, meaning = _reference(stratum, body.take(4))
    draft.add("reference id", reference, 12, 16, meaning, _HEADER)
    stamps = {}
    for name, meaning in (
        ("reference timestamp", "when the clock was last set"),
        ("origin timestamp", "when the question left, by the asker's clock"),
        ("receive timestamp", "when the question arrived, by the answerer's clock"),
        ("transmit timestamp", "when this message left, by its sender's clock"),
    ):
        stamps[name] = stamp_text(body.number(8))
        draft.add(name, stamps[name], body.place - 8, body.place, meaning, "RFC 5905 6")
    draft.text = _line(mode, stratum, reference, meaning_of_kiss(reference), stamps)
    _behind(draft, body)


def _line(mode: int, stratum: int, reference: str, kiss: str, stamps: dict[str, str]) -> str:
    name = _MODES.get(mode, "")
    if mode == 3:
        return "client: what time is it?"
    if stratum == 0 and mode == 4:
        return f"server: kiss {reference}" + (f", {kiss}" if kiss else "")
    return f"{name}: {stamps['transmit timestamp']}, {_stratum_text(stratum)}"


def _behind(draft: Draft, body: Cursor) -> None:
    """Extension fields, then perhaps a key and a digest (RFC 7822 3)."""
    # RFC 7822 7.5: what is left is a MAC where it is 4, 20 or 24 bytes; a field is 16 at least.
    while body.left >= 16 and body.left not in (20, 24):
        at = body.place
        kind, length = body.number(2), body.number(2)
        if length < 4 or length % 4:
            draft.fault = f"an extension field cannot have the length {length}"
            return
        body.take(length - 4)
        name = _EXTENSIONS.get(kind, f"type 0x{kind:04x}")
        draft.add("extension field", f"{name}, {length} bytes", at, body.place, "", "RFC 7822 3")
    if body.left in (4, 20, 24):
        at = body.place
        draft.add("key id", str(body.number(4)), at, body.place, "", "RFC 5905 7.3")
        if body.left:
            at = body.place
            draft.add("message digest", body.take(body.left).hex(), at, body.place,
                      "who does not know the key cannot make it", "RFC 5905 7.3")  # fmt: skip
    if body.left:
        draft.fault = f"{counted(body.left, 'byte')} behind the message"


def _control(draft: Draft, body: Cursor, mode: int) -> None:
    _first(draft, body)
    draft.text = "private message of an implementation"
    if mode == 7:
        return
    second = body.number(1)
    operation = _CONTROLS.get(second & 31, f"operation {second & 31}")
    kind = "response" if second & 0x80 else "request"
    source = "RFC 1305 B.1"
    draft.add("operation", f"{operation} ({kind})", 1, 2, "", source)
    draft.text = f"control {kind}: {operation}"
    if second & 0x40:
        draft.text += ", error"
    for name in ("sequence", "status", "association id", "offset"):
        draft.add(name, str(body.number(2)), body.place - 2, body.place, "", source)
    count = body.number(2)
    draft.add("count", str(count), body.place - 2, body.place, "", source)
    at = body.place
    data = body.take(min(count, body.left))
    if data:
        draft.add("data", text_of(data), at, body.place, "", source)
    if len(data) < count:
        draft.fault = f"{len(data)} of {count} bytes of data"


def _stratum_text(stratum: int) -> str:
    if stratum == 0:
        return "stratum not given (0)"
    if stratum == 1:
        return "stratum 1, has a true source"
    return f"stratum {stratum}" if stratum < 16 else f"not synchronised ({stratum})"


def _reference(stratum: int, data: bytes) -> tuple[str, str]:
    """What the clock is set by: a source's name, or the address of a server."""
    text = text_of(data.rstrip(b"\0"))
    if stratum > 1:
        return ipv4_text(data), "the server asked, or a hash of its IPv6 address"
    if stratum == 0:
        return text, meaning_of_kiss(text)
    return text, _SOURCES.get(text, "")


def meaning_of_kiss(code: str) -> str:
    """What a server says in place of the time (RFC 5905 7.4)."""
    return _KISSES.get(code, "")


def _power(exponent: int) -> str:
    """A power of two in seconds; a byte's exponent fits a float."""
    value = 2.0**exponent
    if value >= 1:
        return f"{value:.0f} s" if exponent < 32 else f"2^{exponent} s"
    for unit, scale in (("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def stamp_text(stamp: int) -> str:
    """`2026-11-26 07:16:22.500000000 UTC`; zero means that it is not known.

    A timestamp with its highest bit unset is of the era that began in 2036 (RFC 5905 6).
    """
    if stamp == 0:
        return "not given"
    seconds = (stamp >> 32) - _SECONDS_1900_TO_1970
    if not stamp >> 63:
        seconds += 1 << 32
    nanoseconds = (stamp & 0xFFFFFFFF) * 1_000_000_000 >> 32
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d} UTC"


def _likely(client: bytes, server: bytes) -> bool:
    """Only an answer is sure of itself: it repeats, in its origin, what the question bore."""
    return (
        len(client) >= 48
        and len(server) >= 48
        and client[0] & 7 == 3
        and server[0] & 7 == 4
        and 1 <= client[0] >> 3 & 7 <= 4
        and client[40:48] == server[24:32] != bytes(8)
    )


APPLICATION = Application("ntp", "NTP", frozenset(), frozenset({123}), _likely, None, _datagram)

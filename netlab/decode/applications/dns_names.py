"""A name in a DNS message -> its text, with compression pointers followed, which cannot loop.

A pointer must lead to before the part of the name that it ends (RFC 1035 4.1.4: a prior
occurrence), so each leads further to the front and following them ends. Read first: RFC 1035 3.1,
4.1.4 and 5.1 (how names are written), RFC 6762 16 (names of mDNS are UTF-8).
"""

from __future__ import annotations

from netlab.decode.applications.cursor import Cursor, Unreadable

LONGEST = 255  # bytes of a name on the wire (RFC 1035 2.3.4)
MOST_POINTERS = 127  # as many as there can be labels; a chain of bare pointers is no name


def read_name(body: Cursor) -> str:
    """The name at the body's place, which moves behind it. Raises Unreadable for what is no name.

    The root is `.`; others have no dot at their end.
    """
    data = body.data
    labels: list[str] = []
    used = 1
    at, stop = body.at, body.end
    front = at  # where the present part of the name began
    behind = 0  # where the name ends, once a pointer was followed
    pointers = 0
    while True:
        if at >= stop:
            raise Unreadable(f"the name at offset {body.place} has no end")
        size = data[at]
        if size == 0:
            body.at = behind or at + 1
            return ".".join(labels) or "."
        if size < 64:
            label = data[at + 1 : at + 1 + size]
            used += size + 1
            if at + 1 + size > stop:
                raise Unreadable(f"the name at offset {body.place} has no end")
            if used > LONGEST:
                raise Unreadable(f"the name at offset {body.place} is longer than {LONGEST} bytes")
            labels.append(label_text(label))
            at += 1 + size
            continue
        if size < 192:  # 01 and 10 were never, or are no longer, in use (RFC 6891 5)
            raise Unreadable(f"the name at offset {body.place} has a label of unknown kind")
        if at + 2 > stop:
            raise Unreadable(f"the name at offset {body.place} has no end")
        target = int.from_bytes(data[at : at + 2], "big") & 0x3FFF
        pointers += 1
        if target >= front or pointers > MOST_POINTERS:
            raise Unreadable(
                f"the name at offset {body.place} points to {target}, not to before it"
            )
        behind = behind or at + 2
        at = front = target
        stop = len(data)


def label_text(label: bytes) -> str:
    """A label as RFC 1035 5.1 writes it: a dot inside is `\\.`, a byte that is no text `\\007`."""
    if label.isalnum():  # ASCII letters and digits
        return label.decode("ascii")
    try:
        text = label.decode("utf-8")
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else f"\\{byte:03d}" for byte in label)
        return "".join(_escaped(c) if ord(c) < 0x80 and c != "\\" else c for c in text)
    return "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char in ".\\":
        return "\\" + char
    code = ord(char)
    return f"\\{code:03d}" if code < 0x20 or code == 0x7F else char

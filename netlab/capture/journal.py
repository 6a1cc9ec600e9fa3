"""Turns a call into one systemd Journal Export entry, which Wireshark lists as a frame, and back.

Wireshark shows MESSAGE as Info and __REALTIME_TIMESTAMP (us) as the time; the NETLAB_ fields hold
what the witness saw, exactly, and only they are read back. Knows nothing of files.
Read systemd's "Journal Export Formats" first.

What tshark 4.0 does with an entry (epan/dissectors/packet-systemd-journal.c, wiretap/pcapng.c):
- it takes the first text "__REALTIME_TIMESTAMP=" as the time: that field comes first;
- it knows binary fields by a list of names and reads the bytes of any other as lines of text: so
  values with line breaks are escaped here, and no binary field is ever written;
- the last MESSAGE= line wins: that field comes last, whatever the others hold;
- it drops NULs at the end (padding): an entry ends with a line feed.
"""

from __future__ import annotations

import errno

from netlab.capture.rows import CALLS, escape
from netlab.model.call import WAITING, CallRecord, arguments_text, is_acting, ready_text

_OURS = b"\nNETLAB_WITNESS="
_PREFIXES = tuple(f"NETLAB_{name.upper()}=" for name in CALLS.names)
_NAMES = {f"NETLAB_{name.upper()}": name for name in CALLS.names}
_read_in_order = CALLS.reader("NETLAB_")
_MESSAGE_CHARACTERS = 4096
SHORTEST_ENTRY_BYTES = 23  # Wireshark 4.0 ends reading at a shorter one


def shown_ns(call: CallRecord) -> int:
    """Where a call stands among the packets: a whole microsecond, as the journal counts.

    One that acts stands at its entry, rounded down, so that it never follows the packets that it
    sent; one that receives at its return, rounded up, so that it never precedes those it read.
    One that never returned stands at its entry.
    """
    if call.returned_ns is None or is_acting(call):
        return call.entered_ns // 1000 * 1000
    return -(-call.returned_ns // 1000) * 1000


def strace_text(call: CallRecord) -> str:
    """The call on one line as strace would print it: `send(5, 100) = 100`."""
    ready = ready_text(call.ready) if call.ready and call.op in WAITING else ""
    given = arguments_text(call.op, call.fd, call.requested_bytes, call.args, ready)
    text = f"{call.op}({given})"
    if call.returned_ns is None:
        return f"{text} <unfinished ...>"
    if call.errno is None:
        return f"{text} = {'?' if call.result is None else call.result}"
    # A sendall that failed midway has both: the bytes it moved and the reason it stopped.
    return f"{text} = {-1 if call.result is None else call.result} {call.errno}"


def entry(call: CallRecord, message: str | None = None) -> bytes:
    """The journal entry of a call; its text is `message`, or as strace would print it."""
    lines = [f"__REALTIME_TIMESTAMP={max(shown_ns(call), 0) // 1000}"]
    lines += CALLS.lines(call, _PREFIXES)
    actor = escape(call.actor)
    lines += (
        f"_PID={call.pid}",
        f"_COMM={actor}",
        f"SYSLOG_IDENTIFIER={actor}",
        f"_HOSTNAME={escape(call.host)}",
        "PRIORITY=6",
    )
    if call.errno is not None:
        number = getattr(errno, call.errno, None)
        if isinstance(number, int):
            lines.append(f"ERRNO={number}")
    if call.code is not None:
        file, _, line = call.code.rpartition(":")
        if file and line.isascii() and line.isdigit():
            lines += (f"CODE_FILE={escape(file)}", f"CODE_LINE={line}")
    return _ended(lines, strace_text(call) if message is None else message)


def note(time_ns: int, message: str) -> bytes:
    """An entry that is no call: netlab's own word to whoever reads the list in Wireshark."""
    lines = [
        f"__REALTIME_TIMESTAMP={max(time_ns, 0) // 1000}",
        "SYSLOG_IDENTIFIER=netlab",
        "PRIORITY=5",
    ]
    return _ended(lines, message)


def _ended(lines: list[str], message: str) -> bytes:
    lines.append(f"MESSAGE={escape(message[:_MESSAGE_CHARACTERS])}\n")
    return "\n".join(lines).encode()


def maybe_call(data: bytes) -> CallRecord | None:
    """The call that an entry holds; None when it is not one of netlab's.

    Raises ValueError when it is, but cannot be read.
    """
    if _OURS not in data:
        return None
    entry_text = data.decode("utf-8")
    call = _read_in_order(entry_text)
    if call is not None:
        return call
    texts = {}
    for line in entry_text.split("\n"):
        name, _, text = line.partition("=")
        known = _NAMES.get(name)
        if known is not None:
            texts[known] = text
    return CALLS.parse(texts)

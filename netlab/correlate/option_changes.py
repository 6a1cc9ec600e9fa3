"""What a socket option was during a stretch of time, from the setsockopt calls that changed it."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.call_moves import returned_ns
from netlab.model.call import CallRecord

# (call, value) in order of entry; call 0 is a value from before the first call.
Changes = Sequence[tuple[int, int | None]]


def option_between(
    changes: Changes, calls: list[CallRecord], since_ns: int, until_ns: int, default: int = 0
) -> int | None:
    """The value from `since_ns` to `until_ns`; None: it is not known, or may have changed then."""
    value: int | None = default
    for number, new in changes:
        if number:
            record = calls[number - 1]
            if record.entered_ns > until_ns:
                break
            if returned_ns(record) > since_ns and new != value:
                return None
        value = new
    return value


def option_value(args: str) -> int | None:
    """The number that a setsockopt set, of `SOL_SOCKET, SO_RCVLOWAT, 8`; bytes stand as hex."""
    text = args.rpartition(", ")[2].strip()
    try:
        if text.startswith("0x"):
            return int.from_bytes(bytes.fromhex(text[2:])[:4], "little", signed=True)
        return int(text)
    except ValueError:
        return None

"""What a socket option was during a stretch of time, from the setsockopt calls that changed it."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.call_moves import returned_ns
from netlab.model.call import CallRecord

# (call, value) in order of entry; call 0 is a value from before the first call.
Changes = Sequence[tuple[int, bool | None]]


def option_between(
    changes: Changes, calls: list[CallRecord], since_ns: int, until_ns: int
) -> bool | None:
    """The value from `since_ns` to `until_ns` of an option that is off at first.

    None: it is not known, or may have changed in that time.
    """
    value: bool | None = False
    for number, new in changes:
        if number:
            record = calls[number - 1]
            if record.entered_ns > until_ns:
                break
            if returned_ns(record) > since_ns and new != value:
                return None
        value = new
    return value

"""The two ends of many rows -> widths for their columns that most rows keep to.

An IPv6 address with its port takes 47 columns, an IPv4 address 21 at most: one long row must not
make all others wide. Whoever draws gives a row that is longer than its column a second line.
"""

from __future__ import annotations

from collections.abc import Iterable

_USUAL = 21  # `255.255.255.255:65535`
_LEAST = 6  # less is no column


def end_widths(ends: Iterable[tuple[str, str]], room: int) -> tuple[int, int]:
    """Columns for the left ends and the right ones, together at most `room` where that is sane."""
    pairs = list(ends)
    left = max((len(one) for one, _ in pairs), default=0)
    right = max((len(one) for _, one in pairs), default=0)
    least = min(_USUAL, max(room // 2, _LEAST))
    while left + right > room and max(left, right) > least:
        if left > right:
            left -= 1
        else:
            right -= 1
    return left, right

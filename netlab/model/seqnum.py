"""TCP sequence numbers: the only place where netlab does arithmetic modulo 2**32 (RFC 9293 3.4).

A sequence number on the wire is 32 bits and wraps; everywhere else netlab uses *unwrapped* numbers,
plain integers that only grow. `unwrap` turns one into the other.
"""

from __future__ import annotations

SEQ_MODULUS = 1 << 32
SEQ_MASK = SEQ_MODULUS - 1
_HALF = 1 << 31


def seq_add(seq: int, count: int) -> int:
    """The 32-bit sequence number `count` after `seq`."""
    return (seq + count) & SEQ_MASK


def seq_diff(later: int, earlier: int) -> int:
    """Signed distance from `earlier` to `later`, in -2**31 .. 2**31 - 1.

    Exactly half the number space apart is ambiguous by nature; it counts as earlier, as in Linux.
    """
    return ((later - earlier + _HALF) & SEQ_MASK) - _HALF


def seq_lt(a: int, b: int) -> bool:
    """True when `a` comes before `b` on the circle."""
    return seq_diff(a, b) < 0


def seq_le(a: int, b: int) -> bool:
    """True when `a` comes before `b` or is `b`."""
    return seq_diff(a, b) <= 0


def unwrap(seq: int, near: int) -> int:
    """The integer congruent to the 32-bit `seq` that lies nearest to the unwrapped number `near`.

    Holds while successive numbers of one direction are less than 2**31 apart, which TCP itself
    needs (RFC 7323 section 2.3 limits windows to 2**30).
    """
    return near + seq_diff(seq, near & SEQ_MASK)

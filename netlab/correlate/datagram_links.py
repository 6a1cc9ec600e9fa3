"""What a read took, once that is decided -> its spans, its place, the ledger row of a cut end.

Knows nothing of how it was decided.
"""

from __future__ import annotations

from netlab.correlate.datagram_join import DatagramJoin, Placed
from netlab.correlate.datagrams import Datagram
from netlab.correlate.reasons import Reason, What
from netlab.model.call import MSG_TRUNC
from netlab.model.tables import Role, Span, Unmatched


def list_read(join: DatagramJoin, number: int, size: int, reason: Reason) -> None:
    """List a read of `size` bytes of which it is not known what it took."""
    what = What.READ_NOT_PLACED if reason is Reason.UNNAMED else What.READ_NOT_CAPTURED
    if size:
        join.unmatched.append(Unmatched(None, None, None, None, size, what, reason, number))


def link_read(join: DatagramJoin, d: Datagram, number: int, size: int) -> None:
    """Link a read of `size` bytes with the frames of the datagram that it took."""
    record = join.calls[number - 1]
    place_call(
        join, number,
        Placed(d.flow.connection, d.direction.receiver, d.direction, d.start, d.stop),
    )  # fmt: skip
    for piece in d.pieces:
        join.spans.append(
            Span(number, piece.frame, None, d.direction, piece.start, piece.stop, Role.DELIVERED)
        )
    if len(d.pieces) > 1:
        last = d.completed_by
        for piece in d.pieces:
            if piece.frame != last:
                join.spans.append(
                    Span(number, last, None, d.direction, piece.start, piece.stop, Role.RELEASED)
                )
    kept = size
    one = not record.message_bytes  # of several it is not known which asked for how much
    if one and record.flags & MSG_TRUNC and record.requested_bytes is not None:
        kept = min(kept, record.requested_bytes)
    if kept < d.length:
        join.unmatched.append(
            Unmatched(
                d.flow.connection,
                d.direction,
                d.start + kept,
                d.stop,
                d.length - kept,
                What.TRUNCATED,
                Reason.TRUNCATED,
                number,
            )
        )


def place_call(join: DatagramJoin, number: int, placed: Placed) -> None:
    """Say where a call belongs; of several messages in a row it has all, else those that begin."""
    before = join.placed.get(number)
    if before is None:
        join.placed[number] = placed
        return
    same = (before.connection, before.direction) == (placed.connection, placed.direction)
    if same and before.stop == placed.start:
        before.stop = placed.stop

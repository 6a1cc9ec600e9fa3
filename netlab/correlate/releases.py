"""What a newer tshark says otherwise of an ACK -> the verdicts that 4.0 gives, put right.

Only what its own User's Guide says is known of a release that the tests do not run beside netlab;
where the program is known to go by another rule than 4.0, and the guide does not give it, nothing
is said, of that segment and of all that follow in its connection.
Read first: "TCP Analysis" in the Wireshark User's Guide of 4.4; `verdicts`.
"""

from __future__ import annotations

from enum import StrEnum

from netlab.model.seqnum import seq_diff

Blocks = tuple[tuple[int, int], ...]


class Release(StrEnum):
    """Releases of tshark whose verdicts can be asked for."""

    V4_0 = "4.0"
    V4_4 = "4.4"


def repeats_by_sack(ack: int, window: int, blocks: Blocks) -> bool | None:
    """Whether an ACK of what was acknowledged before, with another window, is a duplicate in 4.4.

    "The window size is non-zero and hasn't changed, or there is valid SACK data", says the guide;
    then it is no window update. None: it does not say of what is no news of bytes beyond the ACK
    (a D-SACK), nor of a closed window.
    """
    if not blocks:
        return False
    beyond = all(0 < seq_diff(start, ack) < seq_diff(stop, ack) for start, stop in blocks)
    return True if beyond and window else None


def opens_after_probe(ack: int, window: int, blocks: Blocks, probe_end: int) -> bool:
    """Whether the ACK of a zero-window probe's byte is a window update in 4.4.

    The guide: the acknowledgment number may be "the next expected sequence number when answering to
    a ZeroWindowProbe", where that number counts the probe's byte.
    """
    return bool(window) and not blocks and ack == probe_end

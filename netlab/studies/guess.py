"""What a reader said of a number before it was measured: whether that was right."""

from __future__ import annotations

from netlab.studies.comparison import deviation
from netlab.studies.quantity import shown
from netlab.studies.runner import Checked


def judged(check: Checked, guess: int, measured: int) -> tuple[bool, str]:
    """Whether it is right, and how far off it is, by what it was judged.

    Right is what the study takes for right, where its own prediction held; and what is about as
    much as was measured: no farther off than the study's room, to whichever side that is, and
    nearer than to all that the study rules out. (Who says that nothing will wait has not foreseen a
    wait, however large the room for its length is.)
    """
    off = abs(measured - guess)
    if not off:
        return True, ""
    told = f": deviation {deviation(check.kind, guess, measured)}"
    if isinstance(check.predicted, int):
        low, high = check.predicted - check.less, check.predicted + check.more
        span = f" to {shown(check.kind, high)}" if high > low else ""
        told += f"; the study takes {shown(check.kind, low)}{span}"
        if check.holds and low <= guess <= high:
            return True, told
    room = max(check.less, check.more)
    if off > room:
        return False, told
    nearer = [one for one in check.ruled_out if one != measured and abs(one - guess) <= off]
    if nearer:
        return False, f"{told}, and rules out {shown(check.kind, nearer[0])}"
    return True, f"{told}; within {shown(check.kind, room)}"

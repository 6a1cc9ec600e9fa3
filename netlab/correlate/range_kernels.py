"""Holes in what one end sent, and what of it was selectively acknowledged: ranges in order.

Restricted Python; see second_kernels.py, which is the way in. What it says is what `sender` says of
holes, and model/ranges of a set of bytes. They lie in parts of `work`, and are found by halving.
"""

from netlab.correlate.sender_record_kernels import RANGES_AT


def move(work, to, source):
    """Copy an element of a list to another place."""
    a = work[to]
    b = work[source]
    a.start = b.start
    a.stop = b.stop
    a.row = b.row
    a.first = b.first


# --- holes


def _hole_beyond(me, work, at):
    """The first hole that ends beyond this number."""
    low = me.holes_from
    high = me.holes_to
    while low < high:
        middle = (low + high) // 2
        if at < work[me.holes_at + middle].stop:
            high = middle
        else:
            low = middle + 1
    return low


def hole_of(me, work, start, stop):
    """The place of the hole that holds all of these numbers; -1: none."""
    number = _hole_beyond(me, work, start)
    if number == me.holes_to:
        return -1
    hole = work[me.holes_at + number]
    return me.holes_at + number if hole.start <= start and stop <= hole.stop else -1


def fill(me, work, start, stop):
    """Numbers below the newest are seen: of holes, only the rest remains."""
    first = _hole_beyond(me, work, start)
    last = first
    while last < me.holes_to and work[me.holes_at + last].start < stop:
        last += 1
    if first == last:
        return
    low = work[me.holes_at + first]
    high = work[me.holes_at + last - 1]
    low_start = low.start
    low_row = low.row
    low_first = low.first
    high_stop = high.stop
    high_row = high.row
    high_first = high.first
    left = 1 if low_start < start else 0
    right = 1 if stop < high_stop else 0
    fewer = last - first - left - right
    if fewer < 0:
        number = me.holes_to
        while number > last:
            move(work, me.holes_at + number, me.holes_at + number - 1)
            number -= 1
        me.holes_to += 1
    elif fewer and first - me.holes_from < me.holes_to - last:
        number = first - 1
        while number >= me.holes_from:
            move(work, me.holes_at + number + fewer, me.holes_at + number)
            number -= 1
        me.holes_from += fewer
        first += fewer
    elif fewer:
        for number in range(last, me.holes_to):
            move(work, me.holes_at + number - fewer, me.holes_at + number)
        me.holes_to -= fewer
    if left:
        hole = work[me.holes_at + first]
        hole.start = low_start
        hole.stop = start
        hole.row = low_row
        hole.first = low_first
    if right:
        hole = work[me.holes_at + first + left]
        hole.start = stop
        hole.stop = high_stop
        hole.row = high_row
        hole.first = high_first
    if me.holes_from == me.holes_to:
        me.holes_from = 0
        me.holes_to = 0


# --- what was selectively acknowledged: ranges in order, which do not touch


def range_beyond(me, work, at):
    """The number of the first range that ends beyond this one."""
    low = 0
    high = me.sacked
    while low < high:
        middle = (low + high) // 2
        if at < work[me.at + RANGES_AT + middle].stop:
            high = middle
        else:
            low = middle + 1
    return low


def range_from(me, work, at):
    """The number of the first range that begins at this one or beyond."""
    low = 0
    high = me.sacked
    while low < high:
        middle = (low + high) // 2
        if work[me.at + RANGES_AT + middle].start < at:
            low = middle + 1
        else:
            high = middle
    return low


def covers(me, work, start, stop):
    """Whether every byte of start..stop was selectively acknowledged."""
    if start >= stop:
        return True
    number = range_beyond(me, work, start)
    if number == me.sacked:
        return False
    there = work[me.at + RANGES_AT + number]
    return there.start <= start and stop <= there.stop


def add_range(me, work, start, stop):
    """Note bytes as selectively acknowledged."""
    at = me.at + RANGES_AT
    first = range_beyond(me, work, start - 1)  # touches, or follows
    last = range_from(me, work, stop + 1)
    if first == last:
        number = me.sacked
        while number > first:
            move(work, at + number, at + number - 1)
            number -= 1
        me.sacked += 1
    else:
        start = min(start, work[at + first].start)
        stop = max(stop, work[at + last - 1].stop)
        fewer = last - first - 1
        if fewer:
            for number in range(last, me.sacked):
                move(work, at + number - fewer, at + number)
            me.sacked -= fewer
    there = work[at + first]
    there.start = start
    there.stop = stop


def remove_ranges(me, work, stop):
    """Take 0..stop out."""
    at = me.at + RANGES_AT
    kept = 0
    for number in range(me.sacked):
        there = work[at + number]
        a = there.start
        b = there.stop
        if a < 0 and b > stop:  # then it is the only one that changes
            later = me.sacked
            while later > number + 1:
                move(work, at + later, at + later - 1)
                later -= 1
            there.stop = 0
            rest = work[at + number + 1]
            rest.start = stop
            rest.stop = b
            me.sacked += 1
            return
        if b > 0 and a < stop:
            if a < 0:
                b = 0
            elif b > stop:
                a = stop
            else:
                continue
        there = work[at + kept]
        there.start = a
        there.stop = b
        kept += 1
    me.sacked = kept


LOADS = ()
KERNELS = (
    "move", "_hole_beyond", "hole_of", "fill", "range_beyond", "range_from", "covers", "add_range",
    "remove_ranges",
)  # fmt: skip

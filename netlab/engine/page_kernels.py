"""Cells of a table -> data pages of Parquet, without their headers; plain and compiled.

The specification in restricted Python: see decode/kernels.py for what is restricted,
column_kernels.py for cells. A page is which of its rows have a value, then those values: numbers as
differences, the rest as runs and packed bits. Read first: Parquet's "Encodings", the sections on
RLE and bit-packing, and on delta encoding.

As text_kernels.py has it: a place is an unsigned 32-bit number, and what is written too far is
overwritten by what comes next. So is the place of a record (`place`): an index that may be negative
is asked at each step whether it is, and then no loop is done several steps at a time. For the same
reason what is null is taken out by bits, and not by a choice.
"""

CELL = [("value", "i8")]
# What a page says of itself: its bytes, how many of its rows have a value, the least and the most
# of them, and whether its numbers are not packed.
PAGE = [
    ("size_bytes", "i8"),
    ("present", "i8"),
    ("low", "i8"),
    ("high", "i8"),
    ("unpacked", "i8"),
]

NULL = -(1 << 63)
NUMBER, CHOICE, TRUTH = 0, 1, 2  # kinds of columns
# Numbers that say how a column is written: the cell, the kind, the bit, how many bits a choice has.
PICK = 4
# Values in a block, and in each of its four parts, which have a width of their own.
DELTAS, PART = 128, 32
FARTHEST = 1 << 60  # from zero: the difference of two differences is a number of 63 bits
SHORT_RUN = 4  # groups of 8 values: fewer that are equal are packed
GROUPS = 63  # packed behind one byte that says so


def place(at):
    """Where a record lies: never before the first, which the compiled form need not ask."""
    return at


def put8(text, at, value):
    """A byte; where the next goes."""
    text[at] = value
    return at + 1


def put32(text, at, value):
    """Four bytes, the first counting least; where the next goes."""
    text[at] = value & 255
    text[at + 1] = (value >> 8) & 255
    text[at + 2] = (value >> 16) & 255
    text[at + 3] = (value >> 24) & 255
    return at + 4


def put64(text, at, value):
    """Eight bytes, the first counting least; where the next goes."""
    put32(text, at, value)
    return put32(text, at + 4, value >> 32)


def write_pages(cells, room, count, picks, columns, values, text, pages):
    """A page of each column, one behind the other; how many bytes they are.

    `values` has room for `count` cells, DELTAS more, and one for every 8 of both.
    """
    to = 0
    sums = count + DELTAS
    known_cell = -1
    known_kind = NUMBER
    present = 0
    low = 0
    high = 0
    bits = 0
    for column in range(columns):
        begin = to
        pick = PICK * column
        cell = int(picks[pick])
        kind = picks[pick + 1]
        bit = int(picks[pick + 2])
        is_new = cell != known_cell or kind != known_kind
        if is_new:
            known_cell = cell
            known_kind = kind
            present = 0
            low = (1 << 63) - 1
            high = NULL
            bits = 0
            for row in range(count):
                value = cells[place(room * cell + row)].value
                is_there = 1 if value != NULL else 0
                present += is_there
                low = min(low, value ^ (is_there - 1))
                high = max(high, value)
                bits |= value & (0 - is_there)
        unpacked = 1 if present and (low < -FARTHEST or high > FARTHEST) else 0
        for part in range(2):  # which rows have a value, then the values
            number = present
            shift = 0
            mask = 1
            width = 1
            sized = to
            if part == 0:
                to += 4
                number = count
                if present == count or present == 0:
                    to = _write_run(text, to, count, 1 if present else 0)
                    number = 0
                else:
                    is_new = True
                    for row in range(count):
                        value = cells[place(room * cell + row)].value
                        values[place(row)].value = 1 if value != NULL else 0
            else:
                if is_new:
                    _take(cells, room * cell, count, present, values)
                    if kind == TRUTH:
                        _join(values, present, sums)
                if kind == NUMBER:
                    number = 0
                    if unpacked:
                        for row in range(present):
                            to = put64(text, to, values[place(row)].value)
                    else:
                        to = _write_differences(values, present, text, to)
                elif kind == CHOICE:
                    width = int(picks[pick + 3])
                    mask = (1 << width) - 1
                    to = put8(text, to, width)
                else:
                    to += 4
                    shift = bit
                    if present and not (bits >> bit) & 1:
                        to = _write_run(text, to, present, 0)
                        number = 0
            if number:
                for row in range(8):
                    values[place(number + row)].value = 0
                known = sums if part and kind == TRUTH else 0
                to = _write_groups(values, number, shift, mask, width, known, text, to)
            if part == 0 or kind == TRUTH:
                put32(text, sized, to - sized - 4)
        page = pages[column]
        page.size_bytes = to - begin
        page.present = present
        page.low = low
        page.high = high
        page.unpacked = unpacked
    return to


def _take(cells, first, count, present, values):
    """The values that are there, one behind the other: so many of so many cells."""
    if present == count:
        for row in range(count):
            values[place(row)].value = cells[place(first + row)].value
        return
    at = 0
    for row in range(count):
        value = cells[place(first + row)].value
        values[place(at)].value = value
        at += value != NULL


def _join(values, count, sums):
    """The bits of every 8 values together, behind them: most truth values are all false."""
    for row in range(8):
        values[place(count + row)].value = 0
    for group in range((count + 7) // 8):
        bits = 0
        for item in range(8):
            bits |= values[place(8 * group + item)].value
        values[place(sums + group)].value = bits


def _write_varint(text, to, value):
    """A number that is not negative, 7 bits in a byte, the first counting least."""
    while value > 127:
        to = put8(text, to, value & 127 | 128)
        value >>= 7
    return put8(text, to, value)


def _write_signed(text, to, value):
    """A number near zero is short, whatever its sign."""
    return _write_varint(text, to, (value << 1) ^ (value >> 63))


def _write_run(text, to, count, value):
    """So often a number of at most 8 bits."""
    return put8(text, _write_varint(text, to, count << 1), value)


def _write_groups(values, count, shift, mask, width, sums, text, to):
    """Numbers of at most 7 bits, 8 at a time: packed, or how often one stands.

    They are the bits under `mask` of what is shifted; behind the last there are zeros. From `sums`
    on there are the bits of each 8 together, unless it is 0.
    """
    ones = 0
    for item in range(8):
        ones |= 1 << (item * width)
    total = (count + 7) // 8
    packed = 0
    head = 0
    held = 0
    times = 0
    begun = 0
    for group in range(total + 1):
        bits = -1  # behind the last: no group is as it
        if group < total:
            bits = 0
            if not sums or (values[place(sums + group)].value >> shift) & mask:
                for item in range(8):
                    value = values[place(8 * group + item)].value
                    bits |= ((value >> shift) & mask) << (item * width)
            if times and bits == held:
                times += 1
                continue
        if times >= SHORT_RUN and held == (held & mask) * ones:
            if packed:
                text[head] = packed << 1 | 1
                packed = 0
            to = _write_run(text, to, min(8 * times, count - begun), held & mask)
        else:
            for _ in range(times):
                if packed == GROUPS:
                    text[head] = packed << 1 | 1
                    packed = 0
                if packed == 0:
                    head = to
                    to += 1
                packed += 1
                put64(text, to, held)
                to += width
        held = bits
        times = 1
        begun = 8 * group
    if packed:
        text[head] = packed << 1 | 1
    return to


def _write_differences(values, count, text, to):
    """Numbers: the first, then in blocks by how much each is more than the one before.

    The last is repeated behind itself, so that every block is whole: loops of a known length are
    faster, and sooner compiled.
    """
    last = values[place(count - 1)].value if count else 0
    for item in range(DELTAS):
        values[place(count + item)].value = last
    to = put8(text, to, DELTAS & 127 | 128)
    to = put8(text, to, DELTAS >> 7)
    to = put8(text, to, DELTAS // PART)
    to = _write_varint(text, to, count)
    to = _write_signed(text, to, values[0].value)
    for block in range(1, count, DELTAS):
        least = values[place(block)].value - values[place(block - 1)].value
        for item in range(DELTAS):
            at = block + item
            least = min(least, values[place(at)].value - values[place(at - 1)].value)
        to = _write_signed(text, to, least)
        widths = to
        to = put32(text, to, 0)
        for part in range(DELTAS // PART):
            at = block + PART * part
            if at < count:
                to = _write_part(values, at, least, text, to, widths + part)
    return to


def _write_part(values, at, least, text, to, width_at):
    """As many bits of each difference as the largest has."""
    largest = 0
    for item in range(PART):
        largest |= values[place(at + item)].value - values[place(at + item - 1)].value - least
    width = 0
    step = 32
    while step:
        more = step if largest >> step else 0
        largest >>= more
        width += more
        step >>= 1
    width += largest
    text[width_at] = width
    if width == 0:
        return to
    if width <= 16:
        return _write_narrow(values, at, least, width, text, to)
    low_width = min(width, 32)
    high_width = width - low_width
    low_mask = (1 << low_width) - 1
    bits = 0
    there = 0
    for item in range(PART):
        more = values[place(at + item)].value - values[place(at + item - 1)].value - least
        bits |= (more & low_mask) << there
        there += low_width
        put32(text, to, bits)
        # What is whole is passed: counted, not asked, for a guess of the processor is often wrong.
        to += there >> 5 << 2
        bits >>= there & 32
        there &= 31
        if high_width:
            bits |= (more >> 32) << there
            there += high_width
            put32(text, to, bits)
            to += there >> 5 << 2
            bits >>= there & 32
            there &= 31
    return to


def _write_narrow(values, at, least, width, text, to):
    """Two or four at a time, as many as 32 bits hold: each step waits for the one before."""
    bits = 0
    there = 0
    if width <= 8:
        for item in range(at, at + PART, 4):
            before = values[place(item - 1)].value + least
            first = values[place(item)].value
            second = values[place(item + 1)].value
            third = values[place(item + 2)].value
            more = first - before
            more |= (second - first - least) << width
            more |= (third - second - least) << 2 * width
            more |= (values[place(item + 3)].value - third - least) << 3 * width
            bits |= more << there
            there += 4 * width
            put32(text, to, bits)
            to += there >> 5 << 2
            bits >>= there & 32
            there &= 31
        return to
    for item in range(at, at + PART, 2):
        first = values[place(item)].value
        more = first - values[place(item - 1)].value - least
        more |= (values[place(item + 1)].value - first - least) << width
        bits |= more << there
        there += 2 * width
        put32(text, to, bits)
        to += there >> 5 << 2
        bits >>= there & 32
        there &= 31
    return to


LOADS = ()
INDICES = ("place",)
STORES = ("put8", "put32")
KERNELS = (
    "put64", "_take", "_join", "_write_varint", "_write_signed", "_write_run", "_write_groups",
    "_write_narrow", "_write_part", "_write_differences", "write_pages",
)  # fmt: skip

"""Cells of a table -> lines of CSV. The specification in restricted Python, plain and compiled.

See decode/kernels.py for what is restricted, and column_kernels.py for cells. Numbers are decimals,
what is null is nothing, and a text is written as it is given: whoever gives it quotes it. Read
first: RFC 4180.

What makes the compiled form fast: a place is an unsigned 32-bit number, so that eight stores of a
byte become one of eight; what is written too far is overwritten by what comes next, so that the
room for lines ends SLACK bytes behind them.
"""

NULL = -(1 << 63)
# How columns are written: numbers and choices from texts have a cell each, of truth values many are
# the bits of one.
NUMBER, CHOICE, TRUTH = 0, 1, 2
# Numbers that say how a run of columns is written: the first cell, the kind, the first bit, and how
# many columns.
PICK = 4
LONGEST = 21  # bytes of a number with its comma; of a truth value there are at most 6
SLACK = 32  # bytes
# Of each number of at most 4 digits there are 8 bytes: the digits, with zeros before them; a comma;
# how many bytes that is without those zeros; how many bits these are.
FOURS = 10000


def le64(buf, at):
    """Eight bytes, the first counting least; negative where the last has its highest bit set."""
    return (
        buf[at] | (buf[at + 1] << 8) | (buf[at + 2] << 16) | (buf[at + 3] << 24)
        | (buf[at + 4] << 32) | (buf[at + 5] << 40) | (buf[at + 6] << 48) | (buf[at + 7] << 56)
    )  # fmt: skip


def put8(text, at, value):
    """A byte; where the next goes."""
    text[at] = value
    return at + 1


def put64(text, at, value):
    """Eight bytes, the first counting least; where the next goes."""
    text[at] = value & 255
    text[at + 1] = (value >> 8) & 255
    text[at + 2] = (value >> 16) & 255
    text[at + 3] = (value >> 24) & 255
    text[at + 4] = (value >> 32) & 255
    text[at + 5] = (value >> 40) & 255
    text[at + 6] = (value >> 48) & 255
    text[at + 7] = (value >> 56) & 255
    return at + 8


def write_cells(cells, room, count, picks, runs, digits, texts, starts, text):
    """The first rows of the cells as lines of text; how many bytes they are.

    `picks` has PICK numbers for each run of columns, `digits` has FOURS times 8 bytes. A text is
    what lies in `texts` between its place in `starts` and the next one's; its comma ends it.
    """
    to = 0
    for i in range(count):
        for run in range(runs):
            at = picks[PICK * run] * room + i
            kind = picks[PICK * run + 1]
            columns = int(picks[PICK * run + 3])
            if kind == NUMBER:
                for _ in range(columns):
                    to = _write_number(text, to, cells[at].value, digits)
                    at += room
            elif kind == TRUTH:
                to = _write_truths(text, to, cells[at].value, int(picks[PICK * run + 2]), columns)
            else:
                for _ in range(columns):
                    to = _write_text(text, to, cells[at].value, texts, starts)
                    at += room
        text[to - 1] = 10
    return to


def _write_text(text, to, value, texts, starts):
    if value == NULL:
        return put8(text, to, 44)  # ,
    at = int(starts[value])
    end = int(starts[value + 1])
    last = to + end - at
    put64(text, to, le64(texts, at))
    put64(text, to + 8, le64(texts, at + 8))
    at += 16
    while at < end:
        to += 8
        put64(text, to + 8, le64(texts, at))
        at += 8
    return last


def _write_number(text, to, value, digits):
    if value >= 0 and value < FOURS:  # most are
        return _write_four(text, to, value, digits)
    if value == NULL:
        return put8(text, to, 44)
    if value < 0:
        to = put8(text, to, 45)  # -
        value = -value
        if value < FOURS:
            return _write_four(text, to, value, digits)
    if value < FOURS * FOURS:
        high = (value * 109951163) >> 40  # // FOURS, and exact: a test tries them all
        to = _write_four(text, to, high, digits) - 1
        put64(text, to, le64(digits, 8 * (value - FOURS * high)))
        return to + 5
    unit = FOURS * FOURS
    while value // unit >= FOURS:
        unit *= FOURS
    high = value // unit
    to = _write_four(text, to, high, digits) - 1
    while unit > 1:
        value -= high * unit
        unit //= FOURS
        high = value // unit
        put64(text, to, le64(digits, 8 * high))
        to += 4
    return to + 1


def _write_four(text, to, value, digits):
    """A number of at most 4 digits and a comma."""
    four = le64(digits, 8 * value)
    put64(text, to, four >> (four >> 48))
    return to + ((four >> 40) & 255)


def _write_truths(text, to, value, first, count):
    end = to + 6 * count
    if value == NULL:
        for _ in range(count):
            to = put8(text, to, 44)
        return to
    bits = (value >> first) & ((1 << count) - 1)
    if not bits:
        at = to
        while at < end:  # 24 bytes: "false," four times
            put64(text, at, 0x61662C65736C6166)
            put64(text, at + 8, 0x736C61662C65736C)
            put64(text, at + 16, 0x2C65736C61662C65)
            at += 24
        return end
    for bit in range(count):
        if (bits >> bit) & 1:
            put64(text, to, 0x2C65757274)  # true,
            to += 5
        else:
            put64(text, to, 0x2C65736C6166)  # false,
            to += 6
    return to


LOADS = ("le64",)
STORES = ("put8", "put64")
KERNELS = (
    "_write_four", "_write_number", "_write_truths", "_write_text", "write_cells",
)  # fmt: skip

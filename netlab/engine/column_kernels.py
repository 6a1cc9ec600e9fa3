"""Bulk columns: rows and what was said of them -> numbers of the table of segments, and as text.

The specification in restricted Python (see decode/kernels.py, whose rows these are, and
correlate/kernels.py, whose flows and words these are): runs plain and compiled. A table is cells, a
row of them behind the other; what is null is NULL. Text is that of a CSV file: numbers in decimals,
nothing where there is null. Read first: Segment in model/tables.py, RFC 4180.
"""

CELL = [("value", "i8")]
# How far a call came: rows of cells that were filled.
FILLED = [("rows", "i8")]

NULL = -(1 << 63)
# The columns of a row of cells: those of the table, in its order; the verdicts are 18 of them.
FRAME, CONNECTION, DIRECTION, SEQ, SEG_LEN, PAYLOAD, START, STOP = 0, 1, 2, 3, 4, 5, 6, 7
ACK_NUMBER, WINDOW, SENDER_STATE, RECEIVER_STATE, FIRST_VERDICT, VERDICTS = 8, 9, 10, 11, 12, 18
DUPLICATE_NUM, DUPLICATE_FRAME, ACKS_FRAME, ACK_RTT, RTO, RTO_FRAME = 30, 31, 32, 33, 34, 35
IN_FLIGHT, PUSH_BYTES, WIDTH = 36, 37, 38
# How a column is written: a number, `true` and `false`, or one of some texts.
NUMBER, TRUTH, CHOICE = 0, 1, 2
LONGEST = 20  # bytes of a number; a text is shorter
TEXT_ROOM = 16  # for a text: how long it is, then its bytes

TCP = 6  # a kind of row
BACKWARD = 1  # a mark of rows
LEFT = 4  # a mark of flows and talks
FIN, SYN = 1, 2
DUPLICATE_ACK = 64
JUDGED, ACK_KNOWN, WINDOW_KNOWN, SHIFT, SCALE = 1 << 18, 1 << 19, 1 << 20, 21, 15
STATES_AT, STATES = 25, 11
STATE_TEXTS = 1  # a state's number less than that of its text: those of the directions are before


def _frame_of(row, skipped, skips):
    """As Wireshark numbers the frame of a row; `skipped` are rows before which a number is none."""
    low = 0
    high = skips
    while low < high:
        middle = (low + high) // 2
        if skipped[middle] <= row:
            low = middle + 1
        else:
            high = middle
    return row + 1 + low


def fill_segments(
    rows, outs, flows, talks, numbers, skipped, skips, first, last, cells, most, filled
):
    """The cells of the segments among rows first..last-1, at most so many; where it stopped.

    `numbers` has the connection that each flow is.
    """
    done = 0
    for i in range(first, last):
        row = rows[i]
        k = row.flow
        if row.kind != TCP or (flows[k].marks | talks[k].marks) & LEFT:
            continue
        if done == most:
            filled[0].rows = done
            return i
        at = done * WIDTH
        done += 1
        out = outs[i]
        found = int(out.found)
        length = int(row.payload_len_bytes)
        flags = int(row.flags)
        syn = 1 if flags & SYN else 0
        start = out.seq + syn - 1
        if length == 0 and start < 0:
            start = 0
        cells[at + FRAME].value = _frame_of(i, skipped, skips)
        cells[at + CONNECTION].value = numbers[k]
        cells[at + DIRECTION].value = 1 if flows[k].client == int(row.marks) & BACKWARD else 0
        cells[at + SEQ].value = out.seq
        cells[at + SEG_LEN].value = length + syn + (1 if flags & FIN else 0)
        cells[at + PAYLOAD].value = length
        cells[at + START].value = start
        cells[at + STOP].value = start + length
        cells[at + ACK_NUMBER].value = out.ack if found & ACK_KNOWN else NULL
        cells[at + WINDOW].value = (
            int(row.window) << (found >> SHIFT & SCALE) if found & WINDOW_KNOWN else NULL
        )
        mine = (found >> STATES_AT) // STATES
        other = (found >> STATES_AT) % STATES
        cells[at + SENDER_STATE].value = mine + STATE_TEXTS if mine else NULL
        cells[at + RECEIVER_STATE].value = other + STATE_TEXTS if other else NULL
        for column in range(DUPLICATE_NUM, WIDTH):
            cells[at + column].value = NULL
        at_verdict = at + FIRST_VERDICT
        if not found & JUDGED:
            for verdict in range(VERDICTS):
                cells[at_verdict + verdict].value = NULL
            continue
        for verdict in range(VERDICTS):
            cells[at_verdict + verdict].value = (found >> verdict) & 1
        if found & DUPLICATE_ACK:
            cells[at + DUPLICATE_NUM].value = int(out.number)
            if out.rto_row >= 0:
                cells[at + DUPLICATE_FRAME].value = _frame_of(int(out.rto_row), skipped, skips)
        elif length:
            if out.number:
                cells[at + IN_FLIGHT].value = int(out.number)
            if out.push_bytes:
                cells[at + PUSH_BYTES].value = int(out.push_bytes)
        if out.acks_row >= 0:
            cells[at + ACKS_FRAME].value = _frame_of(int(out.acks_row), skipped, skips)
            passed = row.time_ns - rows[out.acks_row].time_ns
            cells[at + ACK_RTT].value = passed if passed else NULL
        if out.rto_row >= 0 and not found & DUPLICATE_ACK:
            passed = row.time_ns - rows[out.rto_row].time_ns
            if passed:
                cells[at + RTO].value = passed
                cells[at + RTO_FRAME].value = _frame_of(int(out.rto_row), skipped, skips)
    filled[0].rows = done
    return last


def write_cells(cells, count, picks, columns, texts, text):
    """So many rows of cells as lines of text; how many bytes they are.

    `picks` has two numbers for each column: which cell it is (-1: none), and how it is written.
    """
    to = 0
    for i in range(count):
        at = i * WIDTH
        for column in range(columns):
            if column:
                text[to] = 44  # ,
                to += 1
            cell = picks[2 * column]
            if cell < 0:
                continue
            value = cells[at + cell].value
            if value == NULL:
                continue
            kind = picks[2 * column + 1]
            if kind == NUMBER:
                to = _write_number(text, to, value)
            elif kind == TRUTH:
                to = _write_truth(text, to, value)
            else:
                place = value * TEXT_ROOM
                for byte in range(texts[place]):
                    text[to + byte] = texts[place + 1 + byte]
                to += int(texts[place])
        text[to] = 10
        to += 1
    return to


def _write_number(text, to, value):
    if value < 0:
        text[to] = 45  # -
        to += 1
        value = -value
    digits = 1
    bound = 10
    while value >= bound and digits < 19:
        digits += 1
        bound *= 10
    at = to + digits - 1
    while at >= to:
        text[at] = 48 + value % 10
        value = value // 10
        at -= 1
    return to + digits


def _write_truth(text, to, value):
    if value:
        text[to] = 116  # true
        text[to + 1] = 114
        text[to + 2] = 117
        text[to + 3] = 101
        return to + 4
    text[to] = 102  # false
    text[to + 1] = 97
    text[to + 2] = 108
    text[to + 3] = 115
    text[to + 4] = 101
    return to + 5


LOADS = ()
KERNELS = (
    "_frame_of", "fill_segments", "_write_number", "_write_truth", "write_cells",
)  # fmt: skip

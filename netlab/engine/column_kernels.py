"""Bulk columns: rows and what was said of them -> numbers of the table of segments.

The specification in restricted Python (see decode/kernels.py, whose rows these are, and
correlate/kernels.py, whose flows and words these are): runs plain and compiled. A table is cells:
column by column, each with room for as many rows; what is null is NULL. All verdicts of a segment
are one cell, a bit each. Read first: Segment in model/tables.py.
"""

CELL = [("value", "i8")]
# How far a call came: rows of cells that were filled.
FILLED = [("rows", "i8")]

NULL = -(1 << 63)
# The columns of cells: those of the table, in its order, but that VERDICTS_AT is 18 of them.
FRAME, CONNECTION, DIRECTION, SEQ, SEG_LEN, PAYLOAD, START, STOP = 0, 1, 2, 3, 4, 5, 6, 7
ACK_NUMBER, WINDOW, SENDER_STATE, RECEIVER_STATE, VERDICTS_AT = 8, 9, 10, 11, 12
DUPLICATE_NUM, DUPLICATE_FRAME, ACKS_FRAME, ACK_RTT, RTO, RTO_FRAME = 13, 14, 15, 16, 17, 18
IN_FLIGHT, PUSH_BYTES, WIDTH = 19, 20, 21

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
    rows, outs, flows, talks, numbers, skipped, skips, first, last, cells, room, filled
):
    """The cells of the segments among rows first..last-1, as long as there is room.

    Returns the row where it stopped. `numbers` has the connection that each flow is.
    """
    done = filled[0].rows
    for i in range(first, last):
        row = rows[i]
        k = row.flow
        if row.kind != TCP or (flows[k].marks | talks[k].marks) & LEFT:
            continue
        if done == room:
            filled[0].rows = done
            return i
        at = done
        done += 1
        out = outs[i]
        found = int(out.found)
        length = int(row.payload_len_bytes)
        flags = int(row.flags)
        syn = 1 if flags & SYN else 0
        start = out.seq + syn - 1
        if length == 0 and start < 0:
            start = 0
        cells[at + FRAME * room].value = _frame_of(i, skipped, skips)
        cells[at + CONNECTION * room].value = numbers[k]
        cells[at + DIRECTION * room].value = (
            1 if flows[k].client == int(row.marks) & BACKWARD else 0
        )
        cells[at + SEQ * room].value = out.seq
        cells[at + SEG_LEN * room].value = length + syn + (1 if flags & FIN else 0)
        cells[at + PAYLOAD * room].value = length
        cells[at + START * room].value = start
        cells[at + STOP * room].value = start + length
        cells[at + ACK_NUMBER * room].value = out.ack if found & ACK_KNOWN else NULL
        cells[at + WINDOW * room].value = (
            int(row.window) << (found >> SHIFT & SCALE) if found & WINDOW_KNOWN else NULL
        )
        mine = (found >> STATES_AT) // STATES
        other = (found >> STATES_AT) % STATES
        cells[at + SENDER_STATE * room].value = mine + STATE_TEXTS if mine else NULL
        cells[at + RECEIVER_STATE * room].value = other + STATE_TEXTS if other else NULL
        verdicts = NULL
        duplicate_num = NULL
        duplicate_frame = NULL
        acks_frame = NULL
        ack_rtt = NULL
        rto = NULL
        rto_frame = NULL
        in_flight = NULL
        push_bytes = NULL
        if found & JUDGED:
            verdicts = found & (JUDGED - 1)
            if found & DUPLICATE_ACK:
                duplicate_num = int(out.number)
                if out.rto_row >= 0:
                    duplicate_frame = _frame_of(int(out.rto_row), skipped, skips)
            elif length:
                if out.number:
                    in_flight = int(out.number)
                if out.push_bytes:
                    push_bytes = int(out.push_bytes)
            if out.acks_row >= 0:
                acks_frame = _frame_of(int(out.acks_row), skipped, skips)
                passed = row.time_ns - rows[out.acks_row].time_ns
                if passed:
                    ack_rtt = passed
            if out.rto_row >= 0 and not found & DUPLICATE_ACK:
                passed = row.time_ns - rows[out.rto_row].time_ns
                if passed:
                    rto = passed
                    rto_frame = _frame_of(int(out.rto_row), skipped, skips)
        cells[at + VERDICTS_AT * room].value = verdicts
        cells[at + DUPLICATE_NUM * room].value = duplicate_num
        cells[at + DUPLICATE_FRAME * room].value = duplicate_frame
        cells[at + ACKS_FRAME * room].value = acks_frame
        cells[at + ACK_RTT * room].value = ack_rtt
        cells[at + RTO * room].value = rto
        cells[at + RTO_FRAME * room].value = rto_frame
        cells[at + IN_FLIGHT * room].value = in_flight
        cells[at + PUSH_BYTES * room].value = push_bytes
    filled[0].rows = done
    return last


LOADS = ()
KERNELS = ("_frame_of", "fill_segments")

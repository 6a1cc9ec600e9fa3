"""Rows of packets -> the flow of each: a table of the ends that were seen, in order of time.

Restricted Python; see kernels.py, which is the way in. What it says is what `flows` says.
"""

from netlab.correlate.record_kernels import (
    ACK,
    BACKWARD,
    FIRST_BASE,
    HALF_WAY,
    IS_IPV6,
    LEFT,
    M32,
    M63,
    REUSED,
    SECOND_BASE,
    SYN,
    SYN_SEEN,
    TCP,
    UDP,
)


def be16(buf, at):
    """Two bytes, the first counting most."""
    return (buf[at] << 8) | buf[at + 1]


def be32(buf, at):
    """Four of them."""
    return (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]


def be63(buf, at):
    """Half an IPv6 address, as a whole number of 64 bits with a sign."""
    high = be32(buf, at)
    if high >= HALF_WAY:
        high -= HALF_WAY + HALF_WAY
    return (high << 32) | be32(buf, at + 4)


def _place_of(first_high, first_low, second_high, second_low, ports, mask):
    """Products that do not wait for each other; their low 63 bits are those of any whole number."""
    digest = (
        first_low * 0x1E3779B97F4A7C15
        + second_low * 0x3F58476D1CE4E5B9
        + first_high * 0x14D049BB133111EB
        + second_high * 0x2545F4914F6CDD1D
        + ports * 0x5851F42D4C957F2D
    ) & M63
    return (digest ^ (digest >> 32)) & mask


def _same_key(flow, first_high, first_low, second_high, second_low, ports):
    return (
        flow.ports == ports
        and flow.first_low == first_low
        and flow.second_low == second_low
        and flow.first_high == first_high
        and flow.second_high == second_high
    )


def rehash(table, mask, flows, useds):
    """Fill a larger, empty table; of each key with its latest flow."""
    for k in range(useds[0].flows):
        f = flows[k]
        at = _place_of(
            f.first_high, f.first_low, f.second_high, f.second_low, f.ports, mask
        )  # fmt: skip
        while table[at] >= 0 and not _same_key(
            flows[table[at]], f.first_high, f.first_low, f.second_high, f.second_low, f.ports
        ):
            at = (at + 1) & mask
        table[at] = k
    return 0


def sort_flows(buf, base, rows, first, last, number, table, mask, flows, useds, most):
    """Give rows first..last-1 their flows; stops at the row that finds no room for one more.

    `number` is what the first of `rows` counts as in the file.
    """
    used = useds[0]
    before = -1  # the flow of the row before
    at = 0  # where it stands in the table
    for i in range(first, last):
        row = rows[i]
        kind = row.kind
        if kind != TCP and kind != UDP:
            continue
        if used.flows >= most:
            return i
        ip = int(row.off) - base + row.ip_off
        marks = int(row.marks)
        if marks & IS_IPV6:
            a_high = be63(buf, ip + 8)
            a_low = be63(buf, ip + 16)
            b_high = be63(buf, ip + 24)
            b_low = be63(buf, ip + 32)
            ip += 40
        else:
            a_high = 0
            b_high = 0
            a_low = be32(buf, ip + 12)
            b_low = be32(buf, ip + 16)
            ip += 20
        sport = be16(buf, ip)
        dport = be16(buf, ip + 2)
        backward = 0
        if a_high > b_high or (
            a_high == b_high and (a_low > b_low or (a_low == b_low and sport > dport))
        ):
            backward = 1
            row.marks = marks | BACKWARD
            a_high, b_high = b_high, a_high
            a_low, b_low = b_low, a_low
            sport, dport = dport, sport
        ports = (int(kind) << 40) | ((marks & IS_IPV6) << 32) | (sport << 16) | dport
        # Packets come in trains: four of five are of the flow of the one before, whose key is at
        # hand, and need no look into the table: a fifth of the time.
        if before < 0 or not _same_key(flows[before], a_high, a_low, b_high, b_low, ports):
            at = _place_of(a_high, a_low, b_high, b_low, ports, mask)
            before = table[at]
            while before >= 0 and not _same_key(flows[before], a_high, a_low, b_high, b_low, ports):
                at = (at + 1) & mask
                before = table[at]
        k = before
        flags = int(row.flags)
        syn = flags & (SYN | ACK)
        reused = False
        if k >= 0 and kind == TCP and syn == SYN:
            reused = _begins_anew(flows[k], int(row.seq), backward)
        if k < 0 or reused:
            k = used.flows
            used.flows = k + 1
            table[at] = k
            before = k
            f = flows[k]
            f.first_high = a_high
            f.first_low = a_low
            f.second_high = b_high
            f.second_low = b_low
            f.ports = ports
            f.first_row = number + i
            f.client = backward
            f.marks = REUSED if reused else 0
            if a_high == b_high and a_low == b_low and sport == dport:  # one socket is both ends
                f.marks |= LEFT
                used.left = 1
            if kind == TCP:
                f.stream = used.tcp
                used.tcp += 1
                if syn == SYN | ACK:  # it answers the client
                    f.client = 1 - backward
            else:
                f.stream = used.udp
                used.udp += 1
        row.flow = k
        used.sorted += 1
        if kind == TCP:
            f = flows[k]
            if syn == SYN and not f.marks & SYN_SEEN:
                f.marks |= SYN_SEEN
                if f.client != backward:  # so far it was followed with the other for its client
                    f.marks |= LEFT
                    used.left = 1
            _note_bases(f, int(row.seq), int(row.ack), flags, backward)
    return last


def _begins_anew(flow, seq, backward):
    if backward:
        return flow.marks & SECOND_BASE != 0 and flow.second_base != seq
    return flow.marks & FIRST_BASE != 0 and flow.first_base != seq


def _note_bases(flow, seq, ack, flags, backward):
    """Where the numbers of both ends begin: a SYN decides, anew if need be."""
    known = FIRST_BASE
    others = SECOND_BASE
    if backward:
        known = SECOND_BASE
        others = FIRST_BASE
    if flags & SYN or not flow.marks & known:
        flow.marks |= known
        base = seq if flags & SYN else (seq - 1) & M32
        if backward:
            flow.second_base = base
        else:
            flow.first_base = base
    if flags & ACK and not flow.marks & others:
        flow.marks |= others
        if backward:
            flow.first_base = (ack - 1) & M32
        else:
            flow.second_base = (ack - 1) & M32


def pick(rows, first, last, wanted, wants, picked):
    """Which of rows first..last-1 are left aside or (`wants`) in a wanted flow; how many."""
    count = 0
    for i in range(first, last):
        row = rows[i]
        if row.kind == 0 or (wants and row.flow >= 0 and wanted[row.flow]):
            picked[count] = i
            count += 1
    return count


LOADS = ("be16", "be32")
KERNELS = (
    "be63", "_place_of", "_same_key", "rehash", "_begins_anew", "_note_bases", "sort_flows", "pick",
)  # fmt: skip

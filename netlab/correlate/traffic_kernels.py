"""Bulk counting: rows and flows -> frames and bytes of each stack of headers and each host, sums.

The specification in restricted Python (see decode/kernels.py, whose rows these are, and kernels.py,
whose flows): runs plain and compiled. What a capture holds in all is counted here, so that no
object is made of a packet, a flow or a host that nobody will look at.
Read first: decode.stacks, explain.troubles (what is refused, and what unanswered).
"""

# What was counted of one host or one stack of headers, found by its key in a table of numbers.
TALLY = [
    ("kind", "i8"),  # STACK, or the version of IP of a host
    ("high", "i8"),  # its address; of a stack its code is `low`
    ("low", "i8"),
    ("sent_frames", "i8"),  # of a stack: all there are
    ("sent_bytes", "i8"),
    ("received_frames", "i8"),
    ("received_bytes", "i8"),
]
# What was counted in all. Connections are those of TCP that the kernels followed.
TOTAL = [
    ("tallies", "i8"),  # in use
    ("unnamed", "i8"),  # rows of the last piece
    ("refused", "i8"),  # connections
    ("unanswered", "i8"),
    ("reset", "i8"),  # the other ones that a reset ended
]

STACK = 0
# A stack's code: the interface, where its network's header begins, and what follows from there on.
PLACES, KINDS = 256, 8
TCP_4, TCP_6, UDP_4, UDP_6, ARP, ICMP_4, ICMP_6 = 0, 1, 2, 3, 4, 5, 6

QUIET, TCP, UDP = 1, 6, 17  # kinds of rows
IS_IPV6, WHOLE = 2, 16  # marks of rows
LEFT, UNJUDGED = 4, 64  # marks of flows and talks
BY_RST = 1
VERDICTS = 18
HAS_SYN, HAS_ACK, HAS_RST = 1, 4, 32  # of a connection's completeness
M32 = 0xFFFFFFFF
M63 = 0x7FFFFFFFFFFFFFFF
HALF_WAY = 1 << 31


def be32(buf, at):
    """Four bytes, the first counting most."""
    return (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]


def be63(buf, at):
    """Half an IPv6 address, as a whole number of 64 bits with a sign."""
    high = be32(buf, at)
    if high >= HALF_WAY:
        high -= HALF_WAY + HALF_WAY
    return (high << 32) | be32(buf, at + 4)


def _place_of(kind, high, low, mask):
    digest = ((low & M32) * 0x2C1B3C6D + ((low >> 32) & M32) * 0x297A2D39 + kind) & M63
    digest = digest ^ (digest >> 29)
    digest = (((digest ^ high) & M32) * 0x2C1B3C6D + ((high >> 32) & M32) * 0x297A2D39) & M63
    return (digest ^ (digest >> 31)) & mask


def _tally_of(tallies, table, mask, total, kind, high, low):
    """The place of a key's tally, which is made if there is none."""
    at = _place_of(kind, high, low, mask)
    while table[at] >= 0:
        tally = tallies[table[at]]
        if tally.low == low and tally.high == high and tally.kind == kind:
            return int(table[at])
        at = (at + 1) & mask
    found = total.tallies
    total.tallies = found + 1
    table[at] = found
    tally = tallies[found]
    tally.kind = kind
    tally.high = high
    tally.low = low
    return found


def place_tallies(tallies, table, mask, totals):
    """Fill a larger, empty table."""
    for i in range(totals[0].tallies):
        tally = tallies[i]
        at = _place_of(tally.kind, tally.high, tally.low, mask)
        while table[at] >= 0:
            at = (at + 1) & mask
        table[at] = i
    return 0


def count_rows(buf, base, rows, first, last, tallies, table, mask, totals, most, unnamed):
    """Count the stacks of rows first..last-1, and the hosts of those that have no flow.

    Stops at the row that may find no room. The places of what no kernel can name go to `unnamed`.
    """
    total = totals[0]
    latest = -1
    at = 0
    for i in range(first, last):
        if total.tallies + 3 > most:
            return i
        row = rows[i]
        marks = int(row.marks)
        kind = row.kind
        if kind in (TCP, UDP):
            what = (UDP_4 if kind == UDP else TCP_4) + (1 if marks & IS_IPV6 else 0)
        elif kind == QUIET and marks & WHOLE:
            what = ARP
            if row.ip_len_bytes:
                what = ICMP_6 if marks & IS_IPV6 else ICMP_4
            _count_ends(buf, int(row.off) - base, row, what, tallies, table, mask, total)
        else:
            if kind == QUIET:
                unnamed[total.unnamed] = i
                total.unnamed += 1
            continue
        code = (int(row.interface) * PLACES + row.ip_off) * KINDS + what
        if code != latest:
            latest = code
            at = _tally_of(tallies, table, mask, total, STACK, 0, code)
        tally = tallies[at]
        tally.sent_frames += 1
        tally.sent_bytes += int(row.origlen_bytes)
    return last


def _count_ends(buf, frame, row, what, tallies, table, mask, total):
    """The hosts of a packet that is in no connection."""
    network = frame + int(row.ip_off)
    if what == ICMP_6:
        version = 6
        from_high = be63(buf, network + 8)
        from_low = be63(buf, network + 16)
        to_high = be63(buf, network + 24)
        to_low = be63(buf, network + 32)
    else:
        version = 4
        from_high = 0
        to_high = 0
        from_low = be32(buf, network + (14 if what == ARP else 12))
        to_low = be32(buf, network + (24 if what == ARP else 16))
    size = int(row.origlen_bytes)
    sent = tallies[_tally_of(tallies, table, mask, total, version, from_high, from_low)]
    sent.sent_frames += 1
    sent.sent_bytes += size
    received = tallies[_tally_of(tallies, table, mask, total, version, to_high, to_low)]
    received.received_frames += 1
    received.received_bytes += size


def count_flows(flows, sides, first, last, tallies, table, mask, totals, most):
    """Count the hosts of flows first..last-1; stops at the one that may find no room."""
    total = totals[0]
    for i in range(first, last):
        if total.tallies + 2 > most:
            return i
        flow = flows[i]
        version = 6 if (flow.ports >> 32) & 0xFF else 4
        one = sides[2 * i]
        two = sides[2 * i + 1]
        end = tallies[
            _tally_of(tallies, table, mask, total, version, flow.first_high, flow.first_low)
        ]
        end.sent_frames += one.packets
        end.sent_bytes += one.wire_bytes
        end.received_frames += two.packets
        end.received_bytes += two.wire_bytes
        end = tallies[
            _tally_of(tallies, table, mask, total, version, flow.second_high, flow.second_low)
        ]
        end.sent_frames += two.packets
        end.sent_bytes += two.wire_bytes
        end.received_frames += one.packets
        end.received_bytes += one.wire_bytes
    return last


def sum_up(flows, talks, sides, counts, last, sums, totals):
    """Add up the verdicts of connections 0..last-1, and how many of them failed."""
    total = totals[0]
    for i in range(last):
        flow = flows[i]
        talk = talks[i]
        if (flow.ports >> 40) & 0xFF != TCP or (flow.marks | talk.marks) & LEFT:
            continue
        seen = int(talk.completeness)
        if talk.close_kind == BY_RST:
            if seen & ~HAS_ACK == HAS_SYN | HAS_RST and (
                sides[2 * i].packets == sides[2 * i + 1].packets
            ):
                total.refused += 1
            else:
                total.reset += 1
        elif seen == HAS_SYN and sides[2 * i + 1 - flow.client].packets == 0:
            total.unanswered += 1
        if not talk.marks & UNJUDGED:
            for verdict in range(VERDICTS):
                sums[verdict] += counts[flow.stream * VERDICTS + verdict]
    return 0


def busiest(flows, talks, sides, last, found, most):
    """Which of flows 0..last-1 moved most bytes, the earlier first of equals; how many."""
    count = 0
    for i in range(last):
        size = _moved_bytes(sides, i)
        if count == most and (most == 0 or size <= _moved_bytes(sides, found[most - 1])):
            continue
        if (flows[i].marks | talks[i].marks) & LEFT:
            continue
        if count < most:
            count += 1
        at = count - 1
        while at > 0 and size > _moved_bytes(sides, found[at - 1]):
            found[at] = found[at - 1]
            at -= 1
        found[at] = i
    return count


def _moved_bytes(sides, i):
    return sides[2 * i].seen_bytes + sides[2 * i + 1].seen_bytes


LOADS = ("be32",)
KERNELS = (
    "be63", "_place_of", "_tally_of", "place_tallies", "_count_ends", "count_rows", "count_flows",
    "sum_up", "_moved_bytes", "busiest",
)  # fmt: skip

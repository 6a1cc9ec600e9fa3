"""Bulk reading: the records of a capture file -> rows of numbers, one a packet. The specification.

Restricted Python, which runs as it stands on `bytes` and rows of slotted objects, and compiled
(numba) on memory: whole numbers, loops, `rows[i].field`; no imports, no slices, no exceptions, no
closures. Plain, a read past the data is an IndexError; compiled it is not: each has its guard.

What is read here is the usual packet, whole and in order. All else is left aside: the row says so,
and the room's other files read it (`packets.decode`). They also give the words: names, faults.
A row, once made, means what they mean; a test compares the two on every capture.
Read first: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, RFC 791, RFC 8200, RFC 9293 3.1.

What makes the compiled form as fast as C: the loads take an unsigned 32-bit place, so that no index
can be negative and four loads become one; a packet is one record of one cache line.
"""

# One packet in 64 bytes. What a header lacks is 0; vlan NO_VLAN; flow -1.
ROW = [
    ("time_ns", "i8"),
    ("off", "i8"),  # of the frame in the file
    ("caplen_bytes", "u4"),
    ("origlen_bytes", "u4"),
    ("seq", "u4"),
    ("ack", "u4"),
    ("payload_len_bytes", "u4"),
    ("ip_len_bytes", "u4"),
    ("options", "u4"),  # of a SYN what it offers, else the bytes that its SACK blocks span
    ("flow", "i4"),
    ("flags", "u2"),  # the 12 bits behind TCP's data offset
    ("window", "u2"),
    ("ip_id", "u2"),
    ("vlan", "u2"),
    ("payload_off", "u2"),
    ("interface", "u2"),
    ("ip_off", "u1"),
    ("ttl", "u1"),
    ("kind", "u1"),
    ("marks", "u1"),
]
# An interface: how its packets are stamped and read, and what came on it.
LINK = [
    ("reader", "i4"),
    ("usual_stamps", "i4"),
    ("unit_ns", "i8"),
    ("longest_bytes", "i8"),
    ("frames", "i8"),
    ("wire_bytes", "i8"),
    ("latest_ns", "i8"),
]
# What a scan goes by, and where it stands.
SCAN = [
    ("big_endian", "i8"),
    ("header_bytes", "i8"),  # of a pcap record
    ("first_interface", "i8"),  # of the current section, in the file
    ("interfaces", "i8"),  # in the current section
    ("rows", "i8"),  # made so far
]

# Kinds of rows. ASIDE: only the general reading knows. QUIET: it too, but of no connection.
ASIDE, QUIET, TCP, UDP = 0, 1, 6, 17
# Marks of rows.
BACKWARD = 1  # sent by the end that the flow's key names second
IS_IPV6 = 2
FAULTY = 4  # the general reading has a fault to tell: TCP options cut off or damaged
UNJUDGED = 8  # tshark may read its options otherwise: damaged ones, and those of several paths
WHOLE = 16  # of a QUIET one: ARP for IPv4, or ICMP, whose headers are all here
NO_VLAN = 0xFFFF
# Tunnels over UDP, by their ports: `tunnels.TUNNEL_NAMES`.
GTP_U, VXLAN, VXLAN_GPE, GENEVE, MPLS = 2152, 4789, 4790, 6081, 6635
# What a SYN offers, in `options`: MSS in 16 bits, window scale in the next 8, and these.
HAS_MSS, HAS_WSCALE, HAS_SACK, HAS_TIMESTAMPS = 1 << 24, 1 << 25, 1 << 26, 1 << 27
HAS_COOKIE = 1 << 28  # of Fast Open

# Readers of links.
CLOSED, ETHERNET, COOKED, COOKED_2, RAW_IP, RAW_IPV4, RAW_IPV6 = 0, 1, 2, 3, 4, 5, 6

_LATEST_NS = 1 << 62
_MOST_BLOCK_BYTES = 16 << 20
_FARTHEST_IP = 200  # `ip_off` is a byte; nobody nests tags as deep


def u8(buf, at):
    """A byte."""
    return buf[at]


def be16(buf, at):
    """Two bytes, the first counting most."""
    return (buf[at] << 8) | buf[at + 1]


def be32(buf, at):
    """Four of them."""
    return (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]


def le16(buf, at):
    """Two bytes, the first counting least."""
    return buf[at] | (buf[at + 1] << 8)


def le32(buf, at):
    """Four of them."""
    return buf[at] | (buf[at + 1] << 8) | (buf[at + 2] << 16) | (buf[at + 3] << 24)


def u16_of(buf, at, big_endian):
    """Two bytes in the order of the file."""
    return be16(buf, at) if big_endian else le16(buf, at)


def u32_of(buf, at, big_endian):
    """Four of them."""
    return be32(buf, at) if big_endian else le32(buf, at)


def scan_pcap(buf, at, end, base, scans, links, rows, most):
    """A row for each whole record from `at` on; the place of the first that is none.

    `base` is where in the file `buf` begins.
    """
    scan = scans[0]
    big_endian = scan.big_endian
    header = scan.header_bytes
    unit_ns = links[0].unit_ns
    longest = links[0].longest_bytes
    i = scan.rows
    while i < most and at + header <= end:
        caplen = u32_of(buf, at + 8, big_endian)
        start = at + header
        if caplen > longest or start + caplen > end:
            break
        row = rows[i]
        row.time_ns = (
            u32_of(buf, at, big_endian) * 1000000000 + u32_of(buf, at + 4, big_endian) * unit_ns
        )
        row.off = base + start
        row.caplen_bytes = caplen
        row.origlen_bytes = u32_of(buf, at + 12, big_endian)
        row.interface = 0
        at = start + caplen
        i += 1
    scan.rows = i
    return at


def scan_pcapng(buf, at, end, base, scans, links, rows, most):
    """A row for each Enhanced Packet Block; the place of the first block that is no usual one."""
    scan = scans[0]
    big_endian = scan.big_endian
    i = scan.rows
    while i < most and at + 32 <= end:
        length = u32_of(buf, at + 4, big_endian)
        if u32_of(buf, at, big_endian) != 6 or length < 32 or length > _MOST_BLOCK_BYTES:
            break
        if length & 3 or at + length > end or u32_of(buf, at + length - 4, big_endian) != length:
            break
        number = u32_of(buf, at + 8, big_endian)
        if number >= scan.interfaces:
            break
        index = scan.first_interface + number
        link = links[index]
        caplen = u32_of(buf, at + 20, big_endian)
        stop = at + length - 4
        after = at + 28 + ((caplen + 3) & ~3)
        if after > stop or caplen > link.longest_bytes or not link.usual_stamps:
            break
        if after < stop and not _usual_options(buf, after, stop, big_endian):
            break
        high = u32_of(buf, at + 12, big_endian)
        if high >= 1 << 30:
            break
        ticks = (high << 32) | u32_of(buf, at + 16, big_endian)
        if ticks > _LATEST_NS // link.unit_ns:
            break
        row = rows[i]
        row.time_ns = ticks * link.unit_ns
        row.off = base + at + 28
        row.caplen_bytes = caplen
        row.origlen_bytes = u32_of(buf, at + 24, big_endian)
        row.interface = index
        at += length
        i += 1
    scan.rows = i
    return at


def _usual_options(buf, at, stop, big_endian):
    """Whether the options of a packet are whole, and say nothing that a row must hold."""
    while at < stop:
        if at + 4 > stop:
            return False
        code = u16_of(buf, at, big_endian)
        length = u16_of(buf, at + 2, big_endian)
        at += 4
        if at + ((length + 3) & ~3) > stop:
            return False
        if code == 0:
            return True
        if code == 5 or (code == 2 and length != 4):  # the wire's own number; damaged flags
            return False
        at += (length + 3) & ~3
    return True


def decode(buf, base, links, rows, first, last):
    """Fill what the headers of rows first..last-1 say, of which `buf` holds the frames.

    Gives back how many of them are left aside.
    """
    aside = 0
    for i in range(first, last):
        row = rows[i]
        row.seq = 0
        row.ack = 0
        row.payload_len_bytes = 0
        row.ip_len_bytes = 0
        row.options = 0
        row.flow = -1
        row.flags = 0
        row.window = 0
        row.ip_id = 0
        row.vlan = NO_VLAN
        row.payload_off = 0
        row.ip_off = 0
        row.ttl = 0
        row.marks = 0
        link = links[row.interface]
        kind = _packet(buf, int(row.off) - base, row, link.reader)
        row.kind = kind
        if kind == ASIDE:
            aside += 1
        if link.frames == 0 or row.time_ns > link.latest_ns:
            link.latest_ns = row.time_ns
        link.frames += 1
        link.wire_bytes += int(row.origlen_bytes)
    return aside


def _packet(buf, frame, row, reader):
    """The kind of a packet, once its row is filled."""
    captured = int(row.caplen_bytes)
    end = frame + captured
    at = frame
    if reader == ETHERNET:
        if captured < 14:
            return ASIDE
        ethertype = be16(buf, at + 12)
        at += 14
    elif reader == COOKED:
        if captured < 16:
            return ASIDE
        hardware = be16(buf, at + 2)
        if hardware == 778 or hardware == 802 or hardware == 803 or hardware == 824:
            return ASIDE
        ethertype = be16(buf, at + 14)
        at += 16
    elif reader == COOKED_2:
        if captured < 20:
            return ASIDE
        hardware = be16(buf, at + 8)
        if hardware == 778 or hardware == 802 or hardware == 803 or hardware == 824:
            return ASIDE
        ethertype = be16(buf, at)
        at += 20
    elif reader >= RAW_IP:
        if captured < 20:
            return ASIDE
        version = u8(buf, at) >> 4
        if (reader == RAW_IPV4 and version != 4) or (reader == RAW_IPV6 and version != 6):
            return ASIDE
        ethertype = 0x0800 if version == 4 else (0x86DD if version == 6 else 0)
    else:
        return ASIDE
    while ethertype == 0x8100 or ethertype == 0x88A8 or ethertype == 0x9100:
        if at + 4 > end:
            return ASIDE
        row.vlan = be16(buf, at) & 0xFFF
        ethertype = be16(buf, at + 2)
        at += 4
    if at - frame > _FARTHEST_IP:
        return ASIDE
    stop = frame + max(captured, int(row.origlen_bytes))  # where it ended on the wire
    row.ip_off = at - frame
    if ethertype == 0x0800:
        if at + 20 > end or u8(buf, at) != 0x45:  # with options: aside
            return ASIDE
        total = be16(buf, at + 2)
        if total == 0:  # segmentation left to a device
            total = stop - at
        if total < 20 or at + total > stop or be16(buf, at + 6) & 0x3FFF:
            return ASIDE
        protocol = u8(buf, at + 9)
        row.ip_id = be16(buf, at + 4)
        row.ttl = u8(buf, at + 8)
        stop = at + total
        start = at + 20
    elif ethertype == 0x86DD:
        if at + 40 > end or u8(buf, at) >> 4 != 6:
            return ASIDE
        total = be16(buf, at + 4) + 40
        if total == 40 or at + total > stop:
            return ASIDE
        protocol = u8(buf, at + 6)
        row.ttl = u8(buf, at + 7)
        row.marks = IS_IPV6
        stop = at + total
        start = at + 40
    elif ethertype == 0x0806:
        if at + 28 <= end and be32(buf, at + 2) == 0x08000604:  # addresses of 6 and 4 bytes
            row.marks = WHOLE
        return QUIET
    elif ethertype == 0x88CC:  # LLDP
        return QUIET
    else:
        return ASIDE
    row.ip_len_bytes = total
    if protocol == TCP:
        return _tcp(buf, frame, start, stop, end, row)
    if protocol == UDP:
        return _udp(buf, frame, start, stop, end, row)
    # ICMP that is no error quotes nothing; IGMP, ESP, EIGRP, OSPF, PIM, VRRP, SCTP carry no TCP.
    if (protocol == 1 or protocol == 58) and start < min(stop, end):
        if start + 8 <= min(stop, end) and (protocol == 58) == (ethertype == 0x86DD):
            row.marks = int(row.marks) | WHOLE
        kind = u8(buf, start)
        if protocol == 1:
            return ASIDE if kind in (3, 4, 5, 11, 12) else QUIET
        return QUIET if kind >= 128 else ASIDE
    return QUIET if protocol in (2, 50, 88, 89, 103, 112, 132) else ASIDE


def _udp(buf, frame, at, stop, end, row):
    if at + 8 > stop or at + 8 > end:
        return ASIDE
    port = be16(buf, at + 2)
    if port in (GTP_U, VXLAN, VXLAN_GPE, GENEVE, MPLS):  # what is inside is the packet
        return ASIDE
    length = be16(buf, at + 4)
    if length < 8 or length > stop - at:
        return ASIDE
    row.payload_off = at + 8 - frame
    row.payload_len_bytes = length - 8
    return UDP


def _tcp(buf, frame, at, stop, end, row):
    if at + 20 > stop or at + 20 > end:
        return ASIDE
    bits = be16(buf, at + 12)
    header = (bits >> 10) & 0x3C
    if header < 20 or at + header > stop:
        return ASIDE
    row.seq = be32(buf, at + 4)
    row.ack = be32(buf, at + 8)
    row.flags = bits & 0xFFF
    row.window = be16(buf, at + 14)
    row.payload_off = at + header - frame
    row.payload_len_bytes = stop - at - header
    if header == 32 and at + 32 <= end and be32(buf, at + 20) == 0x0101080A:
        if bits & 2:
            row.options = HAS_TIMESTAMPS
    elif header > 20 and not _tcp_options(buf, at + 20, at + header, end, row):
        return ASIDE
    return TCP


def _is_cut(buf, at, stop):
    """Whether an option has a length that fits into its header, and only the frame ends in it."""
    return 2 <= u8(buf, at + 1) <= stop - at


def _tcp_options(buf, at, stop, end, row):
    """What options the rows need, as `transport.read_tcp` reads them; False where none has room.

    A SYN with SACK blocks has none: nobody sends such.
    """
    marks = int(row.marks)
    limit = min(stop, end)
    offered = 0
    sacked = 0
    has_blocks = False
    ended = False
    while at < limit and not ended:
        kind = u8(buf, at)
        if kind == 1:
            at += 1
        elif kind == 0:
            ended = True
        elif at + 2 > limit or u8(buf, at + 1) < 2 or at + u8(buf, at + 1) > limit:
            marks |= FAULTY
            if at + 2 > stop or (at + 2 <= limit and not _is_cut(buf, at, stop)):
                marks |= UNJUDGED
            elif kind == 5 and at + 2 <= limit and u8(buf, at + 1) % 8 == 2 and not has_blocks:
                has_blocks = True
                block = at + 2  # those before the cut
                while block + 8 <= limit and block < at + 26:
                    sacked += (be32(buf, block + 4) - be32(buf, block)) & 0xFFFFFFFF
                    block += 8
            ended = True
        else:
            length = u8(buf, at + 1)
            if kind == 2:
                if length == 4:
                    offered = (offered & ~0xFFFF) | be16(buf, at + 2) | HAS_MSS
                else:
                    marks |= UNJUDGED
            elif kind == 3:
                if length == 3:
                    offered = (offered & ~0xFF0000) | (u8(buf, at + 2) << 16) | HAS_WSCALE
                else:
                    marks |= UNJUDGED
            elif kind == 4:
                if length == 2:
                    offered |= HAS_SACK
                else:
                    marks |= UNJUDGED
            elif kind == 8:
                if length == 10:
                    offered |= HAS_TIMESTAMPS
                else:
                    marks |= UNJUDGED
            elif kind == 5:
                if length >= 10 and length % 8 == 2:
                    sacked = 0
                    has_blocks = True
                    block = at + 2
                    while block < at + length and block < at + 26:  # as tshark, the first three
                        sacked += (be32(buf, block + 4) - be32(buf, block)) & 0xFFFFFFFF
                        block += 8
                else:
                    marks |= UNJUDGED
            elif kind == 30:  # one of several paths
                marks |= UNJUDGED
            elif kind == 34:
                if length > 2:
                    offered |= HAS_COOKIE
            elif (kind == 253 or kind == 254) and length > 4 and be16(buf, at + 2) == 0xF989:
                offered |= HAS_COOKIE  # as it was before it had a kind of its own
            at += length
    if not ended and limit < stop:  # cut exactly between two options
        marks |= FAULTY
    row.marks = marks
    if row.flags & 2:
        row.options = offered
        return not has_blocks
    row.options = sacked & 0xFFFFFFFF
    return True


LOADS = ("u8", "be16", "be32", "le16", "le32")
KERNELS = (
    "u16_of", "u32_of", "_usual_options", "_udp", "_is_cut", "_tcp_options", "_tcp", "_packet",
    "scan_pcap", "scan_pcapng", "decode",
)  # fmt: skip

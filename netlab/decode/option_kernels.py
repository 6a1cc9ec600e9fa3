"""Bulk reading: the TCP options of rows -> timestamps, selective ACKs, and what else was offered.

Restricted Python; see kernels.py, whose rows these are, and which keeps of options only what
tshark's verdicts need. For netlab's own they are read once more, as `transport.read_tcp` reads
them: with all blocks, and those before the place where the snap length cut them.
"""

from netlab.decode.kernels import (
    HAS_COOKIE,
    HAS_MSS,
    HAS_SACK,
    HAS_TIMESTAMPS,
    HAS_WSCALE,
    IS_IPV6,
    TCP,
    be16,
    be32,
    u8,
)

# What the options of a segment say, beside its row.
SPOKEN = [
    ("ts_val", "u4"),
    ("ts_ecr", "u4"),
    ("offered", "u4"),  # as a SYN's `options` are in a row; and the next two
    ("blocks", "i4"),  # where its selective ACKs are, times BLOCKS, and how many
]
BLOCK = [("start", "u4"), ("stop", "u4")]
# How many blocks there are in all.
NOTED = [("blocks", "i8")]

IS_ODD = 1 << 29  # one had a wrong length and was passed over, or was MPTCP's
HAS_OPTIONS = 1 << 30
BLOCKS = 8  # more than one segment has


def note_options(buf, base, rows, first, last, spoken, blocks, notes, most):
    """Note the options of the segments among rows first..last-1, of which `buf` holds the frames.

    Stops at the row that may find no room for its blocks.
    """
    noted = notes[0]
    for i in range(first, last):
        row = rows[i]
        if row.kind != TCP:
            continue
        if noted.blocks + BLOCKS > most:
            return i
        said = spoken[i]
        said.ts_val = 0
        said.ts_ecr = 0
        said.offered = 0
        said.blocks = 0
        frame = int(row.off) - base
        at = frame + int(row.ip_off) + (60 if int(row.marks) & IS_IPV6 else 40)
        stop = frame + int(row.payload_off)
        end = frame + int(row.caplen_bytes)
        if stop == at + 12 and stop <= end and be32(buf, at) == 0x0101080A:
            said.ts_val = be32(buf, at + 4)
            said.ts_ecr = be32(buf, at + 8)
            said.offered = HAS_OPTIONS | HAS_TIMESTAMPS
        elif stop > at:
            _note(buf, at, stop, end, said, blocks, noted)
    return last


def _note(buf, at, stop, end, said, blocks, noted):
    limit = min(stop, end)
    offered = HAS_OPTIONS
    from_block = noted.blocks
    there = 0
    ended = False
    while at < limit and not ended:
        kind = u8(buf, at)
        if kind == 1:
            at += 1
        elif kind == 0 or at + 2 > limit:
            ended = True
        elif u8(buf, at + 1) < 2 or at + u8(buf, at + 1) > limit:
            if kind == 5 and end < stop and there == 0 and u8(buf, at + 1) % 8 == 2:
                there = _note_blocks(buf, at + 2, limit, blocks, from_block)
            ended = True
        else:
            length = u8(buf, at + 1)
            if kind == 2:
                if length == 4:
                    offered = (offered & ~0xFFFF) | be16(buf, at + 2) | HAS_MSS
                else:
                    offered |= IS_ODD
            elif kind == 3:
                if length == 3:
                    offered = (offered & ~0xFF0000) | (u8(buf, at + 2) << 16) | HAS_WSCALE
                else:
                    offered |= IS_ODD
            elif kind == 4:
                offered |= HAS_SACK if length == 2 else IS_ODD
            elif kind == 8:
                if length == 10:
                    said.ts_val = be32(buf, at + 2)
                    said.ts_ecr = be32(buf, at + 6)
                    offered |= HAS_TIMESTAMPS
                else:
                    offered |= IS_ODD
            elif kind == 5:
                if length >= 10 and length % 8 == 2:
                    there = _note_blocks(buf, at + 2, at + length, blocks, from_block)
                else:
                    offered |= IS_ODD
            elif kind == 30:
                offered |= IS_ODD
            elif kind == 34:
                if length > 2:
                    offered |= HAS_COOKIE
            elif (kind == 253 or kind == 254) and length > 4 and be16(buf, at + 2) == 0xF989:
                offered |= HAS_COOKIE
            at += length
    said.offered = offered
    if there:
        said.blocks = from_block * BLOCKS + there
        noted.blocks = from_block + there


def _note_blocks(buf, at, stop, blocks, place):
    there = 0
    while at + 8 <= stop:
        block = blocks[place + there]
        block.start = be32(buf, at)
        block.stop = be32(buf, at + 4)
        at += 8
        there += 1
    return there


LOADS = ()
KERNELS = ("_note_blocks", "_note", "note_options")

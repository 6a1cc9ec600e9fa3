"""The form of the wire's spool: segments with a head, and the records in them.

A segment is a file `wire.N` in the recording's spool folder. Its head, numbers of 64 bits:

    magic | serial | tail | begun | next | taken | lost frames | lost fates | why lost

`tail` is where the settled records end, `begun` where the whole ones do: between the two stands
what was being sent to a host when the wire was last looked at. The wire stores both after the
bytes they vouch for, each in one aligned store (an item of a memoryview; struct stores a number of
a given byte order byte by byte, so these are in the machine's own). `next` is 1 + N of the segment
that goes on where this one is full; `taken` is set by the reader, to the serial; the last three
count what found no room, since the start, in the head of `wire.0`.

A record is padded to 8 bytes:

    kind u8 | fate u8 | number u16 | size u32 | packet | left_ns | arrived_ns | late_ns | bytes

FRAME: `number` is the interface (a host's index, or the wire's own, one more than the last),
`size` the frame's length. PASSED is the same for a frame that went on at once, and holds its
arrival. FATE: `number` bytes of rule, then `size` changed bytes (0: not changed). LOSS: `packet`
frames of interface `number` were lost before the wire saw them, some time after `left_ns`; `size`
bytes say why.

What this module must not know: files, sockets, rules.
"""

from __future__ import annotations

import struct

from netlab.model.tables import Fate

MAGIC = 0x3130_5265_5769_4C4E  # "NLiWeR01"
HEAD_WORDS = 9
HEAD_BYTES = HEAD_WORDS * 8
HEAD = struct.Struct(f"@{HEAD_WORDS}Q")
WORD = struct.Struct("@Q")
# Places in the head.
MAGIC_AT, SERIAL, TAIL, BEGUN, NEXT, TAKEN, LOST_FRAMES, LOST_FATES, WHY = range(HEAD_WORDS)

RECORD = struct.Struct("@BBHIQqqq")
RECORD_BYTES = RECORD.size  # 40
FRAME, PASSED, FATE, LOSS = 1, 2, 3, 4
NONE = -(1 << 63)  # "never", "not known"
FATES = ("", Fate.DELIVERED.value, Fate.DROPPED.value, Fate.CHANGED.value)
DELIVERED, DROPPED, CHANGED = range(1, len(FATES))


def segment_name(number: int) -> str:
    """What the file of a segment is called."""
    return f"wire.{number}"

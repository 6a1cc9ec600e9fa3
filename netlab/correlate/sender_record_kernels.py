"""What is kept of both ends of one connection while its segments are judged a second time.

Restricted Python; see second_kernels.py, which is the way in. The fields are those of `sender`, in
numbers: a frame is a row of the file, -1 where there is none. All lists of an end lie in one table,
`work`: each has its part of it.
"""

# One end. Where `sender` has None there is -1, or a word on it.
SENDER = [
    ("at", "i8"),  # its part of `work`
    ("outs_at", "i8"),
    ("holes_at", "i8"),
    ("room", "i8"),  # of each of these two
    ("turns", "i8"),  # connections that were judged: what is older in `work` is nothing
    ("base", "i8"),
    ("sack", "i8"),
    ("syn_known", "i8"),
    ("near_ns", "i8"),  # 0: not known
    ("has_nxt", "i8"),
    ("nxt", "i8"),
    ("newest_row", "i8"),
    ("newest_ns", "i8"),
    ("head", "i8"),  # of what is out
    ("tail", "i8"),
    ("copies", "i8"),
    ("copies_from", "i8"),
    ("holes_from", "i8"),
    ("holes_to", "i8"),
    ("last_id", "i8"),
    ("ids_vary", "i8"),
    ("id_steps", "i8"),
    ("stamps", "i8"),
    ("stamps_from", "i8"),
    ("ts_last", "i8"),
    ("ts_newest", "i8"),
    ("ecr_last", "i8"),
    ("una", "i8"),
    ("una_ns", "i8"),
    ("una_row", "i8"),
    ("una_ts", "i8"),
    ("heard_ns", "i8"),
    ("heard_row", "i8"),
    ("heard_stamp", "i8"),
    ("duplicates", "i8"),
    ("duplicate_first", "i8"),
    ("duplicate_last", "i8"),
    ("sacked", "i8"),  # ranges
    ("sack_top", "i8"),
    ("sack_row", "i8"),
    ("come_ns", "i8"),
    ("come_row", "i8"),
    ("window", "i8"),
    ("window_row", "i8"),
    ("turn_row", "i8"),
    ("turn_ns", "i8"),
    ("turn_stamp", "i8"),
    ("turn_is_first", "i8"),
    ("timer_ns", "i8"),
    ("timer_row", "i8"),
    ("recover", "i8"),
    ("recover_kind", "i8"),
    ("recover_ns", "i8"),
    ("recover_row", "i8"),
    ("lone_row", "i8"),
    ("lone_ns", "i8"),  # how long it waited
    ("srtt_ns", "i8"),
    ("rtt_count", "i8"),
    ("rtt_min_ns", "i8"),
    ("ts_rtt_min_ns", "i8"),
    ("flight_most", "i8"),
]
# An element of any of its lists.
WORK = [
    ("start", "i8"),  # or a timestamp
    ("stop", "i8"),
    ("time_ns", "i8"),
    ("row", "i4"),
    ("first", "i4"),  # what had the bytes of a copy before; what lies beyond a hole
    ("marks", "i4"),
    ("unused", "i4"),
]
# What is said of a segment where words alone do not do.
FINDING = [
    ("wait_ns", "i8"),
    ("one", "i8"),
    ("two", "i8"),
    ("three", "i8"),
    ("four", "i8"),
    ("vain_start", "i8"),
    ("vain_stop", "i8"),
    ("row_a", "i4"),
    ("row_b", "i4"),
    ("row_c", "i4"),
    ("vain_row", "i4"),
    ("verdict", "u1"),
    ("reason", "u1"),
    ("told", "u1"),  # by which ACKs
    ("vain", "u1"),  # how its receiver said that it had it
    ("vain_of", "u1"),  # the verdict before that
    ("taken", "u1"),  # the verdict that was taken back
    ("marks", "u1"),
    ("unused", "u1"),
]
# Of all connections so far.
JUDGED_AGAIN = [
    ("findings", "i8"),
    ("turns", "i8"),
    ("once_more", "i8"),  # packets that stand twice, of the present one
    ("maybe_twins", "i8"),
    ("short_of_findings", "i8"),  # why it stopped; else lists have no room
    ("left", "i8"),  # whether any was left for the general path
]

# `said` of a row: one of these, or FINDINGS and the place of its finding.
NOTHING, NEW, FIRST, FINDINGS = 0, 1, 2, 3

# The parts of `work`: an end's first four, one behind the other; then what is out, then holes.
IDS, COPIES, STAMPS, RANGES = 256, 64, 512, 258
IDS_AT, COPIES_AT, STAMPS_AT, RANGES_AT, LISTS = 0, 256, 320, 832, 1090
MOST_OUT = 10000
MOST_SACKED = 256
TWIN, SETTLED, SAID_OF = 1, 2, 4  # marks of copies

AFTER_TIMEOUT, AFTER_LOSS, AFTER_ANY = 1, 2, 3  # what a recovery began with

# Verdicts, in the order of model.tables.Verdict.
V_NEW_DATA, V_RTO, V_FAST, V_TAIL_PROBE, V_SPURIOUS = 1, 2, 3, 4, 5
V_REORDERED, V_BY_CAPTURE, V_BY_NETWORK, V_KEEP_ALIVE, V_WINDOW_PROBE = 6, 7, 8, 9, 10

# Reasons; `second_words` has their text.
TWIN_INTERFACE, TWIN_TTL, TWIN_VLAN, TWIN_LATE, TWIN_OPEN = 1, 2, 3, 4, 5
PROBE_OR_NEW, PROBE_OR_ALIVE, PROBE_BEYOND, ALIVE_OR_AGAIN, PROBE_CLOSED = 6, 7, 8, 9, 10
PROBE_OPENED, ALIVE, ACKED_BEFORE = 11, 12, 13
SYN_AGAIN, SYN_HEARD, SYN_ANSWERS, SYN_ALONE = 14, 15, 16, 17
GAP_STAMP, GAP_ID, GAP_UNSURE = 18, 19, 20
OVERTAKEN_STAMP, OVERTAKEN_ID, SAME_STAMP, ONCE_MORE, SYN_DATA = 21, 22, 23, 24, 25
RECOVERING, TOLD, TOLD_OR_OPEN, TOLD_LATE = 26, 27, 28, 29
UNTOLD, SOON_FOR_TIMER, NOT_THE_FIRST, NOT_FIRST_SINCE, NO_TRIP = 30, 31, 32, 33, 34
SOON_FOR_PROBE, TAIL, TIMED, EITHER_TIMER, LONE_PROBE, TWICE_TOLD = 35, 36, 37, 38, 39, 40
MOST_TWICE = 41
BY_SACK, BY_DUPLICATES, BY_LATER, BY_PARTIAL = 1, 2, 3, 4  # told
VAIN_ACK, VAIN_SACK, VAIN_ECHO, VAIN_DSACK = 1, 2, 3, 4
MAYBE_TWIN = 1  # a mark: what most do may tell of it

FIN, SYN, RST, ACK = 1, 2, 4, 16
BACKWARD, IS_IPV6 = 1, 2
ACK_KNOWN, WINDOW_KNOWN, SHIFT, SCALE = 1 << 19, 1 << 20, 21, 15
HAS_TIMESTAMPS, HAS_OPTIONS, BLOCKS = 1 << 27, 1 << 30, 8
M32 = 0xFFFFFFFF
HALF_WAY = 1 << 31


def distance(later, earlier):
    """The distance of two sequence numbers or timestamps, with its sign."""
    return ((later - earlier + HALF_WAY) & M32) - HALF_WAY


def stamp_of(said):
    """The timestamp that a segment bears; -1: none."""
    return said.ts_val + 0 if said.offered & HAS_TIMESTAMPS else -1


def echo_of(said):
    """The timestamp that it echoes; 0: none."""
    return said.ts_ecr + 0 if said.offered & HAS_TIMESTAMPS else 0


def length_of(row):
    """Its seg_len: SYN and FIN count."""
    flags = int(row.flags)
    return int(row.payload_len_bytes) + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)


def open_sender(me, side, room, turns):
    """Nothing is known of an end. What is out and holes have `room` each."""
    me.at = side * LISTS
    me.outs_at = 2 * LISTS + side * room
    me.holes_at = 2 * LISTS + (2 + side) * room
    me.room = room
    me.turns = turns
    me.near_ns = 0
    me.has_nxt = 0
    me.nxt = 0
    me.newest_row = -1
    me.newest_ns = 0
    me.head = 0
    me.tail = 0
    me.copies = 0
    me.copies_from = 0
    me.holes_from = 0
    me.holes_to = 0
    me.last_id = -1
    me.ids_vary = 0
    me.id_steps = 0
    me.stamps = 0
    me.stamps_from = 0
    me.ts_last = -1
    me.ts_newest = -1
    me.ecr_last = -1
    me.una = 0
    me.una_ns = 0
    me.una_row = -1
    me.una_ts = -1
    me.heard_ns = 0
    me.heard_row = -1
    me.heard_stamp = -1
    me.duplicates = 0
    me.duplicate_first = -1
    me.duplicate_last = -1
    me.sacked = 0
    me.sack_top = 0
    me.sack_row = -1
    me.come_ns = 0
    me.come_row = -1
    me.window = -1
    me.window_row = -1
    me.turn_row = -1
    me.turn_ns = 0
    me.turn_stamp = -1
    me.turn_is_first = 0
    me.timer_ns = 0
    me.timer_row = -1
    me.recover = 0
    me.recover_kind = 0
    me.recover_ns = 0
    me.recover_row = -1
    me.lone_row = -1
    me.lone_ns = 0
    me.srtt_ns = 0
    me.rtt_count = 0
    me.rtt_min_ns = 0
    me.ts_rtt_min_ns = 0
    me.flight_most = 0


LOADS = ()
KERNELS = ("distance", "stamp_of", "echo_of", "length_of", "open_sender")

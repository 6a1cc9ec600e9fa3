"""The records and the numbers that the kernels of flows share, and how two numbers compare.

Restricted Python; see kernels.py, which is the way in. `seq_diff` repeats model/seqnum.
A flow has the same number in FLOW and TALK, and twice that in SIDE; a connection of TCP has that of
its stream in HALF: flows of UDP are often most of a file's, and need none. Records fill lines of
the processor's cache (64 bytes), so that none lies in one more than it has to.
"""

# A conversation. Its key's ends are in order of address and port; the first of them is end 0.
FLOW = [
    ("first_high", "i8"),
    ("first_low", "i8"),
    ("second_high", "i8"),
    ("second_low", "i8"),
    ("ports", "i8"),  # both, the protocol, and whether it is IPv6
    ("first_base", "u4"),  # what number counts as 0, of end 0 and end 1
    ("second_base", "u4"),
    ("first_row", "i4"),
    ("stream", "i4"),
    ("marks", "i4"),
    ("client", "i4"),  # which end
]
# What both ends of a conversation said together.
TALK = [
    ("first_ns", "i8"),
    ("last_ns", "i8"),
    ("syn_ns", "i8"),  # the latest SYN, as the verdicts time it
    ("rtt_ns", "i8"),  # the first that the handshake shows; 0: none yet
    ("began_ns", "i8"),  # the client's first SYN
    ("shaken_ns", "i8"),  # the ACK that completed the handshake
    ("marks", "i4"),
    ("closed_by", "i1"),
    ("close_kind", "i1"),
    ("completeness", "u1"),
    ("unused", "u1"),
    ("unused_too", "i8"),
]
# What one end of it sent, added up; of conversations of UDP nothing else is kept.
SIDE = [
    ("packets", "i8"),
    ("wire_bytes", "i8"),
    ("seen_bytes", "i8"),  # of the stream, each byte once
    ("unused", "i8"),
]
# What one end of a connection sent: first as `segments` follows it, then as `verdicts` does.
HALF = [
    ("base", "i8"),
    ("near", "i8"),
    ("una", "i8"),
    ("top_start", "i8"),  # the highest range of the bytes seen; the others are nodes, descending
    ("top_stop", "i8"),
    ("fin_end", "i8"),
    ("next_seq", "i8"),
    ("next_ns", "i8"),
    ("whole_seq", "i8"),
    ("last_ack", "i8"),
    ("last_ns", "i8"),
    ("window", "i8"),
    ("sacked_bytes", "i8"),
    ("low", "i8"),  # of what is not acknowledged: its first byte and its last, from the base on
    ("high", "i8"),
    ("taken", "i8"),  # the ACK that was last taken from it; -1: none since it changed
    ("ranges", "i4"),
    ("marks", "i4"),
    ("next_row", "i4"),
    ("ack_row", "i4"),  # the last that changed its ACK; -1: none
    ("push_bytes", "i4"),  # since its last PSH
    ("duplicates", "i4"),
    ("last_found", "i4"),
    ("unacked", "i4"),  # how many
    ("head", "i4"),  # of them, oldest first
    ("tail", "i4"),
    ("beyond", "i4"),  # up to here they lie beyond `taken`
    ("mss", "u2"),
    ("syn_ip_id", "u2"),
    ("wscale", "u1"),
    ("scale", "i1"),  # to apply to its windows; UNKNOWN
    ("factor", "i1"),  # the same as the verdicts take it; UNKNOWN, UNUSED
    ("state", "u1"),
    ("in_order", "u1"),  # what is not acknowledged
    ("unused", "u1"),
    ("unused_too", "u2"),
    ("unused_as_well", "i8"),
]
# A segment that is not acknowledged, or a range of bytes that was seen: an element of a list.
NODE = [("start", "i8"), ("stop", "i8"), ("row", "i4"), ("next", "i4")]
# How much is in use: flows, streams of each protocol; nodes, and the first of those given back.
USED = [
    ("flows", "i8"),
    ("tcp", "i8"),
    ("udp", "i8"),
    ("sorted", "i8"),  # rows that have a flow
    ("left", "i8"),  # whether any flow has that mark
]
# Apart from it, as two cores write them at once: in one line of their caches, which went to and
# fro at each row, finding and following took nearly twice as long.
USED_BEHIND = [
    ("nodes", "i8"),
    ("free", "i8"),
    ("talks_left", "i8"),  # whether any talk has that mark
]
# What is said of a segment.
OUT = [
    ("seq", "i8"),
    ("ack", "i8"),
    ("acks_row", "i4"),  # -1: none
    ("rto_row", "i4"),  # what its timer ran from, or what ACK it repeats; -1: none
    ("number", "u4"),  # of a duplicate ACK which it is; of data the bytes in flight
    ("found", "u4"),
    ("push_bytes", "u4"),
]

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP = 6, 17
BACKWARD, IS_IPV6, CUT, UNJUDGED_ROW = 1, 2, 4, 8  # marks of rows
HAS_MSS, HAS_WSCALE, HAS_SACK, HAS_TIMESTAMPS = 1 << 24, 1 << 25, 1 << 26, 1 << 27
HAS_COOKIE = 1 << 28
M32 = 0xFFFFFFFF
M63 = 0x7FFFFFFFFFFFFFFF
HALF_WAY = 1 << 31

# Marks of flows and talks.
SYN_SEEN, REUSED, LEFT, FIRST_BASE, SECOND_BASE = 1, 2, 4, 8, 16
OPENED, UNJUDGED, SYN_TIMED, UNANSWERED, SHAKEN, EARLY_DATA = 32, 64, 128, 256, 512, 1024
# Marks of halves. SYN_KNOWN: it sent one, or the number is proven.
HAS_BASE, SENT_SYN, SYN_KNOWN, MSS_KNOWN, WSCALE_KNOWN, SACK_OFFERED = 1, 2, 4, 8, 16, 32
TIMESTAMPS_OFFERED, SENT_OTHERS, SENT_FIN, GOT_FIN, FIN_ACKED = 64, 128, 256, 512, 1024
UNSCALED, FLIGHT_UNKNOWN, PUSHED = 2048, 4096, 8192

NO_STATE, SYN_SENT, SYN_RECEIVED, ESTABLISHED = 0, 1, 2, 3
FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT, CLOSED = 4, 5, 6, 7, 8, 9, 10
STATES = 11
BY_BOTH = 3  # closed_by: 1 and 2 are end 0 and end 1
BY_RST = 1

# `found`: the verdicts in the order of `verdict_names`, and what else is known of a segment.
RETRANSMISSION, FAST, SPURIOUS, OUT_OF_ORDER = 1, 2, 4, 8
LOST, ACK_LOST, DUPLICATE_ACK, ZERO_WINDOW, PROBE = 16, 32, 64, 128, 256
PROBE_ACK, WINDOW_FULL, WINDOW_UPDATE, KEEP_ALIVE, KEEP_ALIVE_ACK = 512, 1024, 2048, 4096, 8192
REUSED_PORTS, TFO_SYN, TFO_ACK, TFO_IGNORED = 1 << 14, 1 << 15, 1 << 16, 1 << 17
VERDICTS = 18
JUDGED, ACK_KNOWN, WINDOW_KNOWN, SHIFT = 1 << 18, 1 << 19, 1 << 20, 21
STATES_AT = 25  # behind the window's scale: the sender's state, times STATES, and the other's

UNKNOWN, UNUSED = -1, -2
LARGEST_SCALE = 14
FAST_WITHIN_NS = 20000000
OUT_OF_ORDER_WITHIN_NS = 3000000
MOST_IN_FLIGHT = 2000000000
MOST_UNACKED = 10000
MOST_RANGES = 4096  # looked at for one segment


def seq_diff(later, earlier):
    """The distance of two sequence numbers, with its sign."""
    return ((later - earlier + HALF_WAY) & M32) - HALF_WAY


def within(passed_ns, limit_ns):
    """Whether less than the limit passed; a stamp that goes backwards makes a very long time."""
    if (passed_ns < 0) == (limit_ns < 0):
        return passed_ns < limit_ns
    return limit_ns < 0


LOADS = ()
KERNELS = ("seq_diff", "within")

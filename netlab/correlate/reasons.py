"""The words of the byte ledger: what did not match, and why. Nothing but names.

The reasons are the design's closed list; a row of the ledger never carries free text, so that a
view can count and translate them.
"""

from __future__ import annotations

from enum import StrEnum


class What(StrEnum):
    """Which partner the bytes lack."""

    SENT_NOT_CAPTURED = "sent but not captured"  # of a call: no frame carried them
    SENT_NOT_PLACED = "sent, place in the stream unknown"  # of a call
    READ_NOT_CAPTURED = "read but not captured"  # of a call: no frame delivered them
    READ_NOT_PLACED = "read, place in the stream unknown"  # of a call
    SENT_NOT_READ = "sent but not read"  # Unix sockets: of the stream, no reader claimed them
    CARRIED_NOT_SENT = "carried but not sent by a known call"  # of the stream
    CARRIED_NOT_READ = "carried but not read"  # of the stream
    TRUNCATED = "delivered but cut off"  # of a call that gave too little room


class Reason(StrEnum):
    """Why they lack it."""

    RING_DROP = "not captured: ring drop"
    RING_LOST = "not known: the ring lost frames"  # lost with them, or never in any
    CUT_SHORT = "not captured: the recording is cut short"
    CUT_UNKNOWN = "not known: the recording is cut short"  # frames and calls may be missing
    GAP = "not captured: missing in the capture"  # no loss was counted, and yet it is not there
    CAPTURE_LATE = "not captured: capture began late"
    NO_PACKET_WITNESS = "not captured: no packet witness"
    NO_CALL_WITNESS = "no call witness"
    PROBE_LATE = "no call witness: watching began late"
    LIMIT = "recording stopped at its limit"  # or at a fault: this process noted no more calls
    PROBE_GAP = "no call witness: some calls of the process are missing"
    IO_URING = "io_uring: calls not seen"
    EVENTS_LOST = "no call witness: events of the kernel were lost"
    CLOCK_STEP = "the clock was set back, order of calls unknown"
    STILL_INSIDE = "call still inside"
    STILL_QUEUED = "still queued"
    STILL_QUEUED_DATAGRAM = "still queued or dropped: receive buffer"
    DATAGRAM_DROPPED = "dropped before it was read"
    REFUSED = "refused: nobody listens at this port"
    RESET = "reset before delivery"
    CLOSED_UNREAD = "closed before it was read"
    NOT_ACCEPTED = "arrived but not accepted by the receiver"
    LOST = "lost: dropped by the wire"
    ON_ITS_WAY = "on the wire when that was last heard of"
    HELD = "gathered by MSG_MORE or UDP_CORK and not sent"
    SEGMENTED = "cut into several datagrams by UDP_SEGMENT: which is whose, is not known"
    MERGED = "several datagrams in one call by UDP_GRO: which, is not known"
    TRUNCATED = "truncated"
    URGENT = "urgent byte not read"
    URGENT_ORDER = "an urgent byte came during the call, order ambiguous"
    SHARED = "shared socket, order ambiguous"
    ALIKE = "order ambiguous: a datagram that was not captured fits, too"
    TWINS = "order ambiguous: several connections of the same ends fit"
    HIDDEN = "order ambiguous: its ends are not known, and several connections fit"
    UNNAMED = "connection not known: nothing showed the socket's ends"
    NO_PEER = "not on a network: the other end is not recorded"
    PEER_UNSURE = "not on a network: which socket is the other end is not known"
    UNSEEN_SENDER = "order ambiguous: somebody who is not recorded wrote here, too"
    PEER_CHANGED = "order ambiguous: the reader connected anew, which empties its queue"
    FILTERED = "order ambiguous: a filter of the reader may have dropped any"
    SEVERAL_FIT = "order ambiguous: more than one datagram fits"
    MAY_NOT_ARRIVE = "order ambiguous: a datagram fits that may not have reached the socket"
    NOT_SURE_TO_ARRIVE = "not known whether it reached a socket"
    INCOMPLETE = "not captured: fragments missing"
    CONTRADICTION = "the calls do not add up to the stream"  # some of them were not seen

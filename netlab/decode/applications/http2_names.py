"""HTTP/2's numbers by name: frames, their flags, settings, errors (RFC 9113 6, 6.5.2, 7)."""

from __future__ import annotations

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION, ALTSVC, ORIGIN, PRIORITY_UPDATE = 8, 9, 10, 12, 16

FRAME = {
    DATA: "DATA",
    HEADERS: "HEADERS",
    PRIORITY: "PRIORITY",
    RST_STREAM: "RST_STREAM",
    SETTINGS: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE",
    PING: "PING",
    GOAWAY: "GOAWAY",
    WINDOW_UPDATE: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION",
    ALTSVC: "ALTSVC",
    ORIGIN: "ORIGIN",
    PRIORITY_UPDATE: "PRIORITY_UPDATE",
}
MEANING = {
    DATA: "A piece of a body.",
    HEADERS: "Opens a stream, or ends it with trailers.",
    PRIORITY: "How important a stream is; no longer in use.",
    RST_STREAM: "Ends a stream at once.",
    SETTINGS: "What this side takes; the other one confirms it.",
    PUSH_PROMISE: "The server will send what was not asked for.",
    PING: "Comes back as it is: measures the way.",
    GOAWAY: "No new streams: the connection will end.",
    WINDOW_UPDATE: "So many more bytes of DATA may come.",
    CONTINUATION: "The header block goes on.",
}
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x01, 0x01, 0x04, 0x08, 0x20
_FLAGS = {
    DATA: {END_STREAM: "END_STREAM", PADDED: "PADDED"},
    HEADERS: {END_STREAM: "END_STREAM", END_HEADERS: "END_HEADERS", PADDED: "PADDED",
              HAS_PRIORITY: "PRIORITY"},
    SETTINGS: {ACK: "ACK"},
    PUSH_PROMISE: {END_HEADERS: "END_HEADERS", PADDED: "PADDED"},
    PING: {ACK: "ACK"},
    CONTINUATION: {END_HEADERS: "END_HEADERS"},
}  # fmt: skip
SETTING = {
    1: ("HEADER_TABLE_SIZE", "How large the table of header fields may grow that I keep."),
    2: ("ENABLE_PUSH", "Whether I take what I did not ask for."),
    3: ("MAX_CONCURRENT_STREAMS", "How many streams you may have open at once."),
    4: ("INITIAL_WINDOW_SIZE", "How many bytes of DATA each stream may bring unasked."),
    5: ("MAX_FRAME_SIZE", "The longest payload of a frame that I take."),
    6: ("MAX_HEADER_LIST_SIZE", "How much header I would take, unpacked."),
    8: ("ENABLE_CONNECT_PROTOCOL", "A CONNECT may name a protocol, so WebSockets work."),
    9: ("NO_RFC7540_PRIORITIES", "I pass over the old scheme of priorities."),
}
ERROR = {
    0: "NO_ERROR",
    1: "PROTOCOL_ERROR",
    2: "INTERNAL_ERROR",
    3: "FLOW_CONTROL_ERROR",
    4: "SETTINGS_TIMEOUT",
    5: "STREAM_CLOSED",
    6: "FRAME_SIZE_ERROR",
    7: "REFUSED_STREAM",
    8: "CANCEL",
    9: "COMPRESSION_ERROR",
    10: "CONNECT_ERROR",
    11: "ENHANCE_YOUR_CALM",
    12: "INADEQUATE_SECURITY",
    13: "HTTP_1_1_REQUIRED",
}


def frame_name(kind: int) -> str:
    """`HEADERS`, or the number of one that is not known."""
    return FRAME.get(kind, f"frame type {kind}")


def flag_names(kind: int, flags: int) -> str:
    """`END_STREAM END_HEADERS`, bits that the frame does not define as a number."""
    known = _FLAGS.get(kind, {})
    words = [name for bit, name in known.items() if flags & bit]
    rest = flags & ~sum(known)
    return " ".join(words + ([f"0x{rest:02x}"] if rest else [])) or "none"


def error_name(number: int) -> str:
    """`CANCEL`, or the number."""
    return ERROR.get(number, f"error {number}")

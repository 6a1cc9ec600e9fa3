"""The records of a spool: numbers and short texts <-> bytes, with no policy.

A record is a head of 32 bytes and a tail of tagged fields, its length a multiple of 8:

    first i64 | second i64 | order u32 | state u32 | marker u64 | tail ...

The marker says that the record is whole, and holds its kind, its operation and its length. It is
the last thing written, in one aligned store, so whoever sees it sees all the rest; free space is
zero, which is no marker. Numbers are little-endian.

What this module must not know: files, sockets, clocks. Read first: man 2 mmap, MAP_SHARED.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEAD = struct.Struct("<qqIIQ")
HEAD_BYTES = HEAD.size  # 32
# The same with the marker as bytes, which CPython copies (in one store) faster than it converts a
# number of 63 bits.
QUICK_HEAD = struct.Struct("<qqII8s")
STATELESS_HEAD = struct.Struct("<qqI4x8s")  # that of a return which changed nothing: state is 0
MARKER_OFF = 24
NONE = -(1 << 63)  # "not known" in a head's two 64-bit numbers
NONE_32 = -1  # the same in a queue sample

MAGIC = 0x4E6C53  # "NlS"
VERSION = 1

# Kinds of record, and what `first` and `second` mean in each.
HEADER = 1  # start of a segment: time, index of the segment; state = segment_bytes
STATE = 2  # a socket as last known: inode, descriptor; `state` is its number from here on
ENTRY = 3  # time, requested bytes
RETURN = 4  # time, result
INHERIT = 5  # time, parent's pid
LOSS = 6  # time, unused; TAG_KIND: what is lost where it is not calls
END = 7  # the rest of this segment is not used
VOID = 8  # room taken by a record that could not be written
STAMP = 9  # time, key of the last byte; `order` is what was stamped (a place in MOMENTS)
KINDS = frozenset(range(HEADER, STAMP + 1))

# By the kernel's numbers (SCM_TSTAMP_SND, _SCHED, _ACK in linux/errqueue.h).
MOMENTS = ("sent", "scheduled", "acked")

# Operations. A number once given stays: the list only grows.
OPS = (
    "none", "socket", "socketpair", "connect", "bind", "listen", "accept", "send", "sendall",
    "sendto", "sendmsg", "sendfile", "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg",
    "recvmsg_into", "shutdown", "close", "detach", "dup", "setsockopt", "select", "poll",
    "epoll_wait", "epoll_create", "epoll_ctl", "exit", "pipe", "read", "write", "mq_open",
    "mq_send", "mq_receive", "msgget", "msgsnd", "msgrcv", "msgctl", "memfd_create", "ring_put",
    "ring_get", "eventfd", "eventfd_read", "eventfd_write",
)  # fmt: skip
OP = {name: number for number, name in enumerate(OPS)}

# Tags of tail fields: u16 tag, u16 unused, u32 length, value, padded to 8.
TAG_DETAIL = 1  # flags, inq, outq, errno: DETAIL below
TAG_ARGS = 2
TAG_ADDRESS = 3
TAG_READY = 4
TAG_TCP_INFO = 5
TAG_CODE = 6
TAG_INODES = 7  # new inode, peer's inode; 0 is none
TAG_NOTE = 8  # added to args
TAG_ABOUT = 9  # inode of the socket that the call is about
TAG_FAMILY = 10
TAG_KIND = 11
TAG_LOCAL = 12
TAG_PEER = 13
TAG_HOST = 20
TAG_ACTOR = 21
TAG_IDS = 22  # pid, tid
TAG_REASON = 23
TAG_HELD = 24  # inodes

FIELD = struct.Struct("<HHI")
DETAIL = struct.Struct("<IiiI")  # MSG_* flags, inq, outq, errno
_DETAIL_FIELD = struct.Struct("<HHIIiiI")
SAMPLE = struct.Struct("<HHII4s4sI")  # the same with both samples as ioctl hands them over
ABOUT = struct.Struct("<HHIQ")  # a whole field
ABOUT_LENGTH = 8
PAIR = struct.Struct("<QQ")
READY = struct.Struct("<iIQ")  # descriptor, events, inode

LENGTH_LIMIT = 1 << 24


def marker(kind: int, op: int, length: int) -> int:
    """The last word of a head: magic 24 bits, kind 8, operation 8, length in bytes 24."""
    return MAGIC << 40 | kind << 32 | op << 24 | length


def quick_marker(kind: int, op: int, length: int) -> bytes:
    """The marker as QUICK_HEAD takes it."""
    return marker(kind, op, length).to_bytes(8, "little")


def maybe_marker(word: int) -> tuple[int, int, int] | None:
    """(kind, operation, length) of a whole record; None for anything else."""
    if word >> 40 != MAGIC:
        return None
    kind, op, length = word >> 32 & 0xFF, word >> 24 & 0xFF, word & 0xFFFFFF
    if kind not in KINDS or op >= len(OPS) or length < HEAD_BYTES or length % 8:
        return None
    return kind, op, length


def tail_field(tag: int, value: bytes) -> bytes:
    """One tagged field, padded to a multiple of 8."""
    return FIELD.pack(tag, 0, len(value)) + value + bytes(-len(value) % 8)


def tail_text(tag: int, text: str) -> bytes:
    """A tagged text. What UTF-8 cannot hold (undecodable file names) stands as an escape."""
    return tail_field(tag, text.encode("utf-8", "backslashreplace"))


def tail_detail(flags: int, inq: int, outq: int, errno: int) -> bytes:
    """The tagged numbers that most records lack."""
    return _DETAIL_FIELD.pack(TAG_DETAIL, 0, DETAIL.size, flags & 0xFFFFFFFF, inq, outq, errno)


def tail_about(inode: int) -> bytes:
    """The tagged inode of the socket that a call is about."""
    return ABOUT.pack(TAG_ABOUT, 0, ABOUT_LENGTH, inode)


def tail_fields(tail: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, value) of each field, in order; stops where the bytes do not add up."""
    at = 0
    while at + FIELD.size <= len(tail):
        tag, _, length = FIELD.unpack_from(tail, at)
        at += FIELD.size
        if tag == 0 or at + length > len(tail):
            return
        yield tag, tail[at : at + length]
        at += length + -length % 8

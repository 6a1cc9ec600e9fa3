"""What processes of a server say to each other: an envelope <-> bytes; long ones in pieces.

An envelope says what it is (`kind`), who sent it and who is to have it, the session it is about,
and the inode of that session's socket, so that a recording can draw the way of a message through
the processes. `number` belongs to the kind (a task's id, an offset, flags); `payload` too.

Channels that keep the borders of messages carry a message whole, or in pieces none longer than the
channel allows: one byte in front says whether more pieces follow. Channels that carry plain bytes
put the length in front. One sender writes to each end, so pieces of two messages never mix.
What this module must not know: which channel carries it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

MESSAGE_LIMIT_BYTES = (64 << 20) + 4096  # 64 MiB of payload with the envelope around


class Kind(IntEnum):
    """What an envelope is."""

    CONNECT = 1  # to a worker: events of a session
    RECEIVE = 2
    HALF_CLOSE = 3
    CLOSED = 4
    BUFFER_FULL = 5
    BUFFER_EMPTY = 6
    PACKET = 7
    SEND = 10  # to who owns the connection: verbs on a session
    SENDFILE = 11
    SENDTO = 12
    CLOSE = 13
    SHUT = 14  # half-close
    PAUSE = 15
    RESUME = 16
    PROTECT = 17
    BIND = 18
    TASK = 20  # between workers and task workers
    FINISH = 21
    TASK_LOST = 22
    MESSAGE = 23  # send_message
    ANSWER = 24  # to a question of any kind, by `number`
    READY = 30  # the life of a process
    IDLE = 31
    LEAVE = 32
    LEFT = 33
    ASK = 34  # status, lists


_ROLES = ("", "master", "manager", "worker", "task")
_ROLE_NUMBER = {name: number for number, name in enumerate(_ROLES)}
_HEAD = struct.Struct("<B3xIIxxxxqqq")  # kind, source, target, session, about, number
HEAD_BYTES = _HEAD.size
# For the hot path, which makes no Envelope: kind, source, target, session, about, number.
head_bytes = _HEAD.pack
head_from = _HEAD.unpack_from
session_from = struct.Struct("<16xqq").unpack_from  # session, about


class Envelope(NamedTuple):
    """One message between two processes. A tuple, since two are made for every request."""

    kind: int
    source: str  # master, manager, worker-1, task-0; empty: nobody in particular
    target: str
    session: int = 0
    about: int = 0  # inode of the session's socket; 0: none
    number: int = 0
    payload: bytes = b""


def address_from_name(name: str) -> int:
    """`worker-2` as a number. Raises ValueError for what is no name of a process."""
    found = _ADDRESSES.get(name)
    if found is None:
        role, dash, index = name.partition("-")
        whole = (index.isascii() and index.isdecimal() and role != "") if dash else not index
        if role not in _ROLE_NUMBER or not whole:
            raise ValueError(f"{name!r} names no process of a server")
        found = _ROLE_NUMBER[role] << 24 | (int(index) + 1 if index else 0)
        _ADDRESSES[name] = found
    return found


def name_from_address(address: int) -> str:
    """The name that `address_from_name` was given."""
    found = _NAMES.get(address)
    if found is None:
        role, index = address >> 24, address & 0xFFFFFF
        if role >= len(_ROLES):
            raise ValueError(f"{address:#x} is no address of a process")
        found = _ROLES[role] + (f"-{index - 1}" if index else "")
        _NAMES[address] = found
    return found


_ADDRESSES: dict[str, int] = {}
_NAMES: dict[int, str] = {}


def bytes_from_envelope(envelope: Envelope) -> bytes:
    """The envelope as one message of a channel."""
    kind, source, target, session, about, number, payload = envelope
    try:
        addresses = _ADDRESSES[source], _ADDRESSES[target]
    except KeyError:
        addresses = address_from_name(source), address_from_name(target)
    return _HEAD.pack(kind, *addresses, session, about, number) + payload


def envelope_from_bytes(message: bytes) -> Envelope:
    """The envelope that a message holds. Raises ValueError when it holds none."""
    try:
        kind, source, target, session, about, number = _HEAD.unpack_from(message)
    except struct.error as error:
        raise ValueError(f"{len(message)} bytes are no envelope") from error
    try:
        names = _NAMES[source], _NAMES[target]
    except KeyError:
        names = name_from_address(source), name_from_address(target)
    return Envelope(kind, *names, session, about, number, message[HEAD_BYTES:])


def target_of(message: bytes) -> str:
    """Who is to have a message, without opening it further: for those who only pass it on."""
    return name_from_address(int.from_bytes(message[8:12], "little"))


# -- pieces ------------------------------------------------------------------------------------

LAST, MORE = b"\0", b"\1"  # in front of a piece: the message ends with it, or goes on
_MORE = MORE[0]
_LENGTH = struct.Struct("<I")
LENGTH_BYTES = _LENGTH.size


def pieces(message: bytes, limit_bytes: int) -> Iterator[bytes]:
    """The message in pieces of at most `limit_bytes`, each with its mark in front."""
    room = limit_bytes - 1
    view = memoryview(message)
    at = 0
    while len(message) - at > room:
        yield MORE + view[at : at + room]
        at += room
    yield LAST + view[at:]


def with_length(message: bytes) -> bytes:
    """The message with its length in front, for channels that carry plain bytes."""
    return _LENGTH.pack(len(message)) + message


class Broken(Exception):
    """What came is not what a channel sends: its other end is not one of ours."""


class Inbox:
    """Joins the pieces of messages again."""

    __slots__ = ("_bytes", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """What has come of a message that is not whole."""
        return self._bytes

    def join(self, piece: bytes) -> bytes | None:
        """The message that this piece completes; None when more must come."""
        if piece[0] != _MORE:
            if not self._pieces:
                return piece[1:]
            self._pieces.append(piece[1:])
            message = b"".join(self._pieces)
            self._pieces.clear()
            self._bytes = 0
            return message
        self._bytes += len(piece) - 1
        if self._bytes > MESSAGE_LIMIT_BYTES:
            raise Broken("a message without end")
        self._pieces.append(piece[1:])
        return None


class ByteInbox:
    """Takes bytes as they come and gives the messages that they complete."""

    __slots__ = ("_buffer", "_need")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = 0  # how long the buffer must be before another look is worth it

    @property
    def waiting_bytes(self) -> int:
        """What has come of a message that is not whole."""
        return len(self._buffer)

    def join(self, data: bytes) -> list[bytes]:
        """The messages that are whole now, in order."""
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._need:
                return []
            data = bytes(buffer)
            buffer.clear()
        found = []
        at, end = 0, len(data)
        self._need = LENGTH_BYTES
        while end - at >= LENGTH_BYTES:
            (length,) = _LENGTH.unpack_from(data, at)
            if length > MESSAGE_LIMIT_BYTES:
                raise Broken(f"a message of {length} bytes")
            stop = at + LENGTH_BYTES + length
            if stop > end:
                self._need = stop - at
                break
            found.append(data[at + LENGTH_BYTES : stop])
            at = stop
        if at < end:
            buffer += memoryview(data)[at:]
        return found

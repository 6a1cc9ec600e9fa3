"""One connection from an old worker to its heir: the socket, and all that was not the kernel's yet.

A message of the control kind each: JSON with the small facts, the socket beside it, and a memory
file with the bytes (a message that is not complete, messages that waited for a pause to end, output
that the kernel had not taken). What the client sends meanwhile waits in the socket itself. Moments
are CLOCK_MONOTONIC's, which all processes share. Read man 7 unix (SCM_RIGHTS), man 2 memfd_create.
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, fields
from typing import Any

from netlab.server.messages import control
from netlab.server.terms import CloseReason, SocketAddress

_MOST_FILES = 14  # descriptors in a control message, less the socket and the bytes


@dataclass(frozen=True, slots=True)
class FilePart:
    """A range of an open file that is still to be sent."""

    descriptor: int
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Baggage:
    """What a connection is, without its socket and its loop."""

    session: int
    entrance: int
    address: SocketAddress
    uid: int | None
    protected: bool
    paused: bool  # by the user
    connected_at_s: float
    received_at_s: float
    sent_at_s: float
    message_since_s: float
    received_bytes: int
    sent_bytes: int
    messages: int
    responses: int
    peer_finished: bool
    write_shut: bool
    ending: bool
    closing: CloseReason | None
    fault: str
    pending: bytes
    undelivered: tuple[bytes, ...]
    output: tuple[bytes | FilePart, ...]


def give(line: socket.socket, sock: socket.socket, baggage: Baggage) -> None:
    """Send a connection to the heir. Raises OSError when nobody is there."""
    blobs: list[bytes] = []
    files: list[int] = []
    words: control.Message = {}
    for entry in fields(baggage):
        value = getattr(baggage, entry.name)
        words[entry.name] = value
    words["address"] = _words_from(baggage.address)
    words["pending"] = _kept(baggage.pending, blobs)
    words["undelivered"] = [_kept(message, blobs) for message in baggage.undelivered]
    output: list[Any] = []
    for part in baggage.output:
        if isinstance(part, FilePart):
            files.append(part.descriptor)
            output.append(asdict(part))
        else:
            output.append(_kept(part, blobs))
    words["output"] = output
    memory = os.memfd_create("netlab-handover", os.MFD_CLOEXEC)
    try:
        for blob in blobs:
            _write_all(memory, blob)
        control.send(line, words, (sock.fileno(), memory, *files))
    finally:
        os.close(memory)


def fits(baggage: Baggage) -> bool:
    """Whether it can be given at all: a message carries so many descriptors only."""
    return sum(isinstance(part, FilePart) for part in baggage.output) <= _MOST_FILES


def taken(line: socket.socket) -> tuple[socket.socket, Baggage] | None:
    """The next connection; None at the end. Raises BlockingIOError when there is none now."""
    received = control.receive(line)
    if received is None:
        return None
    words, (descriptor, memory, *files) = received
    with open(memory, "rb") as file:
        file.seek(0)
        words["pending"] = file.read(words["pending"])
        words["undelivered"] = tuple(file.read(size) for size in words["undelivered"])
        output: list[bytes | FilePart] = []
        for part in words["output"]:
            if isinstance(part, dict):
                output.append(FilePart(files.pop(0), part["offset"], part["count"]))
            else:
                output.append(file.read(part))
        words["output"] = tuple(output)
    words["address"] = _address_from(words["address"])
    words["closing"] = CloseReason(words["closing"]) if words["closing"] else None
    return socket.socket(fileno=descriptor), Baggage(**words)


def _kept(data: bytes, blobs: list[bytes]) -> int:
    blobs.append(data)
    return len(data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _words_from(address: SocketAddress) -> Any:
    return {"raw": address.decode("latin-1")} if isinstance(address, bytes) else address


def _address_from(words: Any) -> SocketAddress:
    if isinstance(words, dict):
        raw: str = words["raw"]
        return raw.encode("latin-1")
    if isinstance(words, list):
        return tuple(words)
    text: str | None = words
    return text

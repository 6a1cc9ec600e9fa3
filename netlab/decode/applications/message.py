"""What an application said: its messages with their fields, and how a protocol is read.

Offsets count from the first byte of the side's stream (TCP) or of the datagram (UDP). Text that was
captured stands here as it was: whoever shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from netlab.model.records import dataclass
from netlab.model.tables import Side


@dataclass(frozen=True, slots=True)
class Item:
    """One field of a message. `start == stop`: derived, it stands nowhere by itself."""

    name: str  # tshark's or the RFC's name in words: "method", "query name", "client id"
    text: str
    start: int
    stop: int
    meaning: str = ""  # one sentence, where a learner gains by it
    source: str = ""  # "RFC 9112 3.1"


@dataclass(frozen=True, slots=True)
class Said:
    """One message that one side said, `text` in one line without the protocol's name."""

    protocol: str  # "HTTP/1.1", "TLS", "DNS", ...
    start: int
    stop: int
    text: str  # "GET /index.html", "client hello for a.b, h2"
    items: tuple[Item, ...] = ()
    fault: str = ""  # what could not be read and why: "312 of 400 bytes"
    inner: tuple[Said, ...] = ()  # what it holds: a TLS record its handshake messages


class Conversation(Protocol):
    """Both sides of one TCP connection, read as one protocol. Never raises, whatever the bytes."""

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        """Take the next bytes that `side` sent, and return the messages of that side that they end.

        All three return messages of the side that they are called for, and no others.

        Bytes of a side are contiguous but for gaps that were told; the sides come interleaved, in
        the order in which the bytes were first captured.
        """
        ...

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        """Bytes that no frame holds: what was begun is returned with its fault."""
        ...

    def end(self, side: Side) -> list[Said]:
        """Nothing more comes from that side: its FIN, or the end of the capture."""
        ...


@dataclass(frozen=True, slots=True)
class Application:
    """A protocol that netlab reads."""

    name: str  # the word for --decode-as: "http", "tls", "dns"
    title: str  # "HTTP/1.1"
    tcp_ports: frozenset[int]  # of the server
    udp_ports: frozenset[int]  # of either end
    # Whether the first bytes of client and of server (b"": none) can hardly be anything else.
    likely: Callable[[bytes, bytes], bool]
    conversation: Callable[[], Conversation] | None  # over TCP
    datagram: Callable[[bytes], list[Said]] | None  # one UDP payload

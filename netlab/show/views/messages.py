"""Messages of applications: the list, one with all its fields, and what a frame holds of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from netlab.correlate.messages import DecodeAs, protocol_of, said_of
from netlab.correlate.reassembly import Reassembly
from netlab.decode.applications.message import Item, Said
from netlab.model.errors import UsageError
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Message, Packet, Segment, Side, Tables
from netlab.show.views.blocks import FieldLine, LayerBlock

_KEPT = 4096  # bytes of a message that a view holds, unless all are asked for


@dataclass(frozen=True, slots=True)
class MessageLine:
    """A message in one line."""

    message: int | None  # None: not counted in so large a capture
    time_ns: int  # since the first packet: its first byte
    took_ns: int  # from there to its last
    connection: int
    direction: str
    protocol: str
    text: str
    size_bytes: int
    frames: tuple[int, ...]
    fault: str | None


@dataclass(frozen=True, slots=True)
class Mover:
    """A call that moved bytes of a message."""

    call: int
    actor: str
    op: str
    side: str  # sender or receiver
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Carrier:
    """A frame that brought bytes of a message, and which."""

    frame: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message, whole."""

    line: MessageLine
    client: str
    server: str
    start: int  # in the stream of its sender
    stop: int
    base: int  # of the fields' offsets: 0 in a stream, the datagram's start in a UDP conversation
    blocks: tuple[LayerBlock, ...]  # the message, then what it holds
    texts: tuple[str, ...]  # what each block says
    frames: tuple[Carrier, ...]
    calls: tuple[Mover, ...]
    data: bytes  # its first bytes, as far as they were captured without a gap


@dataclass(frozen=True, slots=True)
class MessagePart:
    """What one frame holds of a message: its fields there, with their places in the frame."""

    message: int | None  # None: not counted in so large a capture
    protocol: str
    text: str
    part: str  # whole, begins, goes on, ends
    frames: int  # how many brought it
    start: int  # in the frame
    stop: int
    fault: str | None
    blocks: tuple[LayerBlock, ...]  # the message, then what of what it holds is here
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a connection speaks."""

    connection: int
    protocol: str  # empty: nothing that netlab reads
    how: str  # content and port, content, port, --decode-as


def spoken(
    tables: Tables, raw: RawRecording, connection: Connection, decode_as: Sequence[DecodeAs]
) -> Spoken:
    """What a connection speaks, and how that is known."""
    guess = protocol_of(tables, raw, connection, decode_as)
    if guess is None:
        return Spoken(connection.connection, "", "")
    return Spoken(connection.connection, guess.application.title, guess.how)


def message_lines(
    tables: Tables,
    limit: int | None,
    chosen: Collection[int] | None = None,
    connection: int | None = None,
) -> tuple[list[MessageLine], int]:
    """The messages, at most `limit` of them (None or 0: all), and how many there are.

    Of `chosen` numbers alone, and of one connection, where given.
    """
    start = tables.packets[0].time_ns if tables.packets else 0
    part = tables.is_part and connection is not None
    there = [
        message
        for message in (tables.messages_of(connection or 0) if part else tables.messages)
        if (chosen is None or message.message in chosen)
        and connection in (None, message.connection)
    ]
    return [_line(message, start) for message in islice(there, limit or None)], len(there)


def _line(message: Message, start_ns: int) -> MessageLine:
    return MessageLine(
        message.message or None,
        message.first_ns - start_ns,
        message.last_ns - message.first_ns,
        message.connection,
        message.direction,
        message.protocol,
        message.text,
        message.stop - message.start,
        message.frames,
        message.fault,
    )


def message_view(
    tables: Tables, raw: RawRecording, number: int, *, whole: bool = False
) -> MessageView:
    """One message with its fields, frames, calls and bytes (`whole`: all of them).

    Raises UsageError when there is none of this number.
    """
    count = len(tables.messages)
    if not 1 <= number <= count:
        hint = f"its messages are 1 to {count}" if count else "it has none that netlab reads"
        raise UsageError(f"no message {number} in this file", hint)
    message = tables.messages[number - 1]
    connection = next(c for c in tables.connections if c.connection == message.connection)
    said = said_of(message)
    base = message.start if connection.protocol == "udp" else 0
    carriers: list[Carrier] = []
    data = bytearray()
    side = Side.CLIENT if message.direction == Side.CLIENT.outbound else Side.SERVER
    most = message.stop if whole else min(message.stop, message.start + _KEPT)
    for chunk in Reassembly(tables, raw).chunks(connection, side):
        start, stop = max(chunk.start, message.start), min(chunk.stop, message.stop)
        if chunk.frame is None or start >= stop:
            continue
        carriers.append(Carrier(chunk.frame, start, stop))
        if start == message.start + len(data) and start < most:
            data += chunk.data[start - chunk.start : min(stop, most) - chunk.start]
    return MessageView(
        line=_line(message, tables.packets[0].time_ns),
        client=connection.client,
        server=connection.server,
        start=message.start,
        stop=message.stop,
        base=base,
        blocks=tuple(_block(one, said.start, said.stop, 0) for one in _each(said)),
        texts=tuple(one.text for one in _each(said)),
        frames=tuple(carriers),
        calls=_movers(tables, message),
        data=bytes(data),
    )


def _movers(tables: Tables, message: Message) -> tuple[Mover, ...]:
    found = []
    for number in message.calls:
        call = tables.calls[number - 1]
        assert call.start is not None
        assert call.stop is not None
        sends = call.side is not None and Side(call.side).outbound == message.direction
        side = "sender" if sends else "receiver"
        found.append(Mover(call.call, call.actor, call.op, side, call.start, call.stop))
    return tuple(found)


def parts_of(tables: Tables, packet: Packet, segment: Segment | None) -> tuple[MessagePart, ...]:
    """What a frame holds of messages, in the order of its bytes."""
    off, size = packet.payload_off, packet.payload_len_bytes
    if packet._piece is not None:
        header = 0 if packet._fragment_off else 8  # RFC 768: it is in the first fragment
        off, stop = packet._piece[0] + header, packet._piece[1]
        size = stop - off
    if packet.connection is None or off is None or not size:
        return ()
    if segment is not None:
        if packet._whole is not None:  # its bytes are those of several frames
            return ()
        begin = segment.start
    elif packet.protocol == "UDP":
        begin = max(packet._fragment_off - 8, 0)
    else:
        return ()
    found = []
    for message in tables.messages_of(packet.connection):
        if message.direction != packet.direction:
            continue
        said = said_of(message)
        there = said.start < begin + size and begin < said.stop
        if there and (segment is not None or packet.frame in message.frames):
            found.append(_part(message, said, begin, begin + size, off - begin))
    return tuple(sorted(found, key=lambda part: part.start))


def _part(message: Message, said: Said, begin: int, end: int, shift: int) -> MessagePart:
    """The part of a message that lies in begin..end, with offsets moved by `shift`."""
    starts, stops = said.start >= begin, said.stop <= end
    start, stop = max(said.start, begin), min(said.stop, end)
    here = [
        one for one in _each(said)
        if one is said or (one.start < stop and start < one.stop)
    ]  # fmt: skip
    return MessagePart(
        message.message or None,
        message.protocol,
        message.text,
        "whole" if starts and stops else "begins" if starts else "ends" if stops else "goes on",
        len(message.frames),
        start + shift,
        stop + shift,
        message.fault,
        tuple(_block(one, start, stop, shift) for one in here),
        tuple(one.text for one in here),
    )


def _each(said: Said) -> Iterator[Said]:
    """A message and all that it holds."""
    yield said
    for inner in said.inner:
        yield from _each(inner)


def _block(said: Said, begin: int, end: int, shift: int) -> LayerBlock:
    items: Iterable[Item] = (
        item
        for item in said.items
        if (item.start < end and begin < item.stop) or begin <= item.start == item.stop < end
    )
    fields = tuple(_field(item, begin, end, shift) for item in items)
    start, stop = max(said.start, begin) + shift, min(said.stop, end) + shift
    return LayerBlock(said.protocol, start, stop, fields)


def _field(item: Item, begin: int, end: int, shift: int) -> FieldLine:
    start = max(item.start, begin) + shift
    stop = max(min(item.stop, end) + shift, start)
    return FieldLine(
        item.name, item.text, item.meaning, start, stop, item.source, start * 8, stop * 8, ""
    )


def moved_by(tables: Tables, call: Call) -> tuple[str, ...]:
    """The messages of which a call moved any byte: `message 12, HTTP/1.1 GET /index.html`."""
    if call.connection is None or call.start is None:
        return ()
    return tuple(
        (f"message {message.message}, " if message.message else "")
        + f"{message.protocol} {message.text}"
        for message in tables.messages_of(call.connection)
        if call.call in message.calls
    )


def completed(messages: Sequence[Message]) -> dict[int, str]:
    """By frame, the text of the message with whose last byte it came: `GET /`, `200 OK +2`."""
    texts: dict[int, list[str]] = {}
    for message in messages:
        texts.setdefault(message._whole, []).append(message.text)
    return {
        frame: said[0] + (f" +{len(said) - 1}" if len(said) > 1 else "")
        for frame, said in texts.items()
    }

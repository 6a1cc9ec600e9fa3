"""Connections and their bytes -> the table `messages`: what the applications said, who carried it.

Each connection's protocol is told, or guessed by its first bytes and its port; its conversation is
fed what both sides sent, interleaved as it could be read. A message knows the frames that brought
it and the calls of both ends that moved it. Read first: `decode.applications.message`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from netlab.correlate.reassembly import Chunk, Reassembly
from netlab.decode.applications.message import Application, Said
from netlab.decode.applications.registry import Guess, guess_datagrams, guess_stream
from netlab.model.ranges import RangeMap
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Message, Side, Tables

_Placed = tuple[int, Message]  # with the place of the frame with which it could first be read
_FIRST_BYTES = 20_000  # of each side, by which a protocol is guessed: more than a TLS record


@dataclass(frozen=True, slots=True)
class DecodeAs:
    """What somebody says: connections with this port speak this protocol."""

    transport: str  # tcp or udp
    port: int
    application: Application


def messages(
    tables: Tables,
    raw: RawRecording,
    decode_as: Sequence[DecodeAs] = (),
    only: int | None = None,
) -> list[Message]:
    """The messages of all connections, numbered by the frames with which they could first be read.

    Those of one connection (`only`) have no numbers: they count all messages of the capture.
    A protocol that only a port suggests is believed when at least one of its messages has a field.
    """
    streams = Reassembly(tables, raw)
    movers = _Movers(tables.calls)
    found: list[_Placed] = []
    for connection in tables.connections:
        if connection.first_ns is None or only not in (None, connection.connection):
            continue
        if connection.protocol == "tcp":
            found += _of_stream(streams, connection, decode_as, movers)
        elif connection.protocol == "udp":
            found += _of_datagrams(streams, connection, decode_as, movers)
    found.sort(key=lambda placed: (placed[0], placed[1].connection))
    if only is not None:
        return [message for _, message in found]
    return [replace(message, message=number) for number, (_, message) in enumerate(found, 1)]


def said_of(message: Message) -> Said:
    """What decode made of a message: its fields."""
    assert isinstance(message._said, Said)
    return message._said


def protocol_of(
    tables: Tables, raw: RawRecording, connection: Connection, decode_as: Sequence[DecodeAs] = ()
) -> Guess | None:
    """What a connection speaks, and how that is known; None: nothing that netlab reads."""
    streams = Reassembly(tables, raw)
    if connection.protocol == "udp":
        return _guess_datagrams(streams, connection, decode_as)[0]
    every = {side: list(streams.chunks(connection, side)) for side in Side}
    return _guess_stream(every, connection, decode_as)[0]


def told_of(connection: Connection, decode_as: Sequence[DecodeAs]) -> Application | None:
    """What the rules say that a connection speaks."""
    ports = connection.client_port, connection.server_port
    for rule in reversed(decode_as):  # the last word holds
        if rule.transport == connection.protocol and rule.port in ports:
            return rule.application
    return None


def _told(connection: Connection, decode_as: Sequence[DecodeAs]) -> Guess | None:
    application = told_of(connection, decode_as)
    return None if application is None else Guess(application, "--decode-as")


def _guess_stream(
    every: dict[Side, list[Chunk]], connection: Connection, decode_as: Sequence[DecodeAs]
) -> tuple[Guess | None, bool]:
    """The protocol of a TCP connection, and whether its ends have each other's parts.

    Of a connection whose beginning was not captured nobody knows who is the client.
    """
    client, server = _first(every[Side.CLIENT]), _first(every[Side.SERVER])
    told = _told(connection, decode_as)
    if told is not None:
        likely = told.application.likely
        return told, not likely(client, server) and likely(server, client)
    if not client and not server:
        return None, False
    straight = guess_stream(client, server, connection.server_port)
    if straight is not None and straight.how != "port":
        return straight, False
    turned = guess_stream(server, client, connection.client_port)
    if turned is not None and (turned.how != "port" or straight is None):
        return turned, True
    return straight, False


def _first(chunks: list[Chunk]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        if chunk.frame is None and not parts:
            continue
        if chunk.frame is None or size >= _FIRST_BYTES:
            break
        parts.append(bytes(chunk.data[: _FIRST_BYTES - size]))
        size += len(parts[-1])
    return b"".join(parts)


def _of_stream(
    streams: Reassembly, connection: Connection, decode_as: Sequence[DecodeAs], movers: _Movers
) -> list[_Placed]:
    every = {side: list(streams.chunks(connection, side)) for side in Side}
    guess, turned = _guess_stream(every, connection, decode_as)
    if guess is None or guess.application.conversation is None:
        return []
    talk = guess.application.conversation()
    owners = {side: _owners(streams, chunks) for side, chunks in every.items()}
    found: list[_Placed] = []
    for chunk in _as_they_came(streams, every):
        role = _OTHER[chunk.side] if turned else chunk.side
        if chunk.frame is None:
            spoken = talk.gap(role, chunk.start, chunk.stop)
        else:
            spoken = talk.feed(role, bytes(chunk.data), chunk.start)
        for said in spoken:
            found += _message(connection, chunk.side, said, owners[chunk.side], movers)
    for side in Side:
        for said in talk.end(_OTHER[side] if turned else side):
            found += _message(connection, side, said, owners[side], movers)
    return found if guess.how != "port" or _is_it(found) else []


def _is_it(found: list[_Placed]) -> bool:
    return any(said_of(message).items for _, message in found)


def _as_they_came(streams: Reassembly, every: dict[Side, list[Chunk]]) -> Iterator[Chunk]:
    """The chunks of both sides in the order in which they could be read.

    A chunk has to wait for all before it on its side. A gap that no frame ever fills is told with
    the chunk behind it.
    """
    keyed: list[tuple[int, Chunk]] = []
    for chunks in every.values():
        latest = 0
        waiting: list[Chunk] = []
        for chunk in chunks:
            waiting.append(chunk)
            if chunk.frame is not None:
                latest = max(latest, streams.place(chunk.frame))
                keyed += [(latest, one) for one in waiting]
                waiting = []
    keyed.sort(key=lambda pair: pair[0])
    return (chunk for _, chunk in keyed)


def _guess_datagrams(
    streams: Reassembly, connection: Connection, decode_as: Sequence[DecodeAs]
) -> tuple[Guess | None, dict[Side, list[list[Chunk]]]]:
    every = {side: list(streams.datagrams(connection, side)) for side in Side}
    told = _told(connection, decode_as)
    if told is not None:
        return told, every
    first = [
        b"".join(bytes(chunk.data) for chunk in every[side][0]) if every[side] else b""
        for side in Side
    ]
    ports = connection.client_port, connection.server_port
    return guess_datagrams(first[0], first[1], ports), every


def _of_datagrams(
    streams: Reassembly, connection: Connection, decode_as: Sequence[DecodeAs], movers: _Movers
) -> list[_Placed]:
    found: list[_Placed] = []
    guess, every = _guess_datagrams(streams, connection, decode_as)
    if guess is None or guess.application.datagram is None:
        return found
    for side, datagrams in every.items():
        for chunks in datagrams:
            if not chunks:
                continue
            owners = _owners(streams, chunks)
            start, stop = chunks[0].start, chunks[-1].stop
            whole = takewhile(lambda one: one.frame is not None, chunks)
            held = b"".join(bytes(one.data) for one in whole)  # nothing is known behind a gap
            missing = sum(chunk.size for chunk in chunks if chunk.frame is None)
            for said in guess.application.datagram(held):
                fault = said.fault
                if missing:
                    fault = f"{missing:,} bytes of the datagram were not captured"
                where = start, stop
                found += _message(connection, side, said, owners, movers, where, fault)
    return found if guess.how != "port" or _is_it(found) else []


_Owners = RangeMap[tuple[Chunk, int, int]]  # with place and number of the frame that let it be read


def _owners(streams: Reassembly, chunks: list[Chunk]) -> _Owners:
    owners: _Owners = RangeMap()
    latest, frame = -1, 0
    for chunk in chunks:
        if chunk.frame is not None:
            place = streams.place(chunk.frame)
            latest, frame = max((latest, frame), (place, chunk.frame))
            owners.claim(chunk.start, chunk.stop, (chunk, latest, frame))
    return owners


def _message(
    connection: Connection,
    side: Side,
    said: Said,
    owners: _Owners,
    movers: _Movers,
    datagram: tuple[int, int] | None = None,
    fault: str = "",
) -> list[_Placed]:
    """The row of a message, numbered later; none for one of which no frame holds a byte."""
    start, stop = datagram or (said.start, said.stop)
    owned = owners.overlaps(start, stop)
    if not owned:
        return []
    carried = [chunk for _, _, (chunk, _, _) in owned]
    times = [chunk.time_ns for chunk in carried if chunk.time_ns is not None]
    message = Message(
        message=0,
        connection=connection.connection,
        direction=side.outbound,
        protocol=said.protocol,
        start=start,
        stop=stop,
        frames=tuple(sorted({frame for chunk in carried for frame in chunk.frames})),
        first_ns=min(times),
        last_ns=max(times),
        text=said.text,
        fault=fault or said.fault or None,
        calls=movers.of(connection.connection, side.outbound, start, stop),
        _said=said,
        _whole=owned[-1][2][2],
    )
    return [(owned[0][2][1], message)]


class _Movers:
    """The calls that moved bytes, by connection and direction."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls: dict[tuple[int, str], list[tuple[int, int, int]]] = {}
        for call in calls:
            if call.start is None or call.stop is None or call.start == call.stop:
                continue
            if call.connection is not None and call.direction is not None:
                key = call.connection, call.direction
                self._calls.setdefault(key, []).append((call.start, call.stop, call.call))
        self._longest: dict[tuple[int, str], int] = {}
        for key, moved in self._calls.items():
            moved.sort()
            self._longest[key] = max(stop - start for start, stop, _ in moved)

    def of(self, connection: int, direction: str, start: int, stop: int) -> tuple[int, ...]:
        """The calls that moved any byte of start..stop, by number."""
        key = connection, direction
        moved = self._calls.get(key)
        if moved is None:
            return ()
        found = []
        for begin, end, number in moved[bisect_left(moved, (start - self._longest[key], 0, 0)) :]:
            if begin >= stop:
                break
            if end > start:
                found.append(number)
        return tuple(sorted(found))


_OTHER = {Side.CLIENT: Side.SERVER, Side.SERVER: Side.CLIENT}

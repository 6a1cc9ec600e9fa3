"""A connection that moves to another process: what is to be known of it, and its life after.

The three steps between two engines: `baggage_of` (here), `depart` (here, once it was handed over),
`arrive` (there, instead of `open`). Nothing is told to anybody: the session lives on. A friend of
`connection`, whose state it copies; how baggage travels is handover.py's.
"""

from __future__ import annotations

import os
from functools import partial

from netlab.server.loop.pollers import READ
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.handover import Baggage, FilePart
from netlab.server.sockets.out_queue import FileRange
from netlab.server.sockets.outgoing import BY_OUTPUT, BY_USER
from netlab.server.terms import Closed, CloseReason, Overflow


def baggage_of(connection: Connection) -> Baggage:
    """All that is to be known of it elsewhere."""
    output: list[bytes | FilePart] = []
    for piece in connection._out or ():
        if isinstance(piece, FileRange):
            output.append(FilePart(piece.descriptor, piece.offset, piece.count))
        else:
            output.append(bytes(piece))
    framing = connection._framing
    return Baggage(
        session=connection.session,
        entrance=connection.entrance,
        address=connection.address,
        uid=connection.uid,
        protected=connection.protected,
        paused=bool(connection._paused & BY_USER),
        connected_at_s=connection.connected_at_s,
        received_at_s=connection.received_at_s,
        sent_at_s=connection.sent_at_s,
        message_since_s=connection.message_since_s,
        received_bytes=connection.received_bytes,
        sent_bytes=connection.sent_bytes,
        messages=connection.messages,
        responses=connection.responses,
        peer_finished=connection.peer_finished,
        write_shut=connection._write_shut,
        ending=connection._ending,
        closing=connection.closing,
        fault=connection._fault,
        pending=bytes(framing.pending) if framing is not None else b"",
        undelivered=tuple(connection._undelivered),
        output=tuple(output),
    )


def depart(connection: Connection) -> None:
    """It lives on in another process: leave the loop here, and tell nobody."""
    connection.closed = Closed(CloseReason.LOCAL)
    connection._ending = True
    if connection._timer:
        connection._reactor.clear(connection._timer)
    if connection._awaited >= 0:
        connection._reactor.unregister(connection.descriptor)
    if connection._out is not None:
        connection._out.clear()
        connection._out = None
    connection._socket.close()


def arrive(connection: Connection, baggage: Baggage) -> None:
    """Go on where another process left off; instead of `open`."""
    connection.uid = baggage.uid
    connection.protected = baggage.protected
    connection.connected_at_s = baggage.connected_at_s
    connection.received_at_s = baggage.received_at_s
    connection.sent_at_s = baggage.sent_at_s
    connection.message_since_s = baggage.message_since_s
    connection.received_bytes = baggage.received_bytes
    connection.sent_bytes = baggage.sent_bytes
    connection.messages = baggage.messages
    connection.responses = baggage.responses
    connection.peer_finished = baggage.peer_finished
    connection._write_shut = baggage.write_shut
    connection._ending = baggage.ending
    connection.closing = baggage.closing
    connection._fault = baggage.fault
    if connection._framing is not None and baggage.pending:
        connection._framing.restore(baggage.pending)
    connection._undelivered = list(baggage.undelivered)
    for part in baggage.output:
        out = connection._queue_made()
        if isinstance(part, FilePart):
            out.put_file(
                part.descriptor, part.offset, part.count,
                partial(os.close, part.descriptor),
            )  # fmt: skip
        else:
            out.put(part)
    if connection.closing is not None and connection._out is not None:
        connection._out.seal()
    connection._paused = BY_USER if baggage.paused else 0
    if (
        connection._out is not None
        and connection._out.full
        and connection.options.overflow is Overflow.PAUSE
    ):
        connection._paused |= BY_OUTPUT
    connection._reactor.register(connection.descriptor, READ, connection.on_ready)
    connection._awaited = READ
    connection._await()
    connection._arm()
    connection._reactor.defer(connection._resumed)

"""websocket: echo of WebSocket messages (RFC 6455), after an HTTP upgrade on the same connection.

The first bytes tell heads and frames apart: a request begins with G of GET, and no frame can (0x47
would be one with a reserved bit and an unknown opcode). So the framing cuts the stream into heads
and whole frames, and a worker that takes over in the middle of a connection understands the next
frame. wsproto knows the protocol: the handshake, masks, fragments, ping, close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netlab.server.handlers.http_head import MOST_HEAD_BYTES, head_length
from netlab.server.handlers.optional import needed
from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server

MOST_FRAME_BYTES = 1 << 20
_MASK_BYTES = 4
_GET = ord("G")


def head_or_frame_length(data: memoryview) -> int:
    """The bytes of the request head or of the frame at the start of `data`; 0: needs more."""
    if data[0] == _GET:
        return head_length(data)
    if len(data) < 2:
        return 0
    length = data[1] & 0x7F
    start = {126: 4, 127: 10}.get(length, 2)
    if len(data) < start:
        return 0
    if start > 2:
        length = int.from_bytes(data[2:start], "big")
    return start + (_MASK_BYTES if data[1] & 0x80 else 0) + length


OPTIONS = {"length_function": head_or_frame_length, "max_message": MOST_FRAME_BYTES}
assert MOST_HEAD_BYTES <= MOST_FRAME_BYTES


def install(server: Server, settings: Settings) -> None:
    """Let the server echo WebSocket messages. Raises UsageError without wsproto."""
    echo = _Echo(needed("wsproto", "websocket"))
    server.on("receive", echo.receive)
    server.on("close", lambda server, session, closed: echo.conversations.pop(session, None))


class _Echo:
    """The callbacks, and the conversations of this worker by session."""

    def __init__(self, wsproto: Any) -> None:
        self._wsproto = wsproto
        self._events = needed("wsproto.events", "websocket")
        self._connection = needed("wsproto.connection", "websocket")
        self.conversations: dict[int, Any] = {}

    def receive(self, server: Server, session: int, data: bytes) -> None:
        """A request head or a frame."""
        if data[0] == _GET:
            self._shake_hands(server, session, data)
        else:
            self._frame(server, session, data)

    def _shake_hands(self, server: Server, session: int, head: bytes) -> None:
        events, refused = self._events, self._wsproto.utilities.RemoteProtocolError
        protocol = self._wsproto.WSConnection(self._connection.ConnectionType.SERVER)
        try:
            protocol.receive_data(head)
            request = next(protocol.events(), None)
        except refused:
            request = None
        if isinstance(request, events.Request):
            server.send(session, protocol.send(events.AcceptConnection()))
        else:
            text = b"this port speaks WebSocket: ask for an upgrade\n"
            server.send(
                session,
                b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
                b"Connection: upgrade, close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text),
            )
            server.close(session)

    def _frame(self, server: Server, session: int, frame: bytes) -> None:
        """Echo what a frame completes; a frame that breaks the rules is answered by a close."""
        events = self._events
        conversation = self.conversations.get(session)
        if conversation is None:
            kind = self._connection.ConnectionType.SERVER
            conversation = self.conversations[session] = self._connection.Connection(kind)
        conversation.receive_data(frame)
        for event in conversation.events():
            if isinstance(event, events.Message):
                whole = event.message_finished
                answer = type(event)(data=event.data, message_finished=whole)
                server.send(session, conversation.send(answer))
            elif isinstance(event, events.Ping | events.CloseConnection):
                server.send(session, conversation.send(event.response()))
                if isinstance(event, events.CloseConnection):
                    server.close(session)

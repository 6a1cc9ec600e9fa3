"""The clients of the scenarios: each speaks to one handler, as long as it was told to, and checks.

Read `client` first: it is the echo client, and what all of them share. Those of the web are in
`clients_web`, that of the chat room in `client_chat`.
"""

from __future__ import annotations

import contextlib
import json

from netlab.lab.client import Client, ClientOrders, Failed
from netlab.lab.client_chat import Chat
from netlab.lab.clients_web import Http, WebSocket
from netlab.lab.pattern import pattern
from netlab.server.handlers import bad, chargen

__all__ = ["CLIENTS", "Client", "ClientOrders", "Failed"]

STUCK_WAIT_S = 0.5  # a send that takes so long will not end


class Upper(Client):
    """Wants its bytes back in capitals."""

    what = "answer"

    def answer(self, start: int, stop: int) -> bytes:
        return pattern(start, stop).upper()


class Discard(Client):
    """Speaks and gets no answer."""

    def _exchange(self, start: int) -> None:
        self._send(start, start + self._orders.size_bytes)

    def _exchange_datagram(self, start: int) -> None:
        self._socket.send(pattern(start, start + self._orders.size_bytes))


class Chargen(Client):
    """Listens to the end: as many bytes as `messages` of that size would have."""

    what = "characters"

    def answer(self, start: int, stop: int) -> bytes:
        return chargen.characters(start, stop)

    def converse(self) -> None:
        """Hear all of it, then close as well."""
        if self._orders.udp:
            super().converse()
            return
        heard = 0
        while data := self._socket.recv(self._orders.recv_size_bytes):
            self._check(data, heard)
            heard += len(data)
            self._progress(heard // self._orders.size_bytes)
        wanted = self._orders.messages * self._orders.size_bytes
        if heard != wanted:
            raise Failed(f"the server sent {heard} bytes, not {wanted}")
        self._socket.close()

    def _exchange_datagram(self, start: int) -> None:
        super()._exchange_datagram(0)  # every answer begins anew


class Daytime(Client):
    """Listens to one line, and to the end."""

    def converse(self) -> None:
        """Hear the time; in UDP it has to ask for it."""
        line = b""
        if self._orders.udp:
            self._socket.send(b"what time is it?")
            line = self._socket.recv(self._orders.recv_size_bytes)
        else:
            while data := self._socket.recv(self._orders.recv_size_bytes):
                line += data
        if not line.endswith(b"\r\n"):
            raise Failed("the server did not say a whole line")
        self._progress(self._orders.messages)  # one line is all that there is
        self._socket.close()


class Stuck(Client):
    """Speaks to a server that does not listen, until a send takes too long."""

    def converse(self) -> None:
        """Send what is taken; closing then is all that is left to do."""
        self._socket.settimeout(STUCK_WAIT_S)
        with contextlib.suppress(TimeoutError):
            for index in range(self._orders.messages):
                start = index * self._orders.size_bytes
                self._send(start, start + self._orders.size_bytes)
                self._progress(index + 1)
        self._socket.close()


class Bad(Client):
    """Speaks to a server that leaves without having listened: a reset is what it expects."""

    def converse(self) -> None:
        """Send it all, then listen to the end, whichever it is."""
        heard = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for index in range(self._orders.messages):
                start = index * self._orders.size_bytes
                self._send(start, start + self._orders.size_bytes)
                self._progress(index + 1)
            while data := self._socket.recv(self._orders.recv_size_bytes):
                heard += data
        if not bad.GOODBYE.startswith(heard):
            raise Failed("the server said something else than goodbye")
        self._socket.close()


class Rpc(Client):
    """Calls by name; each message is one call."""

    def _exchange(self, start: int) -> None:
        size = self._orders.size_bytes
        calls: list[tuple[str, list[object]]] = [
            ("add", [start, size]), ("echo", ["x" * size]), ("sleep", [0.02]),
        ]  # fmt: skip
        if self._orders.tasks:
            calls.append(("task", [1000]))
        number = start // size
        method, params = calls[number % len(calls)]
        call = json.dumps({"id": number, "method": method, "params": params}).encode()
        self._put(len(call).to_bytes(4, "big") + call)
        answer = json.loads(self._take(int.from_bytes(self._take(4), "big")))
        if answer.get("id") != number or "result" not in answer:
            raise Failed(f"the call {method} was answered by {answer}")


CLIENTS: dict[str, type[Client]] = {
    "echo": Client,
    "upper": Upper,
    "discard": Discard,
    "chargen": Chargen,
    "daytime": Daytime,
    "slow": Client,
    "stuck": Stuck,
    "bad": Bad,
    "rpc": Rpc,
    "http": Http,
    "websocket": WebSocket,
    "chat": Chat,
}

"""The verbs of a worker that has sockets: on its own sessions by its engine, else by envelope."""

from __future__ import annotations

import os

from netlab.server.family.remote import RemoteEngine
from netlab.server.sockets.engine import Engine
from netlab.server.terms import Client, ClientInfo


class HereOrThere(RemoteEngine):
    """Looks whether the engine knows the session."""

    engine: Engine

    def send(self, session: int, data: bytes | bytearray | memoryview) -> bool:
        connection = self.engine.connections.get(session)
        if connection is None:
            return super().send(session, data)
        error = connection.send(data)
        return error is None or self._refuse(error)

    def sendfile(
        self, session: int, path: str | os.PathLike[str], offset: int = 0, count: int | None = None
    ) -> bool:
        if session not in self.engine.connections:
            return super().sendfile(session, path, offset, count)
        return self._took(self.engine.sendfile(session, path, offset, count))

    def sendto(self, client: Client, data: bytes) -> bool:
        return self._took(self.engine.sendto(client, data))

    def half_close(self, session: int) -> bool:
        if session not in self.engine.connections:
            return super().half_close(session)
        return self._took(self.engine.half_close(session))

    def pause(self, session: int) -> bool:
        if session not in self.engine.connections:
            return super().pause(session)
        return self._took(self.engine.pause(session))

    def resume(self, session: int) -> bool:
        if session not in self.engine.connections:
            return super().resume(session)
        return self._took(self.engine.resume(session))

    def protect(self, session: int, on: bool = True) -> bool:
        if session not in self.engine.connections:
            return super().protect(session, on)
        return self._took(self.engine.protect(session, on))

    def bind(self, session: int, uid: int) -> bool:
        if session not in self.engine.connections:
            return super().bind(session, uid)
        return self._took(self.engine.bind(session, uid))

    def client_info(self, session: int) -> ClientInfo | None:
        if session in self.engine.connections:
            return self.engine.client_info(session)
        return super().client_info(session)

    def exists(self, session: int) -> bool:
        if session in self.engine.connections:
            return self.engine.exists(session)
        return super().exists(session)

    def close(self, session: int, reset: bool = False) -> bool:
        if session not in self.engine.connections:
            return super().close(session, reset)
        return self._took(self.engine.close(session, reset))

    def _took(self, taken: bool) -> bool:
        if not taken:
            self.last_error = self.engine.last_error
        return taken

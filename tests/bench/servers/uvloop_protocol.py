"""The same protocol as asyncio_protocol.py on uvloop: libuv's loop, transports in Cython."""

from __future__ import annotations

import asyncio

import uvloop
from asyncio_protocol import Echo


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())

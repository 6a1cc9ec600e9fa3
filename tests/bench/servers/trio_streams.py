"""Echo on trio: a task for each connection."""

from __future__ import annotations

import trio


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def serve() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=512)
    print(listener.socket.getsockname()[1], flush=True)
    await trio.serve_listeners(echo, [listener])


if __name__ == "__main__":
    trio.run(serve)

"""netlab's own server as an echo server, in any mode, watched or not."""

from __future__ import annotations

import argparse

from netlab.capture.probe import JournalProbe
from netlab.server import Server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="single")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--poller", default="epoll")
    parser.add_argument("--record", help="the folder for the spools of its calls")
    parser.add_argument("--work", type=int, default=0, help="rounds of Python work a message")
    asked = parser.parse_args()
    options = {"workers": asked.workers} if asked.workers else {}
    probe = JournalProbe(asked.record, actor="server", queues="events") if asked.record else None
    server = Server(
        "127.0.0.1", 0, probe=probe, mode=asked.mode, poller=asked.poller, nodelay=True,
        backlog=512, max_connections=12_000, **options,
    )  # fmt: skip

    def echo(server: Server, session: int, data: bytes) -> None:
        server.send(session, data)

    def work_and_echo(server: Server, session: int, data: bytes) -> None:
        work(asked.work)
        server.send(session, data)

    server.on("receive", work_and_echo if asked.work else echo)
    (place,) = server.open()
    print(place.port, flush=True)
    raise SystemExit(server.start())


def work(rounds: int) -> int:
    """What a handler does for its living: integer arithmetic, all of it under the GIL."""
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) & 0xFFFF
    return total


if __name__ == "__main__":
    main()

"""rpc: calls by name. A message is 4 bytes of length (big-endian), then JSON, each way.

`{"id": 1, "method": "add", "params": [2, 3]}` is answered by `{"id": 1, "result": 5}`, or by
`{"id": 1, "error": "..."}`. Answers come when they are ready, not in the order of the questions:
the id tells which is which. `sleep` waits with a timer, so others are served meanwhile; `task` does
slow work (rounds of SHA-256) in a task worker, so that the worker does not stand still.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from netlab.model.errors import UsageError
from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server

MOST_BYTES = 1 << 20
LONGEST_SLEEP_S = 60.0
MOST_ROUNDS = 1_000_000
OPTIONS = {
    "framing": "length", "length_type": "N", "body_offset": 4, "max_message": MOST_BYTES,
}  # fmt: skip
Answer = Callable[..., object]  # answer(result=...) or answer(error=...)


class Wrong(Exception):
    """What the client asked makes no sense; the text is for the client."""


def install(server: Server, settings: Settings) -> None:
    """Let the server answer calls."""
    server.on("receive", receive)
    server.on("task", task)
    server.on("finish", finish)


def receive(server: Server, session: int, message: bytes) -> None:
    """Do one call, or begin it."""
    identity: object = None
    try:
        call = parsed(message[4:])
        identity = call.get("id")
        method = METHODS.get(str(call.get("method")))
        if method is None:
            raise Wrong(f"no such method; there is {', '.join(METHODS)}")
        params = call.get("params", [])
        if not isinstance(params, list):
            raise Wrong("params is a list")
        method(server, partial(reply, server, session, identity), (session, identity), params)
    except Wrong as wrong:
        reply(server, session, identity, error=str(wrong))


def parsed(text: bytes) -> dict[str, Any]:
    """The JSON object of a message."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        raise Wrong("a message is a JSON object in UTF-8") from None
    if not isinstance(call, dict):
        raise Wrong("a message is a JSON object")
    return call


def reply(server: Server, session: int, identity: object, **answer: object) -> None:
    """Send an answer."""
    try:
        text = json.dumps({"id": identity, **answer}, allow_nan=False).encode()
    except (ValueError, RecursionError):  # infinity, or nested too deep
        text = json.dumps({"id": None, "error": "the result cannot be written as JSON"}).encode()
    server.send(session, len(text).to_bytes(4, "big") + text)


def add(server: Server, answer: Answer, who: tuple[int, object], params: list[Any]) -> None:
    """The sum of numbers."""
    answer(result=sum(map(number, params)))


def echo(server: Server, answer: Answer, who: tuple[int, object], params: list[Any]) -> None:
    """What was given."""
    answer(result=params)


def sleep(server: Server, answer: Answer, who: tuple[int, object], params: list[Any]) -> None:
    """Answer in so many seconds."""
    seconds = number(params[0]) if params else 0.0
    if not 0 <= seconds <= LONGEST_SLEEP_S:
        raise Wrong(f"sleep takes 0 to {LONGEST_SLEEP_S:g} seconds")
    server.after(seconds, lambda: answer(result=seconds))


def begin_task(server: Server, answer: Answer, who: tuple[int, object], params: list[Any]) -> None:
    """Let a task worker do so many rounds; its result comes to `finish`."""
    rounds = number(params[0]) if params else 1
    if not isinstance(rounds, int) or not 1 <= rounds <= MOST_ROUNDS:
        raise Wrong(f"task takes a whole number of rounds, 1 to {MOST_ROUNDS}")
    session, identity = who
    order = {"session": session, "id": identity, "rounds": rounds}
    try:
        taken = server.task(json.dumps(order).encode())
    except UsageError:
        taken = None
    if taken is None:
        raise Wrong("no task worker takes it: start the server with tasks")


METHODS = {"add": add, "echo": echo, "sleep": sleep, "task": begin_task}


def task(server: Server, task_id: int, source: str, data: bytes) -> bytes:
    """In the task worker: the slow part. The order is ours, so it is not checked again."""
    order = json.loads(data)
    digest = b""
    for _ in range(order["rounds"]):
        digest = hashlib.sha256(digest).digest()
    return json.dumps({**order, "result": digest.hex()}).encode()


def finish(server: Server, task_id: int, result: bytes) -> None:
    """Back in the worker: tell the client, if it is still there."""
    done = json.loads(result)
    reply(server, done["session"], done["id"], result=done["result"])


def number(value: object) -> int | float:
    """A number that JSON can hold; true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong("params are numbers")
    return value

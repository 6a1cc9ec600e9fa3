"""A server of several processes for the live tests: does what clients, tasks and messages say.

A message of a client is a Python expression in which `server` and `session` are known; what it
gives is sent back as its repr, unless that is None. So are tasks and messages between processes.
At an address that echoes, each message comes back behind its length (4 bytes).
Every callback of every process is reported as a line of JSON on a pipe that all of them hold: its
end of file says that the last one is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading  # noqa: F401
import time
from typing import Any

from netlab.server import Server
from netlab.server.callbacks import EVENTS
from netlab.server.family.process import die_with_parent

REPORTS = int(sys.argv[1])
GIVEN = json.loads(sys.argv[2])
RETURNS = frozenset({"task"})
kept: dict[str, Any] = {}  # a memory for expressions


def report(name: str, *arguments: Any) -> None:
    """One line, whole: shorter than PIPE_BUF."""
    line = {"name": name, "args": [repr(a)[:800] for a in arguments], "pid": os.getpid()}
    os.write(REPORTS, json.dumps(line).encode() + b"\n")


def big(count: int) -> bytes:
    """Bytes that are not all the same."""
    return bytes(range(251)) * (count // 251) + bytes(count % 251)


def sockets() -> list[str]:
    """The sockets that this process holds."""
    found = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    links = [os.readlink(path) for path in found if os.path.islink(path)]
    return [link for link in links if link.startswith("socket")]


def few_descriptors(count: int) -> None:
    """Room for so many more in this process."""
    kept["limit"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + count, kept["limit"][1]))
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.dup(2))
    for descriptor in held[len(held) - count :]:
        os.close(descriptor)


def refusal(action: Any) -> str:
    """What an action is refused with."""
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def stuck(seconds: float) -> None:
    """Busy in Python for so long, whatever signals come."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


def length_of(head: memoryview) -> int:
    """A framing: a digit that says how many bytes follow; what is no digit is malformed."""
    if not head:
        return 0
    if head[0] == 33:  # "!"
        raise ZeroDivisionError("on purpose")
    return head[0] - 47 if 48 <= head[0] <= 57 else -1


def made() -> Server:
    """The server that was asked for."""
    address = GIVEN.pop("address", ["127.0.0.1", 0])
    hooks = GIVEN.pop("hooks", {})
    more = GIVEN.pop("more", [])
    silent = GIVEN.pop("silent", [])
    echo = GIVEN.pop("echo", False)
    ports = GIVEN.pop("ports", [])  # (whether it echoes, its options), behind the first address
    function = GIVEN.pop("function", None)
    if function:
        GIVEN["dispatch_func"] = eval(function)
    if GIVEN.pop("without_0", False):
        os.close(0)
    record = GIVEN.pop("record", None)
    if record:
        from netlab.capture.probe import JournalProbe

        GIVEN["probe"] = JournalProbe(record, actor="server")
    server = Server(address[0], address[1], **GIVEN)
    for _, options in ports:
        if options.get("framing") == "function":
            options["length_function"] = length_of
        server.listen("127.0.0.1", 0, **options)
    for host, port, kind in more:
        server.listen(host, port, kind)
    echoing = {number for number, (echoes, _) in enumerate(ports, 1) if echoes}
    entrances: dict[int, int] = {}

    def echoes(session: int) -> bool:
        if session not in entrances:
            info = server.client_info(session)
            entrances[session] = info.entrance if info is not None else 0
        return entrances[session] in echoing

    def run(text: str, **names: Any) -> Any:
        return eval(text, globals() | {"server": server, **names})  # nested scopes see globals only

    def receive(server: Server, session: int, data: bytes) -> None:
        if echo:
            server.send(session, data)
            return
        if echoing and echoes(session):
            server.send(session, len(data).to_bytes(4, "big") + data)
            return
        value = run(data.decode(), session=session)
        if value is not None:
            server.send(session, repr(value).encode() + b"\n")

    def packet(server: Server, data: bytes, client: Any) -> None:
        server.sendto(client, data + b" by %d" % os.getpid())

    def task(server: Server, task_id: int, source: str, data: Any) -> Any:
        report("task", task_id, source, data)
        return run(data) if isinstance(data, str) else data

    def pipe_message(server: Server, source: str, message: Any) -> None:
        report("pipe_message", source, message)
        if isinstance(message, str) and message.startswith("="):
            report("said", run(message[1:], source=source))

    own = {"receive": receive, "packet": packet, "task": task, "pipe_message": pipe_message}

    def listener(name: str) -> Any:
        def listen(server: Server, *arguments: Any) -> Any:
            if name in own:
                return own[name](server, *arguments)
            report(name, *arguments)
            if name in hooks:
                run(hooks[name], arguments=arguments)
            return None

        return listen

    for name in EVENTS:
        if name not in silent and (name != "half_close" or name in hooks):
            server.on(name, listener(name))
    places = server.open()
    report("open", [place.port for place in places])
    return server


die_with_parent(signal.SIGKILL)  # a test run that is killed leaves nothing behind
sys.exit(made().start())

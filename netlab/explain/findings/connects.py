"""Connects that failed where no frame shows it: to the own host while another link was captured.

A connect that waits says by its errno how it failed. One that does not is EINPROGRESS, and its
program learns by a poll that the socket has an error; which, it asks by SO_ERROR, and no witness
records that. An error that comes at once is what a port answers where nobody listens, as it seems.
Read first: man 2 connect (EINPROGRESS, ECONNREFUSED), man 2 poll (POLLERR).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from netlab.correlate.addresses import Endpoint, maybe_endpoint
from netlab.correlate.sockets import Socket
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, name_of
from netlab.model.call import POLLERR, events_text, is_moving
from netlab.model.tables import Call

_AT_ONCE_NS = 500_000_000  # before a SYN is sent again
_SOON_NS = 1_000_000_000  # a program that has another address tries it


def connect_failed(scene: Scene) -> Iterator[Finding]:
    """A connect over TCP that was refused, as its errno or a poll says, and no frame does."""
    failed, successes = _failures(scene), None
    for socket in scene.sockets.all:
        if socket.is_local or socket.is_object or not socket.is_stream or not socket.connects:
            continue
        call = scene.call(socket.connects[-1])
        if call.op != "connect" or scene.path(call.connection) is not None:
            continue
        told = _refused(call) or _reported(scene, socket, call, failed.get(id(socket), ()))
        if told is None:
            continue
        text, calls = told
        successes = successes or _Successes(scene)
        other = successes.after(call, maybe_endpoint(scene.record(call.call).address))
        tried = f" {name_of(other[0])} went through later {other[1]}." if other else ""
        yield Finding(
            "connect_failed", call.connection, Severity.LOW if other else Severity.MEDIUM,
            f"{name_of(call)} to {socket.peer or scene.record(call.call).address} {text}.{tried}",
            "Look whether something listens at that address: start it first, or correct it.",
            "man 2 connect; man 2 poll", (),
            (*calls, *((other[0].call,) if other else ())),
        )  # fmt: skip


def _failures(scene: Scene) -> dict[int, list[tuple[Call, int]]]:
    """By id of a socket: the waits that reported an error of it, and what each reported."""
    found: dict[int, list[tuple[Call, int]]] = {}
    for number, reports in sorted(scene.sockets.reported.items()):
        for ready, socket in reports:
            if ready.events & POLLERR:
                found.setdefault(id(socket), []).append((scene.call(number), ready.events))
    return found


def _refused(call: Call) -> tuple[str, tuple[int, ...]] | None:
    if call.errno != "ECONNREFUSED":
        return None
    return "was refused (ECONNREFUSED): nobody listened there", (call.call,)


def _reported(
    scene: Scene, socket: Socket, call: Call, failed: Sequence[tuple[Call, int]]
) -> tuple[str, tuple[int, ...]] | None:
    """How a wait reported the failure of a connect that did not wait; None: it did not fail, or
    not at once."""
    if call.errno != "EINPROGRESS" or call.returned_ns is None or socket.connected:
        return None
    if _was_used(scene, socket):
        return None
    close = scene.call(socket.last_close) if socket.last_close is not None else None
    for wait, events in failed:
        took_ns = (wait.returned_ns or wait.entered_ns) - call.entered_ns
        if not 0 <= took_ns <= _AT_ONCE_NS:
            continue
        then = f", and {name_of(close)} gave it up" if close is not None else ""
        return (
            f"failed, as {name_of(wait)} reported {lasting(took_ns)} later ({events_text(events)})"
            f"{then}: an error so soon is that of a port where nobody listens, as it seems",
            (call.call, wait.call, *((close.call,) if close is not None else ())),
        )
    return None


class _Successes:
    """The connects that went through, by where to and by whose they were."""

    def __init__(self, scene: Scene) -> None:
        self._there: defaultdict[tuple[str, Endpoint], list[Call]] = defaultdict(list)
        self._own: defaultdict[tuple[str, int, int], list[Call]] = defaultdict(list)
        for socket in scene.sockets.all:
            if not socket.connects or not (socket.connected or _was_used(scene, socket)):
                continue
            call = scene.call(socket.connects[-1])
            target = maybe_endpoint(scene.record(call.call).address)
            if target is not None:
                self._there[call.host, target].append(call)
                self._own[call.host, call.pid, target[1]].append(call)
        for calls in (*self._there.values(), *self._own.values()):
            calls.sort(key=_entered_ns)

    def after(self, call: Call, target: Endpoint | None) -> tuple[Call, str] | None:
        """A later one, and where to: that address, or, of the same process and soon, another with
        that port."""
        if target is None:
            return None
        there = self._there.get((call.host, target), [])
        place = bisect_right(there, call.entered_ns, key=_entered_ns)
        if place < len(there):
            return there[place], "there"
        own = self._own.get((call.host, call.pid, target[1]), [])
        place = bisect_right(own, call.entered_ns, key=_entered_ns)
        if place < len(own) and own[place].entered_ns - call.entered_ns <= _SOON_NS:
            return own[place], "at another address"
        return None


def _entered_ns(call: Call) -> int:
    return call.entered_ns


def _was_used(scene: Scene, socket: Socket) -> bool:
    used = (scene.call(number) for number in socket.calls)
    return any(is_moving(one) and one.errno is None and one.result for one in used)

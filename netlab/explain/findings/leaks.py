"""CLOSE-WAIT: who kept a socket open when its peer had long ended the stream.

Between the peer's FIN and its own a side may still send, so the time counts from the last call on
the socket. One whose program never closed it is let go by the end of its process: that FIN is the
kernel's doing. An interpreter that ends closes what its program had forgotten, one by one, so a
close behind which nothing but closes come before the end may be one of those, or the last thing
that its program did: which of them, no recording shows.
Read first: RFC 9293 3.6, man 2 close, man 2 _exit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from netlab.correlate.arrivals import arrival_ns, sent
from netlab.correlate.sockets import Socket
from netlab.correlate.streams import fin_arrival
from netlab.explain.endings import ended_ns
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, process_text
from netlab.model.call import is_closing
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Packet, Role, Side

_LEAK_NS = 1_000_000_000
_LAST_BREATH_NS = 500_000_000  # an interpreter under strace ends


@dataclass(frozen=True, slots=True)
class _Kept:
    """Until when a side was in CLOSE-WAIT, whose doing that was, and its own FIN, if any."""

    until_ns: int
    said: str
    severity: Severity
    calls: tuple[int, ...]
    frames: tuple[int, ...] = ()


def close_wait(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A FIN came, and this side's program did not close though it lived on."""
    path = scene.path(row.connection)
    if path is None or any(half.resets for half in path.track.halves.values()):
        return
    for side in Side:
        fin = fin_arrival(path.senders[side.inbound].stream)
        socket = scene.ends.get((row.connection, side))
        if fin is None or socket is None or socket.shutdowns:
            continue
        kept = _kept(scene, path, side, socket)
        last_ns = _last_use_ns(scene, socket, arrival_ns(fin))
        if kept is None or last_ns is None or kept.until_ns - last_ns < _LEAK_NS:
            continue
        shown, length = f"its peer's FIN (frame {fin.frame})", kept.until_ns - arrival_ns(fin)
        text = (
            f"stayed in CLOSE-WAIT for {lasting(length)} after {shown}: {kept.said}"
            if kept.frames
            else f"stays in CLOSE-WAIT: {shown} came {lasting(length)} before the end of the"
            f" recording, and {kept.said}"
        )
        yield Finding(
            "close_wait", row.connection, kept.severity, f"The {side} {text}.",
            "Close the socket once recv returns 0.", "RFC 9293 3.6",
            (fin.frame, *kept.frames), kept.calls,
        )  # fmt: skip


def _last_use_ns(scene: Scene, socket: Socket, fin_ns: int) -> int | None:
    """When this side last did something with a socket, or the FIN came; None: it still does."""
    used = [call for call in map(scene.call, socket.calls) if not is_closing(call)]
    if any(call.returned_ns is None for call in used):
        return None
    return max([fin_ns, *(call.returned_ns or 0 for call in used)])


def _kept(scene: Scene, path: Path, side: Side, socket: Socket) -> _Kept | None:
    """How long nobody closed; None: somebody did so of his own will, or it is not known."""
    fins = sent(path.track.halves[side.outbound].fins)
    if not fins:
        return None if socket.closes else _to_the_end(scene, socket)
    ender = next(
        (scene.call(span.call) for span in scene.closers.get((Role.FIN, fins[0].frame), ())
         if span.direction == side.outbound and span.call == socket.last_close), None,
    )  # fmt: skip
    if ender is None:
        return None
    if ender.op == "exit":
        return _by_the_end(scene, socket, ender, fins[0])
    return _in_its_last_breath(scene, ender, fins[0])


def _to_the_end(scene: Scene, socket: Socket) -> _Kept | None:
    number = socket.calls[-1] if socket.calls else socket.accepted_by
    if number is None:
        return None
    last = scene.call(number)
    descriptor = last.fd if socket.calls else last.result
    said = f"{process_text(last)} never closed descriptor {descriptor}"
    return _Kept(scene.end_ns, said, Severity.HIGH, (last.call,))


def _by_the_end(scene: Scene, socket: Socket, ender: Call, fin: Packet) -> _Kept:
    """The end of the last process that held it sent the FIN."""
    own = [call for call in map(scene.call, socket.calls) if _same(call, ender)]
    accept = scene.call(socket.accepted_by) if socket.accepted_by else None
    descriptor = own[-1].fd if own else None
    if descriptor is None and accept is not None and _same(accept, ender):
        descriptor = accept.result
    named = f"descriptor {descriptor}" if descriptor is not None else "its descriptor"
    said = (
        f"{process_text(ender)} never closed {named}, only the end of its process did"
        f" (exit #{ender.call}, {ender.args})"
    )
    severity = Severity.MEDIUM if ender.args.startswith("status") else Severity.HIGH
    cited = (*(call.call for call in own[-1:]), ender.call)
    return _Kept(ended_ns(ender, [fin.time_ns]), said, severity, cited, (fin.frame,))


def _in_its_last_breath(scene: Scene, ender: Call, fin: Packet) -> _Kept | None:
    """A close behind which its process only ended."""
    left = scene.exits.get((ender.host, ender.pid))
    if left is None or not 0 <= left.entered_ns - ender.entered_ns <= _LAST_BREATH_NS:
        return None
    after = takewhile(lambda c: c.entered_ns <= left.entered_ns, scene.calls[ender.call :])
    if not all(is_closing(c) or c.op == "exit" for c in after if _same(c, ender)):
        return None
    said = (
        f"{process_text(ender)} closed descriptor {ender.fd} shortly before its process ended"
        f" ({ender.op} #{ender.call}, exit #{left.call}); whether its program did that or its end"
        " is not known"
    )
    until_ns = min(ender.entered_ns, fin.time_ns)
    return _Kept(until_ns, said, Severity.LOW, (ender.call, left.call), (fin.frame,))


def _same(call: Call, other: Call) -> bool:
    """Whether two calls are of one process."""
    return (call.host, call.pid) == (other.host, other.pid)

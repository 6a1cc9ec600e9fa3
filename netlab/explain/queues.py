"""The accept queue of a listener -> when a connection stood in it, and why it did not sooner.

While the queue holds more than its backlog its listener ignores SYNs, and of clients that believe
to be connected all that they send: a client with something to say sends it again, backed off, until
it finds room; one that waits for the server to speak is never taken.
Read first: `correlate.admissions`, man 2 listen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from netlab.correlate.accept_queue import acks_at_server, queued_ns, surely_ns
from netlab.correlate.admissions import Admission, Ignored, backlog_of
from netlab.correlate.arrivals import arrival_ns, reached, sent
from netlab.correlate.sockets import Socket
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.stopped import stop_between, tell_stopped
from netlab.explain.wording import counted, name_of
from netlab.model.tables import Call, Packet

_CITED = 8


def complete(path: Path, listener: Socket | None) -> tuple[int, int] | None:
    """(when the connection stood in its accept queue, by which frame)."""
    admission = admission_of(path)
    if admission is not None and admission.packet is not None:
        return arrival_ns(admission.packet), admission.packet.frame
    acks = acks_at_server(path.track)
    soonest_ns = queued_ns(path.track, listener, path.scene.records)
    first = next(
        (row for row in acks if soonest_ns is None or arrival_ns(row.packet) >= soonest_ns), None
    )
    return (arrival_ns(first.packet), first.packet.frame) if first is not None else None


def admission_of(path: Path) -> Admission | None:
    """How a connection came into the queue, or was kept out; None: its listener is not known."""
    return path.scene.admissions.of.get(path.connection)


def queue_at(path: Path, time_ns: int) -> tuple[Call, int, int] | None:
    """(the listen, connections that stood in the accept queue then, its backlog)."""
    queue = path.scene.admissions.queue_at(path.track.flow.server)
    if queue is None or queue.backlog is None or queue.listener.listened_by is None:
        return None
    return path.scene.call(queue.listener.listened_by), queue.waiting(time_ns)[0], queue.backlog


def held_text(waiting: int, backlog: int) -> str:
    """Of a listener's queue: `held 2 of 2 connections`."""
    return f"held {waiting} of {backlog + 1} connections"


def clipped_text(scene: Scene, listen: Call) -> str:
    """Says of a listen whose backlog the host cut: `, of which net.core.somaxconn leaves 128`."""
    backlog = backlog_of(listen.args, listen.host, scene.raw.description.hosts)
    if backlog is None or str(backlog) == listen.args.strip():
        return ""
    return f", of which net.core.somaxconn leaves {backlog}"


def listen_text(scene: Scene, listen: Call) -> str:
    """`server listen(1) #5`, with what the host made of it."""
    return f"{listen.actor} listen({listen.args}) #{listen.call}{clipped_text(scene, listen)}"


def went_well(path: Path) -> bool:
    """Whether nothing of the client's was lost or ignored before its connection was made."""
    acks = sent(path.track.handshake_acks)
    return not kept_out(path) and all(map(reached, acks[:1]))


def is_never_taken(path: Path) -> bool:
    """Whether the listener ignored all that the client sent: the client alone is connected."""
    admission = admission_of(path)
    return admission is not None and admission.packet is None and bool(admission.ignored)


def tell_standing(line: Line, path: Path, frame: int, accept: Call) -> None:
    """From when a connection stood in the queue, by its frame, until its accept was called.

    Where the queue is not known to have had room, it surely stood there only once the server spoke.
    """
    admission = admission_of(path)
    _while_stopped(line, path, frame, accept)
    text = f"in the accept queue, before {name_of(accept)} was called"
    sure = path.exact and admission is not None and admission.sure
    spoke_ns = surely_ns(path.track) if path.exact else None
    if not sure:
        until_ns = accept.entered_ns if spoke_ns is None else min(spoke_ns, accept.entered_ns)
        line.until(until_ns, Cause.ACCEPT_QUEUE, Certainty.INFERRED, (frame,), (accept.call,), text)
    line.until(accept.entered_ns, Cause.ACCEPT_QUEUE, Certainty.OBSERVED, (frame,), (accept.call,),
               text)  # fmt: skip


def _while_stopped(line: Line, path: Path, frame: int, accept: Call) -> None:
    """Up to the end of the stops of the one process that accepts from this queue, if it was."""
    scene = path.scene
    if not scene.stops:
        return
    listener = scene.socket_of(accept)
    takers = scene.takers(listener) if listener is not None else frozenset()
    while takers == {accept.pid} and not line.done:
        stop = stop_between(scene, accept, line.at_ns, accept.entered_ns)
        if stop is None or stop.returned_ns is None or stop.returned_ns <= line.at_ns:
            return
        line.until(stop.entered_ns, Cause.ACCEPT_QUEUE, Certainty.INFERRED, (frame,),
                   (accept.call,), f"in the accept queue, before {stop.args} stopped"
                   " the process that accepts")  # fmt: skip
        tell_stopped(line, stop)


def kept_out(path: Path) -> list[tuple[Ignored, Certainty]]:
    """The client's frames that the listener ignored, and how sure it is that its queue was full.

    `unknown`: the queue is known to have had room, so something else made it ignore them.
    """
    admission = admission_of(path)
    if admission is None:
        return []
    return [(one, _certainty(path, one)) for one in admission.ignored]


def _certainty(path: Path, one: Ignored) -> Certainty:
    queue = path.scene.admissions.queue_at(path.track.flow.server)
    if queue is None or queue.backlog is None or queue.broken or not path.exact:
        return Certainty.INFERRED
    if queue.has_room(one.most):
        return Certainty.UNKNOWN
    sure = one.waiting > queue.backlog and not path.scene.lost_frames
    return Certainty.OBSERVED if sure else Certainty.INFERRED


def tell_kept_out(line: Line, path: Path, until_ns: int) -> None:
    """From the first frame that a listener ignored until one left that it took, or the end."""
    admission = admission_of(path)
    runs = [
        (certainty, [one for one, _ in group])
        for certainty, group in groupby(kept_out(path), key=lambda item: item[1])
    ]
    for place, (certainty, run) in enumerate(runs):
        later = runs[place + 1][1][0].packet if place + 1 < len(runs) else None
        after = later or (admission.packet if admission is not None else None)
        stop_ns = until_ns if later is None else min(later.time_ns, until_ns)
        text = f"because the listener ignored {_ignored_text(run)}"
        if certainty is Certainty.UNKNOWN:
            line.unknown(stop_ns, f"{text}, though its queue had room")
            continue
        frames = tuple(one.packet.frame for one in run[:_CITED])
        said, calls = full_text(path, run[0])
        text += f": its queue {said}"
        if after is not None:
            frames = (*frames, after.frame)
            text += f", until {_next_text(after, run)}"
        line.until(stop_ns, Cause.BACKLOG_FULL, certainty, frames, calls, text)


def full_text(path: Path, met: Ignored) -> tuple[str, tuple[int, ...]]:
    """(what the calls say of the queue that a frame met, the listen)."""
    queue = path.scene.admissions.queue_at(path.track.flow.server)
    if queue is None or queue.backlog is None or met.waiting <= queue.backlog:
        return "seems to have been full", ()
    number = queue.listener.listened_by
    return held_text(met.waiting, queue.backlog), (number,) if number is not None else ()


def turned_away_text(path: Path) -> str:
    """Says what a full listener ignored: `it held 2 of 2 connections, so it ignored the last ACK of
    the handshake (frame 81)`; empty: nothing, or it had room."""
    ignored = [one for one, certainty in kept_out(path) if certainty is not Certainty.UNKNOWN]
    if not ignored:
        return ""
    return f"it {full_text(path, ignored[0])[0]}, so it ignored {_ignored_text(ignored)}"


def is_kept_out(path: Path, packet: Packet) -> bool:
    """Whether a frame of the client was ignored, or sent what had been, for want of room."""
    admission = admission_of(path)
    if admission is None or not turned_away_text(path):
        return False
    return admission.packet is None or packet.time_ns <= admission.packet.time_ns


def _ignored_text(ignored: Sequence[Ignored]) -> str:
    first = ignored[0].packet
    what = "the client's data" if first.payload_len_bytes else "the last ACK of the handshake"
    more = len(ignored) - 1
    rest = f" and {counted(more, 'frame')} after it" if more else ""
    return f"{what} (frame {first.frame}){rest}"


def _next_text(packet: Packet, ignored: Sequence[Ignored]) -> str:
    again = any(
        one.packet.seg_seq == packet.seg_seq and one.packet.payload_len_bytes for one in ignored
    )
    return f"the client sent {'its data again' if again else 'its next'} (frame {packet.frame})"

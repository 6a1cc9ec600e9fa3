"""Why a connection without calls was silent, where its listener's queue was full.

A listener with a full accept queue ignores SYNs, and the ACK that would complete a handshake: the
client believes it is connected, sends, and has no answer to any of it (tcp_conn_request and
tcp_check_req in Linux). A kernel acknowledges what came to a connection that it has, in half a
second at the most (RFC 9293 3.8.6.3). So where the capture stands at the server's end, bytes that
came and were never acknowledged came to none, and nobody called accept then, for the others either.
At the client's end the same may be a loss on the way: there it is unknown.
Read first: man 2 listen; reference on listeners that are full.
"""

from __future__ import annotations

from netlab.correlate.addresses import Endpoint
from netlab.explain.causes import Cause
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.silence.gaps import Gap, Told
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side

_IGNORED_NS = 190_000_000  # by then it has been sent again, and no delayed ACK of Linux is later


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A client that had its SYN-ACK, and nothing for what it sent then."""

    connection: int
    start_ns: int
    stop_ns: int
    frame: int  # its first bytes


def ignored(gap: Gap) -> Told | None:
    """Bytes were sent again to a server that had taken none since its SYN-ACK."""
    if gap.after.direction is not Direction.C2S or gap.resend is None:
        return None
    mine = _ignored(gap.path)
    if mine is None or not mine.start_ns <= gap.before.packet.time_ns < mine.stop_ns:
        return None
    if gap.vantage.is_here(Side.SERVER):
        return Told(
            Cause.ACCEPT_QUEUE, (mine.frame,),
            f"because frame {mine.frame} came and the server took nothing: its accept queue was"
            f" full, so it ignored the end of the handshake, until frame {gap.frame} tried again",
        )  # fmt: skip
    resends = gap.path.senders[Direction.C2S].resends
    if len([one for one in resends if one.time_ns < mine.stop_ns]) < 2:
        return None
    return Told(
        Cause.UNKNOWN, (mine.frame,),
        f"because frame {mine.frame} and what followed had no answer, until frame {gap.frame} tried"
        " again: lost, or the accept queue was full and the end of the handshake ignored",
    )  # fmt: skip


def syn_ignored(gap: Gap) -> Told | None:
    """A SYN had no answer while the same listener ignored others."""
    syns = gap.path.track.halves[Direction.C2S].syns
    earlier = [p for p in syns if p.time_ns < gap.after.packet.time_ns]
    if gap.after.packet not in syns or not earlier:
        return None
    last, other = earlier[-1], _meanwhile(gap)
    answers = gap.path.track.halves[Direction.S2C].syns
    if other is None or any(last.time_ns < p.time_ns for p in answers
                            if p.time_ns < gap.after.packet.time_ns):  # fmt: skip
        return None
    frames = last.frame, other.frame
    if _is_at_server(gap):
        return Told(
            Cause.BACKLOG_FULL, frames,
            f"because the listener ignored the SYN of frame {last.frame}, as it did with the bytes"
            f" of another client (frame {other.frame}), until it was sent again"
            f" (frame {gap.frame})",
        )  # fmt: skip
    return Told(
        Cause.UNKNOWN, frames,
        f"because the SYN of frame {last.frame} had no answer, nor had another client (frame"
        f" {other.frame}), until it was sent again (frame {gap.frame}): lost, or the listener's"
        " queue was full",
    )  # fmt: skip


def not_accepted(gap: Gap) -> Told | None:
    """The first answer of a server came late, and its listener's queue was full meanwhile."""
    asked, sender = gap.before, gap.path.senders[Direction.S2C]
    first = gap.after.direction is Direction.S2C and gap.after.segment.payload_len_bytes
    if not first or asked.direction is not Direction.C2S or gap.after.segment.start != 0:
        return None
    other = _meanwhile(gap)
    if other is None or sender.nxt(asked.packet.time_ns) or not asked.segment.payload_len_bytes:
        return None
    frames = asked.segment.frame, other.frame
    if _is_at_server(gap):
        return Told(
            Cause.ACCEPT_QUEUE, frames,
            f"before the server answered frame {frames[0]}, while its accept queue was full (it"
            f" took nothing of frame {frames[1]}): nobody called accept",
        )  # fmt: skip
    return Told(
        Cause.UNKNOWN, frames,
        f"before the server answered frame {frames[0]}: its program worked, or it had accepted"
        f" nobody (nor had frame {frames[1]} an answer)",
    )  # fmt: skip


def _meanwhile(gap: Gap) -> Unanswered | None:
    """Another client that the same listener ignored for most of the silence."""
    start_ns, stop_ns = gap.before.packet.time_ns, gap.after.packet.time_ns
    for one in _at_listener(gap.path.scene, gap.path.track.flow.server):
        shared_ns = min(stop_ns, one.stop_ns) - max(start_ns, one.start_ns)
        if one.connection != gap.path.connection and 2 * shared_ns > stop_ns - start_ns:
            return one
    return None


def _is_at_server(gap: Gap) -> bool:
    """Whether the capture stands at the server's end, as a client that it ignored shows as well."""
    if gap.vantage.is_here(Side.SERVER):
        return True
    other = _meanwhile(gap)
    path = gap.path.scene.path(other.connection) if other is not None else None
    return path is not None and path.vantage.is_here(Side.SERVER)


def _at_listener(scene: Scene, server: Endpoint) -> list[Unanswered]:
    """The clients that a listener ignored, in order."""
    known = scene.ignored.get(server)
    if known is None:
        known = scene.ignored[server] = [
            one
            for row in scene.tables.connections
            if (row.server, row.server_port) == server and row.protocol == "tcp"
            if (path := scene.path(row.connection)) is not None
            if (one := _ignored(path)) is not None
        ]
    return known


def _ignored(path: Path) -> Unanswered | None:
    """Since when and until when a server took nothing, if it sent a SYN-ACK and then no word."""
    if not path.track.halves[Direction.S2C].syns or not path.track.handshake_acks:
        return None
    sender = path.senders[Direction.C2S]
    first = next(iter(sender.departed), None)
    if first is None or first.segment.start != 0:
        return None
    start_ns, syns = first.packet.time_ns, path.track.halves[Direction.S2C].syns
    answer_ns = next(
        (row.packet.time_ns for row in path.track.rows
         if row.direction is Direction.S2C and row.packet not in syns), None,
    )  # fmt: skip
    stop_ns = path.track.rows[-1].packet.time_ns if answer_ns is None else answer_ns
    again = any(one.time_ns < stop_ns for one in sender.resends)
    if not again or stop_ns - start_ns < _IGNORED_NS:
        return None
    return Unanswered(path.connection, start_ns, stop_ns, first.segment.frame)

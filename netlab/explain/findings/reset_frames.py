"""Who reset a connection, as far as frames show it where no call of that end was recorded.

A RST without an ACK answers a frame for a connection that its sender does not have (any more), with
the ACK number of that as its own (RFC 9293 3.10.7.1). One with an ACK ends a connection: its kernel
gave up what had no answer, or its program closed it with bytes unread (RFC 2525 2.17) or with
SO_LINGER 0, or closed its listener before it was accepted; a program that ends closes, too.
"""

from __future__ import annotations

from itertools import takewhile

from netlab.correlate.flows import ACK, RST, SYN
from netlab.correlate.segments import Row
from netlab.explain.answered import asked_by
from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.path import Path
from netlab.explain.queues import is_never_taken, turned_away_text
from netlab.explain.wording import counted
from netlab.model.records import dataclass
from netlab.model.tables import Packet, Side

_LEAST_INTERVAL_NS = 900_000_000  # TCP_KEEPINTVL is 1 s at the least (man 7 tcp), less a tick
_GAVE_UP = 2  # frames sent again without an answer, after which a kernel may


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a RST, what to change, and what shows it beside its own frame."""

    text: str
    advice: str = ""
    frames: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()


def answering(path: Path, side: Side, packet: Packet) -> Told:
    """Of a RST without ACK, as an end sends it that knows no such connection.

    Anybody who can see or guess its number can send one like it (RFC 5961 3).
    """
    said = turned_away_text(path) if side is Side.SERVER and is_never_taken(path) else ""
    if said:
        return Told(
            f"its listener never took the connection: {said}",
            MECHANISMS[Cause.BACKLOG_FULL].advice,
        )
    asked = asked_by(path, side, packet)
    if asked is None:
        return Told(
            "it answers no frame that had come just before, and which call did it, the recording"
            " does not show",
            f"Record the calls of the {side}, too: netlab lab, netlab trace.",
        )  # fmt: skip
    frame = asked.packet.frame
    if asked.packet._flags & SYN and asked.packet._flags & ACK:
        return Told(
            f"it has the form of an answer to the SYN-ACK of frame {frame}, which it did not"
            " expect",
            "Look who sent the SYN: not that end's kernel (a scan or a flood, by raw sockets or"
            " with its address forged), or a program that had closed its socket by then.",
        )  # fmt: skip
    return Told(
        f"it has the form of an answer to frame {frame}, for a connection that it did not know",
        "That end restarted or gave up, and the other did not notice: a time-out or keep-alives"
        " there, then connect anew.",
    )  # fmt: skip


def silent_peer(path: Path, side: Side, packet: Packet) -> Told | None:
    """Of a RST behind keep-alive probes that had no answer: one interval after the last of them,
    not sooner."""
    probes = [row for row in _without_answer(path, side, packet) if path.is_keep_alive(row)]
    if not probes or packet.time_ns - probes[-1].packet.time_ns < _LEAST_INTERVAL_NS:
        return None
    return Told(
        f"{counted(len(probes), 'keep-alive probe')} of it had no answer (frame"
        f" {probes[0].segment.frame})",
        "Find out why the peer was silent, and connect anew.",
    )


def ending(path: Path, side: Side, packet: Packet) -> Told:
    """Of a RST with ACK."""
    if (said := silent_peer(path, side, packet)) is not None:
        return said
    own = _without_answer(path, side, packet)
    frames = {row.segment.frame for row in own}
    again = [one for one in path.senders[side.outbound].resends if one.frame in frames]
    if len(again) >= _GAVE_UP:
        return Told(
            f"its kernel gave up, it seems: what it sent again {counted(len(again), 'time')} had no"
            " answer",
            "Find out why the peer was silent, or set a longer TCP_USER_TIMEOUT.",
        )  # fmt: skip
    unread = path.senders[side.inbound].nxt(packet.time_ns - (path.vantage.away(side)))
    advice = "Read to the end before close, and leave SO_LINGER out unless a reset is meant."
    if unread:
        return Told(
            f"its program closed it, or ended, with some of the {counted(unread, 'byte')} unread"
            " that had come, or with SO_LINGER 0; which of them, frames do not show",
            advice,
        )  # fmt: skip
    others = "with SO_LINGER 0"
    if side is Side.SERVER and not path.senders[side.outbound].departed:
        others += ", or closed its listener before anybody had accepted it"
    return Told(
        f"its program closed it {others}: no byte had come that it could have left unread",
        "Leave SO_LINGER out unless a reset is meant; accept what stands in the queue before"
        " closing a listener." if "listener" in others else
        "Leave SO_LINGER out unless a reset is meant.",
    )  # fmt: skip


def _without_answer(path: Path, side: Side, packet: Packet) -> list[Row]:
    """The frames of this side before the RST and after the last of the other that came."""
    before = [
        row for row in reversed(path.track.rows)
        if row.packet.time_ns < packet.time_ns and not row.packet._flags & RST
    ]  # fmt: skip
    own = list(takewhile(lambda row: row.direction is side.outbound, before))
    return own[::-1]

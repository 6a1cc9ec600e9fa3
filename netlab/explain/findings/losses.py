"""Findings about what losses cost, and whether anything was lost at all.

A frame sent again whose first copy had come says so: a D-SACK (RFC 2883), an echo from before
(RFC 3522), an ACK that had left by then. Then no byte was lost; whether an ACK was shows where all
that an end sent is seen: where the capture stands, on a loopback, or by the numbers of its packets.
Read first: `vantage`; correlate's second verdicts, which say what was sent in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netlab.correlate.arrivals import reached
from netlab.explain.causes import MECHANISMS, Cause, Certainty
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.waiting import GRAVE_NS, evidence, given_up, once, parts_of
from netlab.explain.no_room import thrown_away
from netlab.explain.parts import Part
from netlab.explain.path import Path
from netlab.explain.scene import Scene
from netlab.explain.too_big import sent_again
from netlab.explain.wording import counted, lasting
from netlab.model.call import is_outbound
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Direction, Side, Verdict

_WORTH_NS = 10_000_000
_SLOW_START = 3  # of the window has been sent by then, or less: 1 + 1/2 + 1/4 ..., and some slack
_FIRST_SEGMENTS = 10  # the initial window of Linux (RFC 6928)
_RECOVERIES = (Cause.RTO, Cause.TAIL_LOSS_PROBE, Cause.FAST_RETRANSMIT, Cause.HEAD_OF_LINE)


@dataclass(frozen=True, slots=True)
class _Behind:
    """What a loss cost behind itself."""

    text: str
    waited_ns: int
    frame: int  # with which it was sent again
    calls: tuple[int, ...]


def loss_recovery(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Calls, or a connection, waited for what was lost to be sent again; not as it was too big."""
    path = scene.path(row.connection)
    if path is None:
        return
    big = _too_big(path)  # a finding of its own
    waits = [*parts_of(scene, row, *_RECOVERIES), *given_up(scene, row, *_RECOVERIES)]
    found = [one for one in waits if not big & set(one[1].frames)]
    if not found:
        return
    lost_ns = once(found)
    longest = max((part for _, part in found), key=lambda part: part.length_ns)
    frames, calls = evidence(found)
    what, advice = "Losses cost", MECHANISMS[Cause.RTO].advice
    behind: list[_Behind] = []
    if _nothing_lost(path) and any(thrown_away(path, sender) for sender in path.senders.values()):
        what = "Nothing was lost, but a receiver had no room for what came: sending it again cost"
        advice = MECHANISMS[Cause.PEER_WINDOW].advice
    elif _nothing_lost(path):
        what = "Nothing was lost, but what came late, or was thought to be lost, cost"
        advice = "Find out what holds segments up, or lets one overtake another."
    elif _in_vain(path):
        what = "No byte was lost, only ACKs were, or came late: sending again cost"
        advice = "Find out where ACKs are lost, or what holds them up."
    else:
        behind = _behind(scene, row, path, big)
    grave = max([lost_ns, *(one.waited_ns for one in behind)]) > GRAVE_NS
    yield Finding(
        "loss_recovery", row.connection, Severity.HIGH if grave else Severity.MEDIUM,
        f"{what} {lasting(lost_ns)} of waiting; the longest"
        f" {longest.text or MECHANISMS[longest.cause].says}."
        f"{''.join(one.text for one in behind)}",
        advice, MECHANISMS[longest.cause].source,
        tuple(dict.fromkeys((*frames, *(one.frame for one in behind)))),
        tuple(dict.fromkeys((*calls, *(call for one in behind for call in one.calls)))),
    )  # fmt: skip


def _behind(scene: Scene, row: Connection, path: Path, big: set[int]) -> list[_Behind]:
    """What waited for the congestion window of a sender behind its first loss.

    One that ends slow start (until then little more than twice the window was sent) leaves a window
    that grows slowly from what it had come to; else it counts until it is as large again.
    """
    verdicts = {one.segment.frame: one.segment.verdict for one in path.track.rows}
    found = []
    for direction, sender in path.senders.items():
        first = next(
            (one for one in sender.resends
             if one.frame not in big and verdicts[one.frame] != Verdict.SPURIOUS), None,
        )  # fmt: skip
        if first is None:
            continue
        flights = [
            (one.packet.time_ns, sender.nxt(one.packet.time_ns) - sender.una(one.packet.time_ns))
            for one in sender.departed
        ]
        sent = sender.nxt(first.time_ns)
        before = max((size for ns, size in flights if ns < first.time_ns), default=0)
        initial = _FIRST_SEGMENTS * sender.mss
        most = max((size for ns, size in flights if ns >= first.time_ns), default=0)
        again_ns = None
        if sent > _SLOW_START * max(before, initial):  # while it is repaired, SACK hides the flight
            again_ns = next(
                (ns for ns, size in flights
                 if ns > first.time_ns and sender.una(ns) >= sent and size >= before), None,
            )  # fmt: skip
        elif most > 2 * max(before, initial):
            continue
        until_ns = scene.end_ns if again_ns is None else again_ns
        waits = [
            (call, replace(part, start_ns=max(part.start_ns, first.time_ns),
                           stop_ns=min(part.stop_ns, until_ns)))
            for call, part in parts_of(scene, row, Cause.CWND)
            if part.stop_ns > first.time_ns and part.start_ns < until_ns
            and _is_of(scene, call, part, direction)
        ]  # fmt: skip
        waited_ns = once(waits)
        if waited_ns < _WORTH_NS:
            continue
        what = (
            f"from frame {first.frame} on no more than {counted(most, 'byte')} of the"
            f" {direction.sender} were in flight, and" if again_ns is None else
            f"up to {lasting(again_ns - first.time_ns)} after frame {first.frame}, when the"
            f" {direction.sender} had {counted(before, 'byte')} in flight again,"
        )  # fmt: skip
        guessed = all(part.certainty is not Certainty.OBSERVED for _, part in waits)
        text = (
            f" A loss makes the congestion window smaller, too: {what} what waited for that window"
            f" waited {lasting(waited_ns)}{' (inferred)' if guessed else ''}."
        )
        longest = max(waits, key=lambda item: item[1].length_ns)
        found.append(_Behind(text, waited_ns, first.frame, evidence([longest])[1]))
    return found


def _is_of(scene: Scene, call: Call | None, part: Part, direction: Direction) -> bool:
    """Whether what waited for a congestion window were bytes of this direction."""
    calls = [*map(scene.call, part.calls), *([call] if call is not None else [])]
    writer = next((one for one in calls if is_outbound(one)), None)
    if writer is not None:
        return writer.side == direction.sender
    return not part.frames or scene.packets[part.frames[0]].direction == direction


def _too_big(path: Path) -> set[int]:
    """The frames that were too big for the path, and those that carried their bytes again."""
    found: set[int] = set()
    for sender in path.senders.values():
        for frame, big in sent_again(path, sender).items():
            found |= {frame, big.frame}
    return found


def _nothing_lost(path: Path) -> bool:
    """Whether every frame came to its other end, as a wire tells, or what ends sent in vain."""
    rows = [row for row in path.track.rows if not row.packet._made]
    if all(row.packet._wired for row in path.track.rows):
        return all(reached(row.packet) for row in path.track.rows)
    if not _in_vain(path):
        return False
    return all(
        _all_seen(path, side) and not _unheard_ack(path, side)
        for side in Side
        if any(row.direction is side.outbound for row in rows)
    )


def _in_vain(path: Path) -> bool:
    """Whether bytes were sent again, each time their receiver had them, and no others were lost."""
    again = {resend.frame for sender in path.senders.values() for resend in sender.resends}
    verdicts = [row.segment.verdict for row in path.track.rows if row.segment.frame in again]
    holes = any(row.segment.lost_segment for row in path.track.rows)
    in_vain = bool(verdicts) and set(verdicts) == {Verdict.SPURIOUS} and not holes
    return in_vain and not _may_repair(path, again)


def _may_repair(path: Path, again: set[int]) -> bool:
    """Whether bytes of a far end may have come a second time, after a frame nobody saw.

    By the numbers of its packets one did not come by here: what it carried, if that was not an ACK
    alone, is in one that came since.
    """
    left_out: set[Direction] = set()
    for row in path.track.rows if not path.exact else ():
        if path.vantage.missing.get(row.packet.frame):
            left_out.add(row.direction)
        content = row.segment.payload_len_bytes and row.segment.frame not in again
        if content and row.direction in left_out:
            return True
    return False


def _all_seen(path: Path, side: Side) -> bool:
    """Whether the capture has every frame that this end sent."""
    if path.exact or path.vantage.is_here(side):
        return True
    own = [
        row.packet for row in path.track.rows
        if row.direction is side.outbound and row.packet.ip_version == 4 and row.packet.ip_id
    ]  # fmt: skip
    missing = path.vantage.missing
    return len(own) > 1 and all(missing.get(packet.frame) == 0 for packet in own[1:])


def _unheard_ack(path: Path, side: Side) -> bool:
    """Whether this far end sent again what an ACK in time for it had covered: that was lost."""
    if path.exact or path.vantage.is_here(side):
        return False
    sender = path.senders[side.outbound]
    return any(sender.una(resend.time_ns) >= resend.stop for resend in sender.resends)

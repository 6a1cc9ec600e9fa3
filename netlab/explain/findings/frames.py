"""Findings that the frames alone show: they need no calls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from netlab.correlate.arrivals import arrival_ns, came, may_have_reached, reached, sent
from netlab.correlate.flows import RST
from netlab.correlate.segments import Row
from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.findings.listeners import turned_away
from netlab.explain.findings.waiting import WHO_STOPPED, lying, parts_of
from netlab.explain.no_room import thrown_away
from netlab.explain.opening import crossed
from netlab.explain.path import Path
from netlab.explain.queues import is_kept_out
from netlab.explain.scene import Scene
from netlab.explain.sender import Resend, Sender
from netlab.explain.stopped import stop_between
from netlab.explain.too_big import sent_again
from netlab.explain.wording import counted, lasting, name_of, rule_text
from netlab.model.tables import Call, Connection, Direction, Packet, Side

_STORM_COUNT = 8
_STORM_SHARE = 0.05
_IN_A_ROW = 4
_STALLS = 3
_MS = 1_000_000


def retransmission_storm(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Many frames sent again, or the same one again and again: not for being too big."""
    path = scene.path(row.connection)
    if path is None:
        return
    for direction, sender in path.senders.items():
        big = sent_again(path, sender)  # a finding of its own
        again = [one for one in sender.resends if one.frame not in big]
        if direction is Direction.C2S:  # a full listener ignored them: a finding of its own, too
            again = [one for one in again if not is_kept_out(path, scene.packets[one.frame])]
        if not again:
            continue
        copies: dict[int, int] = {}
        for resend in again:
            copies[resend.start] = copies.get(resend.start, 0) + 1
        worst = max(copies, key=lambda start: copies[start])
        share = len(again) / max(len(sender.departed), 1)
        frames = tuple(resend.frame for resend in again[:CITED])
        if copies[worst] >= _IN_A_ROW:
            mine = [r for r in again if r.start == worst]
            one_byte = all(r.stop == worst + 1 for r in mine)
            what = f"the byte at {worst:,}" if one_byte else f"the bytes from {worst:,} on"
            yield Finding(
                "retransmission_storm", row.connection, Severity.HIGH,
                f"The {direction.sender} sent {what} again"
                f" {copies[worst]} times in {lasting(mine[-1].time_ns - mine[0].time_ns)}:"
                f" {_heard(path, direction, mine)}.",
                "Find out what swallows them: a dead peer, a firewall, an MTU.", "RFC 6298 5.5",
                tuple(r.frame for r in mine[:CITED]),
            )  # fmt: skip
        elif len(again) >= _STORM_COUNT and share >= _STORM_SHARE:
            full = len(thrown_away(path, sender))
            why = f": for {full:,} that came the {direction.receiver} had no room" if full else ""
            advice = "Find out where segments are lost."
            if full > len(again) // 2:
                advice = MECHANISMS[Cause.PEER_WINDOW].advice
            yield Finding(
                "retransmission_storm", row.connection, Severity.HIGH,
                f"{len(again):,} of {len(sender.departed):,} segments of the {direction.sender}"
                f" ({share:.0%}) were sent again{why}.",
                advice, "RFC 6298 5.5", frames,
            )  # fmt: skip


def _heard(path: Path, direction: Direction, mine: list[Resend]) -> str:
    """What came back while the same bytes were sent again and again, and after the last."""
    heard = sorted(
        (row for row in path.track.rows if row.direction is not direction and reached(row.packet)
         and arrival_ns(row.packet) > mine[0].time_ns),
        key=lambda row: arrival_ns(row.packet),
    )  # fmt: skip
    if not heard:
        return "nothing came back"
    first = heard[0]
    if arrival_ns(first.packet) <= mine[-1].time_ns:
        return "what came back did not acknowledge it"
    what = "which did not acknowledge it"
    if first.packet._flags & RST:
        what = "a RST"
    elif (first.segment.ack or 0) > mine[0].start + 1:
        what = "which acknowledged it"
    return f"nothing came back before frame {first.segment.frame}, {what}"


def window_limited(scene: Scene, row: Connection) -> Iterator[Finding]:
    """The window was full again and again while the path could have taken more."""
    path = scene.path(row.connection)
    if path is None or not row.handshake_ns or row.handshake_ns < _MS:
        return
    for direction, sender in path.senders.items():
        stops = _full(path, sender, direction)
        if len(stops) < _STALLS or not sender.acks:
            continue
        widest = max(edge - una for edge, una, _ in stops)
        spells = _left_lying(scene, path, direction, [frame for _, _, frame in stops])
        if spells:
            unread_ns = sum(until_ns - since_ns for since_ns, until_ns in spells)
            stop = _reader_stopped(scene, path, direction, spells)
            shown = f", and {stop.args} had stopped it ({name_of(stop)})" if stop else ""
            yield Finding(
                "window_limited", row.connection, Severity.MEDIUM,
                f"The {direction.sender} filled the window of the {direction.receiver}"
                f" {counted(len(stops), 'time')}, as the program of the {direction.receiver} let"
                f" what had come lie unread, for {lasting(unread_ns)} in all{shown}.",
                WHO_STOPPED if stop else MECHANISMS[Cause.PEER_WINDOW].advice, "RFC 9293 3.8.6",
                tuple(frame for _, _, frame in stops[:CITED]), (stop.call,) if stop else (),
            )  # fmt: skip
            continue
        rate = widest * 1_000_000_000 // row.handshake_ns
        grows = _adapts(scene, path, direction)
        size = f"the {widest:,} bytes that its kernel had let it grow to" if grows else \
               f"{widest:,} bytes"  # fmt: skip
        yield Finding(
            "window_limited", row.connection, Severity.MEDIUM,
            f"The {direction.sender} filled the window of the {direction.receiver}"
            f" {counted(len(stops), 'time')}: with {size} and a round trip of"
            f" {lasting(row.handshake_ns)} no more than {rate:,} bytes/s are possible.",
            f"No SO_RCVBUF was seen to be set, so the kernel adapts the buffer as the"
            f" {direction.receiver} reads, up to the third value of net.ipv4.tcp_rmem: raise that"
            " where it is reached, and keep the connection in use." if grows else
            f"A larger SO_RCVBUF at the {direction.receiver}, before connect or listen (or none:"
            " then the kernel adapts it).",
            "RFC 7323 1.1", tuple(frame for _, _, frame in stops[:CITED]),
        )  # fmt: skip


def _adapts(scene: Scene, path: Path, direction: Direction) -> bool:
    """Whether the receiver's socket (its listener's options are its own, too) is known from its
    birth, and no SO_RCVBUF was set on it."""
    socket = scene.ends.get((path.connection, direction.receiver))
    first = socket.listener if socket is not None and socket.accepted_by is not None else socket
    if first is None or not first.made:
        return False
    options = scene.options(path.connection, direction.receiver)
    return not any(option.name in ("SO_RCVBUF", "SO_RCVBUFFORCE") for option in options)


def _left_lying(
    scene: Scene, path: Path, direction: Direction, frames: list[int]
) -> list[tuple[int, int]]:
    """When what had come lay unread, if it did as most of these frames came; else nothing.

    Then the reader is what limits, and no larger buffer helps.
    """
    if not path.exact or not scene.has_calls(path.connection, direction.receiver):
        return []
    spells = lying(scene, path, direction)
    met = 0
    for frame in frames:
        at_ns = arrival_ns(scene.packets[frame])
        place = bisect_right(spells, at_ns, key=lambda spell: spell[0]) - 1
        met += place >= 0 and at_ns < spells[place][1]
    return spells if 2 * met > len(frames) else []


def _reader_stopped(
    scene: Scene, path: Path, direction: Direction, spells: list[tuple[int, int]]
) -> Call | None:
    """The stop of the reader's process that made most of the time in which it did not read."""
    reads = scene.moves(path.connection, direction.receiver, direction).calls
    since_ns, until_ns = max(spells, key=lambda spell: spell[1] - spell[0])
    stop = stop_between(scene, reads[-1], since_ns, until_ns) if reads else None
    if stop is None:
        return None
    stopped_ns = min(stop.returned_ns or until_ns, until_ns) - max(stop.entered_ns, since_ns)
    return stop if 2 * stopped_ns > sum(until - since for since, until in spells) else None


def _full(path: Path, sender: Sender, direction: Direction) -> list[tuple[int, int, int]]:
    """(edge, first unacknowledged byte, frame) whenever a frame filled the window: its last."""
    found: dict[int, tuple[int, int, int]] = {}
    for row in sender.departed:
        at = row.packet.time_ns
        edge, una = sender.edge(at), sender.una(at)
        if edge is None or edge <= una or row.segment.stop != sender.nxt(at):
            continue
        if edge - row.segment.stop < sender.mss:
            found[edge] = edge, una, row.segment.frame
    return list(found.values())


def handshake_lost(scene: Scene, row: Connection) -> Iterator[Finding]:
    """SYNs that had no answer, or a second SYN-ACK."""
    path = scene.path(row.connection)
    if path is None:
        return
    if crossed(path) and not any(
        p._wired and not reached(p) for half in path.track.halves.values() for p in half.syns
    ):
        return  # both ends sent SYN and SYN-ACK, as they should
    syns = [p for p in path.track.halves[Direction.C2S].syns if not p._made]
    answers = [p for p in path.track.halves[Direction.S2C].syns if not p._made]
    lost = [p for p in (*syns, *answers) if p._wired and not may_have_reached(p)]
    if len(syns) < 2 and len(answers) < 2 and not lost:
        return
    if turned_away(path) or parts_of(scene, row, Cause.BACKLOG_FULL):
        return  # a finding of its own
    resets = sent(path.track.halves[Direction.S2C].resets)
    if not lost and _answered_after_the_timer(path, syns, (*answers, *resets)):
        return  # nothing is wrong but the timer: the round trip is longer
    ignored = [
        p for p in syns if p._wired and reached(p)
        and not any(0 <= a.time_ns - arrival_ns(p) < 500 * _MS for a in answers)
        and not resets
    ]  # fmt: skip
    what = f"{counted(len(syns), 'SYN')} and {counted(len(answers), 'SYN-ACK')} were sent"
    if lost:
        rules = dict.fromkeys(rule_text(packet) for packet in lost)
        what += f", {len(lost)} of them lost on the wire{''.join(rules)}"
    unheard = [p for p in sent(path.track.handshake_acks) if p._wired and not may_have_reached(p)]
    if unheard:
        rules = dict.fromkeys(rule_text(packet) for packet in unheard)
        what += f"; {counted(len(unheard), 'ACK')} of the client"
        what += f" {'was' if len(unheard) == 1 else 'were'} lost on the wire{''.join(rules)}"
    if ignored:
        what += f", {counted(len(ignored), 'SYN')} came and had no answer (a full queue does that)"
    if not answers:
        what += f"; frame {resets[0].frame} refused" if resets else "; none was answered"
    waited = max(p.time_ns for p in (*syns, *answers)) - syns[0].time_ns if syns else 0
    over = f", over {lasting(waited)}" if waited else ""
    yield Finding(
        "handshake_lost", row.connection, Severity.HIGH,
        f"The handshake did not go through at once: {what}{over}.",
        "Find out where the handshake is lost: a firewall, a full queue, a route.", "RFC 6298 2.1",
        tuple(sorted(p.frame for p in (*syns, *answers, *unheard)))[:CITED],
    )  # fmt: skip


def _answered_after_the_timer(path: Path, syns: list[Packet], answers: Iterable[Packet]) -> bool:
    """Whether the first SYN was answered before a second one came, and the answer came later than
    that left."""
    heard = came(answers)
    if not path.exact or len(syns) < 2 or not heard or not all(p._wired for p in (*syns, *heard)):
        return False
    first = heard[0]
    return (
        arrival_ns(syns[0]) <= first.time_ns < arrival_ns(syns[1])
        and arrival_ns(first) >= syns[1].time_ns
    )


def keep_alive_only(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Keep-alives on a connection over which nothing was said for long."""
    path = scene.path(row.connection)
    if path is None:
        return
    probes = _longest_silence(path)
    if len(probes) < _STALLS:
        return
    sides = {Side(r.direction.sender) for r in probes}
    span = probes[-1].packet.time_ns - probes[0].packet.time_ns
    since_ns = probes[0].packet.time_ns
    answers = [
        r for r in path.track.rows if r.segment.keep_alive_ack and r.packet.time_ns >= since_ns
    ]
    heard = min(len(came([row.packet for row in answers])), len(probes))
    answered = "and were answered" if heard == len(probes) else "and had no answer"
    if 0 < heard < len(probes):
        answered = f"and {heard} of them had an answer"
    yield Finding(
        "keep_alive_only", row.connection, Severity.LOW if heard == len(probes) else Severity.HIGH,
        f"{counted(len(probes), 'keep-alive probe')} of the"
        f" {' and the '.join(sorted(sides))} went out in {lasting(span)} {answered}:"
        " nothing else was said.",
        "Close a connection that nobody uses; a longer TCP_KEEPIDLE, where it is meant to idle."
        if heard == len(probes) else "The peer is gone: close, and connect anew.",
        "RFC 9293 3.8.4", tuple(r.segment.frame for r in probes[:CITED]),
    )  # fmt: skip


def _longest_silence(path: Path) -> list[Row]:
    """The most keep-alive probes between which nothing was said.

    A probe of a closed window looks like one, and is none: its sender has bytes to send.
    """
    best: list[Row] = []
    found: list[Row] = []
    for row in path.track.rows:
        if row.segment.payload_len_bytes and not row.probe and not path.is_keep_alive(row):
            found = []
        elif path.is_keep_alive(row) and not row.packet._made and row.direction is not None:
            sender = path.senders[row.direction]
            edge = sender.edge(row.packet.time_ns)
            if edge is None or edge > sender.nxt(row.packet.time_ns):
                found = [*found, row]
                best = max(best, found, key=len)
    return best

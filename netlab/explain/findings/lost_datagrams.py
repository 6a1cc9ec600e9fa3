"""Datagrams that did not pass the wire, as its notes prove: UDP sends none of them again.

Who waited for one, or for the answer to it, waited in vain until a time-out of its own.
Read first: RFC 8085 3.2 and 3.3, man 7 udp.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from netlab.correlate.datagrams import Datagram
from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.too_big import mtu_rule, told_mtu
from netlab.explain.wording import counted, lasting, name_of
from netlab.model.call import WAITING, is_inbound
from netlab.model.tables import Call, Connection, Direction, Fate, Packet

_LEAST_NS = 1_000_000  # a wait that looked once and found nothing is shorter
_NEXT_NS = 10_000_000  # a program under strace goes from its send to its wait


def lost_datagrams(scene: Scene, row: Connection) -> Iterator[Finding]:
    """The wire dropped datagrams, or spoilt them, and no copy of them came."""
    if row.protocol != "udp" or row.connection not in scene.lossy:
        return
    every = scene.datagrams(row.connection)
    came = {id(one.copy_of) for one in every if one.copy_of is not None and not _culprit(one)}
    for direction in Direction:
        lost = [
            (one, packet) for one in every
            if one.direction == direction and one.copy_of is None and id(one) not in came
            and (packet := _culprit(one)) is not None
        ]  # fmt: skip
        if lost:
            yield _finding(scene, row, direction, lost)


def _culprit(one: Datagram) -> Packet | None:
    """The frame without which a datagram did not come, or came with a wrong checksum."""
    return next((p for p in one.packets if p.fate == Fate.DROPPED or p._spoilt), None)


def _finding(
    scene: Scene, row: Connection, direction: Direction, lost: list[tuple[Datagram, Packet]]
) -> Finding:
    count = len(lost)
    size = sum(one.length for one, _ in lost)
    was = "was lost" if count == 1 else "were lost"
    text = (
        f"{counted(count, 'datagram')} ({counted(size, 'byte')}) of the {direction.sender} {was}"
        f"{' or spoilt' if any(packet._spoilt for _, packet in lost) else ''} on the wire"
        f"{_rules([packet for _, packet in lost])}"
    )
    big = [packet for _, packet in lost if mtu_rule(packet) is not None]
    told = [
        packet.frame for packet in scene.tables.packets
        if big and packet.connection == row.connection and told_mtu(packet) is not None
        and packet._quoted is not None and packet._quoted.src == big[0].src
    ]  # fmt: skip
    if big:
        them = "it was" if count == 1 else "they were" if len(big) == count else \
               f"{len(big):,} of them {'was' if len(big) == 1 else 'were'}"  # fmt: skip
        text += f": {them} too big for it"
        text += f", as ICMP said (frame {told[0]})" if told else ", and no ICMP message said so"
    vain = _in_vain(scene, row, [one for one, _ in lost])
    if vain:
        longest = max(vain, key=_length)
        more = f", as {counted(len(vain) - 1, 'other wait')} did" if len(vain) > 1 else ""
        text += (
            f". UDP does not send again: {name_of(longest)} waited {lasting(_length(longest))} in"
            f" vain{more}"
        )
    advice = (
        "A program that needs an answer asks again, after a time-out not far above the round trip."
    )
    source = "RFC 8085 3.3"
    if big:
        too_big = MECHANISMS[Cause.DATAGRAM_TOO_BIG]
        advice, source = too_big.advice, too_big.source
    writers = [scene.carriers[p.frame] for _, p in lost if p.frame in scene.carriers]
    return Finding(
        "lost_datagrams", row.connection, Severity.HIGH if vain or big else Severity.MEDIUM,
        f"{text}.", advice, source,
        (*(packet.frame for _, packet in lost[:CITED]), *told[:1]),
        tuple(dict.fromkeys((*writers[:CITED], *(call.call for call in vain[:CITED])))),
    )  # fmt: skip


def _rules(packets: list[Packet]) -> str:
    """` (loss 30%)`: the rules of the wire that did it, where it noted them."""
    rules = {p._arrival.rule for p in packets if p._arrival is not None and p._arrival.rule}
    return f" ({', '.join(sorted(rules))})" if rules else ""


def _in_vain(scene: Scene, row: Connection, lost: list[Datagram]) -> list[Call]:
    """The waits of its programs whose time was up, and that had one of these to wait for.

    They were waiting as it left, or did next: the answer to a request that was lost never came.
    """
    threads = dict.fromkeys(
        (call.host, call.pid, call.tid) for call in scene.of_connection(row.connection)
    )
    found: dict[int, Call] = {}
    for thread in threads:
        calls = scene.threads.get(thread, [])
        entries = [call.entered_ns for call in calls]
        for one in lost:
            place = bisect_right(entries, one.time_ns)
            for call in calls[max(place - 1, 0) : bisect_right(entries, one.time_ns + _NEXT_NS)]:
                if _timed_out(call) and (call.returned_ns or 0) > one.time_ns:
                    found[call.call] = call
    return [found[number] for number in sorted(found)]


def _timed_out(call: Call) -> bool:
    if _length(call) < _LEAST_NS:
        return False
    if call.op in WAITING:
        return call.result == 0
    return is_inbound(call) and call.errno == "EAGAIN"


def _length(call: Call) -> int:
    return (call.returned_ns or call.entered_ns) - call.entered_ns

"""The rules of findings, and the findings of a recording.

A rule looks at one connection and yields findings; it stays silent where the recording does not
show all that it needs. `RULES` is the list; what each one needs and says stands in its file. What
many connections show together, or a call of none, is in `WHOLE`, and not said of one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from netlab.explain.findings import (
    connects,
    cut_short,
    edges,
    ends,
    frames,
    idle,
    inherited,
    leaks,
    listeners,
    losses,
    lost_datagrams,
    path_mtu,
    ports,
    talk,
    unread,
    waiting,
)
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.scene import Scene
from netlab.model.records import dataclass
from netlab.model.tables import Connection

_ORDER = list(Severity)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a finding is called, who finds it, and where the fact behind it is written."""

    kind: str
    find: Callable[[Scene, Connection], Iterable[Finding]]
    source: str


@dataclass(frozen=True, slots=True)
class WholeRule:
    """The same, of a finding about many connections together, or about a call of none."""

    kind: str
    find: Callable[[Scene], Iterable[Finding]]
    source: str


RULES: tuple[Rule, ...] = (
    Rule("nagle_delayed_ack", waiting.nagle_delayed_ack, "RFC 896; RFC 5681 4.2"),
    Rule("zero_window", waiting.zero_window, "RFC 9293 3.8.6"),
    Rule("send_buffer", waiting.send_buffer, "man 7 socket"),
    Rule("backlog_overflow", waiting.backlog_overflow, "man 2 listen"),
    Rule("slow_accept", waiting.slow_accept, "man 2 listen"),
    Rule("loss_recovery", losses.loss_recovery, "RFC 6298; RFC 8985"),
    Rule("path_mtu", path_mtu.too_big, "RFC 1191; RFC 8201; RFC 2923 2.1"),
    Rule("small_writes", talk.small_writes, "RFC 9293 3.7.4"),
    Rule("coalesced", talk.coalesced, "RFC 9293 3.9.1"),
    Rule("idle_timeout", idle.idle_timeout, "man 2 poll"),  # what follows from it stands behind it
    Rule("reset", ends.resets, "RFC 9293 3.10.7; RFC 2525 2.17"),
    Rule("cut_short", cut_short.cut_short, "RFC 9293 3.6; man 2 exit"),
    Rule("close_wait", leaks.close_wait, "RFC 9293 3.6"),
    Rule("inherited_copy", inherited.inherited_copy, "man 2 fork; man 2 shutdown"),
    Rule("never_read", ends.never_read, "man 2 send"),
    Rule("unread_datagrams", unread.unread_datagrams, "man 7 udp; man 7 socket"),
    Rule("lost_datagrams", lost_datagrams.lost_datagrams, "RFC 8085 3.2; RFC 8085 3.3"),
    Rule("left_unread", edges.left_unread, "man 7 epoll"),
    Rule("retransmission_storm", frames.retransmission_storm, "RFC 6298 5.5"),
    Rule("window_limited", frames.window_limited, "RFC 7323 1.1"),
    Rule("handshake_lost", frames.handshake_lost, "RFC 6298 2.1"),
    Rule("keep_alive_only", frames.keep_alive_only, "RFC 9293 3.8.4"),
    Rule("keep_alive_unused", idle.keep_alive_unused, "man 7 tcp"),
)
WHOLE: tuple[WholeRule, ...] = (
    WholeRule("syn_flood", listeners.syn_flood, "RFC 4987"),
    WholeRule("time_wait", ports.time_wait, "RFC 9293 3.6.1"),
    WholeRule("bind_refused", ports.bind_refused, "man 7 socket; RFC 9293 3.6.1"),
    WholeRule("connect_failed", connects.connect_failed, "man 2 connect; man 2 poll"),
)


def findings_of(scene: Scene, connection: int | None = None) -> list[Finding]:
    """All findings, the gravest first; of one connection, or of all."""
    found: list[Finding] = []
    for row in scene.tables.connections:
        if connection in (None, row.connection):
            found += _of(scene, row)
    if connection is None:
        found += [item for rule in WHOLE for item in rule.find(scene)]
    found = [_placed(scene, item) for item in found]
    found.sort(key=lambda item: _ORDER.index(item.severity))
    return found


def _placed(scene: Scene, item: Finding) -> Finding:
    """With the lines of the program that made the calls it cites."""
    lines = [scene.call(number).code for number in item.calls]
    known = tuple(dict.fromkeys(line for line in lines if line))
    return replace(item, code=known) if known else item


def _of(scene: Scene, row: Connection) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule.find(scene, row)

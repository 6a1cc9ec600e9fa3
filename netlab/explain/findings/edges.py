"""Findings about edge-triggered waits: what their own program had left unread.

Read first: `explain.edges`, man 7 epoll.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import lasting, more_such, name_of
from netlab.model.tables import Connection

_LEAST_NS = 10_000_000


def left_unread(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A program waited with EPOLLET though it had not read all that was there."""
    found = [
        (call, part)
        for call in scene.left_lying.get(row.connection, ())
        for part in scene.explained.get(call.call, ())
        if part.cause is Cause.LEFT_UNREAD
    ]
    lost_ns = sum(part.length_ns for _, part in found)
    if lost_ns < _LEAST_NS:
        return
    call, part = max(found, key=lambda item: item[1].length_ns)
    says = MECHANISMS[Cause.LEFT_UNREAD]
    yield Finding(
        "left_unread", row.connection, Severity.HIGH,
        f"{name_of(call)} waited for {lasting(part.length_ns)} {part.text}"
        f"{more_such(len(found))}.",
        says.advice, says.source, part.frames, tuple(one.call for one, _ in found[:CITED]),
    )  # fmt: skip

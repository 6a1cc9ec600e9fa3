"""Findings -> the same thing said once: those of several connections that differ only in numbers.

Of a listener that closes with a full queue every client is reset by one call: that is one thing to
know, with its count. What differs is told of the first; the frames and calls of all are evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netlab.explain.findings.finding import Finding, Severity
from netlab.model.records import dataclass

_FRAME = re.compile(r" \(frames? [\d, ]+\)")
_NUMBER = re.compile(r"#?\d[\d,]*(?:\.\d+)?(?: (?:us|ms|s)\b|%)?")


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one kind that say the same."""

    kind: str
    severity: Severity
    count: int
    connections: tuple[int, ...]  # in order; empty: of none
    alike: bool  # the text holds for each of them; else it is that of the first
    text: str
    advice: str
    source: str
    frames: tuple[int, ...]
    calls: tuple[int, ...]
    code: tuple[str, ...]


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """The findings in the order given, each group where its first one stands."""
    found: dict[tuple[str, Severity, str, str], list[Finding]] = {}
    for one in findings:
        key = one.kind, one.severity, one.advice, _NUMBER.sub("0", one.text)
        found.setdefault(key, []).append(one)
    return [_group(members) for members in found.values()]


def _group(members: list[Finding]) -> Group:
    first = members[0]
    texts = {one.text for one in members}
    if len(texts) > 1:  # the frames stand in the evidence
        texts = {_FRAME.sub("", text) for text in texts}
    alike = len(texts) == 1
    return Group(
        first.kind, first.severity, len(members),
        tuple(sorted({one.connection for one in members if one.connection is not None})),
        alike, texts.pop() if alike else first.text, first.advice, first.source,
        tuple(dict.fromkeys(frame for one in members for frame in one.frames)),
        tuple(dict.fromkeys(call for one in members for call in one.calls)),
        tuple(dict.fromkeys(line for one in members for line in one.code)),
    )  # fmt: skip

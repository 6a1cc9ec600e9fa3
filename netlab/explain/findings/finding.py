"""One finding: a sentence, how grave it is, what shows it, and what to change."""

from __future__ import annotations

from enum import StrEnum

from netlab.model.records import dataclass

CITED = 8  # frames or calls that a finding names; of many more nobody reads the rest


class Severity(StrEnum):
    """How grave: it cost time or bytes; it may; it is worth knowing."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found. Without evidence there is none."""

    kind: str
    connection: int | None
    severity: Severity
    text: str
    advice: str
    source: str
    frames: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    code: tuple[str, ...] = ()  # file:line of those calls, where it is known

    def __post_init__(self) -> None:
        if not self.frames and not self.calls:
            raise ValueError(f"a finding without evidence: {self.kind}")

"""What users may decide about a handler, beside the server's own options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHARGEN_LIMIT_BYTES = 1 << 20
PAUSES_S = (0.2, 0.2, 0.2)


@dataclass(frozen=True, slots=True)
class Settings:
    """Each is used by one handler, which its name in the help says."""

    folder: Path = Path()  # http: whose files are served
    limit_bytes: int = CHARGEN_LIMIT_BYTES  # chargen: how much each client gets
    pauses_s: tuple[float, ...] = PAUSES_S  # slow: before each piece of an answer

"""Where the files are that a reviewer can read and a test compares with."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden"

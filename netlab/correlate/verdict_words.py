"""The few words that reasons of verdicts share. Offsets are the stream's, as everywhere."""

from __future__ import annotations


def ms(ns: int) -> str:
    """`214.3 ms`: reasons compare times, so all are in one unit."""
    return f"{ns / 1_000_000:.1f} ms"


def byte_text(seq: int, end: int) -> str:
    """Relative numbers as offsets of the stream: the SYN took number 0."""
    return f"{max(seq - 1, 0)}..{max(end - 1, 0)}"

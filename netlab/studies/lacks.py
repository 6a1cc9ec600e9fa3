"""What the kernel at hand may lack for a study: in words, or nothing."""

from __future__ import annotations

from netlab.lab import sysctls


def lacking(name: str, why: str = "") -> str:
    """That it has no such sysctl, for `Study.lacks`; empty: it has."""
    if sysctls.read(name) is not None:
        return ""
    return f"{name}: {why}" if why else name

"""Packages that only some handlers need, imported when such a handler is chosen."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from netlab.model.errors import UsageError


def needed(package: str, handler: str) -> ModuleType:
    """The package; UsageError with what installs it where it is missing."""
    try:
        return import_module(package)
    except ImportError:
        raise UsageError(
            f"the {handler} handler needs the package {package}",
            f"pip install {package}, or pip install 'netlab[handlers]'",
        ) from None

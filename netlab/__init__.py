"""netlab shows what sockets really do: calls mapped onto packets, byte for byte.

    import netlab
    rec = netlab.read("echo.pcapng")
    rec.calls, rec.spans                # Polars frames
    with netlab.record("mine.pcapng") as probe:
        s = probe.socket(AF_INET, SOCK_STREAM)
    with netlab.Lab(path="lab.pcapng", wire="delay 20ms") as lab:
        lab.start("server", ["python3", "-m", "http.server"])

Importing netlab does nothing; what is heavy is imported where it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, which would have to be imported

__version__ = "0.1.0"
__all__ = ["Lab", "NetlabError", "Recording", "read", "record"]

if TYPE_CHECKING:
    from typing import Any

    from netlab.lab.experiment import Lab
    from netlab.lab.inprocess import record
    from netlab.model.errors import NetlabError
    from netlab.show.notebook import Recording, read

_HOME = {
    "Lab": "netlab.lab.experiment",
    "NetlabError": "netlab.model.errors",
    "Recording": "netlab.show.notebook",
    "read": "netlab.show.notebook",
    "record": "netlab.lab.inprocess",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'netlab' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

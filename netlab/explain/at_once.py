"""How long a call takes that waits for nothing."""

from __future__ import annotations

from netlab.model.tables import Call

NO_WAIT_NS = 300_000  # a call that takes no longer did not wait for anything
COPY_NS_PER_BYTE = 1
_STOPS_NS = 1_500_000  # two stops by strace, on a busy machine


def traced_ns(call: Call) -> int:
    """What its tracer may have added."""
    return _STOPS_NS if call.witness.startswith("strace") else 0

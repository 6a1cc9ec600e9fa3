"""Whether the kernel witness works here, found by trying: it must see one call of a child.

Read `machine` first, which asks for it.
"""

from __future__ import annotations

import json
import os
import socket

from netlab.capture.kernel.witness import KernelWitness
from netlab.lab import itself
from netlab.lab.machine import Fact, Verdict, in_child
from netlab.model.errors import NetlabError

_NAME = "kernel witness"
_BUFFER_KB = 64


def try_kernel_witness() -> Fact:
    """The fact, with what would grant it."""
    answer = in_child(_trial)
    if not answer:
        return Fact(_NAME, Verdict.NO, "the trial died: use --witness strace")
    found = json.loads(answer)
    if found["fault"]:
        grant = "" if os.geteuid() == 0 else itself.as_root("doctor")
        return Fact(_NAME, Verdict.LIMITED, f"{found['fault']}; strace needs no right", grant)
    if not found["calls"]:
        return Fact(_NAME, Verdict.NO, "a trial call was not seen: use --witness strace")
    if found["missing"]:
        text = f"calls, states; this kernel has no {', '.join(found['missing'])}"
        return Fact(_NAME, Verdict.LIMITED, text)
    return Fact(_NAME, Verdict.OK, "calls, states, resends, drops and resets: all tracepoints")


def _trial() -> dict[str, object]:
    try:
        with KernelWitness.open(buffer_kb=_BUFFER_KB) as witness:
            witness.follow(os.getpid(), host="trial", actor="trial")
            socket.socket().close()
            calls = [call.op for call in witness.finish().calls]
            return {"fault": "", "calls": calls, "missing": witness.missing}
    except NetlabError as error:
        return {"fault": error.message, "calls": [], "missing": []}

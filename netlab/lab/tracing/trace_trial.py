"""Whether programs can be traced here, found by trying: strace attaches to one, as it will.

Read `machine` first, which asks for it.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from netlab.lab.machine import Fact, Verdict, in_child
from netlab.lab.tracing.call_witnesses import CallWitnesses
from netlab.lab.tracing.gated import GatedProgram
from netlab.lab.tracing.strace_tool import find_strace
from netlab.model.errors import NetlabError, UsageError


def try_strace() -> Fact:
    """Whether the calls of programs can be had from strace, and what would grant it."""
    try:
        strace = find_strace(otherwise="")
    except UsageError as error:
        text = f"{error.message}: netlab lab records packets alone"
        return Fact("strace", Verdict.LIMITED, text, "sudo apt-get install strace")
    answer = json.loads(in_child(_attach) or '["the trial died", ""]')
    if answer[0]:
        text = f"{strace.version}, but {answer[0]}"
        _, sudo, command = answer[1].partition("sudo ")
        return Fact("strace", Verdict.LIMITED, text, f"sudo {command}" if sudo else "")
    return Fact("strace", Verdict.OK, f"{strace.version} ({strace.file}), attaches to programs")


def _attach() -> tuple[str, str]:
    """What keeps strace from attaching to a program that waits at its gate, and what to do."""
    with ExitStack() as opened, tempfile.TemporaryDirectory(prefix="netlab-trial-") as folder:
        witnesses = CallWitnesses("strace")
        witnesses.open(opened)
        program = GatedProgram(["/bin/true"], ["true"], user=None, before_exec=lambda: None)
        opened.callback(program.close)
        try:
            witnesses.attach((program.pid,), "localhost", "true", Path(folder))
        except NetlabError as error:
            return error.message, error.hint
    return "", ""


def trace_fact(here: Fact, *witnesses: Fact) -> Fact:
    """What `netlab trace` can do: `here` is the right to capture, without which it does nothing."""
    name = "netlab trace"
    if here.verdict is not Verdict.OK:
        text = "not without the right to capture; netlab lab needs none"
        return Fact(name, Verdict.LIMITED, text, here.grant)
    able = [one.name for one in witnesses if one.verdict is Verdict.OK]
    if not able:
        return Fact(name, Verdict.LIMITED, "packets, but nobody tells the calls: see strace")
    return Fact(name, Verdict.OK, f"a program's packets, and its calls by {' or '.join(able)}")

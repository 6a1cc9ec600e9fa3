"""Starts one program in the lab's first process: fork, become, and be watched before it executes.

Turns orders into a running child and what is known of it, or why it did not start. Keeps no list of
programs and sends no message. Read `become` for the child's side.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netlab.lab.become import READY, Orders, become

if TYPE_CHECKING:
    from netlab.lab.network.builder import Place


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that was forked."""

    pid: int  # as this process sees it
    outer: int  # as the machine does
    blind: str = ""  # why nobody watches it, where somebody should
    failure: str = ""  # why it is not the program that it should be
    exit_code: int = 0  # netlab's, for that


def launch(
    orders: Orders,
    descriptors: Sequence[int],
    *,
    proc: int,
    place: Place | None,
    watch: Callable[[int], str] | None = None,
) -> Launched:
    """Fork and execute. Raises OSError when there can be no more processes.

    `watch` is called with the pid that the machine sees while the child waits, ready to execute,
    and says why it is not watched, or nothing.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    go, go_write = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        for descriptor in (read_end, write_end, go, go_write):
            os.close(descriptor)
        raise
    if pid == 0:
        os.close(go_write)
        waits = go if watch is not None else None
        become(orders, descriptors, report=write_end, proc=proc, place=place, go=waits)
    os.close(write_end)
    os.close(go)
    report = _read_until(read_end, READY)
    outer = int(report.partition(b"\n")[0] or pid)
    blind = ""
    if watch is not None and report.endswith(READY):
        blind = watch(outer)
    os.close(go_write)  # its word to go on
    report += _read_until(read_end)
    os.close(read_end)
    words = report.replace(READY, b"").decode(errors="replace").split("\n")
    if len(words) > 2:
        return Launched(pid, outer, blind, words[1], int(words[2]))
    return Launched(pid, outer, blind)


def _read_until(descriptor: int, last: bytes | None = None) -> bytes:
    """What is written there until its end, or until it ends in `last`."""
    found = b""
    while (data := os.read(descriptor, 4096)) and not (last and (found + data).endswith(last)):
        found += data
    return found + data

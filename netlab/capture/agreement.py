"""Calls that strace and the kernel both saw -> one record each, with the better of both.

strace tells what stands behind pointers, and a thread stops before and after each call for it; the
kernel's own times lie within: so a pair has strace's words and the kernel's times. What only one of
them saw stays as it is, its sockets numbered as strace numbers them, where a pair says which those
are. Pure; knows nothing of how either is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from netlab.model.call import CallRecord, Inheritance
from netlab.model.recording import RawRecording

BOTH = "strace+kernel"
_WITNESSES = ("strace", "kernel")
_ATTACH = "attach"  # no call: what was open when netlab came, in whichever call its process was
_Inodes = dict[tuple[str, int], int]  # of host and the kernel witness's number: strace's


def agree(raw: RawRecording) -> None:
    """Join the calls of a recording that two witnesses saw; where there is one it does nothing."""
    witnesses = {call.witness for call in raw.calls}
    if not {"strace", "kernel"} <= witnesses:
        return
    inodes: _Inodes = {}
    joined = [call for call in raw.calls if call.witness not in _WITNESSES or call.op == _ATTACH]
    for strace, kernel in _threads(raw.calls):
        joined += _thread(strace, kernel, inodes)
    raw.calls = [_renumbered(call, inodes) if call.witness == "kernel" else call for call in joined]
    raw.calls.sort(key=lambda c: (c.entered_ns, c.host, c.pid, c.tid, c.order))
    hosts = {call.pid: call.host for call in raw.calls}
    raw.inheritances = _inheritances(raw.inheritances, hosts, inodes)
    raw.kernel_events = [
        event
        if event.inode is None
        else replace(event, inode=inodes.get((event.host, event.inode), event.inode))
        for event in raw.kernel_events
    ]


def _threads(
    calls: Iterable[CallRecord],
) -> Iterator[tuple[list[CallRecord], list[CallRecord]]]:
    """Of each thread what strace saw and what the kernel saw, in order."""
    found: dict[tuple[str, int, int], tuple[list[CallRecord], list[CallRecord]]] = defaultdict(
        lambda: ([], [])
    )
    for call in calls:
        if call.witness in _WITNESSES and call.op != _ATTACH:
            found[call.host, call.pid, call.tid][call.witness == "kernel"].append(call)
    for strace, kernel in found.values():
        strace.sort(key=_by_entry)
        kernel.sort(key=_by_entry)
        yield strace, kernel


def _by_entry(call: CallRecord) -> tuple[int, int]:
    return call.entered_ns, call.order


def _thread(
    strace: list[CallRecord], kernel: list[CallRecord], inodes: _Inodes
) -> list[CallRecord]:
    """One system call may have several records, which were entered at one time."""
    theirs = [list(group) for _, group in groupby(strace, key=lambda call: call.entered_ns)]
    ours = [list(group) for _, group in groupby(kernel, key=lambda call: call.entered_ns)]
    found: list[CallRecord] = []
    place = 0
    for number, group in enumerate(theirs):
        begin = group[0].entered_ns
        end = theirs[number + 1][0].entered_ns if number + 1 < len(theirs) else None
        while place < len(ours) and ours[place][0].entered_ns < begin:
            found += ours[place]
            place += 1
        within: list[CallRecord] = []
        while place < len(ours) and (end is None or ours[place][0].entered_ns < end):
            within += ours[place]
            place += 1
        found += _pairs(group, within, inodes)
    for rest in ours[place:]:
        found += rest
    return found


def _pairs(
    strace: Sequence[CallRecord], kernel: Sequence[CallRecord], inodes: _Inodes
) -> list[CallRecord]:
    """Records of one system call as strace tells it, and of what the kernel saw meanwhile."""
    found: list[CallRecord] = []
    left = list(kernel)
    for call in strace:
        match = next((one for one in left if _same(call, one)), None)
        if match is None:
            found.append(call)
            continue
        left.remove(match)
        if match.inode is not None and call.inode is not None:
            inodes[call.host, match.inode] = call.inode
        if match.new_inode is not None and call.new_inode is not None:
            inodes[call.host, match.new_inode] = call.new_inode
        found.append(_joined(call, match))
    return found + left


def _same(strace: CallRecord, kernel: CallRecord) -> bool:
    if strace.op == "exit":
        return kernel.op == "exit"
    if strace.returned_ns is None:  # its thread's end: the kernel sees it leave all the same
        return (strace.op, strace.fd) == (kernel.op, kernel.fd)
    named = (strace.op, strace.fd, strace.result, strace.errno)
    return named == (kernel.op, kernel.fd, kernel.result, kernel.errno)


def _joined(strace: CallRecord, kernel: CallRecord) -> CallRecord:
    return replace(
        strace,
        witness=BOTH,
        entered_ns=kernel.entered_ns,
        returned_ns=None if strace.returned_ns is None else kernel.returned_ns,
        returned_by_ns=kernel.returned_by_ns,
        local=strace.local or kernel.local,
        peer=strace.peer or kernel.peer,
        address=strace.address or kernel.address,
        message_bytes=strace.message_bytes or kernel.message_bytes,
    )


def _renumbered(call: CallRecord, inodes: _Inodes) -> CallRecord:
    inode, new = call.inode, call.new_inode
    return replace(
        call,
        inode=None if inode is None else inodes.get((call.host, inode), inode),
        new_inode=None if new is None else inodes.get((call.host, new), new),
    )


def _inheritances(
    items: Iterable[Inheritance], hosts: dict[int, str], inodes: _Inodes
) -> list[Inheritance]:
    """Each once: by both witnesses what a process began life with is the same sockets."""
    found: dict[tuple[int, int], Inheritance] = {}
    for item in items:
        host = hosts.get(item.pid) or hosts.get(item.parent_pid) or ""
        named = {inodes.get((host, inode), inode) for inode in item.inodes}
        key = item.pid, item.parent_pid
        known = found.get(key)
        if known is not None:
            named |= set(known.inodes)
        found[key] = replace(
            item,
            time_ns=item.time_ns if known is None else min(item.time_ns, known.time_ns),
            inodes=tuple(sorted(named)),
        )
    return list(found.values())

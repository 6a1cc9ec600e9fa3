"""Reads any capture file into the raw material of a recording; decodes no packet.

pcap and pcapng from anywhere, with what netlab itself put in. Bytes are hostile: whatever they say,
the answer is BadRecording or a RawRecording whose `faults` name the damage, and memory stays
bounded by the file's size. Frame numbers are Wireshark 4.0's.
"""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from netlab.capture import pcap
from netlab.capture import pcapng_reader as reader
from netlab.capture.agreement import agree
from netlab.capture.at_hand import AtHand, at_hand
from netlab.capture.damage import Damaged
from netlab.capture.spare import FRAMES_BETWEEN, check_going_on
from netlab.capture.wired import check_arrivals
from netlab.model.call import CallRecord
from netlab.model.errors import BadRecording, UsageError
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording

if TYPE_CHECKING:
    from pathlib import Path

# What other files begin with, and what to do about it.
_STRANGERS = (
    (b"snoop\0\0\0", "it is a snoop capture", "convert it first: editcap FILE FILE.pcapng"),
)


def read_raw(path: str | Path | AtHand, *, ended: bool = False) -> RawRecording:
    """The frames, calls and all else of a capture file, compressed or not; `-` is standard input.

    What a live recording says of the ring's losses is only so far: whether there were none is not
    known, unless the reader knows that it `ended` in order. Raises BadRecording when it cannot be
    read, is empty, or is no capture.
    """
    raw = _read(path, ended)
    agree(raw)
    return raw


def _read(path: str | Path | AtHand, ended: bool = False) -> RawRecording:
    capture = at_hand(path)
    name, data = capture.name, capture.take().data()
    # Many small rows and no cycles: looking for garbage among them takes a fifth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        raw = _raw(data, name, ended)
    except BadRecording:
        if not capture.fault:
            raise
        raise BadRecording(f"no packet of {name} can be read", capture.fault) from None
    finally:
        if collecting:
            gc.enable()
    capture.add_fault(raw, len(raw.frames))
    return raw


def _raw(data: bytes, name: str, ended: bool) -> RawRecording:
    if data[:4] == reader.SECTION_HEADER_BYTES:
        from netlab.capture.pcapng_file import PcapngFile  # with all that a recording may hold

        raw = PcapngFile(name).read(data)
    elif (header := pcap.maybe_header(data)) is not None:
        raw = _pcap(data, header)
    else:
        raise _stranger(data, name)
    raw.calls.sort(key=_by_entry)
    raw.faults += check_arrivals(raw)
    if raw.description.form == "live" and not ended:
        raw.interfaces = [replace(one, dropped=one.dropped or None) for one in raw.interfaces]
        raw.cut_short = True
    return raw


def recover(path: str | Path) -> RawRecording:
    """What a killed recording left: FILE, up to its last whole block, and its spools, merged.

    A call that stands in both is taken once. `faults` and the description's notes say what was
    found. Raises BadRecording when neither holds anything, UsageError when FILE is being recorded.
    """
    from pathlib import Path

    from netlab.capture.ownership import being_recorded
    from netlab.capture.recording import spool_folder

    path = Path(path)
    if being_recorded(path):
        raise UsageError(f"{path} is still being recorded", "stop the recording first")
    folder = spool_folder(path)
    has_spools = folder.is_dir() and any(folder.iterdir())
    try:
        raw = _read(path)
    except BadRecording as error:
        if not has_spools:
            hint = f"{error.message}; there are no spools in {folder} either"
            raise BadRecording("nothing to recover", hint) from None
        raw = RawRecording(faults=[error.message], cut_short=True)
    if not raw.description.form and not has_spools:
        raise BadRecording(
            f"{path} was not recorded by netlab and has no spools", "there is nothing to recover"
        )
    notes = list(raw.description.notes) + [f"recovered: {fault}" for fault in raw.faults]
    if raw.cut_short:  # said again in the finished file, by what it says of the interfaces
        seen = Counter(frame.interface for frame in raw.frames)
        raw.interfaces = [
            replace(one, received=one.received or seen[number], dropped=one.dropped or None)
            for number, one in enumerate(raw.interfaces)
        ]
    if raw.description.form == "live":
        notes.append("recovered: the recording was not finished: frames of its end may be missing")
    if has_spools:
        added = _add_spools(raw, folder)
        notes.append(f"recovered: calls that stood in the spools alone: {added}")
    raw.description = replace(raw.description, notes=tuple(dict.fromkeys(notes)))
    agree(raw)
    return raw


def _add_spools(raw: RawRecording, folder: Path) -> int:
    """Merge the spools in; returns how many calls only they held."""
    from netlab.capture.probe.spool import SpoolReader
    from netlab.capture.strace.spools import StraceSpools

    # What the file had no room for is here.
    raw.losses = [
        replace(loss, what="frames") if loss.witness == "recorder" else loss for loss in raw.losses
    ]
    spools, logs = SpoolReader(folder), StraceSpools(folder)
    calls = {_identity(call): call for call in raw.calls}
    recorded = len(calls)
    for call in [*spools.poll(), *spools.finish(), *logs.poll(), *logs.finish()]:
        known = calls.get(_identity(call))
        if known is None or known.returned_ns is None:
            calls[_identity(call)] = call
    raw.calls = sorted(calls.values(), key=_by_entry)
    inheritances = [*raw.inheritances, *spools.inheritances, *logs.inheritances]
    raw.inheritances = list(dict.fromkeys(inheritances))
    raw.losses = list(dict.fromkeys([*raw.losses, *spools.losses, *logs.losses]))
    raw.stamps = list(dict.fromkeys([*raw.stamps, *spools.stamps]))
    return len(calls) - recorded


def _by_entry(call: CallRecord) -> tuple[int, str, int, int, int]:
    return call.entered_ns, call.host, call.pid, call.tid, call.order


def _identity(call: CallRecord) -> tuple[str, str, int, int, int, int]:
    # A pid may come round again in a long recording: the entry's time tells the two apart. Of a
    # thread that strace saw, whose it is may have become known only now.
    pid = 0 if call.witness == "strace" else call.pid
    return call.witness, call.host, pid, call.tid, call.order, call.entered_ns


def _stranger(data: bytes, name: str) -> BadRecording:
    for magic, what, hint in _STRANGERS:
        if data[: len(magic)] == magic:
            return BadRecording(f"{name} is not a pcap or pcapng file: {what}", hint)
    if data[:4] in (*pcap.MAGICS, reader.SECTION_HEADER_BYTES[: len(data)]):
        return BadRecording(f"{name} is cut short in its first header", "no packet is in it")
    return BadRecording(
        f"{name} is not a pcap or pcapng file", "`file NAME` says what it is; name a capture file"
    )


def _pcap(data: bytes, header: pcap.PcapHeader) -> RawRecording:
    raw = RawRecording(interfaces=[Interface("", header.link, header.snaplen_bytes)])
    view, add = memoryview(data), raw.frames.append
    number = 0
    try:
        for number, (time_ns, start, stop, origlen) in enumerate(pcap.records(data, header), 1):
            add(Frame(number, time_ns, 0, view[start:stop], origlen))
            if not number & FRAMES_BETWEEN - 1:
                check_going_on(number)
    except Damaged as damage:
        raw.faults.append(f"{damage} (packets read before it: {number})")
        raw.cut_short = True
    return raw

"""Reads any capture file into the raw material of a recording; decodes no packet.

pcap and pcapng from anywhere, with what netlab itself put in. Bytes are hostile: whatever they say,
the answer is BadRecording or a RawRecording whose `faults` name the damage, and memory stays
bounded by the file's size. Frame numbers are Wireshark 4.0's.
"""

from __future__ import annotations

import gc
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from netlab.capture import journal, local, pcap, pcapng, rows
from netlab.capture import pcapng_reader as reader
from netlab.capture.agreement import agree
from netlab.capture.compressed import maybe_decompressed
from netlab.capture.damage import Damaged, max_packet_bytes
from netlab.capture.sources import content_of
from netlab.capture.wired import check_arrivals
from netlab.model.call import CallRecord
from netlab.model.errors import BadRecording, UsageError
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording

R = TypeVar("R")

_FORM = re.compile(r"netlab recording, version (\d{1,9}), (live|finished)")
_FAULTS = 100  # lines kept: a file full of damage must not become a memory full of complaints
# What other files begin with, and what to do about it.
_STRANGERS = (
    (b"snoop\0\0\0", "it is a snoop capture", "convert it first: editcap FILE FILE.pcapng"),
)


def read_raw(path: str | Path, *, ended: bool = False) -> RawRecording:
    """The frames, calls and all else of a capture file, compressed or not; `-` is standard input.

    What a live recording says of the ring's losses is only so far: whether there were none is not
    known, unless the reader knows that it `ended` in order. Raises BadRecording when it cannot be
    read, is empty, or is no capture.
    """
    raw = _read(path, ended)
    agree(raw)
    return raw


def _read(path: str | Path, ended: bool = False) -> RawRecording:
    name = "standard input" if str(path) == "-" else str(path)
    data = content_of(path, name)
    if not data:
        raise BadRecording(f"{name} is empty", "nothing was recorded in it")
    plain = maybe_decompressed(data, name)
    if plain is not None:
        data = plain.data
    # Many small rows and no cycles: looking for garbage among them takes a fifth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        raw = _raw(data, name, ended)
    except BadRecording as error:
        if plain is None or not plain.fault:
            raise
        raise BadRecording(error.message, plain.fault) from None
    finally:
        if collecting:
            gc.enable()
    if plain is not None and plain.fault:
        raw.faults.append(plain.fault)
        raw.cut_short = True
    return raw


def _raw(data: bytes, name: str, ended: bool) -> RawRecording:
    if data[:4] == reader.SECTION_HEADER_BYTES:
        raw = _PcapngFile(data, name).read()
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
    except Damaged as damage:
        raw.faults.append(f"{damage} (packets read before it: {number})")
        raw.cut_short = True
    return raw


class _PcapngFile:
    """The reading of one pcapng file, block by block."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._view = memoryview(data)
        self._name = name
        self._raw = RawRecording()
        self._number = 0  # of the last frame, as Wireshark counts
        self._time_ns = 0  # of the last packet: what one without a stamp gets
        self._first = 0  # index of the current section's first interface
        self._described: list[reader.InterfaceDescription] = []  # of all sections
        self._stampless = 0

    def read(self) -> RawRecording:
        """All that can be read; raises BadRecording when that does not even make a file."""
        sections = 0
        try:
            for kind, start, stop, order in reader.blocks(self._data):
                if kind == pcapng.SECTION_HEADER:
                    self._section(start, stop, order)
                    sections += 1
                else:
                    self._block(kind, start, stop, order)
        except Damaged as damage:
            if not sections:
                raise BadRecording(
                    f"{self._name} is not a whole capture file: {damage}",
                    "it was cut short or damaged at its very beginning",
                ) from None
            self._fault(f"{damage} (frames read before it: {self._number})")
            self._raw.cut_short = True
        raw = self._raw
        if self._stampless:
            note = f"{self._stampless} packets carry no time: each got that of the packet before it"
            raw.description = replace(raw.description, notes=(*raw.description.notes, note))
        return raw

    def _fault(self, text: str) -> None:
        if len(self._raw.faults) < _FAULTS:
            self._raw.faults.append(text)

    def _block(self, kind: int, start: int, stop: int, order: str) -> None:
        if kind in (pcapng.ENHANCED_PACKET, pcapng.OBSOLETE_PACKET):
            self._packet(kind, start, stop, order)
        elif kind == pcapng.JOURNAL_EXPORT:
            self._journal(start, stop)
        elif kind == pcapng.INTERFACE_DESCRIPTION:
            found = reader.interface(self._data, start, stop, order)
            self._described.append(found)
            self._raw.interfaces.append(Interface(found.name, found.link, found.snaplen_bytes))
        elif kind == pcapng.SIMPLE_PACKET:
            self._simple_packet(start, stop, order)
        elif kind == pcapng.INTERFACE_STATISTICS:
            self._statistics(start, stop, order)
        elif kind == pcapng.NETLAB_LOCAL:
            self._local(self._data[start:stop])
        elif kind in pcapng.CUSTOM:
            # Wireshark 4.0 lists these as frames, although no packet is in them.
            if stop - start < 4:
                raise Damaged(f"the custom block at byte {start - 8} is too short")
            self._number += 1
        elif kind in pcapng.SYSDIG_EVENTS:
            self._number += 1

    def _section(self, start: int, stop: int, order: str) -> None:
        self._first = len(self._described)
        for comment in reader.section_comments(self._data, start, stop, order):
            match = _FORM.match(comment)
            if match is None:
                continue
            version = int(match[1])
            if version != local.FILE_VERSION:
                raise BadRecording(
                    f"{self._name} is a netlab recording of version {version}",
                    f"this netlab reads version {local.FILE_VERSION}: install a newer one",
                )
            self._raw.description = replace(
                self._raw.description, form=match[2], file_version=version
            )

    def _interface(self, number: int, start: int) -> int:
        index = self._first + number
        if index >= len(self._described):
            raise Damaged(f"the block at byte {start - 8} names interface {number}: there is none")
        return index

    def _packet(self, kind: int, start: int, stop: int, order: str) -> None:
        number, ticks, begin, end, origlen, flags, packet = reader.packet(
            self._data, kind, start, stop, order
        )
        index = self._interface(number, start)
        described = self._described[index]
        if end - begin > max_packet_bytes(described.link):
            raise Damaged(f"a packet of {end - begin} bytes at byte {begin}: more than may be")
        self._number += 1
        self._time_ns = described.time_ns(ticks)
        self._raw.frames.append(
            Frame(self._number, self._time_ns, index, self._view[begin:end], origlen, flags, packet)
        )

    def _simple_packet(self, start: int, stop: int, order: str) -> None:
        index = self._interface(0, start)
        described = self._described[index]
        begin, end, origlen = reader.simple_packet(
            self._data, start, stop, order, described.snaplen_bytes
        )
        if end - begin > max_packet_bytes(described.link):
            raise Damaged(f"a packet of {end - begin} bytes at byte {begin}: more than may be")
        self._number += 1
        self._stampless += 1
        self._raw.frames.append(
            Frame(self._number, self._time_ns, index, self._view[begin:end], origlen)
        )

    def _statistics(self, start: int, stop: int, order: str) -> None:
        number, found = reader.statistics(self._data, start, stop, order)
        index = self._first + number
        if index >= len(self._described):
            return  # Wireshark 4.0 reads on
        stamp = self._described[index].time_ns
        old = self._raw.interfaces[index]
        begun, ended = found.get(pcapng.ISB_START), found.get(pcapng.ISB_END)
        self._raw.interfaces[index] = replace(
            old,
            received=found.get(pcapng.ISB_RECEIVED, old.received),
            dropped=found.get(pcapng.ISB_DROPPED, old.dropped),
            start_ns=old.start_ns if begun is None else stamp(begun),
            end_ns=old.end_ns if ended is None else stamp(ended),
        )

    def _journal(self, start: int, stop: int) -> None:
        entry = self._data[start:stop].rstrip(b"\0")
        if len(entry) < journal.SHORTEST_ENTRY_BYTES:
            raise Damaged(f"the journal entry at byte {start - 8} is too short")
        self._number += 1
        try:
            call = journal.maybe_call(entry)
        except ValueError as error:
            self._fault(f"the call in frame {self._number} cannot be read: {error}")
            return
        if call is not None:
            self._raw.calls.append(call)

    def _local(self, body: bytes) -> None:
        parts = local.maybe_parts(body)
        if parts is None:
            return
        version, kind, count, text = parts
        raw = self._raw
        if version != local.FILE_VERSION:
            self._fault(f"a block of netlab's file version {version} was skipped")
        elif kind == local.Kind.DESCRIPTION:
            try:
                found = local.parse_description(text)
            except ValueError as error:
                self._fault(f"the description cannot be read: {error}")
                return
            form, number = raw.description.form, raw.description.file_version
            raw.description = replace(found, form=form, file_version=number)
        elif kind == local.Kind.CALLS:
            self._table(rows.CALLS, text, count, raw.calls)
        elif kind == local.Kind.CLOCK_PAIRS:
            self._table(rows.CLOCK_PAIRS, text, count, raw.clock_pairs)
        elif kind == local.Kind.INHERITANCES:
            self._table(rows.INHERITANCES, text, count, raw.inheritances)
        elif kind == local.Kind.LOSSES:
            self._table(rows.LOSSES, text, count, raw.losses)
        elif kind == local.Kind.STAMPS:
            self._table(rows.STAMPS, text, count, raw.stamps)
        elif kind == local.Kind.SAMPLES:
            self._table(rows.SAMPLES, text, count, raw.samples)
        elif kind == local.Kind.ARRIVALS:
            self._table(rows.ARRIVALS, text, count, raw.arrivals)
        elif kind == local.Kind.KERNEL_EVENTS:
            self._table(rows.KERNEL_EVENTS, text, count, raw.kernel_events)
        else:
            self._fault(f"a block of an unknown kind ({kind}) was skipped")

    def _table(self, schema: rows.Schema[R], text: bytes, count: int, into: list[R]) -> None:
        found = 0
        for record in rows.table_records(schema, text):
            found += 1
            if isinstance(record, ValueError):
                self._fault(f"a packed row cannot be read: {record}")
            else:
                into.append(record)
        if found != count:
            self._fault(f"a packed table says {count} rows and has {found}")

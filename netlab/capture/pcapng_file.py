"""The blocks of a pcapng file -> the raw material of a recording; decodes no packet.

What netlab itself put in is read here, too. A file is fed whole or in pieces that hold whole
blocks, so that somebody else may read the usual packets between them. Frame numbers are
Wireshark 4.0's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from netlab.capture import journal, local, pcapng, rows
from netlab.capture import pcapng_reader as reader
from netlab.capture.damage import Damaged, max_packet_bytes
from netlab.capture.spare import FRAMES_BETWEEN, check_going_on
from netlab.model.errors import BadRecording
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording

R = TypeVar("R")

_FORM = re.compile(r"netlab recording, version (\d{1,9}), (live|finished)")
_FAULTS = 100  # lines kept: a file full of damage must not become a memory full of complaints


class PcapngFile:
    """The reading of one pcapng file, block by block."""

    def __init__(self, name: str) -> None:
        self._data = b""
        self._view = memoryview(b"")
        self._name = name
        self._raw = RawRecording()
        self._number = 0  # of the last frame, as Wireshark counts
        self._time_ns = 0  # of the last packet: what one without a stamp gets
        self._first = 0  # index of the current section's first interface
        self._described: list[reader.InterfaceDescription] = []  # of all sections
        self._stampless = 0
        self._sections = 0
        self._order = "<"

    def read(self, data: bytes) -> RawRecording:
        """All that can be read; raises BadRecording when that does not even make a file."""
        try:
            self.feed(data)
        except Damaged as damage:
            self.end_damaged(damage)
        return self.finish()

    def feed(self, data: bytes) -> None:
        """Read whole blocks. Raises Damaged at the first that is none."""
        self._data, self._view = data, memoryview(data)
        for kind, start, stop, order in reader.blocks(data, self._order):
            self._order = order
            if kind == pcapng.SECTION_HEADER:
                self._section(start, stop, order)
                self._sections += 1
            else:
                self._block(kind, start, stop, order)

    def end_damaged(self, damage: Damaged) -> None:
        """Nothing can be read from here on; raises BadRecording when that is nothing at all."""
        if not self._sections:
            raise BadRecording(
                f"{self._name} is not a whole capture file: {damage}",
                "it was cut short or damaged at its very beginning",
            ) from None
        self._fault(f"{damage} (frames read before it: {self._number})")
        self._raw.cut_short = True

    def finish(self) -> RawRecording:
        """What was read, with what is to be said of it as a whole."""
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
        elif kind == pcapng.DECRYPTION_SECRETS:
            self._secrets(start, stop, order)
        elif kind in pcapng.SYSDIG_EVENTS:
            self._number += 1

    def _secrets(self, start: int, stop: int, order: str) -> None:
        """What keys there are is noted; netlab decrypts nothing."""
        name = reader.secrets_name(self._data, start, stop, order)
        if name not in self._raw.secrets:
            self._raw.secrets.append(name)

    def _section(self, start: int, stop: int, order: str) -> None:
        self._first = len(self._described)
        reader.check_section(self._data, start, stop, order)
        try:
            comments = reader.section_comments(self._data, start, stop, order)
        except Damaged as damage:  # Wireshark 4.0 ends here; what follows can be read
            self._fault(f"{damage}: what that section says of itself is left out")
            comments = []
        for comment in comments:
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
        self._add(index, begin, end, origlen, flags, packet)

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
        self._add(index, begin, end, origlen, 0, None)

    def _add(
        self, index: int, begin: int, end: int, origlen: int, flags: int, packet: int | None
    ) -> None:
        data = self._view[begin:end]
        self._raw.frames.append(
            Frame(self._number, self._time_ns, index, data, origlen, flags, packet)
        )
        if not len(self._raw.frames) & FRAMES_BETWEEN - 1:
            check_going_on(len(self._raw.frames))

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

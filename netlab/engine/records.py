"""A capture file's records -> rows, a piece of the file at a time.

The kernels scan the usual records; where they stop, the capture room reads one record or block as
it reads any, and says what is wrong with one that is damaged. Bytes stay in the piece: whoever
needs more than a row takes it before the next is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from netlab.capture import pcap, pcapng
from netlab.capture import pcapng_reader as reader
from netlab.capture.damage import Damaged, max_packet_bytes
from netlab.decode import kernels
from netlab.decode.numbers import (
    LINK_COOKED,
    LINK_COOKED_2,
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_RAW,
    LINK_RAW_BSD,
    LINK_RAW_OPENBSD,
)
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.engine.blocks import Blocks

_NS = 1_000_000_000
_LATEST_NS = 1 << 62
_MOST_INTERFACES = 0xFFFF
_MOST_ROWS = (1 << 31) - 1
READERS = {
    LINK_ETHERNET: kernels.ETHERNET,
    LINK_COOKED: kernels.COOKED,
    LINK_COOKED_2: kernels.COOKED_2,
    LINK_RAW: kernels.RAW_IP,
    LINK_RAW_BSD: kernels.RAW_IP,
    LINK_RAW_OPENBSD: kernels.RAW_IP,
    LINK_IPV4: kernels.RAW_IPV4,
    LINK_IPV6: kernels.RAW_IPV6,
}


class Unfit(Exception):
    """A file that is not for the engine: the general path reads it."""


@dataclass(slots=True)
class Stretch:
    """Rows with the bytes of their frames at hand, while the next piece is read beside them."""

    records: Records
    rows: Any
    number: int  # what the first of `rows` counts as in the file
    piece: Any
    base: int  # of the piece in the file
    first: int  # of those meant here
    last: int  # behind them
    aside: int  # of them: left for the general path
    flows: int = 0  # that there are with those found in it
    streams: int = 0  # of TCP among these

    def frame(self, index: int) -> Frame:
        """A row as a frame, its bytes copied."""
        rows, off = self.rows, self.rows.get(index, "off") - self.base
        data = bytes(self.piece.view[off : off + rows.get(index, "caplen_bytes")])
        return Frame(
            self.records.number(self.number + index), rows.get(index, "time_ns"),
            rows.get(index, "interface"), data, rows.get(index, "origlen_bytes"),
            self.records.flags(self.piece.view, off, len(data)),
        )  # fmt: skip


class Records:
    """The rows of one file, `most` at a time at the utmost, and what it says beside packets.

    With `keep` rows stay where they are made, one behind the other; without, each piece's begin at
    the first again. Bytes and rows of a stretch stay as they are until the next but one is made.
    """

    def __init__(self, machine: Any, handle: int, name: str, *, keep: bool) -> None:
        self.machine = machine
        self._handle = handle
        self._keep = keep
        self._size = os.fstat(handle).st_size
        self.rows = machine.table(kernels.ROW, 0)
        self._others = machine.table(kernels.ROW, 0)  # of the piece before, which may be in use
        self.settle: Callable[[], None] = lambda: None  # before rows move: nobody may use them
        self.links = machine.table(kernels.LINK, 1)
        self._scans = machine.table(kernels.SCAN, 1)
        self.piece = machine.piece(machine.piece_bytes)
        self._next_piece = machine.piece(machine.piece_bytes)
        self._is_in_use = False  # the piece, by a stretch
        self.base = 0  # of the piece in the file
        self.count = 0  # of rows in all
        self.first = 0  # the row of the file that is the first of `rows`
        self.began_ns: int | None = None  # the first packet
        self.enough = False  # nobody wants what is behind the present piece
        self._is_damaged = False  # and nobody can tell where what is behind it begins
        self.skipped: list[int] = []  # rows before which a frame number is no packet's
        head = os.pread(handle, pcap.FILE_HEADER_BYTES, 0)
        self._header = pcap.maybe_header(head)
        self._stop = 0  # of the bytes in the piece
        self.raw = RawRecording()
        if self._header is not None:
            if self._header.minor < 4:
                raise Unfit(
                    "a version of pcap whose records have their lengths the other way round"
                )
            self._kernel = "scan_pcap"
            self._begin_pcap(self._header)
        elif head[:4] == reader.SECTION_HEADER_BYTES:
            from netlab.engine.blocks import Blocks

            self._kernel = "scan_pcapng"
            self._blocks = Blocks(name, self.add)
        else:
            raise Unfit(name)

    def pieces(self) -> Iterator[Stretch]:
        """Ranges of `rows`, each decoded."""
        at = pcap.FILE_HEADER_BYTES if self._header is not None else 0
        os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while True:
            got = self._fill()
            more = True
            while more and not self.enough:
                at, more = self._scan(at, whole=got > 0)
                yield from self._decoded()
            if not got or self.enough or self._is_damaged:
                break
            at = self._carry(at)
        if self._header is None:
            self.raw = self._blocks.finish()

    def flags(self, view: memoryview, off: int, caplen: int) -> int:
        """What a packet block says of its packet beside the bytes; rows have no room for it."""
        return 0 if self._header is not None else reader.packet_flags(view, off, caplen)

    def interfaces(self) -> list[tuple[int, int, int]]:
        """Of each interface: frames, bytes on the wire, when the latest came."""
        layout = self.links.layout
        places = [layout.place(name) for name in ("frames", "wire_bytes", "latest_ns")]
        rows = self.links.rows(len(self.raw.interfaces))
        return [(row[places[0]], row[places[1]], row[places[2]]) for row in rows]

    @property
    def links_so_far(self) -> list[int]:
        """The link types of the interfaces that the file has described until now."""
        if self._header is not None:
            return [one.link for one in self.raw.interfaces]
        return [one.link for one in self._blocks.section[1]]

    def number(self, row: int) -> int:
        """As Wireshark numbers the frame of a row of the file."""
        if not self.skipped:
            return row + 1
        from bisect import bisect_right

        return row + 1 + bisect_right(self.skipped, row)

    def add(self, time_ns: int, index: int, place: int, caplen: int, origlen: int) -> None:
        """A row that no kernel made."""
        if not 0 <= time_ns <= _LATEST_NS or index >= _MOST_INTERFACES:
            raise Unfit("a stamp or an interface out of all measure")
        at = self._scans.get(0, "rows")
        if at + 1 > len(self.rows):
            self.settle()
            self.rows.ensure(at + 1)
        self.rows.put(
            at, time_ns=time_ns, off=self._fed + place, caplen_bytes=caplen,
            origlen_bytes=origlen, interface=index,
        )  # fmt: skip
        self._scans.put(0, rows=at + 1)

    # --- bytes

    def _fill(self) -> int:
        view = self.piece.view
        got = os.preadv(self._handle, [view[self._stop :]], self.base + self._stop)
        self._stop += got
        return got

    def _carry(self, at: int) -> int:
        """Move what is not read yet to the next piece, with room for one record in whole.

        A piece without a packet is that itself: the other may still be in use.
        """
        left = self._stop - at
        into = self._next_piece if self._is_in_use else self.piece
        into.ensure(left)
        into.view[:left] = self.piece.view[at : self._stop]
        if self._is_in_use:
            self.piece, self._next_piece = into, self.piece
            self._is_in_use = False
        self.base += at
        self._stop = left
        needed = self._needed_bytes(left)
        if needed > len(into.view):
            into.ensure(needed)
        return 0

    def _needed_bytes(self, left: int) -> int:
        view = self.piece.view
        if self._header is not None:
            if left < self._header.record_header_bytes:
                return 0
            order = "big" if self._header.order == ">" else "little"
            caplen = int.from_bytes(view[8:12], order)  # type: ignore[arg-type]
            if caplen > max_packet_bytes(self._header.link):
                return 0
            return self._header.record_header_bytes + caplen + 1
        return self._block_bytes(0) + 1 if left >= 12 else 0

    def _block_bytes(self, at: int) -> int:
        """How long the block at a place says that it is; 0 where no block is as long."""
        view = self.piece.view
        order = self._blocks.order
        if bytes(view[at : at + 4]) == reader.SECTION_HEADER_BYTES:
            order = ">" if view[at + 8] == 0x1A else "<"
        length = int.from_bytes(view[at + 4 : at + 8], "big" if order == ">" else "little")
        length = length + 3 & ~3
        return length if 12 <= length <= pcapng.MAX_BLOCK_BYTES else 0

    # --- records

    def _scan(self, at: int, *, whole: bool) -> tuple[int, bool]:
        """Where the scan stopped, and whether there is more to scan in this piece.

        `whole`: there is more of the file, so that what is cut is only cut by the piece's end.
        """
        begun = self._begin_rows()
        most = begun + (self._stop - at) // 16 + 1
        if self.first + most > _MOST_ROWS:
            raise Unfit("more packets than rows can be numbered")
        if self._keep and most > len(self.rows):
            self.settle()
            if begun:
                read = self.base + at
                self.rows.expect(min(begun * self._size * 17 // (read * 16), _MOST_ROWS) + most)
        self.rows.ensure(most)
        at = self.machine.run(
            self._kernel, self.piece, at, self._stop, self.base, self._scans, self.links,
            self.rows, most,
        )  # fmt: skip
        left = self._stop - at
        if left == 0 or not self._is_there(at, left, whole):
            return at, False
        return self._one(at)

    def _is_there(self, at: int, left: int, whole: bool) -> bool:
        """Whether the record at a place can be read now; at the end of the file it must be."""
        if not whole:
            return True
        if self._header is not None:
            if left < self._header.record_header_bytes:
                return False
            order = "big" if self._header.order == ">" else "little"
            caplen = int.from_bytes(self.piece.view[at + 8 : at + 12], order)  # type: ignore[arg-type]
            if caplen > max_packet_bytes(self._header.link):
                return True
            return self._header.record_header_bytes + caplen <= left
        return left >= 12 and self._block_bytes(at) <= left

    def _one(self, at: int) -> tuple[int, bool]:
        """Read what no kernel reads as the capture room does; then scan on."""
        if self._header is not None:
            try:
                for _ in pcap.records(bytes(self.piece.view[at : self._stop]), self._header, 0):
                    raise AssertionError("a whole record that the kernel did not read")
            except Damaged as damage:
                where = damage.moved(self.base + at)
                self.raw.faults.append(f"{where} (packets read before it: {self._made()})")
                self.raw.cut_short = True
            self._is_damaged = True
            return self._stop, False
        stop = min(at + (self._block_bytes(at) or self._stop), self._stop)
        self._fed = self.base + at
        blocks = self._blocks
        before = self._made()
        blocks.begin(before + len(self.skipped), self._latest_ns())
        try:
            blocks.feed(bytes(self.piece.view[at:stop]))
        except Damaged as damage:
            blocks.end_damaged(damage.moved(self.base + at))
            self._is_damaged = True
            return self._stop, False
        self.skipped += [before] * (blocks.number - len(self.skipped) - self._made())
        if blocks.holds_more:
            raise Unfit("a recording of netlab's own")
        self._describe(blocks)
        return stop, True

    def _made(self) -> int:
        return self.first + int(self._scans.get(0, "rows"))

    def _begin_rows(self) -> int:
        """Where the rows of a scan begin; those of the last have been taken."""
        if not self._keep:
            if self._scans.get(0, "rows"):
                self.rows, self._others = self._others, self.rows
            self.first = self.count
            self._scans.put(0, rows=0)
            return 0
        return self.count

    def _latest_ns(self) -> int:
        rows = self._scans.get(0, "rows")
        if rows:
            self._last_ns = self.rows.get(rows - 1, "time_ns")
        return self._last_ns

    def _decoded(self) -> Iterator[Stretch]:
        first = self.count if self._keep else 0
        last = self._scans.get(0, "rows")
        if last > first:
            if self.began_ns is None:
                self.began_ns = self.rows.get(first, "time_ns")
            self._latest_ns()
            aside = self.machine.run(
                "decode", self.piece, self.base, self.links, self.rows, first, last
            )
            self.count = self.first + last
            self._is_in_use = True
            yield Stretch(self, self.rows, self.first, self.piece, self.base, first, last, aside)

    # --- what the file says of its interfaces

    _fed = 0
    _last_ns = 0

    def _begin_pcap(self, header: pcap.PcapHeader) -> None:
        self.raw.interfaces = [Interface("", header.link, header.snaplen_bytes)]
        self._scans.put(
            0, big_endian=int(header.order == ">"), header_bytes=header.record_header_bytes
        )
        self.links.put(
            0, reader=READERS.get(header.link, kernels.CLOSED), unit_ns=header.units_ns,
            longest_bytes=max_packet_bytes(header.link), usual_stamps=1,
        )  # fmt: skip

    def _describe(self, blocks: Blocks) -> None:
        first, described = blocks.section
        self._scans.put(
            0, big_endian=int(blocks.order == ">"), first_interface=first,
            interfaces=min(len(described), _MOST_INTERFACES) - first,
        )  # fmt: skip
        self.links.ensure(len(described))
        for index, one in enumerate(described):
            usual = one.offset_s == 0 and _NS % one.units_per_second == 0
            self.links.put(
                index, reader=READERS.get(one.link, kernels.CLOSED),
                usual_stamps=int(usual), unit_ns=_NS // one.units_per_second if usual else 1,
                longest_bytes=max_packet_bytes(one.link),
            )  # fmt: skip

"""Writes the recording file: live while recording, finished once at the end.

Live, the file grows in the order of arrival by whole blocks: killed at any moment, it opens up to
the last of them. `finish` rewrites it in the order of time. Knows nothing of how frames and calls
are taken or what they mean. Read the package's docstring and `pcapng` first.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from netlab.capture import journal, pcapng
from netlab.capture.finished import finish, number_frames, plain
from netlab.capture.layout import (
    JOURNAL_LIMIT,
    fits_journal,
    packed_note,
    preamble,
    second_of,
)
from netlab.capture.local import Kind, description_block, table_blocks
from netlab.capture.ownership import (
    being_recorded,
    cannot_write,
    in_use,
    make_private_folder,
    open_private,
    write_all_at,
)
from netlab.capture.rows import (
    ARRIVALS,
    CALLS,
    CLOCK_PAIRS,
    INHERITANCES,
    KERNEL_EVENTS,
    LOSSES,
    SAMPLES,
    STAMPS,
)
from netlab.model.call import CallRecord, Inheritance
from netlab.model.clock import ClockPair
from netlab.model.errors import BadRecording, UsageError
from netlab.model.frame import Interface
from netlab.model.kernel_event import KernelEvent
from netlab.model.recording import Description, Loss
from netlab.model.sample import Sample
from netlab.model.stamp import StampRecord
from netlab.model.wire import Arrival

_NS = 1_000_000_000


def spool_folder(path: str | Path) -> Path:
    """Where the spools of the recording FILE stand: FILE.spools.

    Raises UsageError when FILE can be no recording, for its name alone.
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise UsageError(f"{path} can be no recording", "it is a folder: name a file in it")
    if str(path) == "-":
        raise UsageError("- can be no recording", "it is read and rewritten: name a file")
    return path.with_name(path.name + ".spools")


def make_spool_folder(path: str | Path) -> Path:
    """Make the folder for the spools of a new recording FILE.

    Raises UsageError when a killed recording left its spools there: they must not be mixed.
    """
    folder = spool_folder(path)
    if folder.is_dir() and not folder.is_symlink():
        if being_recorded(path):
            raise in_use(path)
        if any(folder.iterdir()):
            raise UsageError(
                f"{folder} holds calls of a recording that was killed",
                f"run `netlab recover {path}` or delete it first",
            )
        folder.rmdir()
    try:
        make_private_folder(folder)
    except FileExistsError as error:
        raise cannot_write(folder, error) from None
    except OSError as error:
        raise cannot_write(path, error) from None  # what the user named
    return folder


class LiveRecording:
    """A recording that grows. Each method's rows are in the file, whole, when it returns."""

    def __init__(self, path: Path, fd: int, journal_limit: int) -> None:
        """Use `create`."""
        self.path = path
        self._fd = fd
        self._batches = pcapng.PacketBatches()
        self._journal_left = journal_limit
        self._packed: Counter[int] = Counter()  # second -> calls that have no entry of their own
        self._failed = False
        self._preamble_bytes = 0

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        description: Description,
        interfaces: Sequence[Interface],
        journal_limit: int = JOURNAL_LIMIT,
    ) -> LiveRecording:
        """Begin FILE. Raises UsageError when it cannot be written there."""
        if len({interface.link for interface in interfaces}) > 1:
            raise ValueError("one link type a file")
        path = Path(path)
        recording = cls(path, open_private(path), journal_limit)
        try:
            begin = preamble(description, interfaces, "live")
            recording._append(begin)
            recording._preamble_bytes = len(begin)
        except BaseException:
            recording.close()
            path.unlink()  # what was there before is gone, and an empty file helps nobody
            raise
        return recording

    @property
    def failed(self) -> bool:
        """Whether the disk refused a write: nothing more is recorded."""
        return self._failed

    def frames(self, interface: int, frames: Iterable[tuple[int, bytes, int, int]]) -> None:
        """Append frames of the ring: (time_ns, data, origlen_bytes, epb flags)."""
        if not self._failed:
            self._append(self._batches.encode(interface, frames))

    def wire_frames(self, frames: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Append whole frames that a wire took: (packet, interface, time_ns, data)."""
        if not self._failed:
            self._append(self._batches.encode_numbered(frames))

    def arrivals(self, records: Iterable[Arrival]) -> None:
        """Append what became of frames on the wire, each once; their frames are there already."""
        self._append(b"".join(table_blocks(Kind.ARRIVALS, ARRIVALS, records)))

    def calls(self, records: Iterable[CallRecord]) -> None:
        """Append calls that have returned, each once."""
        if self._failed:
            return
        parts: list[bytes] = []
        packed: list[CallRecord] = []
        for call in records:
            if self._journal_left > 0 and fits_journal(call):
                self._journal_left -= 1
                parts.append(pcapng.block(pcapng.JOURNAL_EXPORT, journal.entry(call)))
            else:
                packed.append(call)
                self._packed[second_of(call)] += 1
        parts += table_blocks(Kind.CALLS, CALLS, packed)
        if self._packed:
            # Threads hand in their calls a little out of step: the newest second is still open.
            parts += self._notes(max(self._packed))
        self._append(b"".join(parts))

    def inheritances(self, items: Iterable[Inheritance]) -> None:
        """Append which processes began life with whose sockets."""
        self._append(b"".join(table_blocks(Kind.INHERITANCES, INHERITANCES, items)))

    def stamps(self, records: Iterable[StampRecord]) -> None:
        """Append what the kernel stamped, each once."""
        self._append(b"".join(table_blocks(Kind.STAMPS, STAMPS, records)))

    def samples(self, records: Iterable[Sample]) -> None:
        """Append what the kernel said of its sockets."""
        self._append(b"".join(table_blocks(Kind.SAMPLES, SAMPLES, records)))

    def kernel_events(self, records: Iterable[KernelEvent]) -> None:
        """Append what the kernel's tracepoints told, each once."""
        self._append(b"".join(table_blocks(Kind.KERNEL_EVENTS, KERNEL_EVENTS, records)))

    def clock(self, pair: ClockPair) -> None:
        """Append a reading of both clocks."""
        self._append(b"".join(table_blocks(Kind.CLOCK_PAIRS, CLOCK_PAIRS, [pair])))

    def loss(self, loss: Loss) -> None:
        """Append what a witness did not see."""
        self._append(b"".join(table_blocks(Kind.LOSSES, LOSSES, [loss])))

    def describe(self, description: Description) -> None:
        """Append what is known of the recording by now; the last description is valid."""
        self._append(description_block(description))

    def statistics(
        self, interface: int, received: int, dropped: int | None, start_ns: int, end_ns: int
    ) -> None:
        """Append the counters of an interface so far; the last ones in the file are valid.

        `dropped` None: not known.
        """
        self._append(
            pcapng.interface_statistics(
                interface,
                end_ns,
                received=received,
                dropped=dropped,
                start_ns=start_ns,
                end_ns=end_ns,
            )
        )

    def flush(self) -> None:
        """Append what was held back: the notes on seconds of packed calls."""
        if self._packed:
            self._append(b"".join(self._notes(None)))

    def close(self) -> None:
        """End the recording; the file stays in its live form. A second time it does nothing."""
        if self._fd < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._fd)
            self._fd = -1

    def _notes(self, before_second: int | None) -> list[bytes]:
        seconds = sorted(s for s in self._packed if before_second is None or s < before_second)
        return [packed_note(second * _NS, self._packed.pop(second)) for second in seconds]

    def _append(self, blocks: bytes) -> None:
        if self._failed or not blocks:
            return
        written = 0
        try:
            view = memoryview(blocks)
            while written < len(blocks):
                written += os.write(self._fd, view[written:])
        except OSError as error:
            self._failed = True
            self._packed.clear()
            room_to = os.lseek(self._fd, 0, os.SEEK_CUR)
            whole = pcapng.whole_blocks_bytes(blocks, written)
            self._end_at(room_to - written + whole, room_to, error)
            raise BadRecording(
                f"recording stopped: {self.path}: {os.strerror(error.errno or 0)}",
                "free some space or record elsewhere with -o FILE; what was written so far opens",
            ) from None

    def _end_at(self, size: int, room_to: int, error: OSError) -> None:
        """Say in the file why it ends, in place of the torn block behind its first `size` bytes.

        The disk gives no byte more than the `room_to` that the file has, so as many whole blocks
        as are needed go: a few of the last, where there would be no end of missing ones.
        """
        reason = os.strerror(error.errno or 0).lower()
        loss = Loss("recorder", "frames and calls", None, reason, since_ns=time.time_ns())
        row = b"".join(table_blocks(Kind.LOSSES, LOSSES, [loss]))
        at = size
        while room_to - at < len(row) and (before := self._block_before(at)) is not None:
            at = before
        try:
            write_all_at(self._fd, row, at)  # before the cut: another could take what that frees
            size = at + len(row)
        except OSError:
            pass
        os.ftruncate(self._fd, size)

    def _block_before(self, at: int) -> int | None:
        """Where the block that ends at `at` begins; None if the file begins with it."""
        if at <= self._preamble_bytes:
            return None
        return at - pcapng.length_from_end(os.pread(self._fd, 4, at - 4))


__all__ = [
    "JOURNAL_LIMIT",
    "LiveRecording",
    "finish",
    "make_spool_folder",
    "number_frames",
    "plain",
    "spool_folder",
]

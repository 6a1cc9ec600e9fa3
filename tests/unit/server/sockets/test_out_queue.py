"""The output queue: order, partial writes, watermarks told once, limits, files, the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.server.sockets.out_queue import (
    JOIN_BELOW_BYTES,
    FileEnded,
    FileRange,
    Flushed,
    OutQueue,
)
from netlab.server.terms import Put

BIG = b"0123456789" * JOIN_BELOW_BYTES  # too large to be joined to another piece


class Kernel:
    """A socket's send buffer with room for so many bytes, and files of letters."""

    def __init__(self, room: int = 0, file_sizes: dict[int, int] | None = None) -> None:
        self.room = room
        self.written = bytearray()
        self.calls: list[tuple[str, int]] = []  # call and what was asked
        self.file_sizes = file_sizes or {}

    def send(self, view: memoryview) -> int:
        self.calls.append(("send", len(view)))
        return self._take(bytes(view))

    def sendfile(self, descriptor: int, offset: int, count: int) -> int:
        self.calls.append(("sendfile", count))
        count = min(count, self.file_sizes[descriptor] - offset)
        return self._take(chr(descriptor).encode() * count)

    def _take(self, data: bytes) -> int:
        if data and not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.written += taken
        self.room -= len(taken)
        return len(taken)


def queue_of(*pieces: bytes, limit: int = 1 << 30, high: int = 0, low: int = 0) -> OutQueue:
    queue = OutQueue(limit, high, low)
    for piece in pieces:
        queue.put(piece)
    return queue


def unused() -> None:
    raise AssertionError("the range is not done")


def test_an_empty_queue_is_drained_and_makes_no_call() -> None:
    queue, kernel = queue_of(), Kernel()
    assert not queue
    assert queue.flush(kernel.send, kernel.sendfile) is Flushed.DRAINED
    assert kernel.calls == []


def test_bytes_leave_in_order_as_room_comes() -> None:
    queue, kernel = queue_of(b"abc", BIG, b"def", b"ghi"), Kernel()
    whole = b"abc" + BIG + b"defghi"
    assert queue.queued_bytes == len(whole)
    while queue:
        kernel.room = 4093
        outcome = queue.flush(kernel.send, kernel.sendfile)
        assert queue.queued_bytes == len(whole) - len(kernel.written)
        assert outcome is (Flushed.BLOCKED if queue else Flushed.DRAINED)
    assert bytes(kernel.written) == whole


def test_a_call_that_would_block_leaves_all_in_place() -> None:
    queue, kernel = queue_of(b"abc"), Kernel(room=0)
    assert queue.flush(kernel.send, kernel.sendfile) is Flushed.BLOCKED
    assert (queue.queued_bytes, bool(queue)) == (3, True)


def test_a_short_write_means_full_and_is_not_tried_again() -> None:
    queue, kernel = queue_of(BIG), Kernel(room=10)
    assert queue.flush(kernel.send, kernel.sendfile) is Flushed.BLOCKED
    assert kernel.calls == [("send", len(BIG))]


def test_small_pieces_are_joined_large_ones_are_not_copied() -> None:
    queue = queue_of(b"a", b"b", b"c", BIG, b"d", b"e")
    pieces = [bytes(piece) for piece in queue if isinstance(piece, memoryview)]
    assert pieces == [b"abc", BIG, b"de"]
    views = [piece for piece in queue if isinstance(piece, memoryview)]
    assert views[1].obj is BIG


def test_a_million_small_messages_make_few_pieces() -> None:
    queue = OutQueue(1 << 30)
    for _ in range(1_000_000):
        queue.put(b"x")
    assert sum(1 for _ in queue) <= 1_000_000 // (1 << 16) + 1
    assert queue.queued_bytes == 1_000_000


def test_iterating_skips_what_was_sent() -> None:
    queue, kernel = queue_of(BIG, b"tail"), Kernel(room=7)
    queue.flush(kernel.send, kernel.sendfile)
    assert b"".join(bytes(piece) for piece in queue if isinstance(piece, memoryview)) == (
        BIG[7:] + b"tail"
    )


def test_the_owner_of_a_buffer_may_use_it_again() -> None:
    mine = bytearray(BIG)
    queue = queue_of(mine, memoryview(mine))
    mine[:] = bytes(len(mine))
    kernel = Kernel(room=1 << 30)
    queue.flush(kernel.send, kernel.sendfile)
    assert bytes(kernel.written) == BIG + BIG


def test_a_readonly_view_is_kept_as_it_is() -> None:
    rest = memoryview(BIG)[5:]
    (piece,) = queue_of(rest)
    assert isinstance(piece, memoryview)
    assert piece.obj is BIG


@pytest.mark.parametrize("size", [10, 3 * JOIN_BELOW_BYTES])
def test_the_limit_refuses_a_message_whole(size: int) -> None:
    queue = OutQueue(limit_bytes=2 * size)
    message = b"m" * size
    assert queue.put(message) is Put.QUEUED
    assert queue.put(message) is Put.QUEUED  # up to the limit, it included
    assert queue.put(b"x") is Put.REFUSED
    assert queue.put(b"") is Put.QUEUED
    kernel = Kernel(room=1)
    queue.flush(kernel.send, kernel.sendfile)
    assert queue.put(b"x") is Put.QUEUED
    assert queue.put(b"x") is Put.REFUSED
    kernel.room = 1 << 30
    queue.flush(kernel.send, kernel.sendfile)
    assert bytes(kernel.written) == message + message + b"x"


def test_watermarks_are_told_once_each() -> None:
    queue = OutQueue(1000, high_bytes=500, low_bytes=100)
    kernel = Kernel()
    flush: Callable[[], Flushed] = lambda: queue.flush(kernel.send, kernel.sendfile)  # noqa: E731
    assert queue.put(b"x" * 500) is Put.QUEUED  # at the mark, not above it
    assert queue.put(b"x") is Put.FULL
    assert queue.put(b"x") is Put.QUEUED  # told already
    assert queue.full
    kernel.room = 401
    assert flush() is Flushed.BLOCKED  # 101 left
    assert queue.put(b"x" * 500) is Put.QUEUED  # above again, and not low in between
    kernel.room = 501
    assert flush() is Flushed.BLOCKED_LOW  # 100 left
    assert not queue.full
    kernel.room = 1
    assert flush() is Flushed.BLOCKED  # told already
    assert queue.put(b"x" * 600) is Put.FULL
    kernel.room = 1 << 30
    assert flush() is Flushed.DRAINED_LOW
    assert flush() is Flushed.DRAINED


def test_without_a_high_watermark_nothing_is_told() -> None:
    queue, kernel = OutQueue(1000), Kernel(room=1000)
    assert queue.put(b"x" * 1000) is Put.QUEUED
    assert queue.flush(kernel.send, kernel.sendfile) is Flushed.DRAINED


def test_after_the_end_nothing_is_taken_and_the_rest_leaves() -> None:
    queue, kernel = queue_of(b"last"), Kernel(room=2)
    queue.seal()
    assert queue.put(b"x") is Put.REFUSED
    assert queue.put(b"") is Put.REFUSED
    assert queue.put_file(3, 0, 1, unused) is Put.REFUSED
    assert queue.flush(kernel.send, kernel.sendfile) is Flushed.BLOCKED
    kernel.room = 2
    assert queue.flush(kernel.send, kernel.sendfile) is Flushed.DRAINED
    assert queue.sealed
    assert bytes(kernel.written) == b"last"


def test_files_stand_in_order_between_bytes() -> None:
    done: list[str] = []
    kernel = Kernel(room=0, file_sizes={ord("f"): 100, ord("g"): 5})
    queue = queue_of(b"head")
    assert queue.put_file(ord("f"), 90, 10, lambda: done.append("f")) is Put.QUEUED
    queue.put(b"mid")
    queue.put_file(ord("g"), 0, 5, lambda: done.append("g"))
    assert (queue.memory_bytes, queue.file_bytes, queue.queued_bytes) == (7, 15, 22)
    for room, done_by_then in ((10, []), (6, ["f"]), (0, ["f"]), (7, ["f", "g"])):
        kernel.room = room
        queue.flush(kernel.send, kernel.sendfile)
        assert done == done_by_then
    assert bytes(kernel.written) == b"head" + b"f" * 10 + b"mid" + b"g" * 5
    assert (queue.memory_bytes, queue.file_bytes) == (0, 0)


def test_a_file_counts_for_the_watermarks_and_not_for_the_limit() -> None:
    queue = OutQueue(limit_bytes=10, high_bytes=8, low_bytes=2)
    kernel = Kernel(room=0, file_sizes={1: 1 << 20})
    assert queue.put_file(1, 0, 1 << 20, lambda: None) is Put.FULL
    assert queue.put(b"0123456789") is Put.QUEUED
    kernel.room = 1 << 30
    assert queue.flush(kernel.send, kernel.sendfile, 1 << 30) is Flushed.DRAINED_LOW


def test_an_empty_range_is_done_at_once() -> None:
    done: list[int] = []
    queue = queue_of()
    assert queue.put_file(3, 0, 0, lambda: done.append(1)) is Put.QUEUED
    assert done == [1]
    assert not queue


def test_a_file_that_is_too_short_is_told_and_leaves_the_queue() -> None:
    done: list[int] = []
    kernel = Kernel(room=100, file_sizes={1: 7})
    queue = queue_of()
    queue.put_file(1, 0, 10, lambda: done.append(1))
    queue.put(b"after")
    queue.flush(kernel.send, kernel.sendfile)
    with pytest.raises(FileEnded, match="3 bytes before") as caught:
        queue.flush(kernel.send, kernel.sendfile)
    assert caught.value.missing_bytes == 3
    assert done == [1]
    assert (queue.file_bytes, queue.memory_bytes) == (0, 5)


def test_one_turn_writes_so_much_and_no_more() -> None:
    kernel = Kernel(room=1 << 30, file_sizes={1: 1000})
    queue = queue_of()
    queue.put_file(1, 0, 1000, lambda: None)
    outcomes = []
    while queue:
        outcomes.append(queue.flush(kernel.send, kernel.sendfile, at_most_bytes=400))
    assert outcomes == [Flushed.MORE, Flushed.MORE, Flushed.DRAINED]
    assert kernel.calls == [("sendfile", 400), ("sendfile", 400), ("sendfile", 200)]


def test_more_may_come_with_the_low_watermark() -> None:
    queue = OutQueue(1 << 20, high_bytes=900, low_bytes=600)
    kernel = Kernel(room=1 << 30, file_sizes={1: 1000})
    queue.put_file(1, 0, 1000, lambda: None)
    assert queue.flush(kernel.send, kernel.sendfile, at_most_bytes=400) is Flushed.MORE_LOW
    assert Flushed.MORE_LOW.more
    assert Flushed.MORE_LOW.low
    assert not Flushed.MORE_LOW.drained


def test_other_errors_pass_and_what_was_written_is_gone() -> None:
    def reset(view: memoryview) -> int:
        if view[:1] == b"B":
            raise ConnectionResetError
        return len(view)

    queue = queue_of(b"A" * JOIN_BELOW_BYTES, b"B" * JOIN_BELOW_BYTES)
    with pytest.raises(ConnectionResetError):
        queue.flush(reset, Kernel().sendfile)
    assert queue.queued_bytes == JOIN_BELOW_BYTES
    assert queue.put(b"C") is Put.QUEUED  # no view is left that would hold the buffer


def test_clear_drops_all_and_is_done_with_every_file() -> None:
    done: list[str] = []
    queue = queue_of(b"abc", high=2, low=1)
    queue.put_file(1, 0, 10, lambda: done.append("f"))
    queue.put_file(2, 0, 20, lambda: done.append("g"))
    assert queue.full
    assert queue.clear() == 33
    assert done == ["f", "g"]
    assert (queue.queued_bytes, bool(queue), queue.full) == (0, False, False)
    assert queue.clear() == 0


def test_iterating_shows_what_is_left_of_a_file() -> None:
    kernel = Kernel(room=4, file_sizes={1: 10})
    queue = queue_of()
    queue.put_file(1, 0, 10, lambda: None)
    queue.flush(kernel.send, kernel.sendfile)
    (left,) = queue
    assert isinstance(left, FileRange)
    assert (left.descriptor, left.offset, left.count) == (1, 4, 6)

"""Whatever is put and flushed in whatever order: bytes in order, counts true, marks paired."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.server.sockets.out_queue import OutQueue
from netlab.server.terms import Put

LIMIT, HIGH, LOW = 20_000, 9_000, 2_000

puts = st.tuples(st.just("put"), st.sampled_from([0, 1, 7, 4095, 4096, 5000, 9001, 20_001]))
files = st.tuples(st.just("file"), st.sampled_from([0, 1, 6000, 30_000]))
flushes = st.tuples(st.just("flush"), st.sampled_from([0, 1, 100, 4097, 12_000, 1 << 30]))
steps = st.lists(st.one_of(puts, files, flushes), max_size=40)


@given(steps, st.integers(1, 40_000))
@settings(max_examples=200, deadline=None)
def test_a_queue_is_a_pipe_with_marks(steps: list[tuple[str, int]], turn_bytes: int) -> None:
    queue = OutQueue(LIMIT, HIGH, LOW)
    accepted, written = bytearray(), bytearray()
    open_files = 0
    room = 0
    told_full = False

    def take(data: bytes) -> int:
        nonlocal room
        if not room:
            raise BlockingIOError
        taken = data[:room]
        room -= len(taken)
        written.extend(taken)
        return len(taken)

    def done() -> None:
        nonlocal open_files
        open_files -= 1

    for number, (step, amount) in enumerate(steps):
        before = queue.memory_bytes
        if step == "put":
            data = bytes([number]) * amount
            outcome = queue.put(data)
            assert (outcome is Put.REFUSED) == (before + amount > LIMIT)
            if outcome is not Put.REFUSED:
                accepted += data
        elif step == "file":
            open_files += 1
            outcome = queue.put_file(number, 0, amount, done)
            accepted += bytes([number]) * amount
        else:
            room = amount
            flushed = queue.flush(
                lambda view: take(bytes(view)),
                lambda descriptor, offset, count: take(bytes([descriptor]) * count),
                turn_bytes,
            )
            assert flushed.drained == (not queue)
            assert not (flushed.drained and flushed.more)
            if flushed.low:
                assert told_full
                assert queue.queued_bytes <= LOW
                told_full = False
            outcome = None
        if outcome is Put.FULL:
            assert not told_full
            told_full = True
        assert queue.full == told_full
        assert queue.memory_bytes <= LIMIT
        assert queue.queued_bytes == len(accepted) - len(written)
        assert accepted.startswith(written)
        waiting = [piece for piece in queue if not isinstance(piece, memoryview)]
        assert open_files == len(waiting)
        assert queue.file_bytes == sum(piece.count for piece in waiting)
    queue.clear()
    assert open_files == 0

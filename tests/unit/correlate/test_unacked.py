"""The list of what is not acknowledged, against one that is looked through from end to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netlab.correlate.unacked import Unacked
from netlab.model.seqnum import seq_add, seq_diff

BASES = (0, 1_000, (1 << 32) - 7)
steps = st.lists(
    st.tuples(st.just("add"), st.integers(-9, 60), st.sampled_from([0, 1, 5, 5, 5]))
    | st.tuples(st.just("next"), st.just(0), st.sampled_from([1, 5, 5]))
    | st.tuples(st.just("take"), st.integers(-9, 80), st.just(0)),
    max_size=40,
)


class Model:
    """As simple as it can be said."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []  # seq, end, frame, time

    def take(self, ack: int) -> tuple[int, int] | None:
        hits = [(frame, time) for _, end, frame, time in self.rows if end == ack]
        self.rows = [row for row in self.rows if seq_diff(row[1], ack) > 0]
        for row in self.rows:
            if seq_diff(ack, row[0]) > 0:
                row[0] = ack
        return hits[0] if hits else None

    def size_bytes(self, base: int) -> int:
        if not self.rows:
            return 0
        last = max(seq_add(end, -base) for _, end, _, _ in self.rows)
        return last - min(seq_add(seq, -base) for seq, _, _, _ in self.rows)


@given(st.sampled_from(BASES), steps)
def test_it_is_what_a_plain_list_is(base: int, told: list[tuple[str, int, int]]) -> None:
    unacked, model = Unacked(), Model()
    unacked.begin_at(base)
    newest = base
    for number, (what, offset, size) in enumerate(told):
        if what == "take":
            ack = seq_add(base, offset)
            assert unacked.take(ack) == model.take(ack)
        else:
            seq = newest if what == "next" else seq_add(base, offset)
            newest = seq_add(seq, size)
            assert unacked.add(seq, newest, number, number * 10)
            model.rows.append([seq, newest, number, number * 10])
        assert unacked.size_bytes == model.size_bytes(base)
        assert unacked.oldest == (tuple(model.rows[0][2:4]) if model.rows else None)


def test_there_is_an_end_to_it() -> None:
    unacked = Unacked()
    assert [unacked.add(n, n + 1, n, n) for n in range(10_001)] == [True] * 10_000 + [False]
    assert unacked.take(10_001) is None
    assert unacked.size_bytes == 0

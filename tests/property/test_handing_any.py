"""A sender with a queue of its own, any times: what timestamps say of it holds what happened."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from netlab.correlate.segments import Row
from netlab.explain.handing import TICK_NS, handing_of
from netlab.model.tables import Direction, Packet, Segment, TcpOptions

US = 1_000
MODULUS = 1 << 32
FRAME = st.tuples(
    st.integers(0, 20_000),  # us since the write before
    st.integers(0, 30_000),  # us that TCP keeps it
    st.integers(1, 40_000),  # us that the link takes for it
)


@given(
    frames=st.lists(FRAME, min_size=1, max_size=12),
    clock=st.integers(0, MODULUS - 1),
    phase_us=st.integers(0, 999),
    releases_us=st.lists(st.integers(0, 500_000), max_size=8),
)
def test_bounds_hold_the_moment_at_which_a_frame_was_given(
    frames: list[tuple[int, int, int]], clock: int, phase_us: int, releases_us: list[int]
) -> None:
    written = list(accumulate(gap for gap, _, _ in frames))
    sent = list(
        accumulate((at + kept for at, (_, kept, _) in zip(written, frames, strict=True)), max)
    )
    rows, free = [], 0
    for number, (at, (_, _, takes)) in enumerate(zip(sent, frames, strict=True), 1):
        free = max(free, at) + takes  # a link sends one frame after the other
        stamp = TcpOptions(ts_val=(clock + (at + phase_us) // 1000) % MODULUS)
        packet = Packet(number, free * US, None, "", "lo", "", 66, 66, _options=stamp)
        rows.append(Row(Segment(number, 0, Direction.C2S, 0, 0, 0, 0, 0, None, None), packet,
                        Direction.C2S))  # fmt: skip
    found = handing_of(
        rows,
        lambda row: written[row.segment.frame - 1] * US,
        lambda: [us * US for us in sorted(releases_us)],
    )
    for row, at in zip(rows, sent, strict=True):
        frame = row.segment.frame
        if found.bounds:
            low_ns, high_ns = found.bounds[frame]
            assert low_ns <= at * US <= high_ns
            assert high_ns - low_ns <= 3 * TICK_NS
        given_ns = found.given_ns.get(frame)
        if given_ns is not None:
            assert abs(given_ns - at * US) <= 3 * TICK_NS
            assert given_ns < row.packet.time_ns

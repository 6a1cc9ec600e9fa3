"""Whatever segments a capture holds, the second verdicts are well formed, and quick."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import Play

from netlab.model.tables import TcpOptions, Verdict

NUMBERS = st.integers(-3, 12)
STEPS = st.fixed_dictionaries({
    "direction": st.sampled_from(["c>s", "s>c"]),
    "flags": st.sampled_from(["A", "A", "A", "PA", "S", "SA", "FA", "R", "RA", "F"]),
    "seq": NUMBERS,
    "ack": NUMBERS,
    "length": st.sampled_from([0, 0, 1, 2, 3, 5]),
    "window": st.sampled_from([0, 1, 4, 512]),
    "wait_ns": st.sampled_from([0, 1_000, 9_000_000, 40_000_000, 215_000_000, 900_000_000]),
    "ip_id": st.sampled_from([0, 7, 8, 9, None]),
    "stamp": st.sampled_from([None, 5, 6, 7]),
    "blocks": st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3),
    "way": st.sampled_from(["carry", "carry", "drop", "hold", "spoil"]),
})  # fmt: skip


def told(steps: list[dict[str, Any]], *, wired: bool) -> Play:
    play = Play(iss=4_294_967_290, wscale=0, wired=wired)
    play.handshake(calls=False)
    for step in steps:
        play.now_ns += step["wait_ns"]
        blocks = play.sack_option(step["direction"], *step["blocks"]).sack_blocks
        stamp = step["stamp"]
        play.frame(
            step["direction"], step["flags"], step["seq"], step["ack"], step["length"],
            window=step["window"], way=step["way"],
            options=TcpOptions(ts_val=stamp, ts_ecr=stamp, sack_blocks=blocks),
        )  # fmt: skip
        if step["ip_id"] is not None:
            play.packets[-1].ip_id = step["ip_id"]
    return play


@settings(max_examples=211)
@given(st.lists(STEPS, max_size=23), st.booleans())
def test_verdicts_are_well_formed(steps: list[dict[str, Any]], wired: bool) -> None:
    tables = told(steps, wired=wired).tables()
    frames = {packet.frame for packet in tables.packets}
    for segment in tables.segments:
        if segment.verdict is not None:
            assert segment.verdict in set(Verdict)
            assert segment.verdict_reason
        if segment.verdict == Verdict.NEW_DATA:
            assert segment.payload_len_bytes
        if segment.verdict in (Verdict.KEEP_ALIVE, Verdict.ZERO_WINDOW_PROBE):
            assert segment.payload_len_bytes <= 1
        for frame in segment.verdict_frames or ():
            assert frame in frames
            assert frame != segment.frame
    for row in tables.connections:
        mine = [s for s in tables.segments if s.connection == row.connection]
        said = {kind: getattr(row, f"{kind}_frames") for kind in Verdict}
        assert {k: n for k, n in said.items() if n} == {
            k: n for k in Verdict if (n := sum(s.verdict == k for s in mine))
        }
        for side in ("client", "server"):
            least, most = (getattr(row, f"{side}_rtt_{name}_ns") for name in ("min", "mean"))
            assert least is None or 0 < least <= most

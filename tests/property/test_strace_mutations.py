"""Logs of real programs, damaged at random: what is whole is read, nothing raises."""

from __future__ import annotations

from golden_files import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.capture.strace.reader import StraceReader

LOGS = [path.read_bytes() for path in sorted((GOLDEN / "strace").glob("*.strace"))]


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_log_is_read(data: st.DataObject) -> None:
    log = bytearray(data.draw(st.sampled_from(LOGS)))
    for _ in range(data.draw(st.integers(1, 20))):
        at = data.draw(st.integers(0, len(log) - 1))
        how = data.draw(st.sampled_from(["set", "cut", "twice", "newline"]))
        if how == "set":
            log[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del log[at : at + data.draw(st.integers(1, 300))]
        elif how == "twice":
            log[at:at] = log[at : at + data.draw(st.integers(1, 300))]
        else:
            log[at:at] = b"\n"
        if not log:
            break
    reader = StraceReader("lab", "prog", keep_bytes=100)
    reader.feed(bytes(log))
    reader.finish()
    for call in reader.calls:
        assert call.returned_ns is None or call.entered_ns <= call.returned_ns

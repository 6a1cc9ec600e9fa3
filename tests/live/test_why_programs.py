"""Programs by others in a lab: what of their calls' waiting no cause is found for.

    pytest -s tests/live/test_why_programs.py

prints the share of each. They run under strace, as an ordinary user, with a wire between that
delays; their time ledger closes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from live.test_witness_programs import run
from waits_told import check_recording

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import why_lines
from netlab.show.views.why import why

PROGRAMS = ("nginx", "nginx sendfile", "redis", "http.server", "postgres", "memcached")
MOST_UNKNOWN = 0.05


@pytest.mark.parametrize("name", PROGRAMS)
def test_hardly_any_of_their_waiting_is_unknown(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="netlab-") as there:
        run(name, "delay 10ms", "short", Path(there))
        raw = read_raw(Path(there) / "l.pcapng")
    tables = analyse(raw)
    check_recording(tables, raw)
    view = why(tables, raw, name)
    share = view.unknown_ns / view.waited_ns
    print(
        f"\n{name}: {view.calls:,} calls waited {view.waited_ns / 1e9:.1f} s, {share:.2%} unknown"
    )
    unknown = [one for one in view.unknown for c in one.clauses if c.cause == "unknown"]
    assert share < MOST_UNKNOWN, [(one.name, one.clauses) for one in unknown]
    text = "\n".join(plain(line) for line in why_lines(view, 80))
    assert "not explained: " in text

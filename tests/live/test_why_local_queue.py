"""What `why` says of clients of a Unix listener that is busy while its queue is full."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from waits_told import check_recording, lengths

from netlab.lab.experiment import Lab
from netlab.show.views.why import why
from tests.live import local_queue_programs as programs

MS = 1_000_000
BUSY_MS = 307


@pytest.mark.parametrize("backlog", [0, 1])
@pytest.mark.parametrize("witness", ["probe", "strace"])
def test_a_connect_waits_for_room_and_a_client_for_an_accept(
    backlog: int, witness: str, tmp_path: Path
) -> None:
    told = (str(tmp_path / "s"), backlog, BUSY_MS)
    with Lab(
        path=tmp_path / "a.pcapng", witness="strace" if witness == "strace" else "none"
    ) as lab:
        if witness == "probe":
            done = lab.run("server", programs.crowd, *told)
        else:
            done = lab.run("server", [sys.executable, programs.__file__, *map(str, told)])
        lab.wait(done)
    tables, raw = lab.recording.tables, lab.recording.raw
    rows = check_recording(tables, raw)
    calls = [c for c in tables.calls if c.connection is not None and told[0] in str(
        tables.connections[c.connection].server)]  # fmt: skip
    connects = [c for c in calls if c.op == "connect" and c.errno is None]
    accepts = sorted(
        (c for c in calls if c.op in ("accept", "accept4")), key=lambda c: c.entered_ns
    )
    reads = {c.connection: c for c in calls
             if c.side == "client" and c.op in ("recv", "recvfrom")}  # fmt: skip
    assert len(connects) == len(accepts) == backlog + 1 + programs.MORE
    for place, connect in enumerate(sorted(connects, key=lambda c: c.entered_ns)):
        found = lengths(rows, connect)
        if place <= backlog:
            assert not any(cause == "backlog_full" for cause, _ in found)
            read = lengths(rows, reads[connect.connection])
            assert read["accept_queue", "observed"] >= 0.9 * BUSY_MS * MS
            continue
        waited_ns = (connect.returned_ns or 0) - connect.entered_ns
        assert waited_ns >= BUSY_MS * MS
        assert found["backlog_full", "observed"] >= 0.9 * waited_ns
    for accept in accepts:  # a client is there for each of them
        assert not any(cause == "no_client" for cause, _ in lengths(rows, accept))
    view = why(tables, raw, "a.pcapng")
    assert view.findings[0].kind == "backlog_overflow"
    assert f"listen({backlog})" in view.findings[0].text

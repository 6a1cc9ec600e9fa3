"""10,000 connections that all have a message under way, ten messages each: not one error.

Not with poll, which walks all of them at every wait, nor with select, which ends at 1024; a thread
for each would be another matter.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.load_client import LONGEST_RUN_S, LoadClient
from tests.bench.server_process import ServerProcess, both_processors

CROWD = 10_000
MESSAGES_EACH = 10
WAYS = {
    "single": (),
    "single, recorded": ("--record", "{spools}"),
    "single, edge-triggered": ("--poller", "edge"),
    "base, 2 workers": ("--mode", "base", "--workers", "2"),
    "process, 2 workers": ("--mode", "process", "--workers", "2"),
}


@pytest.mark.bench
@pytest.mark.parametrize("way", WAYS)
def test_ten_thousand_active_connections(
    way: str, client: LoadClient, tmp_path: Path, descriptors: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [argument.format(spools=tmp_path / "spools") for argument in WAYS[way]]
    with ServerProcess(
        "netlab_server.py", *arguments,
        cpus=both_processors(), said=tmp_path / "stderr", descriptors=descriptors,
    ) as server:  # fmt: skip
        load = client.run(
            server.port, connections=CROWD, messages_each=MESSAGES_EACH, seconds=LONGEST_RUN_S
        )
        memory = server.memory()
    with capsys.disabled():
        print(
            f"\nnetlab {way:23} {CROWD:,} at once: {load.rate:8,.0f} echoes/s, p50 "
            f"{load.p50_us / 1000:5.0f} ms, {memory.pss_bytes / 1e6:4.0f} MB"
        )
    assert (load.errors, load.first_error) == (0, "")
    assert load.done == CROWD * MESSAGES_EACH
    assert server.said == ""

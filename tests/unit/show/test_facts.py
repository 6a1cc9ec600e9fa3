"""A connection in numbers: what was measured has a line, what was not has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playbook import Play

from netlab.commands.main import run
from netlab.model.tables import Connection
from netlab.show.terminal.facts import facts_lines
from netlab.show.terminal.lines import plain
from netlab.show.views.facts import facts

MS = 1_000_000


def lossy() -> Connection:
    play = Play()
    play.syn()
    play.now_ns += 5 * MS
    play.synack(), play.ack("c>s", 0)
    for start in range(0, 50_000, 10_000):
        for piece in range(start, start + 10_000, 1_000):
            play.data("c>s", piece, piece + 1_000)
        play.now_ns += 7 * MS
        play.ack("s>c", start + 10_000, window=400)
    play.data("c>s", 50_000, 51_000)
    play.now_ns += 240 * MS
    play.data("c>s", 50_000, 51_000)
    play.now_ns += 7 * MS
    play.data("s>c", 0, 17, 51_000)
    play.ack("c>s", 17, 51_000)
    play.fin("c>s", 51_000, 17)
    play.fin("s>c", 17, 51_001)
    play.ack("c>s", 18, 51_001)
    return play.tables().connections[0]


@pytest.mark.parametrize("width", [80, 60])
def test_pictures(width: int, golden: Callable[[str, str], None]) -> None:
    lines = [plain(line) for line in facts_lines(facts(lossy()), width)]
    assert all(len(line) <= width for line in lines)
    golden(f"facts_{width}.txt", "\n".join(lines) + "\n")


def test_what_is_not_known_has_no_line() -> None:
    play = Play()
    play.data("c>s", 0, 18)
    row = play.tables().connections[0]
    names = {fact.name for fact in facts(row).facts}
    assert not names & {"round trip", "handshake", "throughput", "client limited"}
    assert {"state", "frames", "bytes captured"} <= names


def test_the_scale_that_each_end_offered_has_a_line() -> None:
    row = lossy()
    row.client_wscale, row.server_wscale = 7, 15  # more than 14 is as 14
    (scale,) = [fact for fact in facts(row).facts if fact.name == "  scale offered"]
    assert (scale.client, scale.server) == ("7 (×128)", "15 (×16384)")
    row.server_wscale = None  # nobody scales
    (scale,) = [fact for fact in facts(row).facts if fact.name == "  scale offered"]
    assert (scale.client, scale.server) == ("7 (×128)", "")


def test_the_command(captures_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(captures_dir / "files" / "gap-data-missing.pcapng")
    assert run(["inspect", path, "-c", "0", "--facts"]) == 0
    assert "closed           rst, by the server" in capfd.readouterr().out
    assert run(["inspect", path, "-c", "0", "--facts", "--json"]) == 0
    assert '"name": "goodput"' in capfd.readouterr().out
    for more in (("--states",), ("--stream", "both"), ("--limit", "3")):
        assert run(["inspect", path, "-c", "0", "--facts", *more]) == 2
    assert run(["inspect", path, "--facts"]) == 2

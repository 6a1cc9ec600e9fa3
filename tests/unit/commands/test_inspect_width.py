"""`netlab inspect` of captures from elsewhere keeps to 80 columns, whatever is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.commands.main import run

VIEWS = (
    [], ["--connections"], ["--packets", "--limit", "150"], ["-p", "1"],
    ["-p", "1", "--deep"],
    ["-c", "0", "--limit", "150"],
)  # fmt: skip


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: " ".join(view) or "summary")
def test_no_line_is_longer(
    view: list[str], captures_dir: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(captures_dir / "files")
    shown = 0
    for path in sorted(Path().iterdir()):
        run(["inspect", str(path), *view])  # what is no capture gets a line on stderr
        lines = capsys.readouterr().out.splitlines()
        shown += bool(lines)
        assert [line for line in lines if len(line) > 80] == [], path
    assert shown > 30


def test_the_list_of_packets_is_as_wide_as_wished(
    captures_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(captures_dir / "files" / "wikipedia.pcap")
    monkeypatch.setenv("COLUMNS", "240")
    assert run(["inspect", path, "--packets"]) == 0
    wide = capsys.readouterr().out.splitlines()
    assert len(wide) == 137  # the head, and a line a packet
    assert any(line.endswith("HTTP/1.1 (host www.wikipedia.org)") for line in wide)
    assert max(map(len, wide)) <= 240

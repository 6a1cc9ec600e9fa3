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


MORE_VIEWS = (
    *VIEWS, ["-p", "1", "--boxes"], ["-p", "1", "--field", "ttl"], ["--calls"],
    ["-c", "0", "--states"], ["-c", "0", "--stream", "both", "--as", "hex"],
    ["--where", "dport < 10000"], ["-c", "0", "--where", "payload_len_bytes > 0"],
)  # fmt: skip
# IPv6 and many connections, tunnels, damage, conflicting bytes, TCP in fragments; and calls.
SOME = (
    "gap-data-missing.pcapng", "wikipedia.pcap", "pppoe-over-qinq.pcap", "reassembly.pcap",
    "le-advanced-test102.pcapng", "tcp-fastopen-10-syn-data-ignore-input.pcap",
)  # fmt: skip
OURS = sorted((Path(__file__).resolve().parents[3] / "captures").glob("*/*.pcapng"))


@pytest.mark.parametrize(
    ("width", "ours"), [(60, OURS[1::7]), (80, OURS), (120, OURS[4::7])], ids=["60", "80", "120"]
)
def test_no_line_is_longer_than_the_columns_there_are(
    width: int, ours: list[Path], captures_dir: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(captures_dir / "files")
    shown = 0
    for path in (*map(Path, SOME), *ours):
        monkeypatch.chdir(path.parent if path.is_absolute() else captures_dir / "files")
        for view in MORE_VIEWS:
            run(["inspect", path.name, *view])
            lines = capsys.readouterr().out.splitlines()
            shown += bool(lines)
            assert [line for line in lines if len(line) > width] == [], (path.name, view)
    assert shown > 80


def test_a_summary_is_one_screen(
    captures_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in the file: 40 lines of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(captures_dir / "files")
    heights = {}
    for path in sorted(Path().iterdir()):
        run(["inspect", str(path)])
        heights[path.name] = len(capsys.readouterr().out.splitlines())
    assert max(heights.values()) <= 40, heights
    assert min(height for height in heights.values() if height) >= 5


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

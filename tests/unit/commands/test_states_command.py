"""States on the command line: the summary, `inspect --states`, and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sample_recordings import DESCRIPTION, LO, SAMPLE, T0_NS, conversation
from test_inspect import complaint, output_of

from netlab.capture.recording import LiveRecording
from netlab.lab.finish import finish_recording


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A conversation without calls, with two looks at its client and one at a listener."""
    path = tmp_path / "states.pcapng"
    live = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    live.frames(0, conversation())
    info = bytes([1]) + bytes(247)
    live.samples(
        [
            replace(SAMPLE, time_ns=T0_NS + 12_000, tcp_info=info, wqueue=101),
            replace(SAMPLE, time_ns=T0_NS + 15_000, tcp_info=info),
            replace(SAMPLE, cookie=9, state=10, local="127.0.0.1:7", peer="0.0.0.0:0"),
        ]
    )
    live.close()
    finish_recording(path)
    return path


def test_the_summary_counts_them(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "inspect", str(recording))
    assert "8 frames of 533 B, 3 state samples, 1 connection" in text
    assert json.loads(output_of(capsys, "inspect", str(recording), "--json"))["states"] == 3


def test_those_of_a_connection_are_shown(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output_of(capsys, "inspect", str(recording), "-c", "0", "--states")
    assert "client     127.0.0.1:40000  2 samples in 3.0 µs, by sock_diag" in text
    assert "in flight  0 B … 101 B" in text
    assert "server " not in text
    cut = output_of(capsys, "inspect", str(recording), "-c", "0", "--states", "--limit", "1")
    assert "1 more sample: --limit 0 shows all" in cut
    found = json.loads(
        output_of(capsys, "inspect", str(recording), "-c", "0", "--states", "--json")
    )
    assert [row["in_flight_bytes"] for row in found["ends"][0]["rows"]] == [101, 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--states",), "--states is about one connection: add --connection N"),
        (("-c", "0", "--states", "--stream", "client"), "choose --states or --stream"),
        (("-c", "7", "--states"), "no connection 7 in this file"),
    ],
)
def test_what_cannot_be_shown(
    recording: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert said in complaint(capsys, "inspect", str(recording), *words, code=2)


def test_the_table_has_them_all(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "export", str(recording), "--table", "states", "--format", "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["connection"], row["side"], row["state"]) for row in rows] == [
        (0, "client", "ESTABLISHED"), (0, "client", "ESTABLISHED"), (None, None, "LISTEN"),
    ]  # fmt: skip
    assert [row["outq_bytes"] for row in rows] == [101, 0, None]
    assert {row["witness"] for row in rows} == {"sock_diag"}

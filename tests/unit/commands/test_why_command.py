"""`netlab why` and `netlab diff`: what they print, and what they refuse."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from wired_recordings import lossy, lossy_recording

from netlab.commands.main import run
from netlab.explain.waits import waits
from netlab.show.views.why import why

CAPTURES = Path(__file__).parents[3] / "captures"
HOSTS = str(CAPTURES / "hosts" / "hosts.pcapng")
ECHO = str(CAPTURES / "echo" / "echo.pcapng")


def output_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0
    return capsys.readouterr().out


def test_why_shows_bars_sentences_and_what_is_not_explained(
    capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    golden("why_hosts.txt", output_of(capsys, "why", HOSTS).replace(HOSTS, "hosts.pcapng"))


def test_a_connection_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "why", HOSTS, "--connection", "tcp.0")
    assert "connection 0" in text
    assert "calls of no connection" not in text


def test_one_call_shows_each_interval_with_its_evidence(
    capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    golden("why_hosts_call.txt", output_of(capsys, "why", HOSTS, "--call", "26"))


def test_json_says_what_the_terminal_says(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(output_of(capsys, "why", HOSTS, "--json"))
    text = output_of(capsys, "why", HOSTS)
    assert {bar["side"] for bar in said["connections"][0]["bars"]} == {"client", "server"}
    first = said["sentences"][0]
    assert first["name"] in text
    assert sum(one["stop_ns"] - one["start_ns"] for one in first["intervals"]) == first["total_ns"]
    assert said["waited_ns"] > said["unknown_ns"] >= 0
    one = json.loads(output_of(capsys, "why", HOSTS, "--call", "26", "--json"))
    assert one["call"] == 26
    assert {part["certainty"] for part in one["intervals"]} <= {"observed", "inferred", "unknown"}


def test_the_time_of_a_side_is_that_of_its_calls() -> None:
    from netlab.explain.analysis import analyse

    raw = lossy_recording()
    tables = analyse(raw)
    view = why(tables, raw, "lossy")
    for one in view.connections:
        for bar in one.bars:
            calls = [
                call for call in tables.calls
                if call.connection == one.connection and call.side == bar.side
            ]  # fmt: skip
            assert bar.total_ns == sum(
                call.returned_ns - call.entered_ns for call in calls if call.returned_ns is not None
            )
            assert bar.total_ns == sum(part.ns for part in bar.slices)


def test_the_table_of_waits_has_them_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    import netlab

    recording = netlab.read(HOSTS)
    rows = waits(recording.tables, recording.raw)
    assert recording.waits.height == len(rows) > 40
    exported = output_of(capsys, "export", HOSTS, "--table", "waits").splitlines()
    assert [json.loads(line)["cause"] for line in exported] == [row.cause for row in rows]
    query = "select cause from waits", "--limit", "0", "--format", "jsonl"
    asked = output_of(capsys, "query", HOSTS, *query).splitlines()
    assert [json.loads(line)["cause"] for line in asked] == [row.cause for row in rows]


def test_a_call_and_a_connection_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", HOSTS, "--call", "3", "--connection", "0"]) == 2
    assert "a call or a connection, not both" in capsys.readouterr().err


def test_a_call_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", HOSTS, "--call", "4711"]) == 2
    assert "no call #4711 in this file" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 80])
def test_everything_fits_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in (["why", HOSTS], ["why", HOSTS, "--call", "26"], ["diff", HOSTS, ECHO]):
        text = output_of(capsys, *words)
        assert max(map(len, text.splitlines())) <= columns, words


def test_a_capture_without_calls_says_so_and_what_its_frames_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = lossy()
    path = tmp_path / "frames.pcapng"
    story.write_live(path)
    text = output_of(capsys, "why", str(path))
    assert "No calls were recorded" in text


def pcap(path: Path, *frames: bytes) -> Path:
    """A capture file of Ethernet frames."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = (struct.pack("<IIII", 1, nth, len(f), len(f)) + f for nth, f in enumerate(frames))
    path.write_bytes(head + b"".join(records))
    return path


def datagram() -> bytes:
    """A UDP datagram of two bytes in an Ethernet frame."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 30, 1, 0, 64, 17, 0, bytes([10, 0, 0, 1]),
                     bytes([10, 0, 0, 2]))  # fmt: skip
    return bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 5000, 7000, 10, 0) + b"hi"


def test_of_datagrams_without_calls_it_is_said_that_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pcap(tmp_path / "datagrams.pcap", datagram(), datagram())
    text = " ".join(output_of(capsys, "why", str(path)).split())
    assert text == (
        "No calls were recorded, and frames alone do not tell what took time in 1 conversation of"
        " datagrams (UDP). Nothing else is found."
    )
    assert json.loads(output_of(capsys, "why", str(path), "--json"))["untold"] == 1


def test_where_frames_show_nothing_none_of_it_is_announced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pcap(tmp_path / "nothing.pcap")
    text = " ".join(output_of(capsys, "why", str(path)).split())
    assert text == (
        "No calls were recorded, and in the frames alone nothing that took time is found."
    )


def test_of_a_capture_by_others_its_silences_are_told(
    captures_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = captures_dir / "files" / "tcp-handshake-nano.pcap"
    text = output_of(capsys, "why", str(path))
    assert "silent for 127.5 ms, 1 time" in text
    assert "1. [0] 127.5 ms, 0 ns after its first frame: for the answer to the SYN." in text
    said = json.loads(output_of(capsys, "why", str(path), "--json"))
    assert [one["cause"] for one in said["silences"]] == ["network"]
    assert said["connections"][0]["bars"][0]["side"] == ""


def test_the_advice_for_a_silence_speaks_of_no_call(
    captures_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = captures_dir / "files" / "80211http.pcap"
    said = json.loads(output_of(capsys, "why", str(path), "--json"))
    quiet = [one for one in said["silences"] if one["cause"] == "peer_app"]
    assert quiet
    assert {one["advice"] for one in quiet} == {
        "Look at what its program did then: a recording with its calls says more."
    }


def test_diff_of_a_recording_with_itself_changes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = json.loads(output_of(capsys, "diff", HOSTS, HOSTS, "--json"))
    assert said["causes"]
    assert all(row["first_ns"] == row["second_ns"] for row in said["causes"])
    assert all(row["first"] == row["second"] for row in said["findings"])


def test_diff_puts_the_largest_change_first(
    capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    said = json.loads(output_of(capsys, "diff", ECHO, HOSTS, "--json"))
    changes = [(row["idle"], -abs(row["second_ns"] - row["first_ns"])) for row in said["causes"]]
    assert changes == sorted(changes)  # idle waits last
    text = output_of(capsys, "diff", ECHO, HOSTS)
    golden("diff.txt", text.replace(ECHO, "echo.pcapng").replace(HOSTS, "hosts.pcapng"))

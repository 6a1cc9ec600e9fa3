"""What a connection carried: tshark's bytes on captures by others, and every way to print them."""

from __future__ import annotations

import csv
import hashlib
import re
from io import BytesIO
from pathlib import Path

import pytest
from sample_recordings import raw_recording

from netlab.capture.files import read_raw
from netlab.capture.recording import finish
from netlab.commands.main import run
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording, UsageError
from netlab.model.tables import Side
from netlab.show import choose
from netlab.show.terminal.content import c_lines, content_lines, notes_of, write_raw
from netlab.show.terminal.lines import plain
from netlab.show.views.content import Conflict, Content, Sides, content

# tshark takes the longer copy of bytes that frames hold differently, netlab the first, and says so.
AMBIGUOUS = {("reassembly.pcap", "0", Sides.CLIENT)}


def plain_address(text: str) -> str:
    return text.replace("[", "").replace("]", "")


def test_the_bytes_are_those_that_tshark_follows(captures_dir: Path) -> None:
    compared, different = 0, set()
    for table in sorted((captures_dir / "expected").glob("*.streams.tsv")):
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        name = table.name.removesuffix(".streams.tsv")
        try:
            raw = read_raw(captures_dir / "files" / name)
        except BadRecording:
            continue
        tables = analyse(raw)
        for row in rows:
            known = [c for c in tables.connections if c.protocol == "tcp"]
            found = next((c for c in known if str(c.stream) == row["stream"]), None)
            if found is None:  # on a link that is not decoded
                continue
            ours = f"{found.client}:{found.client_port}"
            outward = ("0to1", "1to0") if plain_address(row["node0"]) == ours else ("1to0", "0to1")
            for sides, way in zip((Sides.CLIENT, Sides.SERVER), outward, strict=True):
                view = content(tables, raw, found, sides)
                out = BytesIO()
                write_raw(view, out)
                assert len(out.getvalue()) == int(row[f"bytes{way}"]), (name, row["stream"], sides)
                if hashlib.sha256(out.getvalue()).hexdigest() != row[f"sha256_{way}"]:
                    different.add((name, row["stream"], sides))
                    assert view.conflicts
                compared += 1
    assert different == AMBIGUOUS
    assert compared > 200


def test_bytes_that_two_frames_hold_differently_are_told(captures_dir: Path) -> None:
    raw = read_raw(captures_dir / "files" / "reassembly.pcap")
    tables = analyse(raw)
    view = content(tables, raw, choose.connection(tables, "tcp.0"), Sides.CLIENT)
    assert Conflict(Side.CLIENT, 13366, 13378, 28, 64) in view.conflicts
    assert (
        "frames 28 and 64 hold different bytes for client 13366..13378: "
        "those of frame 28 are shown" in notes_of(view)
    )
    assert any("client bytes" in note and "missing" in note for note in notes_of(view))


@pytest.fixture(scope="module")
def view(captures_dir: Path) -> Content:
    raw = read_raw(captures_dir / "files" / "wikipedia.pcap")
    tables = analyse(raw)
    return content(tables, raw, choose.connection(tables, "tcp.0"), Sides.BOTH)


def test_every_way_to_print_holds_every_byte(view: Content) -> None:
    whole = b"".join(bytes(chunk.data) for chunk in view.chunks)
    rows = [plain(line) for line in content_lines(view, "hex")]
    in_hex = "".join(row[12:60] for row in rows if re.match(r" {2,}\d+  ", row))
    assert bytes.fromhex(in_hex) == whole
    source = "\n".join(c_lines(view))
    assert bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", source)) == whole
    text = [plain(line) for line in content_lines(view, "text")]
    assert text[1] == "  GET / HTTP/1.1"
    assert [line[0] for line in text if line.startswith(("→", "←"))] == ["→", "←"]


def test_a_terminal_obeys_nothing_of_the_bytes(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                               captures_dir: Path) -> None:  # fmt: skip
    for name in ("wikipedia.pcap", "tls-fingerprint-alert-input.pcap", "ssh-dups.pcap"):
        file = str(captures_dir / "files" / name)
        for form in ("text", "hex"):
            assert run(["inspect", file, "-c", "tcp.0", "--stream", "both", "--as", form]) == 0
            shown = capfd.readouterr().out
            assert all(line.isprintable() for line in shown.split("\n"))


def test_the_command_writes_the_bytes_alone(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path, out = tmp_path / "a.pcapng", tmp_path / "out"
    raw = raw_recording()
    finish(path, raw, frame_comments={}, call_messages={}, threads={}, journal_limit=9)
    words = ["inspect", str(path), "-c", "0", "--stream", "client", "--as", "raw"]
    assert run([*words, "-o", str(out)]) == 0
    assert run(words) == 0
    assert capfdbinary.readouterr().out == out.read_bytes() != b""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--stream", "both"], "--stream is about one connection"),
        (["-c", "0", "--as", "hex"], "--as is about a stream"),
        (["-c", "0", "-o", "x"], "--output is about a stream"),
        (["-c", "0", "--stream", "both", "--as", "hex", "--json"], "JSON has a form of its own"),
    ],
)
def test_mistakes(
    words: list[str], text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(tmp_path / "none"), *words]) == 2
    assert capfd.readouterr().err.startswith(f"netlab: {text}")


def test_what_has_no_packets_has_no_content(captures_dir: Path) -> None:
    raw = raw_recording()
    tables = analyse(raw)
    connection = tables.connections[0]
    connection.protocol = "unix"
    with pytest.raises(UsageError, match="connection 0 has no packets"):
        content(tables, raw, connection, Sides.BOTH)

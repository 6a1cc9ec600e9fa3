"""A call names the messages that it moved, as the recording has it and in why it took so long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sample_recordings import DESCRIPTION, LO, T0_NS, call, conversation

from netlab.capture.files import read_raw
from netlab.capture.recording import LiveRecording
from netlab.explain.analysis import analyse
from netlab.lab.finish import finish_recording
from netlab.show.terminal.call import call_lines
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import call_lines as why_lines
from netlab.show.views.why_sentences import why_call

REQUEST = b"GET /\x1b[2J HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n"


def test_its_lines_end_with_them_and_nothing_captured_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "one.pcapng"
    live = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    live.frames(0, conversation(REQUEST))
    size = len(REQUEST)
    ends = {"family": "AF_INET", "kind": "SOCK_STREAM", "local": "127.0.0.1:40000",
            "peer": "127.0.0.1:7", "inode": 21}  # fmt: skip
    live.calls(
        [
            replace(record, **ends)  # type: ignore[arg-type]
            for record in (
                call("connect", 1_000, 4_000, 1, args="127.0.0.1:7", result=0),
                call("send", 10_000, 10_900, 2, requested_bytes=size, result=size),
            )
        ]
    )
    live.statistics(0, 8, 0, T0_NS, T0_NS + 30_000)
    live.close()
    finish_recording(path)
    raw = read_raw(path)
    tables = analyse(raw)
    connect, send = tables.calls
    lines = [plain(line) for line in call_lines(tables, send)]
    assert lines[-1] == "  message       message 1, HTTP/1.1 GET /\\x1b[2J"
    assert not any("message" in plain(line) for line in call_lines(tables, connect)[1:])
    why = [plain(line) for line in why_lines(why_call(tables, raw, send), 80)]
    assert "moved message 1, HTTP/1.1 GET /\\x1b[2J" in why
    assert why_call(tables, raw, connect).moved == ()

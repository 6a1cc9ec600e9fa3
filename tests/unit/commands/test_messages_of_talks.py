"""`netlab inspect FILE --messages` of talks in every protocol: what their conversations say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from application_samples import TALKS, C, S, play, protocol_of
from talk_capture import talks

from netlab.commands.main import run

# Ports of nobody: content alone tells what is spoken. Seven bytes a segment cut every message.
PORTS = {talk: 40_961 + number for number, talk in enumerate(TALKS)}


def output(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_messages_of_every_talk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = talks(tmp_path / "t.pcap", [(TALKS[talk], PORTS[talk]) for talk in TALKS], mss=7)
    rows = json.loads(output(capsys, "inspect", path, "--messages", "--json"))
    for number, talk in enumerate(TALKS):
        said = play(protocol_of(talk), TALKS[talk])
        for side, direction in ((C, "c>s"), (S, "s>c")):
            mine = [r for r in rows if (r["connection"], r["direction"]) == (number, direction)]
            assert [row["text"] for row in mine] == [one.text for one in said[side]]
            assert [row["size_bytes"] for row in mine] == [
                one.stop - one.start for one in said[side]
            ]
            assert all(row["frames"] == sorted(set(row["frames"])) for row in mine)
            assert {row["fault"] for row in mine} == {None}


def test_where_and_decode_as(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = talks(tmp_path / "t.pcap", [(TALKS["mqtt 3"], 4093), (TALKS["ftp"], 4094)])
    where = ("--where", "protocol = 'FTP'")
    told = json.loads(output(capsys, "inspect", path, "--messages", "--json", *where))
    assert {row["connection"] for row in told} == {1}
    rule = ("--decode-as", "tcp.port==4094,smtp")
    told = json.loads(output(capsys, "inspect", path, "--messages", "--json", *rule))
    assert {row["protocol"] for row in told} == {"MQTT 3.1.1", "SMTP"}

"""`netlab inspect --messages`, `--message`, and what other views say of messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from spoken_capture import Talk

from netlab.capture.files import read_raw
from netlab.commands.main import run
from netlab.decode.quick import info as quick
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.model.tables import Side
from netlab.show.export import export_plain

C, S = Side.CLIENT, Side.SERVER
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: a.example\r\nUser-Agent: by hand\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"65\r\n" + b"a" * 101 + b"\r\n83\r\n" + b"b" * 131 + b"\r\n0\r\n\r\n"
)
HOSTILE = "GET /\x1b[31m\u202e HTTP/1.1\r\nHost: \x1b]0;x\x07\r\n\r\n".encode()
Output = Callable[..., str]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A request, its answer in three segments, and a hostile request that has none."""
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST)
    talk.says(S, ANSWER[:101], ANSWER[101:202], ANSWER[202:])
    talk.says(C, HOSTILE)
    talk.says(S, b"HTTP/1.1 404 Not Found\r\nContent-Length: 997\r\n\r\nnot all")
    path = tmp_path / "said.pcapng"
    with path.open("wb") as file:
        export_plain(talk.raw(), file)
    return path


@pytest.fixture
def output(
    capture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Output:
    def say(*argv: str, width: int = 80, verb: str = "inspect", code: int = 0) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        assert run([verb, str(capture), *argv]) == code
        out, err = capsys.readouterr()
        said = err if code else out
        assert max(map(len, out.splitlines()), default=0) <= width
        assert "\x1b" not in said
        assert "\u202e" not in said
        return said

    return say


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_list_and_one_message(
    width: int, output: Output, golden: Callable[[str, str], None]
) -> None:
    text = output("--messages", width=width) + "\n" + output("--message", "2", width=width)
    golden(f"show_messages_{width}.txt", text)


def test_a_frame_shows_its_part_of_a_message_and_its_fields_by_name(output: Output) -> None:
    text = output("--packet", "6")
    assert "HTTP/1.1  200 OK, text/plain" in text
    assert "message 2: goes on, one of 3 frames" in text
    assert "Payload" not in text
    assert "message 2: ends here" in output("--packet", "7")
    assert "message 1: all of it" in output("--packet", "4")
    field = output("--packet", "4", "--field", "http1.1.method")
    assert "GET" in field
    assert "RFC 9110 9" in field
    (layer, *_) = json.loads(output("--packet", "5", "--json", width=9999))["messages"]
    assert (layer["message"], layer["part"], layer["frames"]) == (2, "begins", 3)


def test_the_dump_marks_where_a_part_begins(output: Output) -> None:
    rows = output("--packet", "4").splitlines()
    assert any("[47 45 54 20|2f 69 6e" in row for row in rows)  # GET, the target


@pytest.mark.parametrize("width", [80, 120])
def test_the_ladder_names_the_message_that_a_frame_completes(width: int, output: Output) -> None:
    rows = output("--connection", "0", width=width).splitlines()
    asked = [row for row in rows if "GET /index.html" in row]
    answered = [row for row in rows if "200 OK" in row]
    assert len(asked) == len(answered) == 1
    assert f"Len={len(ANSWER) - 202}" in answered[0]


def test_of_one_connection_of_a_condition_and_as_json(output: Output) -> None:
    every = json.loads(output("--messages", "--json", width=9999))
    assert [row["message"] for row in every] == [1, 2, 3, 4]
    assert json.loads(output("-c", "tcp.0", "--messages", "--json", width=9999)) == every
    assert output("-c", "0", "--messages").startswith("connection 0: HTTP/1.1, by its content and")
    told = output("-c", "0", "--messages", "-d", "tcp.port==80,ftp")
    assert told.startswith("connection 0: FTP, as --decode-as says")
    assert "GET" not in output("--messages", "--where", "direction = 's>c'")
    assert "2 more" in output("--messages", "--limit", "2")
    one = json.loads(output("--message", "2", "--json", width=9999))
    assert bytes.fromhex(one["data"]) == ANSWER
    assert [carrier["frame"] for carrier in one["frames"]] == [5, 6, 7]
    assert output("--messages", "--where", "fault is not null").count("404 Not Found") == 1
    assert "no messages" in output("--messages", "--where", "connection = 7")


def test_query_and_export_have_the_table(output: Output) -> None:
    found = output("select protocol, text from messages where message = 2", verb="query")
    assert "200 OK, text/plain" in found
    rows = output("--table", "messages", verb="export", width=9999).splitlines()
    assert json.loads(rows[1])["frames"] == [5, 6, 7]
    assert json.loads(rows[3])["fault"] == "7 of 997 bytes of the body"


@pytest.mark.parametrize("verb", ["inspect", "query", "export"])
def test_decode_as_says_what_is_spoken(verb: str, output: Output) -> None:
    asked = {
        "inspect": ["--messages"],
        "query": ["select protocol from messages"],
        "export": ["--table", "messages"],
    }[verb]
    rule = ["--decode-as", "tcp.port==80,tls"]
    assert "TLS" not in output(*asked, verb=verb, width=9999)
    assert "TLS" in output(*asked, *rule, verb=verb, width=9999)
    assert "TLS" not in output(*asked, *rule, "-d", "tcp.port == 80, http", verb=verb, width=9999)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--message", "9"], "no message 9 in this file"),
        (["--messages", "--packet", "1"], "only one view at a time"),
        (["-c", "0", "--messages", "--stream", "both"], "only one view at a time"),
        (["--messages", "-d", "tcp.port==80,htpt"], "did you mean http?"),
        (["--messages", "-d", "tcp.port=80,http"], "say tcp.port==8080,http"),
        (["--messages", "-d", "tcp.port==70000,http"], "no port 70000"),
        (["--messages", "-d", "udp.port==53,http"], "say tcp.port==53,http"),
        (["--messages", "--where", "tekst = 'a'"], "did you mean text?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(argv: list[str], says: str, output: Output) -> None:
    said = output(*argv, code=2)
    assert says in said
    assert said.count("\n") == 1


def test_the_quick_look_of_a_packet_never_contradicts_the_messages(captures_dir: Path) -> None:
    """What the list of packets says of a payload is said by a message that has bytes in it."""
    looked = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        tables = analyse(raw)
        by_frame: dict[int, list[tuple[str, str]]] = {}
        for message in tables.messages:
            for frame in message.frames:
                by_frame.setdefault(frame, []).append((message.protocol, message.text))
        for packet, frame in zip(tables.packets, raw.frames, strict=True):
            there = by_frame.get(packet.frame)
            if there is None or packet.payload_off is None:
                continue
            payload = bytes(frame.data[packet.payload_off :][: packet.payload_len_bytes])
            said = quick(packet.protocol, packet.sport, packet.dport, payload)
            if not said:
                continue
            looked += 1
            first = said.split(" ")[0]
            if first == "DNS":  # which of the three it is, the ports say
                assert there[0][0] in ("DNS", "mDNS", "LLMNR")
            elif first == "TLS":
                assert {protocol for protocol, _ in there} == {"TLS"}
                kind = said.removeprefix("TLS ").split(",")[0].partition(" for ")[0]
                assert any(kind in text for _, text in there), (path.name, packet.frame, said)
            elif first.startswith("HTTP/"):
                assert any(said.split(" ")[1] in text for _, text in there), (path, said, there)
            else:
                line = " ".join(said.split(" ")[:2])
                assert any(text.startswith(line[:150]) for _, text in there), (path, said, there)
    assert looked > 200


def test_no_line_of_any_capture_is_longer_than_it_may(
    captures_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(captures_dir / "files")
    shown = 0
    for width in (60,):
        monkeypatch.setenv("COLUMNS", str(width))
        for path in sorted(Path().iterdir()):
            for view in (["--messages"], ["--message", "1"]):
                run(["inspect", str(path), *view])
                lines = capsys.readouterr().out.splitlines()
                shown += len(lines) > 1
                assert [line for line in lines if len(line) > width] == [], path
    assert shown > 60


def test_no_message_takes_the_place_of_a_verdict(
    captures_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = captures_dir / "files" / "tls-fingerprint-alert-input.pcap"
    assert run(["inspect", str(path), "-c", "0"]) == 0
    rows = capsys.readouterr().out.splitlines()
    hello = next(row for row in rows if row.startswith("154.878"))
    late = next(row for row in rows if row.startswith("219.340"))
    assert "client hello for www.goog" in hello
    assert "reordered" in late  # the server hello, which would need that room
    assert max(map(len, rows)) == 80


def test_the_summary_names_what_decode_as_says(output: Output) -> None:
    assert "HTTP/1.1" in output(width=120)  # the file's path is as long as it is
    told = output("-d", "tcp.port==80,mqtt", width=120)
    assert "MQTT" in told
    assert "HTTP/1.1" not in told
    known = json.loads(output("-d", "tcp.port==80,mqtt", "--json", width=200))["protocols"]
    paths = [one["path"][-1] for one in known]
    assert "MQTT" in paths


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("ip.ttl", "ipv4.time-to-live"),
        ("ip.src", "ipv4.source"),
        ("tcp.dstport", "tcp.destination-port"),
        ("tcp.window_size", "tcp.window"),
        ("tcp.flags.syn", "tcp.syn"),
        ("http.host", "http1.1.host"),
    ],
)
def test_a_field_named_as_tshark_does_finds_its_name_here(
    asked: str, meant: str, output: Output
) -> None:
    said = output("--packet", "4", "--field", asked, code=2)
    assert f"did you mean {meant}?" in said


def test_a_name_like_nothing_gets_the_list(output: Output) -> None:
    assert "it has " in output("--packet", "4", "--field", "frame.len", code=2)


def test_answers_without_their_query_count_as_what_they_are(
    captures_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(captures_dir / "files" / "wikipedia.pcap"), "--json"]) == 0
    rows = {tuple(p["path"]): p for p in json.loads(capsys.readouterr().out)["protocols"]}
    # tshark 4.0, -z io,phs
    assert rows["Ethernet", "IPv4", "UDP", "mDNS"]["packets"] == 3
    assert rows["Ethernet", "IPv4", "UDP", "mDNS"]["bytes"] == 379
    assert rows["Ethernet", "IPv6", "UDP", "mDNS"]["bytes"] == 213

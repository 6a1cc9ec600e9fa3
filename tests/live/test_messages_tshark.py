"""Messages beside tshark's: on captures by others, and on a browser's worth of curl and nginx."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab_process import ROOT
from tshark_messages import CODE, FIELDS, METHOD, URI, Says, said_by_netlab, said_by_tshark

from netlab.capture.files import read_raw
from netlab.correlate.messages import said_of
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.model.tables import Tables

# Where they differ, by capture and frame, and why.
UNFINISHED = "tshark says nothing of a message whose body has no end; netlab gives its head"
CLOSES = "a body that ends with the connection: tshark waits for the FIN, netlab's last byte came"
UNSEEN = "the capture lacks bytes before: tshark gives the stream up, netlab goes on behind them"
URGENT = "with an urgent byte in the request line: tshark gives up, netlab reads it as it came"
SPACE = "a space in the target (RFC 9112 3.2): tshark ends it there, netlab shows all, and a fault"
DIFFERENT = {
    ("gre-erspan-vxlan.pcap", 4): SPACE,
    ("accecn_handshake.pcap", 6): UNFINISHED,
    ("raw_ip.pcap", 49): UNFINISHED,
    ("tcp-fast-open.pcap", 5): CLOSES,
    ("tcp-fast-open.pcap", 6): CLOSES,
    ("tcp-fast-open.pcap", 12): CLOSES,
    ("tcp-fast-open.pcap", 14): CLOSES,
    ("tcp-urgent1.pcap", 8): URGENT,
    **{
        ("tcp-fastopen-10-syn-data-ignore-input.pcap", frame): UNSEEN
        for frame in (25, 29, 34, 35, 36, 38, 46)
    },
}
QUICK = ["tls-fingerprint-alert-input.pcap", "tcp-opt.pcap", "tcp-fast-open.pcap", "raw_ip.pcap"]


def differences(ours: Says, theirs: Says) -> set[int]:
    return {
        frame
        for frame in ours.keys() | theirs.keys()
        if ours.get(frame, {}) != theirs.get(frame, {})
    }


def count(says: Says) -> int:
    return sum(len(values) for fields in says.values() for values in fields.values())


def compared(path: Path) -> int:
    theirs = said_by_tshark(path)
    found = differences(said_by_netlab(analyse(read_raw(path))), theirs)
    assert found == {frame for name, frame in DIFFERENT if name == path.name}
    return count(theirs)


def test_messages_are_tsharks_on_some_captures(captures_dir: Path) -> None:
    assert sum(compared(captures_dir / "files" / name) for name in QUICK) > 80


@pytest.mark.slow
def test_messages_are_tsharks_on_all_captures(captures_dir: Path) -> None:
    total = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            read_raw(path)
        except BadRecording:
            continue
        total += compared(path)
    assert total > 300


NGINX = """
user root;
worker_processes 1;
pid nginx.pid;
daemon off;
events { }
http {
    access_log off; gzip on; gzip_min_length 1; gzip_types *; chunked_transfer_encoding on;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi; keepalive_timeout 5;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    server { listen 80; root site; }
    server { listen 81 http2; root site; }
    server { listen 443 ssl http2; ssl_protocols TLSv1.2; root site; }
    server { listen 444 ssl; ssl_protocols TLSv1.3; root site; }
}
"""
SMALL, LARGE = 4093, 70_001
GETS = [
    "--compressed http://server/small -o one http://server/large -o two",
    "--http2-prior-knowledge http://server:81/small -o three",
    "--http2-prior-knowledge http://server:81/large -o four",
    "-k https://server/large -o five",
    "-k https://server:444/small -o six",
    "-I http://server/small -o seven http://server/nothing -o eight",
    "-d posted=1 http://server/small -o nine",
]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tables]:
    """A lab in which curl gets pages from nginx, over HTTP/1, HTTP/2 and TLS."""
    folder = tmp_path_factory.mktemp("web")
    site = folder / "site"
    site.mkdir()
    (site / "small").write_bytes(b"x" * SMALL)
    (site / "large").write_bytes(os.urandom(LARGE))
    (folder / "nginx.conf").write_text(NGINX)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=lab.example"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    gets = " && ".join(f"curl -sS {get}" for get in GETS)
    (folder / "gets").write_text(f"cd {folder} && {gets}\n")
    folder.chmod(0o755)
    path = folder / "web.pcapng"
    done = subprocess.run(
        [sys.executable, "-m", "netlab", "lab", "--quiet", "-o", path,
         "--server", f"nginx -p {folder} -c nginx.conf -e error.log",
         "--client", f"sh {folder / 'gets'}"],
        env={**os.environ, "PYTHONPATH": str(ROOT),
             "PATH": f"{ROOT / '.servers' / 'bin'}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path, analyse(read_raw(path))


def test_curl_and_nginx_say_what_tshark_reads(web: tuple[Path, Tables]) -> None:
    path, tables = web
    theirs, ours = said_by_tshark(path, "-d", "tcp.port==81,http2"), said_by_netlab(tables)
    assert {name for fields in theirs.values() for name in fields} == set(FIELDS)
    assert differences(ours, theirs) == set()
    assert count(theirs) > 100


def test_every_get_is_a_message_with_its_answer(web: tuple[Path, Tables]) -> None:
    _, tables = web
    assert not any(message.fault for message in tables.messages)
    ours = said_by_netlab(tables)
    said = {name: [v for f in sorted(ours) for v in ours[f].get(name, ())] for name in FIELDS}
    assert said[METHOD] == ["GET", "GET", "HEAD", "HEAD", "POST"]
    assert said[URI] == ["/small", "/large", "/small", "/nothing", "/small"]
    assert said[CODE] == ["200", "200", "200", "404", "405"]
    answers = [m for m in tables.messages if m.text.startswith("200") and m.protocol == "HTTP/1.1"]
    large = {item.name: item.text for item in said_of(answers[1]).items}
    assert large["content-encoding"] == "gzip"
    assert "chunks" in large["body"]
    bodies = [m for m in tables.messages if m.text.startswith("DATA ")]
    assert sum(m.stop - m.start - 9 for m in bodies) == SMALL + LARGE


def test_every_byte_of_a_message_is_in_its_frames_and_in_calls_of_both_ends(
    web: tuple[Path, Tables],
) -> None:
    _, tables = web
    assert len(tables.messages) > 40
    segments = {segment.frame: segment for segment in tables.segments}
    for message in tables.messages:
        held = [segments[frame] for frame in message.frames]
        assert min(s.start for s in held) <= message.start
        assert max(s.stop for s in held) >= message.stop
        for side in ("client", "server"):
            moved = [tables.calls[n - 1] for n in message.calls if tables.calls[n - 1].side == side]
            at = message.start
            for call in sorted(moved, key=lambda call: call.start or 0):
                assert call.start is not None
                assert call.stop is not None
                assert call.start <= at
                at = max(at, call.stop)
            assert at >= message.stop


MESSAGES = 23


def test_every_websocket_message_of_a_run_is_one_and_is_tsharks(tmp_path: Path) -> None:
    path = tmp_path / "chat.pcapng"
    subprocess.run(
        [sys.executable, "-m", "netlab", "run", "websocket", "--messages", str(MESSAGES),
         "--size", str(SMALL), "--port", "8080", "-o", path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    frames = [m for m in analyse(read_raw(path)).messages if m.protocol == "WebSocket"]
    assert not any(message.fault for message in frames)
    for direction in ("c>s", "s>c"):
        texts = [m.text for m in frames if m.direction == direction]
        assert texts == [f"binary, {SMALL:,} bytes"] * MESSAGES + ["close 1000 normal closure"]
    done = subprocess.run(
        ["tshark", "-2", "-n", "-r", path, "-Y", "websocket", "-T", "fields",
         "-e", "frame.number", "-e", "websocket.opcode"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = [
        (int(frame), "close" if opcode == "8" else "binary")
        for frame, _, opcodes in (line.partition("\t") for line in done.stdout.splitlines())
        for opcode in opcodes.split(",")
    ]
    ours = [(m._whole, m.text.partition(" ")[0].rstrip(",")) for m in frames]
    assert sorted(ours) == sorted(theirs)

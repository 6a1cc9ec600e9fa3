"""What a capture at one end says of a recording whose calls are known: the same cause, or unknown.

`netlab export --plain --at HOST` writes the captures.
"""

from __future__ import annotations

import io
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.model.recording import RawRecording
from netlab.model.tables import Connection, Tables
from netlab.show.at_end import seen_at
from netlab.show.export import export_plain

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
MS = 1_000_000

# How long a way is, every recording has; the others are no waits for a peer or for its stack.
APART = frozenset({
    "network", "no_client", "timer", "witness", "copy", "scheduler", "signal", "other_event",
})  # fmt: skip
SENT_AGAIN = frozenset({
    "rto", "tail_loss_probe", "fast_retransmit", "head_of_line", "user_timeout",
    "path_mtu",
})  # fmt: skip

# recording -> what its first connection waits for most, but for the way
MAIN = {
    "nagle-delayed-ack": "delayed_ack",
    "write-write-read": "delayed_ack",
    "nagle": "nagle",
    "nodelay": "nagle",
    "tail-loss": "tail_loss_probe",
    "rto-backoff": "rto",
    "cable-pulled": "rto",
    "lost-synack": "syn_retry",
    "silent-host": "syn_retry",
    "sndtimeo": "peer_window",
    "peek-waitall": "peer_app",
    "reset-window": "peer_app",
    "poll-timeout": "peer_app",
}

Name = tuple[str | None, int | None, str | None, int | None]


def name_of(row: Connection) -> Name:
    return row.client, row.client_port, row.server, row.server_port


@cache
def recording(name: str) -> tuple[RawRecording, Tables]:
    raw = read_raw(CAPTURES / name / f"{name}.pcapng")
    return raw, analyse(raw)


@cache
def whole(name: str) -> dict[Name, Counter[str]]:
    """By connection, how long the calls of both its ends waited for what."""
    _, tables = recording(name)
    found: dict[Name, Counter[str]] = {
        name_of(row): Counter() for row in tables.connections if row.protocol == "tcp"
    }
    for wait in tables.waits:
        number = tables.calls[wait.call - 1].connection
        if number is not None and (key := name_of(tables.connections[number])) in found:
            found[key][wait.cause] += wait.stop_ns - wait.start_ns
    return found


def at_end(name: str, host: str, tmp_path: Path) -> dict[Name, list[Part]]:
    """By connection, the silences of the capture of one host."""
    path = tmp_path / f"{host}.pcapng"
    written = io.BytesIO()
    export_plain(seen_at(recording(name)[0], host), written)
    path.write_bytes(written.getvalue())
    raw = read_raw(path)
    tables = analyse(raw)
    assert tables.calls == []
    scene = Scene(tables, raw)
    return {
        name_of(row): silences_of(scene, row.connection)
        for row in tables.connections if row.protocol == "tcp"
    }  # fmt: skip


def main_of(times: Counter[str]) -> str:
    kept = {cause: ns for cause, ns in times.items() if cause not in APART}
    return max(kept, key=lambda cause: kept[cause])


@pytest.mark.parametrize("host", ["client", "server"])
@pytest.mark.parametrize("name", MAIN)
def test_the_main_cause_is_that_of_the_whole(name: str, host: str, tmp_path: Path) -> None:
    first = next(iter(whole(name)))
    assert main_of(whole(name)[first]) == MAIN[name]
    times: Counter[str] = Counter()
    for part in at_end(name, host, tmp_path)[first]:
        times[part.cause] += part.length_ns
    assert main_of(times) == MAIN[name]


def wired() -> list[str]:
    found = []
    for path in sorted(CAPTURES.glob("*/*.pcapng")):
        raw = read_raw(path)
        hosts = {one.name for one in raw.interfaces}
        if path.stat().st_size < 600_000 and raw.wired and {"client", "server"} <= hosts:
            found.append(path.stem)
    return found


@pytest.mark.parametrize("name", wired())
def test_no_capture_at_an_end_names_a_mechanism_that_the_whole_has_not(
    name: str, tmp_path: Path
) -> None:
    for host in ("client", "server"):
        for key, parts in at_end(name, host, tmp_path).items():
            known = {"network", "peer_app", "unknown", *whole(name).get(key, ())}
            if APART.issuperset(whole(name).get(key, ())):  # no call waited for it: as others' did
                known |= set().union(*whole(name).values())
            if known & SENT_AGAIN:  # which of them, and an ACK that was late as well
                known |= {*SENT_AGAIN, "delayed_ack"}
            if "backlog_full" in known:  # of which a client's end sees a SYN without an answer
                known |= {"syn_retry"}
            for part in parts:
                assert part.certainty != "observed"
                assert part.cause in known or "; in vain: " in part.text, (host, part)

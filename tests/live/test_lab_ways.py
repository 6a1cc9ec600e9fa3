"""How frames find their host: known from the start, asked for, or by way of a router; how fast."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import lab_programs as programs

from netlab.lab.experiment import Lab
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

MESSAGES = 3
SEGMENT_BYTES = 1448


def talk(lab: Lab) -> None:
    """Some messages over TCP."""
    serving = lab.start("server", programs.echo_once, MESSAGES)
    lab.wait_listening("server")
    client = lab.run("client", programs.say, "server", MESSAGES)
    lab.wait(serving)
    assert client.status == serving.status == 0, client.stderr + serving.stderr
    lab.settle()


def targets(raw: RawRecording, tables: Tables, protocol: str) -> list[str]:
    """Whose card the frames of a protocol were for, by the last byte of the MAC."""
    frames = {packet.frame for packet in tables.packets if packet.protocol == protocol}
    return [bytes(frame.data[:6]).hex()[-2:] for frame in raw.frames if frame.number in frames]


def test_nobody_asks_where_all_is_known(tmp_path: Path) -> None:
    with Lab(path=tmp_path / "r.pcapng") as lab:
        talk(lab)
    assert targets(lab.recording.raw, lab.recording.tables, "ARP") == []


def test_hosts_ask_where_nothing_is_known(tmp_path: Path) -> None:
    with Lab(path=tmp_path / "r.pcapng", resolve=True) as lab:
        talk(lab)
    asked = targets(lab.recording.raw, lab.recording.tables, "ARP")
    assert asked[:2] == ["ff", "01"]
    assert lab.recording.tables.unmatched == []


def test_a_router_is_on_the_way_there(tmp_path: Path) -> None:
    sysctls = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.send_redirects": "0",
               "net.ipv4.conf.eth0.send_redirects": "0"}  # fmt: skip
    with Lab(
        ("client", "server", "router"),
        path=tmp_path / "r.pcapng",
        sysctls={"router": sysctls},
        next_hops={"client": {"server": "router"}},
    ) as lab:
        serving = lab.start("server", programs.hear_datagrams, 2, MESSAGES)
        lab.wait_listening("server")
        lab.run("client", programs.tell_by_name, 2, "server", MESSAGES)
        lab.wait(serving)
    found = targets(lab.recording.raw, lab.recording.tables, "UDP")
    assert sorted(found) == ["02"] * MESSAGES + ["03"] * MESSAGES
    assert serving.value == 97 * MESSAGES
    ttls = sorted(p.ttl or 0 for p in lab.recording.tables.packets if p.protocol == "UDP")
    assert ttls == [63] * MESSAGES + [64] * MESSAGES


def gaps_ns(tables: Tables) -> list[int]:
    """Between the departures of a full segment of the client's and the one behind it."""
    own = [p for p in tables.packets if p.interface == "client" and p.payload_len_bytes]
    return [
        later.time_ns - one.time_ns
        for one, later in pairwise(own)
        if one.payload_len_bytes == later.payload_len_bytes == SEGMENT_BYTES
    ]


def test_a_link_sends_no_more_than_it_is_told(tmp_path: Path) -> None:
    """A frame of 1,514 bytes takes 60.56 ms at 200 kbit/s; each message has two of them."""
    found = {}
    for rate in (0, 200_000):
        rates = {"client": rate} if rate else None
        with Lab(path=tmp_path / f"{rate}.pcapng", link_rates=rates) as lab:
            talk(lab)
        found[rate] = gaps_ns(lab.recording.tables)
        assert lab.recording.tables.unmatched == []
    assert len(found[200_000]) == len(found[0]) == MESSAGES
    assert min(found[0]) < 10_000_000
    assert min(found[200_000]) >= 60_000_000
    assert "the link of client sends 200,000 bits/s" in " ".join(lab.notes)

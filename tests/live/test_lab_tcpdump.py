"""What `export --plain --at HOST` writes is what a tcpdump on that host has seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lab_programs as programs
import pytest
from lab_process import run_netlab

from netlab.capture.files import read_raw
from netlab.lab.actor import Program
from netlab.lab.experiment import Lab
from netlab.lab.network.links import mac_bytes
from netlab.model.recording import RawRecording

TOLD = b"told to all"  # in each frame that `tell_all` sent
RULES = {
    "plain": "",
    "everything": "delay 2ms; drop s>c data 3; duplicate c>s data 5; corrupt s>c data 7; "
    "reorder c>s data 9 after 11",
    "small packets": "mtu 900",
}
THREE = ("client-1", "server", "client-2")
# Of a host by its place, two or three.
MACS = {
    "client": mac_bytes("02:00:00:00:00:01"),
    "client-1": mac_bytes("02:00:00:00:00:01"),
    "server": mac_bytes("02:00:00:00:00:02"),
    "client-2": mac_bytes("02:00:00:00:00:03"),
}


def both_ways(raw: RawRecording, host: str) -> tuple[list[bytes], list[bytes]]:
    """The frames that the host sent, and those that it got, each in order."""
    frames = [bytes(frame.data) for frame in raw.frames]
    mine = [frame[6:12] == MACS[host] for frame in frames]
    return (
        [frame for frame, out in zip(frames, mine, strict=True) if out],
        [frame for frame, out in zip(frames, mine, strict=True) if not out],
    )


@pytest.mark.parametrize("wire", RULES.values(), ids=RULES)
def test_each_end_saw_what_is_exported_for_it(tmp_path: Path, wire: str) -> None:
    with Lab(path=tmp_path / "a.pcapng", wire=wire) as lab:
        watchers = watch(lab, tmp_path)
        server = lab.start("server", programs.echo_once, 23)
        lab.wait_listening("server")
        client = lab.run("client", programs.say, lab.address("server"), 23)
        lab.wait(server)
        assert client.value == 23 * programs.MESSAGE_BYTES, client.stderr
        assert lab.settle()
        for watcher in watchers.values():
            lab.signal(watcher, 15)
        lab.wait(*watchers.values())
    check_exports(watchers, tmp_path)
    for host in watchers:
        seen = both_ways(read_raw(tmp_path / f"{host}.pcap"), host)
        assert min(len(frames) for frames in seen) > 61


@pytest.mark.parametrize("wire", ["", "delay 2ms"], ids=["plain", "delay"])
def test_what_is_said_to_all_is_exported_for_each(tmp_path: Path, wire: str) -> None:
    with Lab(THREE, path=tmp_path / "a.pcapng", wire=wire) as lab:
        watchers = watch(lab, tmp_path)
        for host, messages in zip(THREE, (7, 3, 5), strict=True):
            teller = lab.run(host, programs.tell_all, "ff02::1", messages, actor=f"teller-{host}")
            assert teller.status == 0, teller.stderr
        for watcher in watchers.values():
            lab.signal(watcher, 15)
        lab.wait(*watchers.values())
    check_exports(watchers, tmp_path)
    for host, mine in zip(THREE, (7, 3, 5), strict=True):
        out, got = both_ways(read_raw(tmp_path / f"{host}.pcapng"), host)
        assert sum(TOLD in frame for frame in out) == mine
        assert sum(TOLD in frame for frame in got) == 15 - mine


def watch(lab: Lab, folder: Path) -> dict[str, Program]:
    """A tcpdump on each host, which listens."""
    watchers: dict[str, Program] = {}
    for host in lab.host_names:
        path = folder / f"{host}.pcap"
        words = ["tcpdump", "-i", "eth0", "-n", "-U", "--immediate-mode", "-w", str(path)]
        path.touch()
        path.chmod(0o666)  # as root it becomes another user
        watchers[host] = lab.start(host, words, actor=f"tcpdump-{host}", may_capture=True)
    for watcher in watchers.values():
        assert lab.wait_until(lambda w=watcher: b"listening on" in w.stderr or not w.running)
    return watchers


def check_exports(watchers: Mapping[str, Program], folder: Path) -> None:
    for host, watcher in watchers.items():
        assert b"0 packets dropped by kernel" in watcher.stderr
        done = run_netlab(
            folder, "export", "a.pcapng", "--plain", "--at", host, "-o", f"{host}.pcapng"
        )
        assert done.returncode == 0, done.stderr
        seen = both_ways(read_raw(folder / f"{host}.pcap"), host)
        assert both_ways(read_raw(folder / f"{host}.pcapng"), host) == seen

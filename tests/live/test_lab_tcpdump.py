"""What `export --plain --at HOST` writes is what a tcpdump on that host has seen."""

from __future__ import annotations

from pathlib import Path

import lab_programs as programs
import pytest
from lab_process import run_netlab

from netlab.capture.files import read_raw
from netlab.lab.experiment import Lab
from netlab.lab.network.links import mac_bytes
from netlab.model.recording import RawRecording

RULES = {
    "plain": "",
    "everything": "delay 2ms; drop s>c data 3; duplicate c>s data 5; corrupt s>c data 7; "
    "reorder c>s data 9 after 11",
    "small packets": "mtu 900",
}
MACS = {"client": mac_bytes("02:00:00:00:00:01"), "server": mac_bytes("02:00:00:00:00:02")}


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
        watchers = {}
        for host in ("client", "server"):
            path = tmp_path / f"{host}.pcap"
            words = ["tcpdump", "-i", "eth0", "-n", "-U", "--immediate-mode", "-w", str(path)]
            path.touch()
            path.chmod(0o666)  # as root it becomes another user
            watchers[host] = lab.start(host, words, actor=f"tcpdump-{host}", may_capture=True)
        for watcher in watchers.values():
            assert lab.wait_until(lambda w=watcher: b"listening on" in w.stderr or not w.running)
        server = lab.start("server", programs.echo_once, 23)
        lab.wait_listening("server")
        client = lab.run("client", programs.say, lab.address("server"), 23)
        lab.wait(server)
        assert client.value == 23 * programs.MESSAGE_BYTES, client.stderr
        assert lab.settle()
        for watcher in watchers.values():
            lab.signal(watcher, 15)
        lab.wait(*watchers.values())
    for host, watcher in watchers.items():
        assert b"0 packets dropped by kernel" in watcher.stderr
        done = run_netlab(
            tmp_path, "export", "a.pcapng", "--plain", "--at", host, "-o", f"{host}.pcapng"
        )
        assert done.returncode == 0, done.stderr
        seen = both_ways(read_raw(tmp_path / f"{host}.pcap"), host)
        assert both_ways(read_raw(tmp_path / f"{host}.pcapng"), host) == seen
        assert min(len(frames) for frames in seen) > 61

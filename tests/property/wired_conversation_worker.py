"""Holds scripted conversations between two hosts with a wire, and records them; not a test itself.

As `conversation_worker`, but each script brings the rules of a wire, and two hosts are made for it:
nothing that a kernel remembers of one conversation (path MTUs, metrics, sockets that close) meets
the next. Beside the recording stands what a packet socket saw on each host: FILE.client and
FILE.server.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from conversation_worker import Home, loopback_up, meet, play, told

from netlab.capture.probe import JournalProbe
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.recording import LiveRecording, spool_folder
from netlab.capture.ring import PacketRing
from netlab.lab.network import socket_table
from netlab.lab.wire.journal import JournalReader
from netlab.model.frame import WIRE, Interface
from netlab.model.recording import Description
from tests.wired_hosts import WiredHosts, wait_until

SNAPLEN_BYTES = 1 << 18
_NETLINK_SOCK_DIAG = 4


def settle(hosts: WiredHosts) -> None:
    """Wait until no host has a TCP connection that is not over."""
    asking = []
    for host in hosts.hosts:
        with host.inside():
            asking.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG))
    wait_until(
        lambda: not any(row.at_work for sock in asking for row in socket_table.read(sock)),
        "connections that do not end",
    )
    for sock in asking:
        sock.close()


def converse(script: dict[str, Any]) -> dict[str, Any]:
    path = Path(script["path"])
    folder = spool_folder(path)
    hosts = WiredHosts(folder, rules=script["rules"], ipv6=script["ipv6"])
    rings, homes = [], []
    for host in hosts.hosts:
        with host.inside():
            # Nobody reads it before the end: a block for each moment in which there is a frame.
            rings.append(PacketRing.open("eth0", block_bytes=1 << 15, blocks=1024, retire_ms=20))
        probe = JournalProbe(folder, actor=host.name, host=host.name, queues=script["queues"])
        address = host.address6 if script["ipv6"] else host.address
        homes.append(Home(probe, address, host.inside))
    pairs, close_listener = meet(script, *homes)
    play(script, pairs)
    close_listener()
    for home in homes:
        home.probe.close()
    settle(hosts)
    report = hosts.stop()

    names = [host.name for host in hosts.hosts]
    interfaces = [Interface(name, 1, SNAPLEN_BYTES) for name in (*names, WIRE)]
    live = LiveRecording.create(path, description=Description(), interfaces=interfaces)
    wire = JournalReader(folder)
    taken = wire.finish()
    live.wire_frames(taken.frames)
    live.arrivals(taken.arrivals)
    spools = SpoolReader(folder)
    live.calls(spools.poll())
    live.calls(spools.finish())
    live.inheritances(spools.inheritances)
    live.close()
    shutil.rmtree(folder)
    dropped = 0
    for host, ring in zip(hosts.hosts, rings, strict=True):
        seen = LiveRecording.create(
            Path(f"{path}.{host.name}"),
            description=Description(), interfaces=[Interface("eth0", 1, SNAPLEN_BYTES)],
        )  # fmt: skip
        seen.frames(0, ring.drain())
        seen.close()
        dropped += ring.statistics().dropped
        ring.close()
    hosts.close()
    return {
        "dropped": {
            "rings": dropped,
            "wire": report.lost,
            "spool": report.unrecorded,
            "left": report.left,
        },
        "losses": [str(loss) for loss in (*spools.losses, *wire.losses)],
        "moved": told(pairs),
    }


def main() -> None:
    loopback_up()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(converse(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

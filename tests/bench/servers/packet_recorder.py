"""The recorder of one watched server, as a process beside it: packets and calls -> a recording.

Prints the folder for the server's spools, reads the server's port, and records what passes on the
loopback interface to and from that port, and the calls in the spools, until SIGTERM.
"""

from __future__ import annotations

import select
import signal
import sys
from pathlib import Path

from netlab.capture.bpf import SNAPLEN_BYTES, only_ports
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.ring import PacketRing
from netlab.lab.recorder import Recorder, begin
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description


def main(path: Path) -> None:
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    recording, spools = begin(
        path,
        description=Description(title="bench"),
        interfaces=[Interface("lo", LINK_ETHERNET, SNAPLEN_BYTES)],
        journal_limit=JOURNAL_LIMIT,
    )
    signal.signal(signal.SIGTERM, stop)
    print(spools, flush=True)
    port = int(sys.stdin.readline())
    with PacketRing.open("lo", filter=only_ports([port], SNAPLEN_BYTES)) as ring:
        recorder = Recorder(recording, [ring], SpoolReader(spools))
        print("recording", flush=True)
        while not stopping:
            select.select([ring], [], [], 0.05)
            recorder.pump()
        counted = ring.statistics()
        print(recorder.frame_count, recorder.call_count, counted.dropped, flush=True)
    recording.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

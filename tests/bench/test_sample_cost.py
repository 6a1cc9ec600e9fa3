"""What a look at the sockets of a lab's two hosts costs the recorder. `-m bench -s` prints it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from netlab.capture.sampler import Sampler
from netlab.lab.experiment import Lab

pytestmark = pytest.mark.bench
LOOKS = 400
SERVER = """
import signal, socket, sys
listener = socket.create_server(("0.0.0.0", 80), backlog=200)
accepted = [listener.accept() for _ in range(int(sys.argv[1]))]
signal.pause()
"""
CLIENT = """
import signal, socket, sys
socks = [socket.create_connection(("server", 80)) for _ in range(int(sys.argv[1]))]
print("there", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("connections", [1, 10, 100])
def test_a_look(tmp_path: Path, connections: int) -> None:
    with Lab(path=tmp_path / "a.pcapng") as lab:
        lab.start("server", ["python3", "-c", SERVER, f"{connections}"])
        lab.wait_listening("server")
        client = lab.start("client", ["python3", "-c", CLIENT, f"{connections}"])
        assert lab.wait_until(lambda: client.stdout.startswith(b"there"))
        hosts = {name: lab._ground.diagnosis(name) for name in lab.host_names}
        sampler = Sampler(hosts, 1_000_000_000)
        first = sampler.look()
        took = []
        for _ in range(LOOKS):
            before_s = time.process_time()
            sampler.look()
            took.append(time.process_time() - before_s)
        sampler.close()
    assert len(first) == 2 * connections + 1
    took.sort()
    print(
        f"\na look at {2 * connections + 1} sockets of two hosts: {took[0] * 1e6:.0f} us of a"
        f" processor at best, {took[LOOKS // 2] * 1e6:.0f} us in the median"
    )

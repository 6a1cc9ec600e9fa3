"""How many frames a second become rows; `pytest -m bench -s` prints it."""

from __future__ import annotations

import time

import pytest
from sample_frames import ETH4, ETH6, TIMESTAMPS, ip4, ip6, tcp, udp

from netlab.decode.packets import decode
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording

KINDS = {
    "TCP over IPv4, timestamps": ETH4 + ip4(tcp(b"x" * 200, options=TIMESTAMPS), 6),
    "TCP over IPv6, timestamps": ETH6 + ip6(tcp(b"x" * 200, options=TIMESTAMPS), 6),
    "UDP over IPv4": ETH4 + ip4(udp(b"x" * 200), 17),
}


@pytest.mark.bench
@pytest.mark.parametrize("kind", KINDS)
def test_decode_60_000_packets_a_second(kind: str) -> None:
    data = KINDS[kind]
    frames = [Frame(n + 1, n, 0, data, len(data)) for n in range(30_000)]
    raw = RawRecording(frames=frames, interfaces=[Interface("lo", 1, 0)])
    spent = []
    for _ in range(3):
        start = time.process_time()
        assert len(decode(raw)) == 30_000
        spent.append(time.process_time() - start)
    rate = 30_000 / min(spent)
    print(f"{kind}: {rate:,.0f} packets/s")
    assert rate >= 60_000

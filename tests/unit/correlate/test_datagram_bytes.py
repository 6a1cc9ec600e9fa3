"""What a UDP conversation carried is counted whether or not anybody watched its calls."""

from __future__ import annotations

from pathlib import Path

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse


def test_a_capture_without_calls_counts_its_datagram_bytes(captures_dir: Path) -> None:
    raw = read_raw(captures_dir / "files" / "truncated_dns_2.pcap")
    tables = analyse(raw)
    assert tables.calls == []
    (conversation,) = tables.connections
    assert conversation.client_bytes == 240  # the one datagram's declared payload

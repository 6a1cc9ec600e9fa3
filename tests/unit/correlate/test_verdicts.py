"""The verdicts on TCP segments: tshark's on captures by others, and a few told as conversations."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path

from playbook import Play
from tshark_verdicts import judged_by_netlab, judged_by_tshark

from netlab.capture.files import read_raw
from netlab.correlate.verdicts import VERDICTS
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.model.tables import Segment, TcpOptions

csv.field_size_limit(1 << 30)

# Of these netlab says nothing: from the first segment on whose options are damaged or cut off
# (tshark shows nothing of it, but remembers something), and of several paths.
SILENT = {
    "13_tcp_option_length_zero_malformed.pcap": 1,
    "fragmented-syn.pcap": 0,  # a fragment too short for TCP is in no connection
    "heapoverflow-tcp_print.pcap": 1,
    "mptcp-v1.pcap": 20,
    "tcp-opt.pcap": 19,
    "truncated-header.pcap": 24,
}


def test_verdicts_are_tsharks(captures_dir: Path, tmp_path: Path) -> None:
    compared, silent = 0, Counter[str]()
    found: Counter[str] = Counter()
    for path in sorted((captures_dir / "files").iterdir()):
        table = captures_dir / "expected" / f"{path.name}.tcp.tsv"
        source = path
        if path.suffix == ".gz":
            source = tmp_path / path.stem
            source.write_bytes(gzip.decompress(path.read_bytes()))
        try:
            raw = read_raw(source)
        except BadRecording:
            continue
        with table.open(newline="", encoding="utf-8", errors="replace") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        # Of a packet in a tunnel, or quoted by ICMP, tshark lists more than one header.
        there = judged_by_tshark(row for row in rows if "," not in row["tcp.srcport"])
        tables = analyse(raw)
        here = judged_by_netlab(tables.segments)
        for frame in here.keys() & there.keys():
            assert here[frame] == there[frame], f"{path.name} frame {frame}"
            found.update(here[frame])
            compared += 1
        if left_out := len(tables.segments) - len(here):
            silent[path.name] = left_out
        for row in tables.connections:
            mine = [s for s in tables.segments if s.connection == row.connection]
            if row.protocol == "tcp":
                for name in VERDICTS:
                    assert getattr(row, f"{name}_count") == _count(mine, name), path.name
    assert compared > 6000
    assert dict(silent) == {name: count for name, count in SILENT.items() if count}
    assert set(VERDICTS) <= set(found)


def _count(segments: list[Segment], name: str) -> int | None:
    said = [getattr(segment, name) for segment in segments]
    return None if None in said else sum(said)


def verdicts(play: Play) -> list[str]:
    """Of each segment, in words."""
    return [
        " ".join(name for name in VERDICTS if getattr(segment, name))
        for segment in play.tables().segments
    ]


def test_three_duplicate_acks_make_a_fast_retransmission() -> None:
    play = Play()
    play.handshake(calls=False)
    for start in range(0, 5000, 1000):
        play.data("c>s", start, start + 1000)  # the first is lost behind this capture
    for _ in range(4):
        play.ack("s>c", 0)
    play.data("c>s", 0, 1000)
    play.ack("s>c", 5000)
    assert verdicts(play)[8:] == ["duplicate_ack"] * 4 + ["retransmission fast_retransmission", ""]
    segments = play.tables().segments
    assert [segment.duplicate_ack_num for segment in segments[8:12]] == [1, 2, 3, 4]
    assert (segments[-1].acks_frame, segments[-1].ack_rtt_ns) == (8, 6_000)
    assert [s.bytes_in_flight for s in segments if s.payload_len_bytes] == [
        1000, 2000, 3000, 4000, 5000, 5000,
    ]  # fmt: skip
    connection = play.tables().connections[0]
    assert (connection.duplicate_ack_count, connection.fast_retransmission_count) == (4, 1)
    assert (connection.retransmission_count, connection.out_of_order_count) == (1, 0)


def test_a_closed_window_is_probed_and_opens() -> None:
    play = Play(wscale=None)
    play.handshake(calls=False)
    play.data("c>s", 0, 512)
    play.ack("s>c", 512, window=0)
    play.data("c>s", 512, 513)
    play.ack("s>c", 512, window=0)
    play.ack("s>c", 512, window=400)
    assert verdicts(play)[3:] == [
        "window_full", "zero_window", "zero_window_probe",
        "zero_window zero_window_probe_ack", "window_update",
    ]  # fmt: skip


def test_keep_alive_and_its_answer() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 1)
    play.ack("s>c", 1)
    play.frame("c>s", "A", 1, 1)
    play.ack("s>c", 1)
    play.data("c>s", 1, 2)
    play.ack("s>c", 1)
    assert verdicts(play)[3:] == ["", "", "keep_alive", "keep_alive_ack", "", "duplicate_ack"]


def test_a_gap_and_an_ack_of_what_was_not_seen() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.data("c>s", 200, 300)
    play.ack("s>c", 300)
    play.data("c>s", 100, 200)
    assert verdicts(play)[4:] == [
        "lost_segment", "ack_lost_segment", "retransmission spurious_retransmission",
    ]  # fmt: skip


def test_nothing_is_said_from_a_segment_on_that_tshark_may_read_otherwise() -> None:
    for odd in ("fragment", "options", "cut"):
        play = Play()
        play.handshake(calls=False)
        play.data("c>s", 0, 100)
        if odd == "fragment":
            play.packets[-1]._fragment_more = True
        elif odd == "options":
            play.packets[-1]._options = TcpOptions(odd=True)
        else:
            play.packets[-1].caplen_bytes = 60
        play.ack("s>c", 100)
        tables = play.tables()
        assert [s.retransmission for s in tables.segments] == [False] * 3 + [None] * 2
        assert tables.segments[-1].acks_frame is None
        assert tables.connections[0].retransmission_count is None

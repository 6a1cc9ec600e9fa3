"""Columns of the sample captures against tshark's lists.

Where they differ, the reason is written down here, and the difference is held to exactly that.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.decode.links import LINKS
from netlab.decode.packets import decode
from netlab.model.errors import BadRecording
from netlab.model.recording import RawRecording
from netlab.model.seqnum import seq_add
from netlab.model.tables import Packet

KNOWN_LINKS = set(LINKS)
# TCP that tshark shows and netlab does not, frame by frame:
NOT_TCP = {
    ("tcp-malformed.pcap", 1): "data offset past the segment: a fault, no columns",
    ("tcp-malformed.pcap", 2): "data offset past the segment: a fault, no columns",
    ("fragmented-syn.pcap", 1): "the header is in it; tshark has it where the packet is whole",
}
FAULTS = {
    ("13_tcp_option_length_zero_malformed.pcap", 1): ("TCP options", "option length"),
    ("clusterfuzz-testcase-FuzzTarget-5188876846235648.bin", 1): ("IPv4", "frame end"),
    ("fragmented-syn.pcap", 1): ("TCP", "fragment"),
    ("heapoverflow-tcp_print.pcap", 1): ("TCP options", "snaplen"),
    **{("pppoe-over-qinq.pcap", n): ("IPv4", "pppoe length") for n in (19, 33, 41, 47, 63, 81)},
    ("reassembly.pcap", 7): ("IPv4", "frame end"),
    ("reassembly.pcap", 26): ("IPv4", "frame end"),
    ("reassembly.pcap", 35): ("IPv4", "frame end"),
    ("reassembly.pcap", 39): ("IPv4", "frame end"),
    ("reassembly.pcap", 85): ("IPv4", "frame end"),
    ("tcp-malformed.pcap", 1): ("TCP", "ip total length"),
    ("tcp-malformed.pcap", 2): ("TCP", "ip total length"),
    ("truncated-header.pcap", 1): ("TCP options", "snaplen"),
}

csv.field_size_limit(1 << 30)


def readable(captures: Path) -> Iterator[tuple[str, RawRecording]]:
    for path in sorted((captures / "files").iterdir()):
        try:
            yield path.name, read_raw(path)
        except BadRecording:
            continue


@pytest.fixture(scope="module")
def decoded(captures_dir: Path) -> list[tuple[str, RawRecording, list[Packet]]]:
    return [(name, raw, decode(raw)) for name, raw in readable(captures_dir)]


def known(
    decoded: list[tuple[str, RawRecording, list[Packet]]],
) -> Iterator[tuple[str, bytes, int, Packet]]:
    for name, raw, packets in decoded:
        for frame, packet in zip(raw.frames, packets, strict=True):
            link = raw.interfaces[frame.interface].link
            if link in KNOWN_LINKS:
                yield name, bytes(frame.data), link, packet


def expected(captures: Path, name: str, kind: str) -> dict[int, dict[str, str]]:
    path = captures / "expected" / f"{name}.{kind}.tsv"
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {int(row["frame.number"]): row for row in rows}


def first(text: str) -> str:
    return text.split(",")[0]


def last(text: str) -> str:
    return text.split(",")[-1]


def innermost(row: dict[str, str], column: str, version: int | None) -> str:
    """Of the values of several IP headers the innermost's, what an ICMP error quotes left out."""
    values = row[column].split(",")
    layers = row["frame.protocols"].split(":")
    for error in ("icmp", "icmpv6"):
        if error in layers:
            layers = layers[: layers.index(error)]
    return values[max(layers.count("ipv6" if version == 6 else "ip") - 1, 0)]


def text(value: object) -> str:
    return "" if value is None else str(value)


def test_columns_are_tsharks(
    captures_dir: Path, decoded: list[tuple[str, RawRecording, list[Packet]]]
) -> None:
    compared = 0
    frames: dict[str, dict[int, dict[str, str]]] = {}
    for name, _, _, packet in known(decoded):
        if name not in frames:
            frames[name] = expected(captures_dir, name, "frames")
        row = frames[name][packet.frame]
        where = f"{name} frame {packet.frame}"
        assert shown(packet) == wanted(row, packet), where
        in_error = ":icmp:ip:" in row["frame.protocols"]
        if (name, packet.frame) not in NOT_TCP and not in_error:
            is_tcp = bool(row["tcp.srcport"])
            assert (packet.protocol == "TCP") == is_tcp, where
            is_udp = bool(row["udp.srcport"]) and not packet._carriers
            assert (packet.protocol == "UDP") == is_udp, where
        if packet.protocol == "UDP":
            assert packet.payload_len_bytes == int(first(row["udp.length"])) - 8, where
        compared += 1
    assert compared > 6000


def shown(packet: Packet) -> list[str]:
    arp = packet.protocol == "ARP"
    return [
        text(packet.caplen_bytes),
        text(packet.origlen_bytes),
        text(packet.vlan),
        "" if arp else text(packet.src),
        "" if arp else text(packet.dst),
        text(packet.ttl),
        text(packet.ip_len_bytes),
        text(packet.ip_id) if packet.ip_version == 4 else "",
    ]


def wanted(row: dict[str, str], packet: Packet) -> list[str]:
    version = packet.ip_version
    prefix, hops = ("ipv6", "ipv6.hlim") if version == 6 else ("ip", "ip.ttl")
    length = innermost(row, "ipv6.plen" if version == 6 else "ip.len", version)
    ident = innermost(row, "ip.id", version)
    return [
        row["frame.cap_len"],
        row["frame.len"],
        last(row["vlan.id"]),
        innermost(row, f"{prefix}.src", version),
        innermost(row, f"{prefix}.dst", version),
        innermost(row, hops, version),
        str(int(length) + 40) if version == 6 else length,
        str(int(ident, 16)) if version == 4 and ident else "",
    ]


def test_tcp_columns_and_options_are_tsharks(
    captures_dir: Path, decoded: list[tuple[str, RawRecording, list[Packet]]]
) -> None:
    compared = 0
    segments: dict[str, dict[int, dict[str, str]]] = {}
    for name, _, _, packet in known(decoded):
        if packet.protocol != "TCP":
            continue
        if name not in segments:
            segments[name] = expected(captures_dir, name, "tcp")
        row = segments[name][packet.frame]
        options = packet._options
        # tshark shows SACK edges relative to the other side's first number.
        base = int(row["tcp.ack_raw"]) - int(row["tcp.ack"])
        edges = [row["tcp.options.sack_le"], row["tcp.options.sack_re"]]
        left, right = ([seq_add(int(e), base) for e in t.split(",") if e] for t in edges)
        got = [
            packet.sport, packet.dport, packet.seg_seq, packet.seg_ack, packet.seg_wnd_raw,
            packet.payload_len_bytes, packet._flags,
            *(
                (options.mss, options.wscale, options.ts_val, options.ts_ecr, options.sack_blocks)
                if options
                else (None, None, None, None, ())
            ),
        ]  # fmt: skip
        want = [
            int(row["tcp.srcport"]), int(row["tcp.dstport"]), int(row["tcp.seq_raw"]),
            int(row["tcp.ack_raw"]), int(row["tcp.window_size_value"]), int(row["tcp.len"]),
            int(row["tcp.flags"], 16), number(row["tcp.options.mss_val"]),
            number(row["tcp.options.wscale.shift"]), number(row["tcp.options.timestamp.tsval"]),
            number(row["tcp.options.timestamp.tsecr"]), tuple(zip(left, right, strict=True)),
        ]  # fmt: skip
        assert got == want, f"{name} frame {packet.frame}"
        permitted = "4" in row["tcp.option_kind"].split(",")
        assert (options is not None and options.sack_permitted) == permitted
        compared += 1
    assert compared > 6000


def number(cell: str) -> int | None:
    return int(last(cell)) if cell else None


def test_faults_are_the_known_ones(
    decoded: list[tuple[str, RawRecording, list[Packet]]],
) -> None:
    found = {
        (name, packet.frame): (packet.fault_layer, packet.fault_limited_by)
        for name, _, _, packet in known(decoded)
        if packet.fault_layer is not None
    }
    assert found == FAULTS

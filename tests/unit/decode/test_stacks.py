"""The hierarchy of protocols equals tshark's: packets and bytes of each level, link to transport.

tshark's answers lie beside the captures: `frame.protocols` and `frame.len` of every frame, which is
what it adds up in `-z io,phs`.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from netlab.capture.files import read_raw
from netlab.decode.packets import decode
from netlab.decode.stacks import _read, stacks
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.show.views.traffic import protocols

# tshark's names for what netlab names; what is in neither list of names ends a stack.
NAMES = {
    "eth": "Ethernet", "vlan": "VLAN", "ip": "IPv4", "ipv6": "IPv6", "tcp": "TCP", "udp": "UDP",
    "icmp": "ICMP", "icmpv6": "ICMPv6", "arp": "ARP", "fddi": "FDDI", "llc": "LLC", "raw": "Raw IP",
    "null": "BSD loopback", "sll": "Linux cooked", "pppoes": "PPPoE session", "ppp": "PPP",
    "gre": "GRE", "erspan": "ERSPAN", "chdlc": "Cisco HDLC", "nflog": "NFLOG", "ppi": "PPI",
    "radiotap": "802.11 radiotap", "wlan": "802.11", "stp": "STP",
}  # fmt: skip
OURS = {"Linux cooked v1": "Linux cooked", "Linux cooked v2": "Linux cooked"}
TRANSPORTS = {"TCP", "UDP", "ICMP", "ICMPv6"}
# Names that say a number (ethertype), what the card measured, and headers that extend IPv6's.
PASSED_OVER = ("ethertype", "wlan_radio", "ipv6.")

Levels = dict[tuple[str, ...], tuple[int, int]]

# Captures where tshark counts a header that netlab does not, and why.
DIFFERENT: dict[str, str] = {
    "tcp-malformed.pcap": "tshark names TCP before it finds that no header fits (RFC 9293 3.1)",
}


def theirs(table: Path) -> Levels:
    """Packets and bytes of each level, as tshark has them."""
    packets: Counter[tuple[str, ...]] = Counter()
    amounts: Counter[tuple[str, ...]] = Counter()
    with table.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            path: tuple[str, ...] = ()
            for name in row["frame.protocols"].split(":"):
                if name.startswith(PASSED_OVER):
                    continue
                if name not in NAMES:
                    break
                path += (NAMES[name],)
                packets[path] += 1
                amounts[path] += int(row["frame.len"])
                if path[-1] in TRANSPORTS:
                    break
    return {path: (packets[path], amounts[path]) for path in packets}


def ours(capture: Path) -> Levels:
    raw = read_raw(capture)
    found: Levels = {}
    for row in protocols(analyse(raw), raw):
        path = tuple(OURS.get(name, name) for name in row.path)
        if all(name in NAMES.values() for name in path):
            before = found.get(path, (0, 0))
            found[path] = before[0] + row.packets, before[1] + row.bytes
    return found


def test_levels_equal_tsharks(captures_dir: Path) -> None:
    compared = 0
    different = {}
    for table in sorted((captures_dir / "expected").glob("*.frames.tsv")):
        name = table.name.removesuffix(".frames.tsv")
        try:
            found = ours(captures_dir / "files" / name)
        except BadRecording:
            continue
        expected = theirs(table)
        compared += len(expected)
        if found != expected:
            different[name] = set(found.items()) ^ set(expected.items())
    assert different.keys() == DIFFERENT.keys(), different
    assert compared > 200


def test_the_short_way_gives_what_reading_gives(captures_dir: Path) -> None:
    """Most stacks follow from the columns: every one is what reading the headers gives."""
    shortened = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        links = [one.link for one in raw.interfaces]
        packets = decode(raw)
        for packet, frame, stack in zip(packets, raw.frames, stacks(raw, packets), strict=True):
            if packet._parts:  # what it completed stands in several frames
                continue
            assert stack == _read(frame, links[frame.interface]), (path.name, frame.number)
            shortened += 1
    assert shortened > 7000


def test_what_applications_say_stands_below_their_transport(captures_dir: Path) -> None:
    """Of datagrams each is a message: there the numbers are tshark's, too."""
    name = "wikipedia.pcap"
    raw = read_raw(captures_dir / "files" / name)
    found = {row.path[-2:]: row.packets for row in protocols(analyse(raw), raw)}
    table = captures_dir / "expected" / f"{name}.frames.tsv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    stacks_of = [row["frame.protocols"].split(":") for row in rows]
    assert found["UDP", "DNS"] == sum("dns" in names for names in stacks_of) == 28
    assert found["UDP", "LLMNR"] == sum("llmnr" in names for names in stacks_of if "ip" in names)
    assert found["TCP", "HTTP/1.1"] == 30

"""Columns against scapy's and dpkt's reading of the same frames, captured and made.

What those libraries do not read, or read otherwise, is written down here with the reason, and each
entry is held to being needed.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dpkt
import pytest
from compare_samples import write_samples

from netlab.capture.files import read_raw
from netlab.decode.packets import decode
from netlab.model.errors import BadRecording
from netlab.model.frame import Frame
from netlab.model.tables import Packet, TcpOptions

Sample = tuple[str, int, Frame, Packet]  # of which file, of which link


@pytest.fixture(scope="module")
def samples(captures_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    made = tmp_path_factory.mktemp("made") / "made.pcapng"
    write_samples(made)
    return list(read_all([*sorted((captures_dir / "files").iterdir()), made]))


def read_all(paths: list[Path]) -> Iterator[Sample]:
    for path in paths:
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        for frame, packet in zip(raw.frames, decode(raw), strict=True):
            yield path.name, raw.interfaces[frame.interface].link, frame, packet


Unread = dict[str, Callable[[Sample, dict[str, Any]], bool]]  # why -> whether it is that

SCAPY_UNREAD: Unread = {
    "FDDI and the kernel's log: scapy has no layer for them": (
        lambda sample, _: sample[1] in (10, 239)
    ),
    "BSD loopback: scapy knows the address families of the system that it runs on": (
        lambda sample, _: sample[1] in (0, 108) and sample[3].ip_version == 6
    ),
    "OpenBSD's number of raw IP": lambda sample, _: sample[1] == 14,
    "packets put together: scapy reads each frame by itself": (
        lambda sample, _: sample[3]._whole_in is not None
    ),
    "MPLS in UDP or PPP, Ethernet in IPv6: scapy does not bind them": (
        lambda sample, _: bool(sample[3]._depth) or sample[1] == 9
    ),
}


def scapy_columns(sample: Sample) -> dict[str, Any]:
    """The columns as scapy reads them; empty where it finds no IP packet."""
    from scapy.config import conf
    from scapy.layers import inet, inet6, l2

    _, link, frame, packet = sample
    layer = conf.l2types.num2layer.get(link)
    if layer is None:
        return {}
    whole = layer(bytes(frame.data))
    found: dict[str, Any] = {}
    tags = list(each(whole, l2.Dot1Q)) + list(each(whole, l2.Dot1AD))
    if tags:
        found["vlan"] = max(tags, key=depth_in(whole)).vlan
    if packet.protocol == "ARP":
        arp = whole[l2.ARP]
        return found | {"src": arp.psrc, "dst": arp.pdst}
    headers = [one for kind in (inet.IP, inet6.IPv6) for one in each(whole, kind)]
    if not headers:
        return {}
    ip = max(headers, key=depth_in(whole))
    found |= {"src": ip.src, "dst": ip.dst}
    if isinstance(ip, inet6.IPv6):
        found |= {"ttl": ip.hlim, "ip_len_bytes": 40 + ip.plen}
    else:
        found |= {"ttl": ip.ttl, "ip_len_bytes": ip.len, "ip_id": ip.id,
                  "_fragment_off": ip.frag * 8, "_fragment_more": bool(ip.flags.MF)}  # fmt: skip
        if not found["ip_len_bytes"]:
            del found["ip_len_bytes"]  # left to the device
    for kind in (inet.TCP, inet.UDP):
        if packet.protocol == kind.__name__ and (inner := ip.getlayer(kind)) is not None:
            found |= {"sport": inner.sport, "dport": inner.dport}
            if kind is inet.TCP:
                found |= tcp_columns(inner)
    return found


def each(whole: Any, kind: Any) -> Iterator[Any]:
    """The layers of exactly this kind: what an error quotes has kinds of its own."""
    number = 1
    while (layer := whole.getlayer(kind, number)) is not None:
        if type(layer) is kind:
            yield layer
        number += 1


def depth_in(whole: Any) -> Callable[[Any], int]:
    order: dict[int, int] = {}
    layer = whole
    while layer is not None and type(layer).__name__ != "NoPayload":
        order[id(layer)] = len(order)
        layer = layer.payload
    return lambda layer: order[id(layer)]


def tcp_columns(tcp: Any) -> dict[str, Any]:
    # An option of a wrong length is bytes to scapy, and passed over by netlab, as by Linux.
    said = {name: value for name, value in tcp.options if not isinstance(value, bytes) or not value}
    stamps = said.get("Timestamp", ())
    first, second = stamps if len(stamps) == 2 else (None, None)
    edges = said.get("SAck", ())
    edges = edges if isinstance(edges, tuple) else ()
    return {
        "seg_seq": tcp.seq, "seg_ack": tcp.ack, "seg_wnd_raw": tcp.window,
        "flags": int(tcp.flags), "mss": said.get("MSS"), "wscale": said.get("WScale"),
        "ts_val": first, "ts_ecr": second, "sack_permitted": "SAckOK" in said,
        "sack_blocks": tuple(zip(edges[::2], edges[1::2], strict=True)),
    }  # fmt: skip


def mine(packet: Packet, names: dict[str, Any]) -> dict[str, Any]:
    options = packet._options or TcpOptions()
    return {
        name: packet._flags & 0x1FF if name == "flags"
        else getattr(options if hasattr(options, name) else packet, name)
        for name in names
    }  # fmt: skip


def test_columns_are_scapys(samples: list[Sample]) -> None:
    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scapy.contrib.chdlc
        import scapy.contrib.erspan
        import scapy.contrib.geneve
        import scapy.contrib.gtp
        import scapy.layers.all  # noqa: F401

        check(samples, scapy_columns, SCAPY_UNREAD, 6700)


def check(
    samples: list[Sample],
    read: Callable[[Sample], dict[str, Any]],
    unread: Unread,
    least: int,
) -> None:
    compared, excused = 0, Counter[str]()
    wrong = []
    for sample in samples:
        name, _, _, packet = sample
        if packet.src is None:
            continue
        theirs = read(sample)
        if theirs and mine(packet, theirs) == theirs:
            compared += 1
            continue
        why = next((why for why, applies in unread.items() if applies(sample, theirs)), None)
        excused[str(why)] += 1
        if why is None:
            wrong.append((name, packet.frame, packet.protocol, theirs, mine(packet, theirs)))
    print(f"\n{compared:,} packets read alike", *map(str, excused.items()), sep="\n  ")
    assert wrong == []
    assert set(excused) == set(unread)
    assert compared > least


_DPKT_LINKS = {0: dpkt.loopback.Loopback, 1: dpkt.ethernet.Ethernet, 108: dpkt.loopback.Loopback,
               113: dpkt.sll.SLL, 276: dpkt.sll2.SLL2, 127: dpkt.radiotap.Radiotap,
               9: dpkt.ppp.PPP}  # fmt: skip
_RAW, _RAW_LINKS = {4: dpkt.ip.IP, 6: dpkt.ip6.IP6}, {12, 14, 101, 228, 229}
DPKT_UNREAD: Unread = {
    "packets put together: dpkt reads each frame by itself, what is in the first one, too": (
        lambda sample, _: sample[3]._whole_in is not None
    ),
    "802.11: dpkt's data frames end before LLC": lambda sample, _: sample[1] in (127, 192),
    "HDLC, FDDI, PPP with HDLC's framing and the kernel's log: dpkt has no reader": (
        lambda sample, _: sample[1] in (10, 50, 104, 239)
    ),
    "PPP without address and control": lambda sample, read: sample[1] == 9 and not read,
    "ERSPAN, Ethernet in IPv6, and tunnels over UDP: dpkt stops before them": (
        lambda sample, _: bool(sample[3]._depth)
    ),
    "a header that the snap length or a wrong length cut": (
        lambda sample, _: sample[3].fault_layer is not None
    ),
}


def dpkt_columns(sample: Sample) -> dict[str, Any]:
    _, link, frame, packet = sample
    kinds = (dpkt.ip.IP, dpkt.ip6.IP6)
    reader = _DPKT_LINKS.get(link) or (_RAW.get(packet.ip_version) if link in _RAW_LINKS else None)
    if reader is None:
        return {}
    try:
        layer = reader(bytes(frame.data))
    except dpkt.UnpackError:
        return {}
    found: dict[str, Any] = {}
    if getattr(layer, "vlan_tags", None):
        found["vlan"] = layer.vlan_tags[-1].id
    ip = None
    while not isinstance(layer, bytes):
        if isinstance(layer, dpkt.arp.ARP):
            ends = (".".join(map(str, end)) for end in (layer.spa, layer.tpa))
            return found | dict(zip(("src", "dst"), ends, strict=True))
        if isinstance(layer, dpkt.icmp.ICMP | dpkt.icmp6.ICMP6):
            break
        ip = layer if isinstance(layer, kinds) else ip
        if isinstance(layer, dpkt.udp.UDP | dpkt.tcp.TCP) and ip is not None:
            found |= {"sport": layer.sport, "dport": layer.dport}
            if isinstance(layer, dpkt.tcp.TCP):
                found |= {"seg_seq": layer.seq, "seg_ack": layer.ack, "seg_wnd_raw": layer.win,
                          "flags": layer.flags & 0x1FF}  # fmt: skip
            break
        layer = layer.data
    if ip is None:
        return {}
    ends = {"src": str(ip_address(ip.src)), "dst": str(ip_address(ip.dst))}
    if isinstance(ip, kinds[1]):
        return found | ends | {"ttl": ip.hlim, "ip_len_bytes": 40 + ip.plen}
    size = {"ip_len_bytes": ip.len} if ip.len else {}  # 0: left to the device
    return found | ends | size | {"ttl": ip.ttl, "ip_id": ip.id}


def test_columns_are_dpkts(samples: list[Sample]) -> None:
    check(samples, dpkt_columns, DPKT_UNREAD, 6700)

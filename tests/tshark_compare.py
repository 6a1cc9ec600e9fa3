"""What tshark says of every frame beside what netlab says, field by field, and a table of it.

here = netlab_rows(raw)                          # frame -> Facts
compare("a.pcap", here, tshark_rows(path))       # -> Comparison
print(page(comparisons))

A field that stands in a frame several times (tunnels, what an ICMP error quotes) is compared as
often. Where netlab differs on purpose, an entry of `DELIBERATE` says why; nothing else may differ.
"""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netlab.decode.layers import FieldValue, Layer, layers, whole_layers
from netlab.decode.packets import decode
from netlab.decode.reassembly import whole_payload
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet

csv.field_size_limit(1 << 30)

Row = Mapping[str, str]  # tshark's fields of one frame

# Wireshark's number of an encapsulation (wiretap/wtap.h), by LINKTYPE_ number.
ENCAPSULATIONS = {
    0: 15, 1: 1, 6: 2, 8: 3, 9: 4, 10: 6, 12: 7, 14: 7, 50: 4, 51: 31, 101: 7, 104: 28, 105: 20,
    108: 174, 113: 25, 117: 39, 119: 21, 127: 23, 163: 24, 192: 97, 228: 129, 229: 130, 239: 141,
    276: 210,
}  # fmt: skip
GROUPS = ("frame", "vlan", "arp", "ip", "port", "tcp", "opt", "data", "icmp", "more", "sum")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where netlab's layers have a field of tshark's, n a number, b bytes, a an address."""

    tshark: str
    group: str
    layer: str
    name: str
    kind: str = "n"


def _spots(group: str, layer: str, *pairs: str) -> list[Spot]:
    """`ip.src=source:a`: tshark's field, netlab's name of it, how it reads."""
    found = []
    for pair in pairs:
        tshark, _, rest = pair.partition("=")
        name, _, kind = rest.partition("|")
        found.append(Spot(tshark, group, layer, name, kind or "n"))
    return found


SPOTS = [
    *(Spot("vlan.id", "vlan", tag, "VLAN") for tag in ("802.1Q", "802.1QinQ")),
    *_spots("vlan", "802.1ad", "ieee8021ad.id=VLAN"),
    *_spots("arp", "ARP", "arp.hw.type=hardware type", "arp.proto.type=protocol type",
            "arp.hw.size=hardware size", "arp.proto.size=protocol size", "arp.opcode=operation",
            "arp.src.hw_mac=sender hardware|a", "arp.src.proto_ipv4=sender|a",
            "arp.dst.hw_mac=target hardware|a", "arp.dst.proto_ipv4=target|a"),
    *_spots("ip", "IPv4", "ip.src=source|a", "ip.dst=destination|a", "ip.proto=protocol",
            "ip.len=total length", "ip.id=identification", "ip.frag_offset=fragment offset",
            "ip.ttl=time to live"),
    *_spots("ip", "IPv6", "ipv6.src=source|a", "ipv6.dst=destination|a", "ipv6.nxt=next header",
            "ipv6.plen=payload length", "ipv6.hlim=hop limit"),
    *_spots("ip", "IPv6 fragment", "ipv6.fraghdr.offset=fragment offset",
            "ipv6.fraghdr.more=more fragments", "ipv6.fraghdr.ident=identification"),
    *_spots("port", "UDP", "udp.srcport=source port", "udp.dstport=destination port"),
    *_spots("data", "UDP", "udp.length=length"),
    *_spots("port", "UDP-Lite", "udp.srcport=source port", "udp.dstport=destination port"),
    *_spots("port", "TCP", "tcp.srcport=source port", "tcp.dstport=destination port"),
    *_spots("port", "SCTP", "sctp.srcport=source port", "sctp.dstport=destination port"),
    *_spots("port", "DCCP", "dccp.srcport=source port", "dccp.dstport=destination port"),
    *_spots("tcp", "TCP", "tcp.seq_raw=sequence number", "tcp.ack_raw=acknowledgment number",
            "tcp.flags=flags", "tcp.window_size_value=window",
            "tcp.urgent_pointer=urgent pointer"),
    *_spots("opt", "TCP", "tcp.options.mss_val=maximum segment size",
            "tcp.options.wscale.shift=window scale", "tcp.options.timestamp.tsval=timestamp value",
            "tcp.options.timestamp.tsecr=timestamp echo", "tcp.options.tfo.cookie=cookie|b",
            "tcp.options.md5.digest=digest|b", "tcp.options.ao.keyid=key id",
            "tcp.options.ao.rnextkeyid=next key id", "tcp.options.ao.mac=MAC|b",
            "tcp.options.user_to_val=user timeout", "tcp.options.qs.rate=rate request",
            "tcp.options.qs.ttl_diff=TTL difference",
            "tcp.options.experimental.exid=experiment id",
            "tcp.options.acc_ecn.ee0b=bytes with ECT(0)", "tcp.options.acc_ecn.eceb=bytes with CE",
            "tcp.options.acc_ecn.ee1b=bytes with ECT(1)",
            "tcp.options.mptcp.subtype=subtype", "tcp.options.mptcp.version=version",
            "tcp.options.mptcp.addrid=address id", "tcp.options.mptcp.recvtok=receiver's token",
            "tcp.options.mptcp.sendrand=sender's random number",
            "tcp.options.mptcp.rawdataack=data ACK",
            "tcp.options.mptcp.rawdataseqno=data sequence number",
            "tcp.options.mptcp.subflowseqno=subflow sequence number",
            "tcp.options.mptcp.datalvllen=data-level length",
            "tcp.options.mptcp.checksum=DSS checksum", "tcp.options.mptcp.ipv4=address|a",
            "tcp.options.mptcp.port=port", "tcp.options.mptcp.sendhmac=HMAC|b",
            "tcp.options.mptcp.rst_reason=reason", "tcp.options.mptcp.datafin.flag=F: DATA_FIN",
            "tcp.options.mptcp.checksumreq.flags=A: checksum required"),
    *_spots("icmp", "ICMP", "icmp.type=type", "icmp.code=code"),
    *_spots("icmp", "ICMPv6", "icmpv6.type=type", "icmpv6.code=code"),
    *_spots("more", "IGMP", "igmp.type=type", "igmp.num_src=sources", "igmp.saddr=source|a",
            "igmp.num_grp_recs=records", "igmp.record_type=record type", "igmp.maddr=group|a"),
    *_spots("more", "SCTP", "sctp.verification_tag=verification tag"),
    *_spots("more", "SCTP chunk", "sctp.chunk_type=chunk type", "sctp.chunk_length=length",
            "sctp.data_tsn_raw=TSN", "sctp.data_sid=stream"),
    *_spots("more", "DCCP", "dccp.type=type"),
    *_spots("more", "VXLAN", "vxlan.vni=network identifier"),
    *_spots("more", "VXLAN-GPE", "vxlan.vni=network identifier"),
    *_spots("more", "Geneve", "geneve.vni=network identifier", "geneve.proto_type=type"),
    *_spots("more", "GTP-U", "gtp.teid=tunnel", "gtp.message=message type", "gtp.length=length"),
    *_spots("more", "QUIC long header", "quic.version=version",
            "quic.dcid=destination connection id|b", "quic.scid=source connection id|b",
            "quic.token_length=token length", "quic.token=token|b",
            "quic.supported_version=supported version", "quic.retry_token=retry token|b",
            "quic.header_form=long header"),
    *_spots("more", "QUIC short header", "quic.header_form=long header"),
]  # fmt: skip
_AT = {(spot.layer, spot.name): spot for spot in SPOTS}
SUMS = {
    ("IPv4", "header checksum"): "ip.checksum.status",
    ("TCP", "checksum"): "tcp.checksum.status",
    ("UDP", "checksum"): "udp.checksum.status",
    ("UDP-Lite", "checksum"): "udp.checksum.status",
    ("ICMP", "checksum"): "icmp.checksum.status",
    ("ICMPv6", "checksum"): "icmpv6.checksum.status",
    ("IGMP", "checksum"): "igmp.checksum.status",
    ("SCTP", "checksum"): "sctp.checksum.status",
}
OTHERS = {
    "frame.encap_type": "frame", "frame.time_epoch": "frame", "frame.cap_len": "frame",
    "frame.len": "frame", "ip.flags": "ip", "tcp.len": "data", "tcp.option_kind": "opt",
    "tcp.options.sack_le": "opt", "tcp.options.sack_re": "opt", "tcp.options.mptcp.ipv6": "opt",
}  # fmt: skip
GROUP_OF = (
    {spot.tshark: spot.group for spot in SPOTS} | dict.fromkeys(SUMS.values(), "sum") | OTHERS
)
_PREFERENCES = (
    "ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE",
    "tcp.relative_sequence_numbers:FALSE", "sctp.checksum:CRC 32c", "udplite.check_checksum:TRUE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What netlab says of one frame: tshark's field -> its values, in the order of the headers."""

    packet: Packet
    link: int
    layers: list[Layer]
    said: dict[str, list[str]]


def netlab_rows(raw: RawRecording) -> dict[int, Facts]:
    """The frames of a capture, by number."""
    packets = decode(raw)
    by_number = {p.frame: (f, p) for f, p in zip(raw.frames, packets, strict=True)}
    found = {}
    for frame, packet in by_number.values():
        if not 0 <= frame.interface < len(raw.interfaces):
            continue
        interface = raw.interfaces[frame.interface]
        shown = layers(frame, interface)
        if packet._parts:
            shown += _whole(packet, by_number, interface)
        found[packet.frame] = Facts(
            packet, interface.link, shown, _said(frame, interface, packet, shown)
        )
    return found


def _whole(
    packet: Packet, by_number: Mapping[int, tuple[Frame, Packet]], interface: Interface
) -> list[Layer]:
    parts = [(part, frame.data) for frame, part in map(by_number.__getitem__, packet._parts)]
    protocol, data = whole_payload(parts)
    frame, _ = by_number[packet.frame]
    return whole_layers(frame, interface, packet.ip_version or 0, protocol, data)


def _said(
    frame: Frame, interface: Interface, packet: Packet, shown: Sequence[Layer]
) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}

    def add(name: str, value: object) -> None:
        said.setdefault(name, []).append(str(value))

    if interface.link in ENCAPSULATIONS:
        add("frame.encap_type", ENCAPSULATIONS[interface.link])
    add("frame.time_epoch", epoch(packet.time_ns))
    add("frame.cap_len", packet.caplen_bytes)
    add("frame.len", packet.origlen_bytes)
    for layer in shown:
        name = layer.name.removeprefix("quoted ")
        flags = 0
        for value in layer.fields:
            spot = _AT.get((name, value.name))
            if name == "TCP" and value.name == "address" and ":" in value.text:
                add("tcp.options.mptcp.ipv6", value.text)
            elif spot is not None and not (spot.kind == "n" and isinstance(value.raw, bytes)):
                if spot.group == "arp" and spot.kind == "a" and set(value.text).isdisjoint(":."):
                    continue  # an address of another kind: tshark has other fields for those
                add(spot.tshark, _text(value.raw, value.text, spot.kind))
            if (name, value.name) in SUMS:
                add(SUMS[name, value.name], status(value.text))
            if name == "IPv4" and value.name in ("reserved", "don't fragment", "more fragments"):
                flags = flags << 1 | int(value.raw)  # type: ignore[call-overload]
                if value.name == "more fragments":
                    add("ip.flags", flags)
            if name == "TCP" and value.start >= layer.start + 20:
                _option(value, add)
    if packet.protocol == "TCP":
        add("tcp.len", packet.payload_len_bytes)
    return said


_NO_OPTIONS = ("fault", "broken option")


def _option(value: FieldValue, add: Callable[[str, object], None]) -> None:
    raw = value.raw
    if not isinstance(raw, bytes):
        return
    if value.name == "SACK block":
        add("tcp.options.sack_le", int.from_bytes(raw[:4], "big"))
        add("tcp.options.sack_re", int.from_bytes(raw[4:], "big"))
    elif value.bit < 0 and value.name not in _NO_OPTIONS:  # the option itself, not a field in it
        add("tcp.option_kind", raw[0])


def _text(raw: int | bytes, text: str, kind: str) -> str:
    if text.startswith("0: too long"):
        return "0"  # the header's own number; beside it stands what it means
    if kind == "a":
        return text
    return raw.hex() if isinstance(raw, bytes) else str(raw)


def epoch(time_ns: int) -> str:
    """Seconds with nine digits behind the point, as tshark writes them."""
    seconds, rest = divmod(abs(time_ns), 10**9)
    return f"{'-' if time_ns < 0 else ''}{seconds}.{rest:09d}"


def status(text: str) -> str:
    """tshark's number of what a checksum is worth: 0 bad, 1 good, 2 not verified, 3 none."""
    if " good" in text:
        return "1"
    if " none" in text:
        return "3"
    return "0" if " bad, " in text or "left to the device" in text else "2"


def tshark_rows(path: Path) -> dict[int, Row]:
    """All compared fields of every frame, from tshark."""
    names = ["frame.number", "frame.protocols", "_ws.malformed", *GROUP_OF]
    flags = [part for name in names for part in ("-e", name)]
    preferences = [part for one in _PREFERENCES for part in ("-o", one)]
    done = subprocess.run(
        ["tshark", "-n", "-r", path, *preferences, "-T", "fields", "-E", "occurrence=a", *flags],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]
    return {int(row["frame.number"]): row for row in rows}


def expected_rows(folder: Path, name: str) -> dict[int, Row]:
    """The same from tables that tshark made before; SACK edges become absolute."""
    found: dict[int, dict[str, str]] = {}
    for kind in ("frames", "tcp"):
        path = folder / f"{name}.{kind}.tsv"
        with path.open(newline="", encoding="utf-8", errors="replace") as lines:
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                here = found.setdefault(int(row["frame.number"]), {})
                if kind == "tcp":
                    _absolute(row)
                here |= row
    return found  # type: ignore[return-value]


def _absolute(row: dict[str, str]) -> None:
    if not row["tcp.options.sack_le"]:
        return
    base = int(row["tcp.ack_raw"]) - int(row["tcp.ack"])
    for name in ("tcp.options.sack_le", "tcp.options.sack_re"):
        row[name] = ",".join(str(int(edge) + base & 0xFFFFFFFF) for edge in row[name].split(","))


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of one frame that the two read differently."""

    capture: str
    frame: int
    name: str
    mine: tuple[str, ...]
    theirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deliberate:
    """A difference that is meant: where, why, and who says so."""

    why: str
    clause: str
    applies: Callable[[Difference, Facts, Row], bool]


@dataclass(slots=True)
class Comparison:
    """What came of one capture."""

    capture: str
    frames: int = 0
    compared: Counter[str] = field(default_factory=Counter)  # by group: frames that had a value
    fields: Counter[str] = field(default_factory=Counter)  # by tshark's field: frames
    differences: list[Difference] = field(default_factory=list)
    meant: Counter[int] = field(default_factory=Counter)  # by place in the list of deliberate ones


def compare(
    capture: str,
    here: Mapping[int, Facts],
    there: Mapping[int, Row],
    deliberate: Sequence[Deliberate],
) -> Comparison:
    """Each field that tshark was asked for, frame by frame."""
    found = Comparison(capture)
    for number, facts in here.items():
        row = there.get(number)
        assert row is not None, f"{capture}: tshark has no frame {number}"
        found.frames += 1
        groups = set()
        for name, group in GROUP_OF.items():
            if name not in row:
                continue
            theirs = _normal(name, row[name])
            mine = tuple(facts.said.get(name, ()))
            if name == "frame.encap_type" and not mine:
                continue  # a link that netlab only names
            if not theirs and not mine:
                continue
            if theirs != mine:
                difference = Difference(capture, number, name, mine, theirs)
                place = next(
                    (i for i, d in enumerate(deliberate) if d.applies(difference, facts, row)), None
                )
                if place is None:
                    found.differences.append(difference)
                else:
                    found.meant[place] += 1
                    continue
            groups.add(group)
            found.fields[name] += 1
        found.compared.update(groups)
    return found


_TEXTS = ("frame.time_epoch", "tcp.options.mptcp.ipv6")
_KINDS = {spot.tshark: spot.kind for spot in SPOTS}


def _normal(name: str, text: str) -> tuple[str, ...]:
    """tshark's values as netlab writes them."""
    if not text:
        return ()
    values = text.split(",")
    if _KINDS.get(name, "n") != "n" or name in _TEXTS:
        colon = ":" if _KINDS.get(name) == "b" else " "
        return tuple(value.replace(colon, "") for value in values)
    return tuple(_number(value) for value in values)


def _number(value: str) -> str:
    if value in ("True", "False"):
        return str(int(value == "True"))
    try:
        return str(int(value, 0))
    except ValueError:
        return value.lstrip("0") or "0" if value.isdigit() else value


def page(found: Iterable[Comparison], deliberate: Sequence[Deliberate]) -> str:
    """A line a capture: how many of its packets were compared in which kind of field."""
    found = list(found)
    lines = ["packets compared, by capture and kind of field (! differences)", ""]
    lines.append(f"{'capture':<23}" + "".join(f"{group:>5}" for group in GROUPS) + "    !")
    whole: Counter[str] = Counter()
    for one in found:
        name = one.capture if len(one.capture) <= 22 else f"{one.capture[:12]}..{one.capture[-8:]}"
        cells = "".join(f"{one.compared[group] or '-':>5}" for group in GROUPS)
        lines.append(f"{name:<23}{cells}{len(one.differences):>5}")
        whole.update(one.compared)
    cells = "".join(f"{whole[group]:>5}" for group in GROUPS)
    lines.append(f"{'all':<23}{cells}{sum(len(one.differences) for one in found):>5}")
    values = sum(sum(one.fields.values()) for one in found)
    names = {name for one in found for name in one.fields}
    lines += ["", f"{len(found)} captures, {sum(one.frames for one in found):,} packets, "
              f"{len(names)} fields, {values:,} values compared"]  # fmt: skip
    meant: Counter[int] = Counter()
    for one in found:
        meant.update(one.meant)
    if meant:
        lines += ["", "different on purpose:"]
    for place, count in sorted(meant.items()):
        entry = deliberate[place]
        lines.append(f"{count:>6}  {entry.why}")
        lines.append(f"{'':>6}  ({entry.clause})")
    return "\n".join(lines)


def shown(differences: Iterable[Difference]) -> str:
    """The first differences, to be read."""
    lines = [f"{d.capture} frame {d.frame} {d.name}: {d.mine} here, {d.theirs} there"
             for d in differences]  # fmt: skip
    return "\n".join([*lines[:400], f"... {len(lines)} in all"])

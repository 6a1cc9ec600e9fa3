"""Tables -> the list of packets, a line each, and one packet with all its fields and its calls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from netlab.decode.payload import payload_of
from netlab.decode.reassembly import whole_payload
from netlab.explain.ways import changed_bytes, way_text
from netlab.model.errors import UsageError
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Fate, Packet, Segment, Span, Tables
from netlab.show.format import address, byte_range
from netlab.show.views.blocks import FieldLine, LayerBlock
from netlab.show.views.messages import MessagePart, parts_of
from netlab.show.views.recorded import secret_notes
from netlab.show.views.verdicts import VerdictView, verdict_view
from netlab.show.views.verdicts import word as verdict_word

if TYPE_CHECKING:
    from netlab.decode.layers import Layer

FRAME = "the frame"


@dataclass(frozen=True, slots=True)
class PacketLine:
    """A packet in one line."""

    frame: int
    time_ns: int  # since the first packet
    source: str
    destination: str
    protocol: str
    info: str
    shorter: tuple[str, ...]  # the same with less and less of it


@dataclass(frozen=True, slots=True)
class CallLink:
    """What the frame is to a call."""

    call: int
    actor: str
    op: str
    role: str
    start: int | None
    stop: int | None


@dataclass(frozen=True, slots=True)
class WayView:
    """What the wire between two hosts did with a packet."""

    sender: str  # the host it left, or the wire that made it
    receiver: str  # empty: several, or not known
    arrived_ns: int | None  # since the epoch
    took_ns: int | None
    late_ns: int | None  # how much of that was later than the rules said
    fate: str
    rule: str
    text: str  # all of it in words
    spoilt: bool  # its receiver threw it away
    changed: tuple[tuple[int, str, str], ...]  # offset, bytes as they left and as they arrived


@dataclass(frozen=True, slots=True)
class WholeView:
    """What a packet carried that came in fragments, put together; offsets count from its start."""

    frames: tuple[int, ...]  # that brought it, in order
    layers: tuple[LayerBlock, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class PacketView:
    """One packet, whole."""

    frame: int
    time_ns: int  # since the epoch
    since_first_ns: int
    interface: str
    caplen_bytes: int
    origlen_bytes: int
    connection: int | None
    info: str
    way: WayView | None  # None: no wire carried it
    layers: tuple[LayerBlock, ...]
    whole: WholeView | None  # of a frame that completed a packet in fragments
    whole_in: int | None  # the frame that completed the packet of which this is a fragment
    messages: tuple[MessagePart, ...]  # of the application that lie in it, at least in part
    verdict: VerdictView | None  # of a segment that is no plain one
    calls: tuple[CallLink, ...]
    data: bytes
    deep: tuple[str, ...]  # scapy's view, where asked for
    notes: tuple[str, ...] = ()  # what else is to be known of it


def packet_lines(
    tables: Tables, raw: RawRecording, limit: int | None, chosen: Collection[int] | None = None
) -> list[PacketLine]:
    """The packets, at most `limit` of them (None or 0: all); of `chosen` frames alone."""
    segments = {segment.frame: segment for segment in tables.segments}
    start = tables.packets[0].time_ns if tables.packets else 0
    both = zip(tables.packets, raw.frames, strict=True)
    kept = (pair for pair in both if chosen is None or pair[0].frame in chosen)
    return [
        packet_line(packet, segments.get(packet.frame), frame, start)
        for packet, frame in islice(kept, limit or None)
    ]


def packet_line(packet: Packet, segment: Segment | None, frame: Frame, start_ns: int) -> PacketLine:
    """A packet in one line; its time counts from `start_ns`."""
    return PacketLine(
        packet.frame,
        packet.time_ns - start_ns,
        address(packet.src, packet.sport) if packet.src else "-",
        address(packet.dst, packet.dport) if packet.dst else "-",
        packet.protocol or packet.link,
        *_said(packet, segment, frame),
    )


def _said(packet: Packet, segment: Segment | None, frame: Frame) -> tuple[str, tuple[str, ...]]:
    """What a packet says, in one line, and the same for narrower places."""
    whole = info(packet, segment, frame)
    said = _payload_info(packet, frame)
    heads = [_numbers(packet)]
    if packet.tcp_flags is not None:
        heads = _tcp_heads(packet, segment)
    elif packet._icmp_text:
        heads = [packet._icmp_text, packet._icmp_text.partition(",")[0]]
    rest = [f"fragment {packet.fragment}"] if packet.fragment else []
    rest += [f"[{packet.fault_layer} unreadable]"] if packet.fault_layer else []
    rest += _fates(packet, segment)
    texts = [" ".join([head, *rest]).strip() + (f"  {said}" if said else "") for head in heads]
    if fates := " ".join(_fates(packet, segment)).replace(
        "[made by", "[by"
    ):  # the last that may be cut
        least = heads[-1] if packet.tcp_flags is None else heads[-1].split(" ")[0]
        texts += [f"{heads[-1]} {fates}".strip(), f"{least} {fates}"]
        if packet._icmp_text and packet._made:  # its address says so, too
            fates = " ".join([heads[-1], *_fates(packet, segment)[1:]])
        texts.append(fates)
    return whole, tuple(text for text in dict.fromkeys(texts) if text != whole)


def _tcp_heads(packet: Packet, segment: Segment | None) -> list[str]:
    """`PSH ACK Seq=1 Ack=1 Len=9`, then ever less of it: a flag that Ack= implies goes first."""
    flags = packet.tcp_flags or ""
    seq = packet.seg_seq if segment is None else segment.seq
    ack = packet.seg_ack if segment is None else segment.ack
    seq_text = "" if seq is None else f"Seq={seq}"
    ack_text = f"Ack={ack}" if ack is not None and "ACK" in flags else ""
    size = _numbers(packet) if packet.payload_len_bytes else ""
    short = flags
    if "SYN" not in flags:
        short = " ".join(word for word in flags.split() if word != "ACK") or "ACK"
    least = [short, size] if size else [short, ack_text] if short == "ACK" else [short]
    kept = ([flags, seq_text, ack_text, size], [short, seq_text, ack_text, size],
            [short, seq_text, size], least)  # fmt: skip
    return [" ".join(filter(None, parts)) for parts in kept]


def _numbers(packet: Packet) -> str:
    return "" if packet.payload_len_bytes is None else f"Len={packet.payload_len_bytes}"


def info(packet: Packet, segment: Segment | None, frame: Frame) -> str:
    """What a packet says, in one line."""
    parts: list[str] = []
    if packet.tcp_flags is not None:
        parts.append(packet.tcp_flags)
        seq = packet.seg_seq if segment is None else segment.seq
        ack = packet.seg_ack if segment is None else segment.ack
        window = packet.seg_wnd_raw if segment is None else segment.seg_wnd_bytes
        parts += [f"Seq={seq}"] if seq is not None else []
        parts += [f"Ack={ack}"] if ack is not None and "ACK" in packet.tcp_flags else []
        parts += [f"Len={packet.payload_len_bytes}"] if packet.payload_len_bytes else []
        parts += [f"Win={window}"] if window is not None else []
    elif packet.payload_len_bytes is not None:
        parts += [packet._icmp_text] if packet._icmp_text else []
        parts.append(f"Len={packet.payload_len_bytes}")
    if packet.fragment:
        parts.append(f"fragment {packet.fragment}")
    if packet.fault_layer:
        have = "" if packet.fault_have is None else f", has {packet.fault_have}"
        need = "" if packet.fault_need is None else f" needs {packet.fault_need} B{have}"
        parts.append(f"[{packet.fault_layer} unreadable at {packet.fault_off}:{need}]")
    parts += _fates(packet, segment)
    said = _payload_info(packet, frame)
    return " ".join(parts) + (f"  {said}" if said else "")


def _fates(packet: Packet, segment: Segment | None) -> list[str]:
    """What is worth a word in a line of what the wire did, and of why its sender sent it."""
    words = ["[made by the wire]"] if packet._made else []
    words += [f"[{packet.fate}]"] if packet.fate in (Fate.DROPPED, Fate.CHANGED) else []
    said = "" if packet._made else verdict_word(segment)
    return [*words, f"[{said}]"] if said else words


def _payload_info(packet: Packet, frame: Frame) -> str:
    payload = bytes(payload_of(packet, frame.data))
    if not payload:
        return ""
    from netlab.decode.quick import info as quick_info

    return quick_info(packet.protocol, packet.sport, packet.dport, payload)


def packet_view(tables: Tables, raw: RawRecording, packet: Packet, *, deep: bool) -> PacketView:
    """One packet: its layers, its bytes, the calls that it belongs to."""
    from netlab.decode.layers import layers

    frame = raw.frames[_index(tables.packets, packet)]
    interface = raw.interfaces[frame.interface]
    segment = next((s for s in tables.segments if s.frame == packet.frame), None)
    looked: list[str] = []
    if deep:
        from netlab.decode.deep import deep as deep_look

        looked = deep_look(bytes(frame.data), interface.link)
    blocks = _blocks(layers(frame, interface))
    parts = parts_of(tables, packet, segment)
    return PacketView(
        frame=packet.frame,
        time_ns=packet.time_ns,
        since_first_ns=packet.time_ns - tables.packets[0].time_ns,
        interface=packet.interface,
        caplen_bytes=packet.caplen_bytes,
        origlen_bytes=packet.origlen_bytes,
        connection=packet.connection,
        info=info(packet, segment, frame),
        way=_way(packet, frame),
        layers=tuple(block for block in blocks if not (parts and block.name == "Payload")),
        messages=parts,
        whole=_whole(tables, raw, packet, frame),
        whole_in=packet._whole_in,
        verdict=verdict_view(segment),
        calls=call_links(tables, packet.frame),
        data=bytes(frame.data),
        deep=tuple(looked),
        notes=_notes(raw, parts),
    )


def _notes(raw: RawRecording, parts: Sequence[MessagePart]) -> tuple[str, ...]:
    """That there are keys, where what they may open is in the packet."""
    if not raw.secrets or not any(part.protocol == "TLS" for part in parts):
        return ()
    return secret_notes(raw)


def _blocks(found: Sequence[Layer]) -> tuple[LayerBlock, ...]:
    return tuple(
        LayerBlock(
            layer.name,
            layer.start,
            layer.stop,
            tuple(
                FieldLine(
                    f.name, f.text, f.meaning, f.start, f.stop, f.source, *f.bit_range, f.column
                )
                for f in layer.fields
            ),
        )
        for layer in found
    )


def _whole(tables: Tables, raw: RawRecording, packet: Packet, frame: Frame) -> WholeView | None:
    if not packet._parts:
        return None
    from netlab.decode.layers import whole_layers

    frames = set(packet._parts)
    pairs = zip(tables.packets, raw.frames, strict=True)
    found = {one.frame: (one, its.data) for one, its in pairs if one.frame in frames}
    protocol, data = whole_payload([found[number] for number in packet._parts])
    interface = raw.interfaces[frame.interface]
    shown = whole_layers(frame, interface, packet.ip_version or 0, protocol, data)
    return WholeView(tuple(sorted(frames)), _blocks(shown), data)


def _way(packet: Packet, frame: Frame) -> WayView | None:
    if not packet._wired:
        return None
    arrival, arrived_ns = packet._arrival, packet.arrived_ns
    changed = arrival.changed if arrival is not None else None
    runs = changed_bytes(bytes(frame.data), changed) if changed is not None else []
    return WayView(
        sender=packet.interface,
        receiver=packet._to or "",
        arrived_ns=arrived_ns,
        took_ns=None if arrived_ns is None else arrived_ns - packet.time_ns,
        late_ns=None if arrival is None else arrival.late_ns,
        fate=packet.fate,
        rule="" if arrival is None else arrival.rule,
        text=way_text(packet),
        spoilt=packet._spoilt,
        changed=tuple((at, left.hex(" "), arrived.hex(" ")) for at, left, arrived in runs),
    )


def call_links(tables: Tables, frame: int) -> tuple[CallLink, ...]:
    """The calls that a frame belongs to, and as what."""
    return tuple(_link(tables, span) for span in tables.spans if span.frame == frame)


def _link(tables: Tables, span: Span) -> CallLink:
    call = tables.calls[span.call - 1]
    return CallLink(call.call, call.actor, call.op, span.role, span.start, span.stop)


def link_text(link: CallLink) -> str:
    """`carried client send #3, bytes 0..100`."""
    text = f"{link.actor} {link.op} #{link.call}"
    if link.start is not None and link.stop is not None and link.start != link.stop:
        text += f", bytes {byte_range(link.start, link.stop)}"
    return text


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of one packet, in its header."""

    name: str  # tcp.window
    layer: LayerBlock
    field: FieldLine
    within: str = FRAME  # what its bytes are counted in


def field_views(view: PacketView, name: str) -> list[FieldView]:
    """The fields of a packet with this name; several where a header stands in it twice.

    Raises UsageError when it has none, with the nearest that it has.
    """
    blocks = (*view.layers, *(block for part in view.messages for block in part.blocks))
    places = [(FRAME, layer) for layer in blocks]
    if view.whole is not None:
        places += [("the packet put together", layer) for layer in view.whole.layers]
    every = [
        FieldView(f"{_slug(layer.name)}.{_slug(field.name)}", layer, field, within)
        for within, layer in places
        for field in layer.fields
        if field.source
    ]
    wanted = name.lower()
    found = [one for one in every if wanted in _names(one)]
    if found:
        return found
    names = list(dict.fromkeys(one.name for one in every))
    close = _of_header(wanted, every) or get_close_matches(wanted, names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)}"
    raise UsageError(f"frame {view.frame} has no field {name!r}", hint)


def _of_header(wanted: str, every: Sequence[FieldView]) -> list[str]:
    """The nearest field of the header that was meant: tshark's `ip` is `ipv4` here."""
    header, _, field = wanted.partition(".")
    meant = [one for one in every if field and _slug(one.layer.name).startswith(header)]
    names = {one.name.rpartition(".")[2]: one.name for one in reversed(meant)}
    table = {one.field.column: one.name for one in reversed(meant) if one.field.column}
    last = field.rpartition(".")[2]  # of flags.syn
    for known, cutoff in ((names, 0.6), (table, 0.6), (names, 0.4)):
        if close := get_close_matches(last, known, n=1, cutoff=cutoff):
            return [known[close[0]]]
    return []


def _names(one: FieldView) -> tuple[str, ...]:
    """By its header and name, or the column that it is: `ipv4.time-to-live`, `ipv4.ttl`, `ttl`."""
    column = one.field.column
    return (one.name, column, f"{_slug(one.layer.name)}.{column}") if column else (one.name,)


def _slug(name: str) -> str:
    """`time-to-live` of `time to live`, `dont-fragment` of `don't fragment`."""
    return "-".join("".join(c for c in name.lower() if c.isalnum() or c in " .").split())


def _index(packets: Sequence[Packet], packet: Packet) -> int:
    """Where the packet stands: packets and raw frames are in the same order."""
    return next(at for at, one in enumerate(packets) if one is packet)

"""Calls and frames -> what is written beside them, from the most that can be said to the least.

Every mark of a ladder is a tuple of texts; whoever draws takes the first that fits. What a shorter
text leaves out is either said elsewhere in the row (times, the flag that Ack= implies) or follows
from what it keeps (`0..100` of a call that succeeded is `= 100`).
"""

from __future__ import annotations

from netlab.model.call import STOP, WAITING, Ready, events_text, is_inbound, is_moving, is_outbound
from netlab.model.frame import TCP_SEGMENTATION_OFFLOAD
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Call, Packet, Segment
from netlab.show.format import byte_range, duration
from netlab.show.views.verdicts import word as verdict_word

LONG_NS = 1_000_000  # from here on a call has visibly waited

Texts = tuple[str, ...]

# Verdicts worth a word beside the segment, by their column.
_VERDICT_WORDS = {
    "out_of_order": "out of order",
    "lost_segment": "gap before",
    "duplicate_ack": "dup ACK",
    "zero_window": "zero window",
    "window_update": "window update",
    "zero_window_probe": "probe",
    "window_full": "window full",
    "keep_alive": "keep-alive",
}
_GUESSED = frozenset(("out_of_order", "zero_window_probe", "keep_alive"))  # netlab has its own word
_SIGNS = ("↻", "≡", "⊕")  # resent, captured twice, made by the wire
_COPIES = ("≡", "⊕")
_WIRE_MTU_BYTES = 1500
_JUMBO_BYTES = 9216  # larger frames than this no Ethernet carries


def entry_texts(call: Call) -> Texts:
    """A call on its way in: `recv(65536)`."""
    return _named(call)


def return_texts(call: Call, ready: tuple[Ready, ...], cause: str = "") -> Texts:
    """A call on its way out: `= 100  0..100  +41.2 ms delayed_ack`, with what it waited for."""
    if call.returned_ns is None:
        return ("still inside",)
    took = f"+{duration(call.returned_ns - call.entered_ns)}"
    span = range_of(call)
    ends = outcomes(call, ready)
    texts: list[str] = []
    if call.returned_ns - call.entered_ns >= LONG_NS:
        if cause:
            texts += [f"{end}{_gap(span)}  {took} {cause}" for end in ends]
            texts += [f"{span} {took} {cause}"] if span else []
        texts += [f"{end}{_gap(span)}  {took}" for end in ends]
        texts += [f"{span} {took}"] if span else []
        texts += [f"{ends[-1]} {took}", took]
    else:
        texts += [f"{ends[0]}{_gap(span)}  {took}"]
        texts += [f"{end}{_gap(span)}" for end in ends]
        texts += [span] if span else []
    return _distinct([*texts, ends[-1]])


def whole_texts(call: Call, ready: tuple[Ready, ...]) -> Texts:
    """A call that came and went in one row: `send(100) = 100  0..100`."""
    if call.op == "exit":
        # Who called exit() said so; of others it is known when they were gone, not what ended them.
        unseen = call.returned_by_ns is not None and not call.args
        return ("process ended", "ended") if unseen else _named(call)
    if call.returned_ns is None:
        return _distinct(
            [*(f"{name} still inside" for name in (*_named(call), call.op)), f"{call.op}, inside"]
        )
    span = range_of(call)
    names, ends = _named(call), outcomes(call, ready)
    op = f"{call.op}(PEEK)" if "MSG_PEEK" in call.args else call.op  # else it seems to consume
    texts = [f"{names[0]} {ends[0]}{_gap(span)}"]
    if span and call.result == call.requested_bytes:
        texts += [f"{name}  {span}" for name in names]
    if ends[0] == "= 0" and not span:
        texts += names
    texts += [f"{op} {end}{_gap(span)}" for end in ends]
    if span:
        # recv and send are these system calls without an address (man 2 recv, man 2 send).
        brief = {"recvfrom": "recv", "sendto": "send"}.get(call.op)
        texts += [f"{op} {span}"]
        texts += [f"{brief} {span}"] if brief is not None and op == call.op else []
    texts += [f"{op} {ends[-1]}"]
    return _distinct(texts)


def hop_texts(call: Call, peer: str) -> Texts:
    """A message between processes: `╌▶ w1  141 B`, `◀╌ r0  141 B`."""
    arrow = f"╌▶ {peer}" if is_outbound(call) else f"◀╌ {peer}"
    size = f"{call.result:,} B" if call.result is not None and call.errno is None else ""
    return _distinct([f"{arrow}  {size}".rstrip(), arrow.rstrip()])


def outcomes(call: Call, ready: tuple[Ready, ...]) -> Texts:
    """What a call returned: `= 100`, `= -1 EAGAIN`, `→ fd 5 IN`."""
    if call.returned_ns is None:
        return ("= ?",)
    if call.op == STOP:
        return ("went on",)
    result = 0 if call.result is None else call.result
    if call.errno is not None:
        if result > 0:
            return (f"= {result}, then {call.errno}", call.errno)
        return (f"= -1 {call.errno}", call.errno)
    if call.op in WAITING:
        if not ready:
            return ("= 0 timed out", "= 0") if result == 0 else (f"= {result}",)
        found = [ready_text(one) for one in ready]
        more = " …" if len(found) > 1 else ""
        return (f"→ {', '.join(found)}", f"→ {found[0]}{more}", f"→ fd {ready[0].fd} …")
    if call.op in ("accept", "accept4", "socket"):
        return (f"= fd {result}",)
    if is_inbound(call) and result == 0 and call.requested_bytes and call.start is None:
        return ("= 0 end of stream", "end of stream", "= 0")
    return (f"= {result}",)


def ready_text(ready: Ready) -> str:
    """`fd 5 IN|HUP`."""
    return f"fd {ready.fd} {events_text(ready.events)}"


def range_of(call: Call) -> str:
    """The bytes the call moved, `0..100`, or nothing."""
    if call.start is None or call.stop is None or call.start == call.stop:
        return ""
    return byte_range(call.start, call.stop)


def _named(call: Call) -> Texts:
    """`send(100, MSG_DONTWAIT)`, `send(100)`, `send(…)`."""
    size = [str(call.requested_bytes)] if call.requested_bytes is not None else []
    if call.op in WAITING:
        size = []
    given = call.args
    if call.op in WAITING:
        given = given.partition("ready=[")[0]  # what it reported stands at its return
    parts = [part for part in given.split(", ") if part]
    texts = [f"{call.op}({', '.join(size + parts)})"]
    if is_moving(call):
        if any(part.startswith("MSG_PEEK") for part in parts):
            texts.append(f"{call.op}(PEEK)")
        texts.append(f"{call.op}({', '.join(size)})")
    elif call.op == "setsockopt" and len(parts) > 1:
        value = ", ".join(parts[2:])  # a structure has commas of its own: {onoff=1, linger=2}
        texts += [f"{call.op}({', '.join(parts[1:])})", f"{parts[1]}={value}", parts[1]]
    elif call.op == "epoll_ctl" and len(parts) > 1:
        texts += [f"{call.op}({parts[0].removeprefix('EPOLL_CTL_')} {parts[1]})"]
    elif call.op == "shutdown" and parts:
        texts += [f"{call.op}({parts[0].removeprefix('SHUT_')})"]
    elif call.op == "connect" and ":" in call.args:
        texts += [f"{call.op}(:{call.args.rpartition(':')[2]})"]
    elif call.op == "exit":
        texts += ["exit"]
    elif call.op in WAITING and parts:
        texts += [f"{call.op}({parts[0]})" if parts[0] != "timeout=-1" else f"{call.op}()"]
    if parts or size:
        texts.append(f"{call.op}(…)")
    return _distinct(texts)


def _gap(span: str) -> str:
    return f"  {span}" if span else ""


def _distinct(texts: list[str]) -> Texts:
    """Longest first, so that the first that fits says the most; the order given decides ties."""
    return tuple(dict.fromkeys(texts))


def segment_texts(packet: Packet, segment: Segment, tag: str) -> Texts:
    """`PSH ACK Seq=1 Ack=1 Len=100`, with `tag` (signs such as ↻) behind whatever remains of it."""
    flags = packet.tcp_flags or "(none)"
    short = " ".join(word for word in flags.split() if word != "ACK") or "ACK"
    seq = f"Seq={segment.seq}"
    ack = f"Ack={segment.ack}" if segment.ack is not None and "ACK" in flags else ""
    size = f"Len={segment.payload_len_bytes}" if segment.payload_len_bytes else ""
    own = "" if tag[:1] in _COPIES else verdict_word(segment)  # the sign says it
    known = own or tag[:1] in _SIGNS  # better than what a capture at one place can tell
    said = [
        word
        for name, word in _VERDICT_WORDS.items()
        if getattr(segment, name) and not (known and name in _GUESSED)
    ]
    verdicts = ", ".join([own, *said] if own else said)
    if "SYN" in flags:
        short = flags
    full = _joined(flags, seq, ack, size)
    texts: list[str] = []
    ranges = _sack_texts(packet, segment)
    for told in ranges:  # what an ACK says of a gap goes before a verdict
        texts += [_joined(full, told, verdicts), _joined(full, told)]
        texts += [_joined("ACK", ack, told), _joined(ack, told)] if short == "ACK" else []
    texts += ranges
    texts.append(_joined(full, verdicts))
    if (segment.zero_window or segment.window_update) and short == "ACK":  # that is its news
        texts += [_joined("ACK", ack, verdicts), _joined(ack, verdicts), verdicts]
    texts.append(full)
    texts.append(_joined(short, seq, ack, size))
    if segment.payload_len_bytes:
        ends = " ".join(word for word in short.split() if word in ("FIN", "RST"))
        texts += [_joined(short, seq, size), _joined(ends, seq, size)]
        texts += [_joined(ends, size)] if ends else [_joined(seq, size), size]
    elif short == "ACK":
        texts += [_joined("ACK", ack), ack]
    texts.append(short)
    return _distinct([_joined(text, tag) for text in texts if text])


def _sack_texts(packet: Packet, segment: Segment) -> list[str]:
    """The ranges that an ACK says are there behind a gap (RFC 2018), as numbers like those of Seq=:
    `SACK=1449..2897,4345..5793`, or the first of them, which is the latest news."""
    blocks = packet._options.sack_blocks if packet._options is not None else ()
    if not blocks or segment.ack is None or packet.seg_ack is None:
        return []
    ranges = [
        byte_range(*(segment.ack + seq_diff(edge, packet.seg_ack) for edge in block))
        for block in blocks
    ]
    more = [f"SACK={ranges[0]} +{len(ranges) - 1}"] if len(ranges) > 1 else []
    return [f"SACK={','.join(ranges)}", *more]


def datagram_texts(packet: Packet, span: str, tag: str) -> Texts:
    """A frame that is no TCP segment: `UDP Len=100  0..100`, `UDP fragment 1480+520`,
    `ICMP fragmentation needed, MTU 900`.
    """
    name = packet.protocol or packet.link
    size = f"Len={packet.payload_len_bytes}" if packet.payload_len_bytes is not None else ""
    if packet.fragment:
        texts = [f"{name} fragment {packet.fragment}", f"fragment {packet.fragment}", "fragment"]
    elif packet._icmp_text:
        said = packet._icmp_text
        texts = [_joined(name, said, size), _joined(name, said), said, said.partition(",")[0], name]
    else:
        texts = [_joined(name, size, f" {span}" if span else ""), _joined(name, size), name]
    return _distinct([_joined(text, tag) for text in texts])


def pieces_on_a_real_wire(packet: Packet) -> int:
    """How many segments (or fragments) of a 1500-byte MTU this frame stands for; 1: it is real.

    The kernel cuts as late as it can, in the network card or not at all on loopback, so a capture
    at the sender shows frames larger than any MTU (segmentation offload). A jumbo frame is a real
    frame, unless the capture says otherwise or the interface is the loopback.
    """
    size = packet.ip_len_bytes or 0
    payload = packet.payload_len_bytes or 0
    offloaded = packet._offload & TCP_SEGMENTATION_OFFLOAD or packet.interface == "lo"
    if size <= _WIRE_MTU_BYTES or not (offloaded or size > _JUMBO_BYTES):
        return 1
    ip_header = 40 if packet.ip_version == 6 else 20
    if packet.protocol == "UDP" or packet.tcp_flags is None:
        room = (_WIRE_MTU_BYTES - ip_header - (8 if packet.ip_version == 6 else 0)) // 8 * 8
        return -(-(payload + 8) // room)
    stamps = packet._options is not None and packet._options.ts_val is not None
    return -(-payload // (_WIRE_MTU_BYTES - ip_header - 20 - (12 if stamps else 0)))


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)

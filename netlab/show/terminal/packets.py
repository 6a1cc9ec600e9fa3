"""The list of packets, and one packet with its fields and bytes, as lines."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.escape import printable
from netlab.show.format import Ruler, byte_count, byte_range, duration, instant
from netlab.show.terminal.lines import Line, fit, fold
from netlab.show.views.packets import LayerBlock, PacketLine, PacketView, link_text

_LAYER_STYLES = ("cyan", "green", "yellow", "magenta", "blue")
_DUMP_ROWS = 32
_OFFSETS = 11  # columns for `65483..65535`
_MEANING_ROOM = 34
_ADDRESS_MOST = 47
_INFO_LEAST = 16  # better a wrapped line than no information


def list_lines(rows: Sequence[PacketLine], left_out: int, columns: int | None) -> list[Line]:
    """One line a packet: frame, time, source → destination, protocol, info cut to `columns`."""
    ruler = Ruler(max((row.time_ns for row in rows), default=0))
    number = len(str(max((row.frame for row in rows), default=0)))
    protocol = max((len(row.protocol) for row in rows), default=0)
    source = min(max((len(row.source) for row in rows), default=0), _ADDRESS_MOST)
    destination = min(max((len(row.destination) for row in rows), default=0), _ADDRESS_MOST)
    lines: list[Line] = []
    for row in rows:
        ends = f"{printable(row.source):<{source}} → {printable(row.destination):<{destination}}"
        line: Line = [
            (f"{row.frame:>{number}}", "bold"),
            (f"  {ruler(row.time_ns)}", "dim"),
            (f"  {ends}", ""),
            (f"  {printable(row.protocol):<{protocol}}  ", "cyan"),
        ]
        said = printable(row.info)
        if columns is not None:
            said = fit(said, max(columns - sum(len(text) for text, _ in line), _INFO_LEAST))
        lines.append([*line, (said, "")])
    if left_out:
        lines.append([(f"… {left_out:,} more: --limit 0 shows all", "italic")])
    return lines


def packet_lines(view: PacketView, width: int, limit: int | None) -> list[Line]:
    """One packet: what it is, its calls, its fields with their offsets, its bytes marked."""
    cut = "" if view.caplen_bytes == view.origlen_bytes else f" of {byte_count(view.origlen_bytes)}"
    place = "" if view.connection is None else f", connection {view.connection}"
    where = f" on {printable(view.interface)}" if view.interface else ""
    lines: list[Line] = [
        [(f"frame {view.frame}", "bold"), (f"  {printable(view.info)}", "")],
        [(f"{byte_count(view.caplen_bytes)}{cut}{where}{place}", "")],
        [
            (
                f"{instant(view.time_ns)}, {duration(view.since_first_ns)} after the first frame",
                "dim",
            )
        ],
    ]
    if view.calls:
        lines += [[], [("calls", "bold")]]
        widest = max(len(link.role) for link in view.calls)
        lines += [
            [(f"  {link.role:<{widest}}  ", "cyan"), (printable(link_text(link)), "")]
            for link in view.calls
        ]
    for number, layer in enumerate(view.layers):
        lines += [[], *_layer(layer, _LAYER_STYLES[number % len(_LAYER_STYLES)], width)]
    lines += [[], *_dump(view, _DUMP_ROWS if limit is None else limit)]
    if view.deep:
        lines += [[], [("scapy", "bold")]]
        lines += [[(f"  {printable(text)}", "")] for text in view.deep]
    return lines


def _layer(layer: LayerBlock, style: str, width: int) -> list[Line]:
    lines: list[Line] = [
        [
            (printable(layer.name), f"bold {style}"),
            (f"  bytes {byte_range(layer.start, layer.stop)}", "dim"),
        ]
    ]
    names = max((len(field.name) for field in layer.fields), default=0)
    texts = max((len(field.text) for field in layer.fields), default=0)
    before = _OFFSETS + 2 + names + 2 + texts + 2
    beside = width - before >= _MEANING_ROOM  # else what a field means stands under it
    indent = " " * (before if beside else _OFFSETS + 2)
    for field in layer.fields:
        meaning = fold(printable(field.meaning), width - len(indent)) if field.meaning else []
        line: Line = [
            (byte_range(field.start, field.stop).rjust(_OFFSETS), "dim"),
            (f"  {printable(field.name):<{names}}  ", style),
            (f"{printable(field.text):<{texts}}", "bold"),
        ]
        if beside and meaning:
            line.append((f"  {meaning.pop(0)}", "dim"))
        lines.append(line)
        lines += [[(indent + more, "dim")] for more in meaning]
    return lines


def _dump(view: PacketView, most_rows: int) -> list[Line]:
    """The bytes, sixteen a row: `[` where a layer begins, `|` where a field does."""
    layer_at: dict[int, str] = {}
    signs: dict[int, str] = {}
    for number, layer in enumerate(view.layers):
        for field in layer.fields:
            signs[field.start] = "|"
        for at in range(layer.start, layer.stop):
            layer_at[at] = _LAYER_STYLES[number % len(_LAYER_STYLES)]
    for layer in view.layers:
        signs[layer.start] = "["
    lines: list[Line] = [[("bytes", "bold"), ("  [ a layer begins, | a field begins", "dim")]]
    data = view.data
    kept = data[: most_rows * 16] if most_rows > 0 else data
    for row in range(0, len(kept), 16):
        chunk = kept[row : row + 16]
        line: Line = [(f"{row:>7}  ", "dim")]
        for at, byte in enumerate(chunk, row):
            line += [(signs.get(at, " "), "bold"), (f"{byte:02x}", layer_at.get(at, ""))]
        line.append(("   " * (16 - len(chunk)) + "  ", ""))
        line.append(("".join(chr(b) if 32 <= b < 127 else "·" for b in chunk), "dim"))
        lines.append(line)
    if len(kept) < len(data):
        more = f"        … {byte_count(len(data) - len(kept))} more: --limit 0 shows all"
        lines.append([(fit(more, 120), "italic")])
    return lines

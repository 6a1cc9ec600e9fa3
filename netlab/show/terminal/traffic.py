"""The parts of a summary that every capture has, as lines: protocols, hosts, what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.explain.troubles import BAD, SERIOUS, Trouble
from netlab.show.escape import printable
from netlab.show.format import byte_size
from netlab.show.terminal.lines import Line, fit, fold
from netlab.show.views.traffic import Host, Protocol

_PROTOCOLS = 10  # lines
HOSTS = 4  # lines
_TROUBLES = 8
_STYLES = {SERIOUS: "bold red", BAD: "yellow"}
_NUMBER = 11  # columns of `1,234,567`
_SHARE = 8
_SIZE = 9
_KEPT = "\0"  # a blank at which no line is broken; none is in printable text
_FIRST_NAME, _MOST_NAME = 24, 44


def protocol_lines(rows: Sequence[Protocol], width: int) -> list[Line]:
    """The hierarchy, a line a level; levels that only carry the next stand on its line."""
    folded = _folded(rows)
    names = [("  " * depth + printable(" > ".join(names)), row) for depth, names, row in folded]
    shown = names
    if len(names) > _PROTOCOLS:  # the busiest: whatever carries one of them is as busy
        least = sorted(names, key=lambda pair: -pair[1].packets)[: _PROTOCOLS - 1]
        shown = [pair for pair in names if pair in least]
    widest = max((len(name) for name, _ in shown), default=0)
    numbers = _NUMBER + _SHARE + _SIZE
    room = min(max(widest, _FIRST_NAME), _MOST_NAME, width - numbers)
    head = f"{'protocols'.ljust(room)}{'packets':>{_NUMBER}}{'':{_SHARE}}{'bytes':>{_SIZE}}"
    lines: list[Line] = [[(head, "dim")]]
    whole = sum(row.packets for row in rows if row.depth == 0)
    for name, row in shown:
        share = f"{100 * row.packets / whole:.1f} %"
        if len(name) > room:
            *before, name = fold(name, room if len(names) > 1 else width)
            lines += [[(text, "bold" if row.depth == 0 else "")] for text in before]
        lines.append(
            [
                (fit(name, room).ljust(room), "bold" if not name.startswith(" ") else ""),
                (f"{row.packets:>{_NUMBER},}{share:>{_SHARE}}{byte_size(row.bytes):>{_SIZE}}", ""),
            ]
        )
    if len(shown) < len(names):
        more = f"… and {len(names) - len(shown)} more: netlab inspect --json has them"
        lines += [[(text, "dim")] for text in fold(more, width)]
    return lines


def _folded(rows: Sequence[Protocol]) -> list[tuple[int, list[str], Protocol]]:
    """(depth, names, row) of each line: a level that is all of its only child joins it."""
    found: list[tuple[int, list[str], Protocol]] = []
    depths: dict[tuple[str, ...], int] = {}
    names: list[str] = []
    for at, row in enumerate(rows):
        if not names:
            depths[row.path] = depths.get(row.path[:-1], -1) + 1
            depth = depths[row.path]
        else:
            depths[row.path] = depth
        names.append(row.name)
        below = rows[at + 1] if at + 1 < len(rows) else None
        if below is not None and below.path[:-1] == row.path and below.packets == row.packets:
            continue
        found.append((depth, names, row))
        names = []
    return found


def host_lines(rows: Sequence[Host], width: int, unlisted: int = 0) -> list[Line]:
    """The busiest hosts, and how many there are more; `unlisted` are not among the rows."""
    there = len(rows) + unlisted
    shown = rows if there <= HOSTS else rows[: HOSTS - 1]
    numbers = 2 * (_NUMBER + _SIZE)
    widest = max(len(row.address) for row in shown)
    room = min(max(widest, _FIRST_NAME), _MOST_NAME, width - numbers)
    head = f"{'hosts'.ljust(room)}{'sent':>{_NUMBER + _SIZE}}{'received':>{_NUMBER + _SIZE}}"
    lines: list[Line] = [[(head, "dim")]]
    for row in shown:
        sent = f"{row.sent_packets:>{_NUMBER},}{byte_size(row.sent_bytes):>{_SIZE}}"
        received = f"{row.received_packets:>{_NUMBER},}{byte_size(row.received_bytes):>{_SIZE}}"
        name = printable(row.address)
        if len(name) > room:
            lines.append([(name, "")])
            name = ""
        lines.append([(name.ljust(room), ""), (sent + received, "")])
    if len(shown) < there:
        lines.append([(f"… and {there - len(shown):,} more", "dim")])
    return lines


def trouble_lines(rows: Sequence[Trouble], width: int, label: int) -> list[Line]:
    """What looks wrong, the most serious first; that nothing does is said, too."""
    name = "looks wrong"
    if not rows:
        text = "nothing: no losses, failures, damage or repeats"
        return [[(name.ljust(label), "dim"), (fit(text, width - label), "green")]]
    lines: list[Line] = []
    shown = rows if len(rows) <= _TROUBLES else rows[: _TROUBLES - 1]
    for row in shown:
        first = "" if row.count == 1 else "first: "
        where = "" if row.frame is None else f" ({first}frame {row.frame})".replace(" ", _KEPT)
        for text in fold(printable(row.text) + where.replace(_KEPT, " ", 1), width - label):
            head = name.ljust(label) if not lines else " " * label
            text = text.replace(_KEPT, " ")
            lines.append([(head, "dim"), (text, _STYLES.get(row.weight, ""))])
    if len(shown) < len(rows):
        more = f"… and {len(rows) - len(shown)} more: netlab inspect --json has them"
        lines += [[(" " * label + text, "dim")] for text in fold(more, width - label)]
    return lines

"""How a connection was opened, as lines: the head of its ladder."""

from __future__ import annotations

from netlab.show.format import count, duration
from netlab.show.terminal.lines import Line, fit, fold
from netlab.show.views.opening import Offer, Opening

_HEADS = Offer("offered", "client", "server", "agreed", "")
_NAME = 14
_SOURCE_FROM = 100  # columns: from here on there is room for the RFCs
_NONE = "-"


def opening_lines(view: Opening | None, width: int) -> list[Line]:
    """The offers as a table, then what nobody offered and what was measured; then a blank line."""
    if view is None:
        return []
    lines: list[Line] = []
    if view.client_syn is None and view.server_syn is None:
        said = "before the capture began: what was offered is not known"
        lines += _said("opened", said, width)
    else:
        rows = [_HEADS, *view.offers] if view.offers else []
        client = max((len(row.client) for row in rows), default=0) + 2
        server = max((len(row.server) for row in rows), default=0) + 2
        for number, row in enumerate(rows):
            style = "" if number else "dim"
            head = f"{row.name:<{_NAME}}"
            offers = f"{row.client or _NONE:<{client}}{row.server or _NONE:<{server}}"
            room = width - _NAME - client - server
            agreed = row.agreed if len(row.agreed) <= room else row.agreed.partition(":")[0]
            line: Line = [(head, "dim"), (offers, style), (fit(agreed, room), style or _tone(row))]
            if number and width >= _SOURCE_FROM:
                gap = width - len(row.source) - (width - room) - len(agreed)
                line.append((" " * gap + row.source, "dim"))
            lines.append(line)
        if view.not_offered:
            lines += _said("by neither", ", ".join(view.not_offered), width)
    if view.handshake_ns is not None:
        lines += _said("handshake", _handshake(view, view.handshake_ns), width)
    acks = [
        f"{sign} {duration(rtt_ns)}, median of {number:,}"
        for sign, rtt_ns, number in (
            ("→", view.client_rtt_ns, view.client_rtts),
            ("←", view.server_rtt_ns, view.server_rtts),
        )
        if rtt_ns is not None
    ]
    if acks:
        lines += _said("time to ACK", "; ".join(acks), width)
    return [*lines, []]


def _tone(row: Offer) -> str:
    if "off" in row.agreed or "not known" in row.agreed:
        return "yellow"
    return "green" if "in use" in row.agreed else ""


def _said(name: str, text: str, width: int) -> list[Line]:
    first, *rest = fold(text, width - _NAME)
    lines: list[Line] = [[(f"{name:<{_NAME}}", "dim"), (first, "")]]
    return lines + [[(" " * _NAME + more, "")] for more in rest]


def _handshake(view: Opening, took_ns: int) -> str:
    if view.to_synack_ns is not None and view.to_ack_ns is not None:
        halves = f"{duration(view.to_synack_ns)} to SYN ACK, {duration(view.to_ack_ns)} to ACK"
        return f"{duration(took_ns)} ({halves})"
    return duration(took_ns) + (f", {count(view.syns, 'SYN')}" if view.syns > 1 else "")

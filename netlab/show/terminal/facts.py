"""A connection in numbers, as lines: a table of both sides."""

from __future__ import annotations

from netlab.show.escape import printable
from netlab.show.terminal.lines import Line, fold
from netlab.show.views.facts import Fact, Facts

_NAME = 17


def facts_lines(view: Facts, width: int) -> list[Line]:
    """A line for each fact; those of the connection as a whole take the width of both sides."""
    sides = [fact for fact in view.facts if fact.server is not None]
    heads = Fact("", f"client {printable(view.client)}", f"server {printable(view.server)}")
    room = max(width - _NAME, 8)
    lines: list[Line] = []
    if _column(heads, *sides) + len(heads.server or "") > room:
        lines = _said("client", printable(view.client), room)
        lines += _said("server", printable(view.server), room)
        heads = Fact("", "client", "server")
    column = _column(heads, *sides)
    if column + max(len(fact.server or "") for fact in [heads, *sides]) > room:
        return lines + _one_below_the_other(view, room)
    lines.append([(" " * _NAME, ""), (f"{heads.client:<{column}}", "dim"),
                  (heads.server or "", "dim")])  # fmt: skip
    for fact in view.facts:
        if fact.server is None:
            lines += _said(fact.name, fact.client, room)
            continue
        texts = f"{fact.client or '-':<{column}}", fact.server or "-"
        lines.append([(f"{fact.name:<{_NAME}}", "dim"), (texts[0], ""), (texts[1], "")])
    return lines


def _one_below_the_other(view: Facts, room: int) -> list[Line]:
    """Where there is no room for both sides beside each other."""
    lines: list[Line] = []
    for fact in view.facts:
        if fact.server is None:
            lines += _said(fact.name, fact.client, room)
        else:
            lines += _said(fact.name, f"client {fact.client or '-'}", room)
            lines += _said("", f"server {fact.server or '-'}", room)
    return lines


def _column(*facts: Fact) -> int:
    return max(len(fact.client) for fact in facts) + 2


def _said(name: str, text: str, room: int) -> list[Line]:
    first, *rest = fold(text, room)
    lines: list[Line] = [[(f"{name:<{_NAME}}", "dim"), (first, "")]]
    return lines + [[(" " * _NAME + more, "")] for more in rest]

"""One byte's journey as a small vertical timeline."""

from __future__ import annotations

from netlab.show.escape import printable
from netlab.show.format import duration
from netlab.show.terminal.lines import NARROW, Line, fold
from netlab.show.views.journey import Journey, Step

_STYLES = {
    "written": "bold cyan",
    "returned": "cyan",
    "carried": "bold green",
    "resent": "bold yellow",
    "left (kernel stamp)": "bold green",
    "acknowledged (kernel stamp)": "dim",
    "arrived": "green",
    "delivered": "green",
    "released": "green",
    "duplicate": "dim",
    "acked": "dim",
    "reading": "cyan",
    "read": "bold cyan",
    "cut off": "bold red",
}

_WHAT_COLUMNS = 10


def journey_lines(view: Journey) -> list[Line]:
    """The journey: each step with the time since the one before."""
    arrow = "→" if view.side == "client" else "←"
    lines: list[Line] = [
        [
            (f"byte {view.byte}", "bold"),
            (f" of {view.stream_bytes:,} that the {view.side} sent on connection", ""),
            (f" {view.connection}", "bold"),
        ],
        [(f"{view.protocol} {printable(view.client)} {arrow} {printable(view.server)}", "dim")],
        [],
    ]
    last = len(view.steps) - 1
    for number, step in enumerate(view.steps):
        sign = "┬" if number == 0 else "┴" if number == last else "├"
        if number == last == 0:
            sign = "─"
        lines += _step(step, sign, first=number == 0)
    if len(view.steps) > 1:
        whole = duration(view.steps[-1].since_start_ns)
        lines += [[], [(f"{whole:>10}  from the first of these to the last", "dim")]]
    for frame in view.other_copies:
        text = f"frame {frame} holds another byte here than the first that has it"
        lines += _folded([(f"{'differs':>10}  ", "bold red")], text)
    for item in view.unknown:
        what = item.what
        if item.verdict != "unknown":  # `which call read it` -> `no call read it`
            what = what.replace("which", "no", 1)
        lines += _folded([(f"{item.verdict:>10}  ", "yellow")], f"{what}: {item.reason}")
    return lines


def _step(step: Step, sign: str, *, first: bool) -> list[Line]:
    since = "" if first else f"+{duration(step.since_previous_ns)}"
    where = f"frame {step.frame}  " if step.frame is not None else ""
    head: Line = [
        (f"{since:>10}  ", "dim"),
        (f"{sign} ", "dim"),
        (f"{step.what:<{_WHAT_COLUMNS}}", _STYLES.get(step.what, "")),
        ("  " if len(step.what) >= _WHAT_COLUMNS else "", ""),
        (where, "bold"),
    ]
    return _folded(head, step.text)


def _folded(head: Line, text: str) -> list[Line]:
    """The text behind its head, in as many lines as 80 columns ask for."""
    indent = sum(len(chunk) for chunk, _ in head)
    first, *rest = fold(printable(text), NARROW - indent)
    return [[*head, (first, "")], *([(" " * indent + more, "")] for more in rest)]

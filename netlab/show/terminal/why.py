"""Why: bars of where the time went, the longest waits as sentences, findings, what is unknown."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.explain.causes import BUSY, Certainty
from netlab.explain.findings.finding import Severity
from netlab.explain.findings.groups import Group
from netlab.show.escape import printable
from netlab.show.format import count, duration
from netlab.show.terminal.lines import Line, fold
from netlab.show.views.why import Bar, ConnectionWhy, Silence, Why
from netlab.show.views.why_sentences import MOSTLY, Clause, Sentence

_STYLES = {
    "peer_app": "blue", "network": "cyan", "wire_queue": "cyan", "no_client": "dim",
    "timer": "dim", "copy": "dim", "witness": "dim", "unknown": "magenta",
    "scheduler": "yellow", "nagle": "red", "delayed_ack": "red", "cork": "red",
    "autocork": "red",
    "accept_queue": "yellow", "backlog_full": "red",
}  # fmt: skip
_SEVERITIES = {Severity.HIGH: "bold red", Severity.MEDIUM: "yellow", Severity.LOW: "dim"}
_MOST_CONNECTIONS = 8
_LEAST_WEIGHT_NS = 100_000
_LEAST_OTHERS_NS = 1_000_000  # calls of no connection that waited for less hide what matters
_MOST_FINDINGS = 20
_MOST_SLICES = 6
_MOST_LINES = 3  # of a program
_MOST_RUNS = 6  # of connection numbers
_NAME = 12


def why_lines(view: Why, width: int) -> list[Line]:
    """All of it in lines of at most `width` columns."""
    lines: list[Line] = []
    advised: set[str] = set()
    if not view.calls:
        lines += [[(text, "italic")] for text in fold(_without_calls(view), width)] + [[]]
    shown = _shown(view.connections)
    for one in shown:
        lines += _connection(one, width)
    left = len(view.connections) - len(shown)
    if left > 0:
        text = f"... and {count(left, 'connection')} that waited for less: --connection N"
        lines += [[(text[:width], "italic")], []]
    for bar in view.others if shown else ():
        if _waited_ns(bar) < _LEAST_OTHERS_NS:
            continue
        lines += [[(f"{printable(bar.side)}, calls of no connection", "bold")]]
        lines += [*_bar(bar, width), []]
    for bar in view.others if not shown else ():
        lines += [*_bar(bar, width), []]
    if view.sentences:
        lines.append([("The longest waits", "bold")])
        for number, sentence in enumerate(view.sentences, 1):
            said = sentence_text(sentence, advise=sentence.advice not in advised)
            lines += _numbered(number, said, width)
            advised.add(sentence.advice)
        lines.append([])
    if view.silences:
        known = all(silence.certainty == Certainty.INFERRED for silence in view.silences)
        how = "  (all inferred)" if known else "  (all inferred, or not known)"
        lines.append([("The longest silences", "bold"), (how, "dim")])
        advised = set()
        for number, silence in enumerate(view.silences, 1):
            said = silence_text(silence, advise=silence.advice not in advised)
            lines += _numbered(number, said, width)
            advised.add(silence.advice)
        lines.append([])
    lines += finding_lines(view.grouped, width)
    lines += _unknown(view, width)
    return lines


def _waited_ns(bar: Bar) -> int:
    return sum(item.ns for item in bar.slices if item.cause not in BUSY)


def _shown(found: Sequence[ConnectionWhy]) -> list[ConnectionWhy]:
    """Those whose waits matter most, in their order; of those that do not, none but the first."""
    most = sorted(found, key=lambda one: (-one.weight, one.connection))[:_MOST_CONNECTIONS]
    kept = [one for one in most if one.weight >= _LEAST_WEIGHT_NS] or most[:1]
    return sorted(kept, key=lambda one: one.connection)


def _without_calls(view: Why) -> str:
    """What is said instead of waits: nobody acknowledges datagrams, so they show no silence."""
    untold = f"what took time in {count(view.untold, 'conversation')} of datagrams (UDP)"
    if view.findings or view.silences:
        text = "No calls were recorded: what the frames alone say is below."
        return f"{text} They do not tell {untold}." if view.untold else text
    text = "No calls were recorded, and"
    if view.untold:
        return f"{text} frames alone do not tell {untold}. Nothing else is found."
    return f"{text} in the frames alone nothing that took time is found."


def silence_text(view: Silence, *, advise: bool = True) -> str:
    """`[0] 245.5 ms, 1.203 s after its first frame: because ...`"""
    when = duration(view.start_ns)
    text = f"[{view.connection}] {duration(view.ns)}, {when} after its first frame: {view.text}"
    return f"{text}. {view.advice if advise else ''}".rstrip()


def call_lines(view: Sentence, width: int) -> list[Line]:
    """One call: its sentence, then each interval with its evidence."""
    lines = [[(text, "bold")] for text in fold(printable(sentence_text(view)), width)]
    if view.code:
        lines.append([(f"called at {printable(view.code)}", "dim")])
    for one in view.moved:
        lines += [[(text, "cyan")] for text in fold(f"moved {printable(one)}", width)]
    if view.intervals:
        lines.append([])
    for item in view.intervals:
        head = f"{duration(item.start_ns):>10} {duration(item.stop_ns - item.start_ns):>10}  "
        named: Line = [(head, "dim"), (f"{item.cause} ", _STYLES.get(item.cause, "bold"))]
        lines.append([*named, (f"({item.certainty})", "dim")])
        indent = " " * len(head)
        for text in fold(printable(item.text), max(width - len(head), 24)):
            lines.append([(indent, ""), (text, "")])
        cited = _cited(item.frames, item.calls)
        lines += [[(indent + text, "dim")] for text in fold(cited, max(width - len(head), 24))
                  if text]  # fmt: skip
    return lines


def sentence_text(view: Sentence, *, advise: bool = True) -> str:
    """`server recv #17 waited 41.2 ms: 40.1 ms because ..., 0.3 ms on the wire. Set ...`"""
    where = f" at {view.code}" if view.code else ""
    if view.ended_with:
        text = f"{view.name}{where} had not returned when {view.ended_with} ended"
        text += f", after {duration(view.total_ns)}" if view.total_ns else ""
        if not view.clauses:
            return f"{text}."
        text += ": "
    elif not view.clauses:
        return f"{view.name} took {duration(view.total_ns)} and waited for nothing."
    else:
        text = f"{view.name}{where} waited {duration(view.waited_ns)}: "
    if len(view.clauses) == 1:
        text += view.clauses[0].text + _mark(view.clauses[0])
    else:
        text += ", ".join(f"{duration(c.ns)} {c.text}{_mark(c)}" for c in view.clauses)
    return f"{text}. {view.advice if advise else ''}".rstrip()


def _mark(clause: Clause) -> str:
    """What of it is inferred: all, so much, or too little for a word."""
    if not clause.cause or clause.certainty != "inferred":
        return ""
    if (clause.ns - clause.inferred_ns) * MOSTLY < clause.ns:
        return " (inferred)"
    return f" ({duration(clause.inferred_ns)} of it inferred)"


def _connection(view: ConnectionWhy, width: int) -> list[Line]:
    head = f"connection {view.connection}"
    client, server = printable(view.client), f"to {printable(view.server)}  {view.protocol}"
    room = max(width - len(head) - 2, 0)
    ends = [f"{client} {server}"]
    if len(ends[0]) > room:  # of two without a name, whose they are
        ends = [client, server]
    lines: list[Line] = [[(head, "bold"), (f"  {ends[0][:room]}", "dim")]]
    lines += [[(" " * (len(head) + 2), ""), (end[:room], "dim")] for end in ends[1:]]
    for bar in view.bars:
        lines += _bar(bar, width)
    return [*lines, []]


def _bar(bar: Bar, width: int) -> list[Line]:
    """Its sum, then a line for each cause with a stroke as long as its share."""
    name = printable(bar.name or bar.side)
    head = f"{name} was {duration(bar.total_ns)} in {count(bar.calls, 'call')}"
    if not bar.side:
        head = f"silent for {duration(bar.total_ns)}, {count(bar.calls, 'time')}"
    lines: list[Line] = [[("  " + text, "")] for text in fold(printable(head), width - 2, "  ")]
    whole = bar.total_ns or 1
    shown = [s for s in bar.slices if s.ns * 1000 >= whole][:_MOST_SLICES]
    named = max((len(item.cause) for item in shown), default=0)
    named = max(named, _NAME)
    room = width - 4 - named - 2 - 11 - 6 - 2
    widest = max((s.ns for s in shown), default=1) or 1
    for item in shown:
        stroke = "#" * max(round(room * item.ns / widest), 1)
        lines.append([
            (f"    {item.cause:<{named}}  ", ""),
            (f"{duration(item.ns):>11}{item.ns / whole:>6.0%}  ", ""),
            (stroke, _STYLES.get(item.cause, "red")),
        ])  # fmt: skip
    return lines


def finding_lines(found: Sequence[Group], width: int) -> list[Line]:
    """Each finding with its evidence and what to change; one that repeats once, with its count."""
    if not found:
        return []
    lines: list[Line] = [[("Findings", "bold")]]
    for item in found[:_MOST_FINDINGS]:
        head = f"  {item.severity:<7}"
        first, *rest = fold(printable(finding_text(item)), width - len(head))
        lines.append([(head, _SEVERITIES.get(Severity(item.severity), "")), (first, "")])
        lines += [[(" " * len(head) + more, "")] for more in rest]
        cited = _cited(item.frames, item.calls, item.code)
        lines += [[(" " * len(head) + more, "dim")] for more in fold(cited, width - len(head))
                  if more]  # fmt: skip
    left = len(found) - _MOST_FINDINGS
    if left > 0:
        lines.append([(f"  ... and {left} more: --json has all", "italic")])
    return [*lines, []]


def finding_text(item: Group) -> str:
    """`[0-5] 6 times: The server reset the connection ...`"""
    where = f"[{_ranges(item.connections)}] " if item.connections else ""
    often = ""
    if item.count > 1:
        often = f"{item.count} times: " if item.alike else f"{item.count} times, the first: "
    return f"{where}{often}{item.text} {item.advice}".rstrip()


def _ranges(numbers: Sequence[int]) -> str:
    """`0-5, 7`; of many the first few."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [f"{first}-{last}" if last > first else f"{first}" for first, last in runs[:_MOST_RUNS]]
    return ", ".join(shown) + (", ..." if len(runs) > _MOST_RUNS else "")


def _cited(frames: Sequence[int], calls: Sequence[int], code: Sequence[str] = ()) -> str:
    words = []
    if frames:
        words.append(f"frame{'s' if len(frames) > 1 else ''} {_listed(frames)}")
    if calls:
        words.append(f"call{'s' if len(calls) > 1 else ''} {_listed(calls, '#')}")
    if code:
        more = ", ..." if len(code) > _MOST_LINES else ""
        words.append(f"at {', '.join(map(printable, code[:_MOST_LINES]))}{more}")
    return ", ".join(words)


def _listed(numbers: Sequence[int], sign: str = "") -> str:
    shown = ", ".join(f"{sign}{number}" for number in numbers[:8])
    return shown + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")


def _unknown(view: Why, width: int) -> list[Line]:
    if not view.waited_ns:
        return []
    share = view.unknown_ns / view.waited_ns
    text = f"not explained: {duration(view.unknown_ns)} of {duration(view.waited_ns)} ({share:.1%})"
    lines: list[Line] = [[(text, "dim")]]
    for sentence in view.unknown[:3]:
        parts = [i for i in sentence.intervals if i.cause == "unknown"]
        part = sum(i.stop_ns - i.start_ns for i in parts)
        said = max(parts, key=lambda i: i.stop_ns - i.start_ns).text
        for more in fold(f"  {sentence.name}: {duration(part)} {said}", width, "    "):
            lines.append([(printable(more), "dim")])
    return lines


def _numbered(number: int, text: str, width: int) -> list[Line]:
    head = f"{number:>3}. "
    first, *rest = fold(printable(text), width - len(head))
    return [[(head, "dim"), (first, "")], *[[(" " * len(head) + more, "")] for more in rest]]

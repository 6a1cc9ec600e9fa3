"""What a server says when it starts: addresses, its processes as a picture, the limits that count.

Options and addresses in, plain lines of at most 80 columns out; what comes from users is escaped by
whoever prints it. Nothing here asks the system.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from netlab.server.settings.effective import EffectiveRow
from netlab.server.settings.option_table import Options
from netlab.server.terms import Mode

WIDTH = 80
_ALWAYS = ("RLIMIT_NOFILE", "net.core.somaxconn")
_TITLE = 22  # columns before what a row says


def start_lines(
    what: str,
    options: Options,
    rows: Sequence[EffectiveRow],
    places: Sequence[str],
    pid: int,
    unsaid: Collection[str] = (),
    notes: Sequence[str] = (),
) -> list[str]:
    """The page, line by line: `what` names the server, `pid` is where signals go, `unsaid` are
    options that nobody needs to hear of, `notes` more to be said."""
    lines = [f"netlab serve, {what}", ""]
    lines += [f"  {'at' if not number else '  '} {place}" for number, place in enumerate(places)]
    lines += ["", *(f"  {line}" for line in picture(options, pid)), ""]
    for row in rows:
        if row.name not in unsaid and is_worth_saying(row, options):
            lines += row_lines(row)
    return [*lines, "", *(f"  {line}" for line in [*notes, *how_to_end(options, pid)])]


def picture(options: Options, pid: int) -> list[str]:
    """Which processes there are, and how a client's bytes go through them."""
    poller = options.poller
    workers, tasks = _named("worker", options.workers), _named("task", options.tasks)
    match options.mode:
        case Mode.SINGLE:
            return [f"clients ══ server (pid {pid}): one process, one {poller} reactor"]
        case Mode.THREADS:
            return [f"clients ══ server (pid {pid}): a thread each, in blocking calls"]
        case Mode.BASE:
            crowd = [f"clients ═╤═ {workers[0]}: its own {poller} reactor, its own connections"]
            crowd += [f"         ╞═ {name}" for name in workers[1:]]
            crowd[-1] = (
                crowd[-1].replace("╞", "╘") if len(crowd) > 1 else crowd[-1].replace("╤", "═")
            )
            manager = f"manager (pid {pid}): starts and reaps them; messages by {options.ipc}"
            return [*crowd, *(f"            {name}" for name in tasks), manager]
        case Mode.PROCESS:
            head = f"clients ══ master (pid {pid}), {poller} "
            crowd = [*workers, *tasks]
            lines = [f"{'':{len(head)}}├── {name}" for name in crowd]
            mark = "┬── " if len(crowd) > 1 else "─── "
            by = f"   by {options.ipc}, {options.dispatch}"
            lines[0] = head + mark + crowd[0] + by
            if len(crowd) > 1:
                lines[-1] = lines[-1].replace("├", "└")
            return [*lines, "           manager: starts and reaps the workers"]


def _named(role: str, count: int, most: int = 4) -> list[str]:
    """worker-0, worker-1, ...: at most so many lines."""
    if count <= most:
        return [f"{role}-{number}" for number in range(count)]
    return [f"{role}-0", f"{role}-1", f"... {role}-{count - 1}"]


def is_worth_saying(row: EffectiveRow, options: Options) -> bool:
    """Limits of the machine, what was asked for, and what does not hold as it stands."""
    if row.name in _ALWAYS or row.name in options.given:
        return row.name not in ("mode", "status")
    if not row.why or row.effective == "not used":
        return False
    return row.effective != _default_text(row)


def _default_text(row: EffectiveRow) -> str:
    from netlab.server.settings.option_table import OPTION_NAMED
    from netlab.server.settings.option_text import value_text

    option = OPTION_NAMED.get(row.name)
    if option is None or option.derived:
        return row.effective
    return value_text(option.default)


def row_lines(row: EffectiveRow) -> list[str]:
    """`backlog 9000 → 4096  net.core.somaxconn`, folded under itself."""
    value = row.effective
    if row.asked not in ("", "default", row.effective):
        value = f"{row.asked} → {row.effective}"
    text = f"{value}  ({row.why})" if row.why else value
    head = f"  {row.name:<{_TITLE - 3}} "
    return textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=" " * _TITLE, break_on_hyphens=False
    )


def how_to_end(options: Options, pid: int) -> list[str]:
    """Which keys and signals do what."""
    lines = []
    if options.mode in (Mode.BASE, Mode.PROCESS):
        lines.append(f"kill -HUP {pid} reloads the workers, TTIN and TTOU: one more, one less")
    return [*lines, "Ctrl-C stops in order, a second one at once"]

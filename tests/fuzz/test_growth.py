"""Hostile captures take time in proportion to their length: four times the frames, not sixteen."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from growth import KINDS, capture

from netlab.capture.files import read_raw
from netlab.commands.inspect import lists, messages, one_connection
from netlab.commands.inspect.asked import Asked
from netlab.explain.analysis import analyse
from netlab.model.garbage import no_collection

FRAMES = 1_501
# Four times is proportional; sorting and looking up, and the machine, add to it.
MOST_TIMES, LEAST_S = 9.0, 0.15


def spent(kind: str, frames: int, path: Path) -> dict[str, float]:
    """Seconds of processor time by what was done."""
    path.write_bytes(capture(KINDS[kind](frames)))
    raw = read_raw(path)
    found: dict[str, float] = {}

    def timed(what: str, work: Callable[[], object]) -> object:
        with no_collection():  # as in the command; a collection comes when it likes
            begun = time.process_time()
            done = work()
            found[what] = time.process_time() - begun
        return done

    tables = analyse(raw)
    timed("tables", lambda: analyse(raw))
    timed("messages", lambda: tables.messages)
    with redirect_stdout(io.StringIO()):
        timed("summary", lambda: lists.show(tables, raw, Asked("x")))
        timed("packets", lambda: lists.show(tables, raw, Asked("x", view="packets")))
        every = Asked("x", view="messages", limit=0)
        timed("list of messages", lambda: messages.show_list(tables, raw, every))
        if tables.connections:
            ladder = Asked("x", connection="0")
            timed("ladder", lambda: one_connection.show(tables, raw, ladder, "0"))
            stream = Asked("x", connection="0", stream="both")
            timed("stream", lambda: one_connection.show(tables, raw, stream, "0"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_time_grows_with_the_length(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    spent(kind, 101, path)  # imports
    short = spent(kind, FRAMES, path)
    late: dict[str, tuple[float, float]] = {}
    for _ in range(3):  # what is slow is slow each time
        long = spent(kind, 4 * FRAMES, path)
        late = {
            what: (short[what], seconds)
            for what, seconds in long.items()
            if seconds > MOST_TIMES * max(short[what], LEAST_S / 4)
        }
        if not late:
            break
    assert not late

"""README.md lists the keys of every view's JSON: they are those of the views' records.

With `--update-golden` the list is written anew.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from netlab.show.views.calls import CallLine
from netlab.show.views.connections import ConnectionSummary
from netlab.show.views.content import Content
from netlab.show.views.difference import Difference
from netlab.show.views.facts import Facts
from netlab.show.views.journey import Journey
from netlab.show.views.marks import Ladder
from netlab.show.views.messages import MessageLine, MessageView
from netlab.show.views.packets import FieldView, PacketLine, PacketView
from netlab.show.views.states import StatesView
from netlab.show.views.summary import Summary
from netlab.show.views.why import Why
from netlab.show.views.why_sentences import Sentence

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"(<!-- keys -->\n```\n)(.*?)(```\n)", re.DOTALL)
VIEWS: dict[str, type[Any]] = {
    "inspect FILE": Summary,
    "inspect FILE --connections, a list of": ConnectionSummary,
    "inspect FILE --packets, a list of": PacketLine,
    "inspect FILE --calls, a list of": CallLine,
    "inspect FILE --connection N": Ladder,
    "inspect FILE --connection N --stream both": Content,
    "inspect FILE --connection N --states": StatesView,
    "inspect FILE --connection N --facts": Facts,
    "inspect FILE --packet N": PacketView,
    "inspect FILE --packet N --field NAME, a list of": FieldView,
    "inspect FILE --messages, a list of": MessageLine,
    "inspect FILE --message M": MessageView,
    "why FILE": Why,
    "why FILE --call N": Sentence,
    "diff A B": Difference,
    "follow FILE": Journey,
}


def records_of(record: type[Any], seen: dict[str, type[Any]]) -> Iterator[str]:
    """`a, b, c: Kind`: the keys of a record; those that hold records name their kind."""
    hints = get_type_hints(record)
    for one in fields(record):
        inner = [kind for kind in kinds(hints[one.name]) if is_dataclass(kind)]
        for kind in inner:
            seen.setdefault(kind.__name__, kind)
        many = "[]" if inner and "tuple" in str(hints[one.name]) else ""
        yield one.name + (f": {inner[0].__name__}{many}" if inner else "")


def kinds(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from kinds(part)


def listed() -> str:
    lines = []
    inner: dict[str, type[Any]] = {}
    for view, record in VIEWS.items():
        lines += [view, *paragraph(records_of(record, inner))]
    done: set[str] = set()
    while len(done) < len(inner):
        for name, record in list(inner.items()):
            if name not in done:
                done.add(name)
                lines += [name, *paragraph(records_of(record, inner))]
    return "\n".join(lines) + "\n"


def paragraph(keys: Iterator[str]) -> list[str]:
    return textwrap.wrap(", ".join(keys), 100, initial_indent="    ", subsequent_indent="    ")


def test_the_readme_lists_every_key(request: pytest.FixtureRequest) -> None:
    text = README.read_text(encoding="utf-8")
    new, blocks = BLOCK.subn(lambda found: found[1] + listed() + found[3], text)
    if request.config.getoption("--update-golden"):
        README.write_text(new, encoding="utf-8")
        return
    assert blocks == 1
    assert text == new

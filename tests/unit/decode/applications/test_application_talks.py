"""Talks written by hand -> what each side said, with every field: compared with a golden file."""

from __future__ import annotations

from collections.abc import Callable

from application_samples import ANSWER, QUERY, TALKS, C, S, play, protocol_of
from datagram_samples import DATAGRAMS

from netlab.decode.applications.message import Said
from netlab.decode.applications.registry import by_name
from netlab.show.escape import printable


def described(one: Said) -> list[str]:
    lines = [f"  {one.start}..{one.stop} {one.protocol}: {printable(one.text)}"]
    if one.fault:
        lines.append(f"      fault: {one.fault}")
    for item in one.items:
        line = f"      {item.start}..{item.stop} {item.name}: {printable(item.text)}"
        line += f" ({item.meaning})" if item.meaning else ""
        lines.append(f"{line} [{item.source}]")
    return lines


def test_talks(golden: Callable[[str, str], None]) -> None:
    lines = []
    for talk, script in TALKS.items():
        said = play(protocol_of(talk), script)
        for side in (C, S):
            lines.append(f"{talk}, {side}")
            for one in said[side]:
                lines += described(one)
    golden("application_talks.txt", "\n".join(lines) + "\n")


def test_datagrams(golden: Callable[[str, str], None]) -> None:
    lines = []
    for name, (protocol, payload) in {
        **DATAGRAMS, "dns query": ("dns", QUERY), "dns answer": ("dns", ANSWER),
    }.items():  # fmt: skip
        datagram = by_name(protocol).datagram
        assert datagram is not None
        lines.append(name)
        for one in datagram(payload):
            lines += described(one)
    golden("application_datagrams.txt", "\n".join(lines) + "\n")

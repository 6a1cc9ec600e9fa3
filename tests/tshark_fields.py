"""Fields as tshark reads them: one row a frame, each field with all its values."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

_BETWEEN = "\x1f"  # stands between the values of a field


def tshark_rows(
    path: Path, display: str, fields: Sequence[str], options: Sequence[str] = ()
) -> list[dict[str, list[str]]]:
    """The frames that the display filter lets through, each with the values of these fields."""
    wanted = ["frame.number", "tcp.srcport", *fields]
    flags = [part for field in wanted for part in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-n", "-r", path, "-Y", display, *options, "-T", "fields",
         "-E", "separator=\x1e", "-E", f"aggregator={_BETWEEN}", "-E", "occurrence=a", *flags],
        capture_output=True, check=False,
    )  # fmt: skip
    # 2: the file ends within a record, which is what some sample captures are for.
    assert done.returncode in (0, 2), done.stderr
    rows = []
    out = done.stdout.decode(errors="surrogateescape")
    for line in filter(None, out.split("\n")):
        values = [value.split(_BETWEEN) if value else [] for value in line.split("\x1e")]
        rows.append(dict(zip(wanted, values, strict=True)))
    return rows


def column(rows: Sequence[dict[str, list[str]]], field: str, port: int | None = None) -> list[str]:
    """All values of a field one behind the other; `port`: of what that port sent."""
    return [
        value
        for row in rows
        if port is None or row["tcp.srcport"] == [str(port)]
        for value in row[field]
    ]

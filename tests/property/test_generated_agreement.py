"""Verdicts and the numbers beside them are tshark's on a large generated capture: a table of it.

    .ci/test -m slow -s tests/property/test_generated_agreement.py

The capture is what the generator beside the sample captures makes, of packets of at most 96 bytes,
so that TCP options are cut off in some. The engine's tables are compared, and of the smaller
capture also those of the general path. tshark takes about 45 us and 600 bytes of memory a packet.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from deliberate_differences import TSHARK_CUT
from tshark_verdicts import FIELDS, NUMBERS, TIMES

from netlab.capture.files import read_raw
from netlab.correlate.verdicts import VERDICTS
from netlab.engine.known import SECOND
from netlab.engine.native import Native
from netlab.engine.whole import read
from netlab.explain.analysis import analyse
from netlab.model.tables import Connection, columns
from netlab.show.bulk import bulk_frame
from netlab.show.frames import frame

SMALL, LARGE = 200_000, 2_000_000
OF_PACKETS = ["frame", "payload_off", "caplen_bytes"]
OF_SEGMENTS = [c.name for c in columns("segments") if c.name not in SECOND]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("packets", [SMALL, LARGE])
def test_verdicts_are_tsharks(packets: int, captures_dir: Path, tmp_path: Path) -> None:
    generator = captures_dir.parent / "bench" / "make_capture.py"
    assert generator.exists()
    made = tmp_path / "made"
    subprocess.run([sys.executable, generator, made, str(packets), "96"], check=True)
    made.with_suffix(".pcapng").unlink()
    path, told = made.with_suffix(".pcap"), tmp_path / "tshark.tsv"
    try:
        there = tshark_frame(path, told)
        whole = read(str(path), Native(), keep=True, with_second=packets == SMALL)
        segments = bulk_frame(whole, "segments", OF_SEGMENTS)
        compare(
            f"{packets:,} packets, the engine", there,
            with_stream(segments, whole.connections()), bulk_frame(whole, "packets", OF_PACKETS),
        )  # fmt: skip
        if packets == SMALL:
            general = analyse(read_raw(path))
            compare(
                f"{packets:,} packets, the general path", there,
                with_stream(frame(general, "segments"), general.connections),
                frame(general, "packets").select(OF_PACKETS),
            )  # fmt: skip
            mine = bulk_frame(whole, "segments", ["frame", *SECOND])
            assert mine.equals(frame(general, "segments").select("frame", *SECOND))
    finally:  # hundreds of megabytes
        path.unlink()
        told.unlink(missing_ok=True)


def tshark_frame(path: Path, told: Path) -> pl.DataFrame:
    """What tshark says, a row a segment, in netlab's columns: null for none."""
    flags = [part for name in FIELDS for part in ("-e", name)]
    with told.open("wb") as out:
        subprocess.run(
            ["tshark", "-n", "-r", path, "-Y", "tcp", "-T", "fields", "-E", "separator=|",
             "-E", "occurrence=f", *flags],
            stdout=out, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    text = pl.read_csv(
        told, separator="|", has_header=False, new_columns=FIELDS, infer_schema_length=0,
    )  # fmt: skip
    return text.select(
        pl.col("frame.number").cast(pl.Int64).alias("frame"),
        pl.col("tcp.stream").cast(pl.Int64).alias("stream"),
        pl.col("tcp.seq").cast(pl.Int64).alias("seq"),
        *(pl.col(f"tcp.analysis.{name}").is_not_null().alias(name) for name in VERDICTS),
        *(_number(field).alias(name) for name, field in NUMBERS.items()),
        *(_ns(field).alias(name) for name, field in TIMES.items()),
    )


def with_stream(segments: pl.DataFrame, connections: list[Connection]) -> pl.DataFrame:
    """The segments, each with the stream number of its connection."""
    numbers = {"connection": [row.connection for row in connections],
               "stream": [row.stream for row in connections]}  # fmt: skip
    return segments.join(pl.DataFrame(numbers), on="connection", how="left")


def _number(field: str) -> pl.Expr:
    value = pl.col(field).cast(pl.Int64, strict=False)
    return pl.when(value != 0).then(value)


def _ns(field: str) -> pl.Expr:
    """Nine digits stand behind the point."""
    return pl.col(field).str.replace(".", "", literal=True).cast(pl.Int64, strict=False)


def compare(title: str, there: pl.DataFrame, segments: pl.DataFrame, packets: pl.DataFrame) -> None:
    """Print a line for each column, and fail where one differs."""
    cut = packets.filter(pl.col("payload_off") > pl.col("caplen_bytes"))
    hidden = segments.join(cut, on="frame", how="semi").height
    here = segments.join(cut, on="frame", how="anti").sort("frame")
    seen = there.join(cut, on="frame", how="anti").sort("frame")
    said = there.join(cut, on="frame", how="semi").select(VERDICTS)
    assert not any(said[name].any() for name in VERDICTS)
    assert here["frame"].equals(seen["frame"])
    print(f"\n\n{title}: {here.height:,} segments; {hidden:,} more:\n  {TSHARK_CUT}")
    print(f"\n{'column':<28} {'tshark':>9} {'netlab':>9} {'differ':>6}")
    wrong: dict[str, int] = {}
    for name in there.columns[1:]:
        a, b = seen[name], here[name]
        differ = int((a.ne_missing(b)).sum())
        counts = [int(c.sum()) if c.dtype == pl.Boolean else len(c) - c.null_count()
                  for c in (a, b)]  # fmt: skip
        print(f"{name:<28} {counts[0]:>9,} {counts[1]:>9,} {differ:>6}")
        if differ:
            wrong[name] = differ
    assert wrong == {}

"""The servers that stand in the table, what is required of their ratios, and how both are printed.

Figures come from elsewhere; here nothing runs. Ratios are taken within a round, since what else the
machine does meets all servers of a round alike; then medians.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from tests.bench.load_client import Load

WORK_US = 90  # of Python in a handler, where there is one


@dataclass(frozen=True)
class Row:
    """A server of the table, and what it is started with; `{spools}` is a folder."""

    title: str
    file: str
    arguments: tuple[str, ...] = ()
    several: bool = False  # processes
    works: bool = False  # WORK_US a message
    captured: bool = False  # its packets too


def _netlab(
    title: str, *arguments: str, several: bool = False, works: bool = False, captured: bool = False
) -> Row:
    return Row(f"netlab {title}", "netlab_server.py", arguments, several, works, captured)


def _workers(mode: str, count: int) -> tuple[str, ...]:
    return ("--mode", mode, "--workers", str(count))


SINGLE = _netlab("single")
RECORDED = _netlab("single, recorded", "--record", "{spools}")
CAPTURED = _netlab("single, with packets", "--record", "{spools}", captured=True)
THREADS = _netlab("threads", "--mode", "threads")
PROCESS_1 = _netlab("process, 1 worker", *_workers("process", 1), several=True)
PROCESS_2 = _netlab("process, 2 workers", *_workers("process", 2), several=True)
WORKING_1 = _netlab("base, 1 worker, works", *_workers("base", 1), several=True, works=True)
WORKING_2 = _netlab("base, 2 workers, work", *_workers("base", 2), several=True, works=True)
PROTOCOL = Row("asyncio Protocol", "asyncio_protocol.py")
STREAMS = Row("asyncio streams", "asyncio_streams.py")

ROWS = (
    Row("bare loop over epoll", "bare_epoll.py"),
    SINGLE,
    RECORDED,
    CAPTURED,
    Row("uvloop Protocol", "uvloop_protocol.py"),
    PROTOCOL,
    STREAMS,
    Row("socketserver threads", "socketserver_threads.py"),
    THREADS,
    Row("gevent StreamServer", "gevent_streams.py"),
    Row("Twisted Protocol", "twisted_protocol.py"),
    Row("trio streams", "trio_streams.py"),
    PROCESS_1,
    PROCESS_2,
    WORKING_1,
    WORKING_2,
)


@dataclass
class Figures:
    """What was measured of one row, a value a round."""

    loads: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of the server, a request
    churns: list[Load] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What went wrong, in words; there must be none."""
        return [load.first_error for load in [*self.loads, *self.churns] if load.errors]


Measured = dict[Row, Figures]


@dataclass(frozen=True)
class Required:
    """A ratio of two rows, and what it must reach; None: it is told, nothing is asked of it."""

    text: str
    above: Row
    below: Row
    least: float | None
    churn: bool = False  # connections a second, not echoes


REQUIRED = (
    Required("single / asyncio Protocol", SINGLE, PROTOCOL, 1.2),
    Required("single / asyncio streams", SINGLE, STREAMS, 2.0),
    Required("single recorded / asyncio Protocol, not recorded", RECORDED, PROTOCOL, 0.85),
    Required("single, calls and packets recorded / the same", CAPTURED, PROTOCOL, None),
    Required("single / asyncio Protocol, connections a second", SINGLE, PROTOCOL, 1.0, True),
    Required(
        f"base, 2 workers / 1, with {WORK_US} µs of work a message", WORKING_2, WORKING_1, 1.6
    ),
    Required("process with 1 worker / single", PROCESS_1, SINGLE, None),
    Required("process with 2 workers / single", PROCESS_2, SINGLE, None),
)


def ratio(measured: Measured, above: Row, below: Row, *, churn: bool = False) -> float:
    """How many times as much as `below`: the median of the rounds' ratios."""
    pairs = zip(_loads(measured, above, churn), _loads(measured, below, churn), strict=True)
    return median(one.rate / max(other.rate, 1) for one, other in pairs)


def table(measured: Measured) -> Iterator[str]:
    """A line for each row."""
    yield (
        f"{'':30}{'echoes/s':>9}{'x asyncio':>10}{'p50 µs':>8}{'p99 µs':>8}{'CPU µs':>7}"
        f"{'conn/s':>8}"
    )
    for row, found in measured.items():
        rate = median(load.rate for load in found.loads)
        p50_us = median(load.p50_us for load in found.loads)
        p99_us = median(load.p99_us for load in found.loads)
        times = ratio(measured, row, PROTOCOL)
        churn = median(load.rate for load in found.churns)
        yield (
            f"{row.title:30}{rate:9,.0f}{times:10.2f}{p50_us:8,.0f}{p99_us:8,.0f}"
            f"{median(found.cpu_us):7.1f}{churn:8,.0f}"
        )


def verdicts(measured: Measured) -> Iterator[str]:
    """A line for each ratio."""
    for required in REQUIRED:
        if not {required.above, required.below} <= measured.keys():
            continue
        found = ratio(measured, required.above, required.below, churn=required.churn)
        yield f"{required.text:58}{found:6.2f}{verdict(found, at_least=required.least)}"


def verdict(
    found: float, *, at_least: float | None = None, at_most: float | None = None
) -> str:  # fmt: skip
    """What is required of a figure, and whether it holds."""
    if at_least is not None:
        return f"  >= {at_least:<5}{'holds' if found >= at_least else 'FAILS'}"
    if at_most is not None:
        return f"  <= {at_most:<5}{'holds' if found <= at_most else 'FAILS'}"
    return ""


def _loads(measured: Measured, row: Row, churn: bool) -> list[Load]:
    return measured[row].churns if churn else measured[row].loads

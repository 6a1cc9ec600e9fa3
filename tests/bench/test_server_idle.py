"""One busy connection among many idle ones: what an event costs then, and what each one holds.

The server's processor time for a message (a wait, a recv, a send) beside 10,000 idle connections
must be at most half as much again as beside ten; what the process holds for each, beyond the
kernel's own memory, less than 4 kB. Rounds are interleaved; medians.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from tests.bench.load_client import LoadClient
from tests.bench.server_process import Memory, OthersTime, ServerProcess, processors
from tests.bench.server_rows import PROTOCOL, RECORDED, ROWS, SINGLE, Row, verdict

FEW, MANY = 10, 10_000
ROUNDS = 3
BUSY_S = 0.7
SHOWN = (ROWS[0], SINGLE, RECORDED, PROTOCOL)
REQUIRED_OF = (SINGLE, RECORDED)


@dataclass
class Figures:
    """Of one server with so many connections, a value a round."""

    cpu_us: list[float] = field(default_factory=list)  # a message
    p50_us: list[float] = field(default_factory=list)
    memory: Memory | None = None  # of the first round: what it grew by stays with the process


@pytest.mark.bench
def test_ten_thousand_idle_connections(
    client: LoadClient, tmp_path: Path, descriptors: int, capsys: pytest.CaptureFixture[str]
) -> None:
    others = OthersTime()
    measured = {(row, count): Figures() for row in SHOWN for count in (FEW, MANY)}
    with ExitStack() as stack:
        servers = {
            row: stack.enter_context(start(row, tmp_path / str(number), descriptors))
            for number, row in enumerate(SHOWN)
        }
        for _ in range(ROUNDS):
            for (row, count), figures in measured.items():
                measure(client, servers[row], count, figures)
    with capsys.disabled():
        print(f"\n\none busy connection of {FEW}, and of {MANY:,}: processor time a message")
        show(measured)
        print(f"others took {others.processors():.2f} processors meanwhile")


def start(row: Row, folder: Path, descriptors: int) -> ServerProcess:
    folder.mkdir()
    arguments = [argument.format(spools=folder / "spools") for argument in row.arguments]
    return ServerProcess(
        row.file, *arguments, cpus=processors()[0], said=folder / "stderr", descriptors=descriptors
    )


def measure(client: LoadClient, server: ServerProcess, count: int, figures: Figures) -> None:
    cpu_s: list[float] = []

    def look() -> None:
        if figures.memory is None:
            figures.memory = server.memory()
        cpu_s.append(server.cpu_s())

    load = client.run(
        server.port, connections=1, idle=count - 1, seconds=BUSY_S, cpus=processors()[1], look=look
    )
    assert load.errors == 0, load.first_error
    figures.cpu_us.append((cpu_s[1] - cpu_s[0]) / load.done * 1e6)
    figures.p50_us.append(load.p50_us)


def show(measured: dict[tuple[Row, int], Figures]) -> None:
    print(f"{'':30}{FEW:>8}{MANY:>9,}  µs{'p50 µs':>15}{'RSS':>8}{'PSS':>7}  a connection")
    lines = []
    for row in SHOWN:
        few, many = measured[row, FEW], measured[row, MANY]
        rss, pss = each(few.memory, many.memory)
        print(
            f"{row.title:30}{median(few.cpu_us):8.1f}{median(many.cpu_us):9.1f}    "
            f"{median(few.p50_us):7.0f}{median(many.p50_us):6.0f}{rss:8,.0f}{pss:7,.0f}  bytes"
        )
        if row in REQUIRED_OF:
            found = median(m / f for m, f in zip(many.cpu_us, few.cpu_us, strict=True))
            lines.append(f"{row.title}: time with {MANY:,} / with {FEW}".ljust(58))
            lines[-1] += f"{found:6.2f}{verdict(found, at_most=1.5)}"
            lines.append(f"{row.title}: kB (PSS) a connection".ljust(58))
            lines[-1] += f"{pss / 1000:6.2f}{verdict(pss / 1000, at_most=4)}"
    print("\n".join(["", *lines]))


def each(few: Memory | None, many: Memory | None) -> tuple[float, float]:
    """RSS and PSS a connection, in bytes."""
    assert few is not None
    assert many is not None
    more = MANY - FEW
    return (many.rss_bytes - few.rss_bytes) / more, (many.pss_bytes - few.pss_bytes) / more

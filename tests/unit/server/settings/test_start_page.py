"""What a server says when it starts."""

from __future__ import annotations

import pytest

from netlab.server.settings.effective import KernelFacts, effective
from netlab.server.settings.options import options_from
from netlab.server.settings.start_page import picture, row_lines, start_lines

FACTS = KernelFacts(
    somaxconn=4096, descriptors=1024, descriptors_hard=20_000, rmem_max=212_992, wmem_max=212_992,
    fastopen=1, cpus=2,
)  # fmt: skip


def page(unsaid: tuple[str, ...] = (), **options: object) -> list[str]:
    chosen = options_from(None, **options)
    rows = effective(chosen, FACTS)
    return start_lines("echo: x", chosen, rows, ["tcp:127.0.0.1:7"], 42, unsaid, ["a note"])


def rows_of(lines: list[str]) -> dict[str, str]:
    found = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    return {words[0]: words[1] for words in found if len(words) == 2}


def test_defaults_say_little() -> None:
    lines = page(max_connections=100)
    rows = rows_of(lines)
    assert rows["RLIMIT_NOFILE"] == "1024  (hard: 20000)"
    assert rows["net.core.somaxconn"] == "4096"
    assert rows["max_connections"] == "100"
    assert not rows.keys() & {"backlog", "nodelay", "high_watermark", "rcvbuf", "mode", "workers"}
    assert lines[-2:] == ["  a note", "  Ctrl-C stops in order, a second one at once"]


def test_what_does_not_hold_as_asked_is_said_with_the_reason() -> None:
    rows = rows_of(page(backlog=9000, fastopen=16, rcvbuf=1 << 20, tasks=0))
    assert rows["backlog"] == "9000 → 4096  (net.core.somaxconn)"
    assert rows["fastopen"].startswith("16 → 0  (net.ipv4.tcp_fastopen is 1")
    assert rows["rcvbuf"].startswith("1048576 → 425984  (net.core.rmem_max is 212992")
    assert rows["max_connections"].startswith("960  (RLIMIT_NOFILE is 1024")


def test_what_the_handler_chose_is_left_out() -> None:
    assert "terminator" in rows_of(page(terminator=b"\n"))
    assert "terminator" not in rows_of(page(("terminator", "framing"), terminator=b"\n"))


@pytest.mark.parametrize("mode", ["single", "threads", "base", "process"])
@pytest.mark.parametrize("workers", [1, 2, 4, 5, 1000])
def test_pictures_name_every_role_and_fit(mode: str, workers: int) -> None:
    tasks = 0 if mode in ("single", "threads") else 3
    options = options_from(
        None, mode=mode, workers=workers, tasks=tasks, poller="select", ipc="posix_mq",
        max_connections=100, dispatch="function" if mode == "process" else "fixed",
        dispatch_func=(lambda session, data: 0) if mode == "process" else None,
    )  # fmt: skip
    lines = picture(options, 4_194_304)
    assert max(map(len, lines)) <= 78
    text = "\n".join(lines)
    assert text.startswith("clients ═")
    assert "pid 4194304" in text
    if mode in ("base", "process"):
        assert text.count("worker-") == min(workers, 4 if workers <= 4 else 3)
        assert f"worker-{workers - 1}" in text
        assert "task-2" in text
        assert "manager" in text
        assert "posix_mq" in text


def test_long_reasons_are_folded_under_their_row() -> None:
    rows = effective(options_from(None, user_timeout=5, keepalive=True, cork=True), FACTS)
    for row in rows:
        for number, line in enumerate(row_lines(row)):
            assert len(line) <= 80
            assert line.startswith("  " if not number else " " * 22)

"""The status page as text and as JSON, and where its socket stands."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from netlab.model.errors import UsageError
from netlab.server import Server
from netlab.server.loop.reactor import Reactor
from netlab.server.pages import status_door
from netlab.server.pages.status import (
    ConnectionRow,
    ProcessRow,
    StatusPage,
    bytes_text,
    duration_text,
    page_from_json,
    page_lines,
)
from netlab.server.pages.status_door import Door, connection_row, doors, runtime_folder
from netlab.server.plain import PlainProbe
from netlab.server.terms import ClientInfo, PollerKind

BIG = (1 << 50) - 1
FIGURES = dict.fromkeys(
    (
        "connections", "accepted", "closed", "received_bytes", "sent_bytes", "messages",
        "responses", "workers", "idle_workers", "task_workers", "tasks_waiting", "tasks_done",
        "accept_pauses", "restarts", "lost_messages",
    ),
    999_999_999,
) | {"connections": 1_048_576, "refused": 99_999}  # fmt: skip


def page(connections: int = 3) -> StatusPage:
    row = ConnectionRow(1 << 46, "[2001:db8:0:1:1:1:1:1]:65535", 1023, BIG, BIG, BIG, 1e7, "open")
    return StatusPage(
        "process", 4_194_304, 1e7, ("tcp:0.0.0.0:7777", "unix:@x"), FIGURES,
        (
            ProcessRow("worker-1023'", 4_194_304, 1_000_000, 99_999_999, BIG, BIG, 99_999, 5000.0,
                       "WINCH"),
            ProcessRow("manager", 7),
        ),
        (row,) * connections,
    )  # fmt: skip


def test_the_page_survives_json() -> None:
    assert page_from_json(page().as_json()) == page()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mode": 1}', b"\xff", "null"])
def test_what_is_no_page_is_an_error_of_three_kinds(text: str | bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        page_from_json(text)


def test_lines_fit_whatever_the_figures() -> None:
    assert max(map(len, page_lines(page()))) <= 80


def test_only_the_first_connections_are_shown() -> None:
    assert "and 2 more: netlab status --json" in "\n".join(page_lines(page(12)))
    assert "more" not in "\n".join(page_lines(page(10)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (9.96, "10.0s"), (59.4, "59s"), (60, "1m00"), (3599, "59m59"), (3600, "1h00"),
     (359_999, "99h59"), (360_000, "4d")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9960, "10 kB"),
     (999_499, "999 kB"), (999_500, "1.0 MB"), (BIG, "1126 TB")],
)  # fmt: skip
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_a_connections_state_is_the_first_that_matters() -> None:
    info = ClientInfo(5, 0, ("192.0.2.1", 9), ("192.0.2.2", 80), connected_at_s=10.0,
                      received_at_s=12.0, paused=True, peer_finished=True)  # fmt: skip
    row = connection_row(info, 15.0)
    assert (row.client, row.state, row.idle_s) == ("192.0.2.1:9", "paused", 3.0)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_the_folder_is_made_private(runtime: Path) -> None:
    assert runtime_folder() == runtime / "netlab"
    assert (runtime / "netlab").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["open to others", "a link", "a file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(runtime: Path, how: str) -> None:
    folder = runtime / "netlab"
    if how == "a link":
        (runtime / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(runtime / "elsewhere")
    elif how == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o755)
    assert runtime_folder() != folder
    assert all(folder not in path.parents for path in doors())


def test_without_a_folder_the_server_serves_all_the_same(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> Path:
        raise UsageError("no private folder", "make one")

    monkeypatch.setattr(status_door, "runtime_folder", none)
    server = Server("127.0.0.1", 0, status=True)
    server.on("receive", lambda server, session, data: None)
    server.on("start", lambda server: server.shutdown())
    assert server.start() == 0
    assert "netlab status will find nothing here: no private folder: make one" in caplog.text


def test_a_path_longer_than_the_kernel_takes_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 200)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with Reactor(PlainProbe(), PollerKind.EPOLL) as reactor:
        door = Door(reactor, [7777, 0, 8888, 7777], page)
        assert [path.name for path in doors()] == [f"7777_8888-{os.getpid()}.sock"]
        door.close()
    assert doors() == []


def test_a_socket_that_cannot_be_had_is_an_error_in_words(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_folder().joinpath(f"1-{os.getpid()}.sock").mkdir()
    wanted = pytest.raises(UsageError, match=r"no status socket at .*: give --no-status")
    with Reactor(PlainProbe(), PollerKind.EPOLL) as reactor, wanted:
        Door(reactor, [1], page)

"""`netlab serve` from end to end: what it says, what it obeys, how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest
from handled import every_mode, read_exactly
from lab_process import run_netlab
from serve_process import WITHIN_S, Serving, refused

MANY = ("--workers", "2", "--tasks", "1")


def as_many(mode: str) -> tuple[str, ...]:
    return ("--mode", mode, *(MANY if mode in ("base", "process") else ()))


@every_mode
def test_it_serves_files_to_curl_and_stops_in_order(tmp_path: Path, mode: str) -> None:
    (tmp_path / "file.txt").write_text("hello")
    options = ("--handler", "http", "--folder", tmp_path, "-l", "127.0.0.1:0", *as_many(mode))
    with Serving(tmp_path, *options) as server:
        url = f"http://127.0.0.1:{server.port}/file.txt"
        done = subprocess.run(["curl", "-sf", url], capture_output=True, text=True, check=True)
        assert done.stdout == "hello"
        status, stdout, stderr = server.end(signal.SIGINT)
    assert (status, stdout, stderr) == (0, "", "")


@every_mode
def test_the_page_fits_and_names_what_matters(tmp_path: Path, mode: str) -> None:
    with Serving(tmp_path, "-l", "127.0.0.1:0", "--backlog", "70000", *as_many(mode)) as server:
        page = "\n".join(server.page)
    assert max(map(len, server.page)) <= 80
    assert server.page[0] == "netlab serve, echo: gives back every byte"
    for name in ("RLIMIT_NOFILE", "net.core.somaxconn", "70000 → "):
        assert name in page
    assert ("worker-1" in page) == (mode in ("base", "process"))
    assert ("kill -HUP" in page) == (mode in ("base", "process"))


def test_several_addresses_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    options = ("-l", "127.0.0.1:0", "-l", "[::1]:0", "-l", "udp:127.0.0.1:0", "-l", path,
               "-l", f"unix_dgram:{tmp_path}/b.sock")  # fmt: skip
    with Serving(tmp_path, *options) as server:
        places = [line.strip().removeprefix("at ") for line in server.page if ":" in line][1:6]
        assert [place.partition(":")[0] for place in places] == [
            "tcp", "tcp", "udp", "unix", "unix_dgram",
        ]  # fmt: skip
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(WITHIN_S)
            client.connect(str(path))
            client.sendall(b"there?")
            assert read_exactly(client, 6) == b"there?"
        assert server.end(signal.SIGTERM)[0] == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--handler", "ecko"), "there is no handler 'ecko': there is echo, "),
        (("--backlog", "many"), "backlog is 'many': give a whole number from 0"),
        (("--mode", "both"), "mode is 'both': give single|threads|base|process"),
        (("--tasks", "1"), "single mode has no task workers"),
        (("--set", "worker_num"), "--set worker_num has no value"),
        (("--set", "wroker_num=2"), "there is no option wroker_num: did you mean worker_num?"),
        (("--set", "daemonize=1"), "there is no option daemonize: run it under a service manager"),
        (("--workers", "2", "--set", "worker_num=3"), "both mean workers, and differ"),
        (("-l", "somewhere"), "'somewhere' is no address"),
        (("-l", "127.0.0.1:99999"), "port 99999 is out of range"),
        (("-l", "192.0.2.77:0"), "no interface of this machine has that address"),
        (("--handler", "http", "-l", "udp:0"), "the http handler speaks no UDP"),
        (("--handler", "slow", "--pauses", "soon"), "--pauses soon: numbers of seconds"),
        (("--watch",), "No such option"),
    ],
)
@pytest.mark.parametrize("recorded", [False, True], ids=["alone", "recorded"])
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], words: str, recorded: bool
) -> None:
    more = ("--record", "a.pcapng") if recorded else ()
    status, stderr = refused(tmp_path, *arguments, *more)
    assert status == 2
    assert words in stderr
    assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recorded", [False, True], ids=["alone", "recorded"])
def test_a_port_that_is_taken_is_named_with_its_owner(tmp_path: Path, recorded: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        more = ("--record", "a.pcapng") if recorded else ()
        port = owner.getsockname()[1]
        status, stderr = refused(tmp_path, "-l", f"127.0.0.1:{port}", *more)
    assert status == 2
    assert f"cannot listen on tcp:127.0.0.1:{port}: Address already in use" in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_second_interrupt_does_not_wait_for_who_does_not_read(tmp_path: Path) -> None:
    options = ("--handler", "chargen", "--limit", "50M", "-l", "127.0.0.1:0")
    status, _ = refused(tmp_path, *options)
    assert status == 2  # the limit is a plain number
    options = ("--handler", "chargen", "--limit", "50000000", "-l", "127.0.0.1:0",
               "--drain-timeout", "3600")  # fmt: skip
    with Serving(tmp_path, *options) as server, server.client() as client:
        client.recv(1)  # more is on its way than we will ever read
        server.signal(signal.SIGINT)
        while server.listens():  # it begins to stop
            pass
        assert server.end(signal.SIGINT)[0] == 1


@pytest.mark.parametrize("mode", ["base", "process"])
def test_reloading_gives_new_workers_and_keeps_the_connection(tmp_path: Path, mode: str) -> None:
    with Serving(tmp_path, "-l", "127.0.0.1:0", *as_many(mode)) as server:
        with server.client() as client:
            client.sendall(b"one")
            assert read_exactly(client, 3) == b"one"
            before = {row["name"]: row["pid"] for row in server.status()["processes"]}
            server.signal(signal.SIGHUP)
            while True:
                rows = server.status()["processes"]
                now = {row["name"]: row["pid"] for row in rows if not row["name"].endswith("'")}
                changed = {name for name in now if now[name] != before.get(name)}
                if changed >= {"worker-0", "worker-1", "task-0"} and len(rows) == len(before):
                    break
            assert "HUP" in {row["signal"] for row in rows}
            client.sendall(b"two")
            assert read_exactly(client, 3) == b"two"
        assert server.end(signal.SIGTERM)[0] == 0


def test_swooles_names_do(tmp_path: Path) -> None:
    options = ("--mode", "process", "--set", "worker_num=1", "--set", "open_tcp_nodelay=no")
    with Serving(tmp_path, "-l", "127.0.0.1:0", *options) as server:
        names = {row["name"] for row in server.status()["processes"]}
        page = "\n".join(server.page)
    assert names == {"master", "manager", "worker-0"}
    assert "nodelay             no" in page


def test_help_fits_and_lists_every_option(tmp_path: Path) -> None:
    from netlab.server.settings.option_kinds import Function
    from netlab.server.settings.option_table import OPTIONS

    text = run_netlab(tmp_path, "serve", "--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    joined = " ".join(text.split())
    for option in OPTIONS:
        if not isinstance(option.kind, Function):
            assert f"--{option.name.replace('_', '-')}" in text
        for alias in () if isinstance(option.kind, Function) else option.swoole:
            assert alias.name in joined

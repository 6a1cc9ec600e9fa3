"""Servers by others in a lab: they daemonise, change user, bind port 80, refuse to be root.

`.ci/servers` gets them. Each is configured as its user would: a folder of its own, nothing that
needs a right. Sizes are primes.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_process import LIMIT_S, ORDINARY_USER, ROOT, mark_of, netlab_arguments, processes_marked

import netlab
from netlab.capture.files import read_raw
from netlab.correlate.ledger import ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.lab.server_and_clients import LabOptions, Standing, run_lab
from netlab.model.tables import Connection, Tables

WHO = pytest.mark.parametrize("who", [(), ORDINARY_USER], ids=["as we are", "ordinary user"])
NOBODY = 65534
PATH = f"{ROOT / '.servers' / 'bin'}:{os.environ['PATH']}"
PAGE_BYTES = 94_139

NGINX_CONF = """
worker_processes 3;
pid nginx.pid;
events { }
http {
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server { listen 80; listen [::]:80; root html; }
}
"""
NGINX = "nginx -p {} -c nginx.conf -e error.log"
GET = "curl -sS{} -o {} -w '%{{http_code}} %{{size_download}}\\n' http://server/page"
# All hosts of a lab share its process namespace: a client can see whom nginx' processes are.
NGINX_USERS = (
    'for it in /proc/[0-9]*; do read name <$it/comm; [ "$name" != nginx ] || stat -c %u $it; done'
)
POSTGRES = """
set -e
initdb -D data -U me --auth=trust --no-sync --no-instructions >initdb.log
echo 'host all all all trust' >>data/pg_hba.conf
exec postgres -D data -h '*' -k "$PWD" -c jit=off 2>postgres.log
"""
# PostgreSQL listens before it serves, and says so to whoever comes too early.
QUERY = (
    "id -u; until said=$(psql -h server -U me postgres -Atc {} 2>psql.log)"
    "; do grep -q 'starting up' psql.log || exit; done; echo $said"
)
SET_AND_GET = """
import socket
with socket.create_connection(("server", 11211)) as sock:
    sock.sendall(b"set key 0 0 4093\\r\\n" + b"v" * 4093 + b"\\r\\nget key\\r\\nquit\\r\\n")
    print(sum(map(len, iter(lambda: sock.recv(1 << 16), b""))))
"""
SET_BYTES = len(f"set key 0 0 4093\r\n{'v' * 4093}\r\nget key\r\nquit\r\n")
GOT_BYTES = len(f"STORED\r\nVALUE key 0 4093\r\n{'v' * 4093}\r\nEND\r\n")
CHATTER_BYTES = 2 * 4_999_999
CHATTER = f"""
import os, socket
listener = socket.create_server(("", 80))
sock, _ = listener.accept()
request = sock.recv(1 << 16)
for descriptor in (1, 2):
    with open(descriptor, "wb", closefd=False) as file:
        file.write(b"x" * {CHATTER_BYTES // 2})
os.write(2, b"\\nthe last\\n")
sock.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n{CHATTER_BYTES}")
sock.close()
os._exit(3)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everyone can reach: a server that changes user must read its files."""
    with tempfile.TemporaryDirectory(prefix="netlab-programs-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def lab(
    folder: Path, *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a lab to its end; nothing that it started is left."""
    done = subprocess.run(
        [*before, *netlab_arguments("lab", "-o", "l.pcapng", "--quiet", *arguments)],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT_S,
        env=environment(folder),
    )  # fmt: skip
    assert left_running(folder) == []
    return done


def environment(folder: Path) -> dict[str, str]:
    mark = mark_of(folder)
    return {**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT), "NETLAB_TEST_MARK": mark}


def left_running(folder: Path) -> list[int]:
    """Processes with our mark, or at work below the folder: some write over their environment."""
    found = processes_marked(folder)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                place = os.readlink(entry / "cwd")
            except OSError:
                continue
            if Path(place).is_relative_to(folder):
                found.append(int(entry.name))
    return found


def recorded(folder: Path, *, port: int) -> Tables:
    """The recording, once it is so that both ends' packets are there and all arrived, and each byte
    between the hosts has its calls on both sides."""
    raw = read_raw(folder / "l.pcapng")
    assert raw.description.form == "finished"
    assert (raw.faults, raw.losses) == ([], [])
    tables = analyse(raw)
    assert {packet.fate for packet in tables.packets} == {"delivered"}
    assert all(packet.arrived_ns is not None for packet in tables.packets)
    assert {packet.interface for packet in tables.packets} == {"client", "server"}
    assert ledger_mismatches(tables) == []
    wired = {connection.connection for connection in over_the_wire(tables)}
    assert [gap for gap in tables.unmatched if gap.connection in wired] == []
    for connection in over_the_wire(tables):
        assert connection.server_port == port
        assert connection.close_kind == "fin"
        assert closed_in_order(tables, connection)
    return tables


def over_the_wire(tables: Tables) -> list[Connection]:
    """Its connections between hosts; programs have Unix sockets, too."""
    return [c for c in tables.connections if c.protocol == "tcp"]


def closed_in_order(tables: Tables, connection: Connection) -> bool:
    """Whether each end sent its FIN (on a busy machine perhaps twice), and none a RST."""
    frames = {s.frame for s in tables.segments if s.connection == connection.connection}
    ours = [(p.sport, p.tcp_flags or "") for p in tables.packets if p.frame in frames]
    closed = {port for port, flags in ours if "FIN" in flags}
    ports = {connection.client_port, connection.server_port}
    return closed == ports and not any("RST" in flags for _, flags in ours)


def moved(tables: Tables) -> list[tuple[int, int]]:
    """Bytes of each connection, the client's and the server's."""
    return [(c.client_bytes, c.server_bytes) for c in over_the_wire(tables)]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def nginx_folder(folder: Path) -> None:
    (folder / "nginx.conf").write_text(NGINX_CONF)
    (folder / "html").mkdir()
    (folder / "html" / "page").write_bytes(bytes(index % 251 for index in range(PAGE_BYTES)))


@WHO
def test_nginx_with_its_workers(folder: Path, who: tuple[str, ...]) -> None:
    nginx_folder(folder)
    before = files(folder)
    four, six = GET.format("4", "four"), GET.format("6", "six")
    done = lab(
        folder, "--server", NGINX.format(folder),
        "--client", f"sh -c {shlex.quote(f'{four}; {six}; {NGINX_USERS}; exit 7')}", before=who,
    )  # fmt: skip
    # As root its three workers become nobody; else nobody is asked to change.
    ours = 1000 if who else os.getuid()
    workers = [f"{NOBODY if ours == 0 else ours}"] * 3
    answers = [f"200 {PAGE_BYTES}"] * 2
    assert (done.returncode, done.stderr) == (7, "")
    assert sorted(done.stdout.split("\n")) == sorted([*answers, *workers, f"{ours}", ""])
    for name in ("four", "six"):
        assert (folder / name).read_bytes() == (folder / "html" / "page").read_bytes()
    tables = recorded(folder, port=80)
    assert [":" in connection.client for connection in over_the_wire(tables)] == [False, True]
    (four_bytes, six_bytes) = moved(tables)
    assert four_bytes == six_bytes
    assert PAGE_BYTES < four_bytes[1] < PAGE_BYTES + 499  # and a header
    # It was stopped as its user would stop it: no pid file is left.
    assert len((folder / "access.log").read_text().splitlines()) == 2
    temporary = {"body", "proxy", "fastcgi", "uwsgi", "scgi"}
    assert files(folder) - before == {"l.pcapng", "four", "six", "access.log", "error.log"} | (
        temporary
    )
    assert (folder / "error.log").read_text() == ""


@WHO
@pytest.mark.parametrize("daemonize", ["no", "yes"])
def test_redis(folder: Path, who: tuple[str, ...], daemonize: str) -> None:
    done = lab(
        folder, "--server",
        f"redis-server --daemonize {daemonize} --dir {folder} --logfile redis.log --save ''"
        " --pidfile redis.pid --protected-mode no",
        "--client", "redis-cli -h server incrby key 4093", before=who,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "4093\n", "")
    (both,) = moved(recorded(folder, port=6379))
    assert both == (len(b"*3\r\n$6\r\nincrby\r\n$3\r\nkey\r\n$4\r\n4093\r\n"), len(b":4093\r\n"))
    assert files(folder) == {"l.pcapng", "redis.log"}
    assert "Redis is now ready to exit, bye bye..." in (folder / "redis.log").read_text()


@WHO
@pytest.mark.parametrize("options", ["", "-d -P {}/memcached.pid"], ids=["foreground", "daemon"])
def test_memcached(folder: Path, who: tuple[str, ...], options: str) -> None:
    """`-u` is what root must say, and what others may: they stay who they are."""
    done = lab(
        folder, "--server", f"memcached -u nobody {options.format(folder)}",
        "--client", shlex.join([sys.executable, "-c", SET_AND_GET]), before=who,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{GOT_BYTES}\n", "")
    assert moved(recorded(folder, port=11211)) == [(SET_BYTES, GOT_BYTES)]
    assert files(folder) - {"memcached.pid"} == {"l.pcapng"}


def test_postgres_makes_a_database_and_serves_it(folder: Path) -> None:
    (folder / "serve").write_text(POSTGRES)
    query = QUERY.format(shlex.quote("select repeat('v', 4093)"))
    done = lab(
        folder, "--server", "sh serve", "--listen-timeout", "40",
        "--client", f"sh -c {shlex.quote(query)}", before=ORDINARY_USER,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"1000\n{'v' * 4093}\n", "")
    tables = recorded(folder, port=5432)
    assert moved(tables)[-1][1] > 4093
    assert "database system is shut down" in (folder / "postgres.log").read_text()
    assert not (folder / "data" / "postmaster.pid").exists()
    assert files(folder) == {
        "l.pcapng", "serve", "data", "initdb.log", "postgres.log", "psql.log",
    }  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("server", ["initdb -D data", "postgres -D data", "memcached"])
def test_root_is_told_how_to_be_someone_else(folder: Path, server: str) -> None:
    done = lab(folder, "--server", server, "--client", "true")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("netlab: server ended (status ")
    assert done.stderr.endswith("; it ran as root: choose another user with --user\n")
    assert files(folder) == set()


@pytest.fixture
def for_nobody(folder: Path) -> Path:
    """The folder with a netlab and servers that everyone may read, a place of nobody's, and one
    that is closed to all but root: root's PATH often begins with such a one."""
    shutil.copytree(Path(netlab.__file__).parent, folder / "lib" / "netlab")
    shutil.copytree(ROOT / ".servers", folder / ".servers", symlinks=True)
    (folder / "hidden").mkdir(mode=0o700)
    shutil.copy("/bin/false", folder / "hidden" / "sh")
    shutil.copy("/usr/bin/python3", folder / "hidden" / "python3")
    (folder / "there").mkdir()
    os.chown(folder / "there", NOBODY, NOBODY)
    (folder / "there" / "serve").write_text(POSTGRES)
    return folder


def lab_of_nobody(
    folder: Path, *arguments: str, python: Path = Path("/usr/bin/python3")
) -> subprocess.CompletedProcess[str]:
    """With Debian's Python."""
    libraries = [str(folder / "lib"), sysconfig.get_paths()["purelib"]]
    words = ["lab", "-o", "l.pcapng", "--quiet", "--user", "nobody", "--listen-timeout", "40"]
    done = subprocess.run(
        [python, "-m", "netlab", *words, *arguments],
        cwd=folder / "there", capture_output=True, text=True, timeout=LIMIT_S,
        env={"PYTHONPATH": ":".join(libraries), "NETLAB_TEST_MARK": mark_of(folder),
             "PATH": f"{folder / 'hidden'}:{folder / '.servers' / 'bin'}:/usr/bin:/bin"},
    )  # fmt: skip
    assert left_running(folder) == []
    return done


@pytest.mark.root
def test_root_lets_them_be_someone_else(for_nobody: Path) -> None:
    there = for_nobody / "there"
    client = ["sh", "-c", QUERY.format("'select 4093'")]
    done = lab_of_nobody(for_nobody, "--server", "sh serve", "--client", shlex.join(client))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{NOBODY}\n4093\n", "")
    recorded(there, port=5432)
    calls = read_raw(there / "l.pcapng").calls  # strace is nobody, too
    assert {call.witness for call in calls} == {"strace"}
    assert {call.host for call in calls if call.op == "recvfrom"} == {"client", "server"}
    assert (there / "data").stat().st_uid == NOBODY
    assert (there / "l.pcapng").stat().st_uid == 0


@pytest.mark.root
def test_a_setuid_program_is_what_it_is_without_us(for_nobody: Path) -> None:
    """As root its right is honoured, for who traces it may; as somebody else nobody has any."""
    program = for_nobody / "id"
    shutil.copy("/usr/bin/id", program)
    os.chown(program, 1000, 1000)
    program.chmod(0o4755)
    if os.statvfs(for_nobody).f_flag & os.ST_NOSUID:
        pytest.fail("the temporary folder is mounted nosuid", pytrace=False)
    for witness in ("none", "strace"):
        words = ["--witness", witness, "--client", f"{program} -u"]
        assert lab_of_nobody(for_nobody, *words).stdout == f"{NOBODY}\n"
        assert lab(for_nobody, *words).stdout == "1000\n"


@pytest.mark.root
def test_what_someone_else_may_not_execute(for_nobody: Path) -> None:
    done = lab_of_nobody(for_nobody, "--client", f"{for_nobody}/hidden/sh")
    assert (done.returncode, done.stderr) == (
        3,
        f"netlab: cannot start the client: {for_nobody}/hidden/sh: Permission denied: "
        "name a file that nobody may execute, or choose another user with --user\n",
    )
    python = for_nobody / "hidden" / "python3"
    done = lab_of_nobody(for_nobody, "--client", "true", python=python)
    assert (done.returncode, done.stderr) == (
        3,
        f"netlab: cannot start the wire: {python}: Permission denied: choose another user with "
        "--user, or install netlab where that user can read it, for a Python that they can "
        f"execute (this one is {python})\n",
    )
    assert files(for_nobody / "there") == {"serve"}


def test_a_standing_lab_names_a_port_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx has a socket for IPv4 and one for IPv6."""
    nginx_folder(folder)
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.chdir(folder)
    told: list[tuple[str, ...]] = []

    def hear(standing: Standing) -> None:
        told.append(standing.listening)
        os.kill(os.getpid(), signal.SIGINT)

    words = shlex.split(NGINX.format(folder))
    result = run_lab(LabOptions(Path("l.pcapng"), server=words), hear)
    assert (told, result.exit_code, result.interrupted) == ([("tcp:80",)], 0, None)


@WHO
def test_daemons_die_with_netlab(folder: Path, who: tuple[str, ...]) -> None:
    nginx_folder(folder)
    netlab_process = subprocess.Popen(
        [*who, *netlab_arguments("lab", "-o", "l.pcapng", "--server", NGINX.format(folder))],
        cwd=folder, stderr=subprocess.PIPE, text=True, env=environment(folder),
    )  # fmt: skip
    assert netlab_process.stderr is not None
    while "Ctrl-C ends the lab" not in (line := netlab_process.stderr.readline()):
        assert line, "it ended"
    until_s = time.monotonic() + LIMIT_S
    while sum(is_nginx(pid) for pid in left_running(folder)) != 4:
        assert time.monotonic() < until_s  # it listens before all of it is there
        select.select([], [], [], 0.02)
    netlab_process.kill()
    netlab_process.communicate(timeout=LIMIT_S)
    while left := left_running(folder):
        assert time.monotonic() < until_s, left
        select.select([], [], [], 0.02)


def is_nginx(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "nginx\n"


@WHO
def test_a_server_that_writes_more_than_anyone_keeps(folder: Path, who: tuple[str, ...]) -> None:
    """It is never held up: its client is served once all is written."""
    (folder / "serve.py").write_text(CHATTER)
    done = lab(
        folder, "--server", f"{sys.executable} serve.py",
        "--client", "curl -sS http://server/", before=who,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{CHATTER_BYTES}")
    assert done.stderr == "netlab: the server ended (status 3) before it was stopped: the last\n"

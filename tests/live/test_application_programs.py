"""Applications by others, recorded while they talk: netlab's messages against tshark's and scapy's.

`.ci/servers` gets Redis and PostgreSQL; the name server is dpkt's, its clients scapy's.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_process import LIMIT_S, ORDINARY_USER, ROOT, netlab_arguments
from name_server import QUESTIONS
from scapy.layers import dns
from trace_process import FILE, trace
from tshark_applications import (
    by_tshark,
    check_dns,
    check_mqtt,
    check_postgres,
    check_redis,
    named,
    read,
    sides,
)
from tshark_fields import column

from netlab.correlate.messages import said_of
from netlab.model.tables import Direction
from tests.private_network import in_private_network

SERVERS = ROOT / ".servers" / "bin"
PATH = f"{SERVERS}:{os.environ['PATH']}"
REDIS = """
redis-server --port 6379 --save '' --bind 127.0.0.1 >redis.log &
until redis-cli ping >ping.log 2>&1; do :; done
redis-cli set key 4093
redis-cli -3 hset hash a 1 b 2
redis-cli -3 hgetall hash
redis-cli rpush list one two three
redis-cli lrange list 0 -1
redis-cli get nothing
redis-cli incr hash
redis-cli --eval script.lua 2>&1
python3 pipeline.py
redis-cli shutdown nosave
wait
"""
PIPELINE = """
import socket
with socket.create_connection(("127.0.0.1", 6379)) as one:
    one.sendall(b"".join(b"*2\\r\\n$4\\r\\nINCR\\r\\n$1\\r\\nn\\r\\n" for _ in range(97)))
    got = b""
    while got.count(b"\\r\\n") < 97:
        got += one.recv(4096)
    one.sendall(b"SUBSCRIBE news\\r\\n")
    assert one.recv(4096).endswith(b":1\\r\\n")
    with socket.create_connection(("127.0.0.1", 6379)) as other:
        other.sendall(b"PUBLISH news 'two words'\\r\\n")
        assert other.recv(4096) == b":1\\r\\n"
    assert b"two words" in one.recv(4096)
print(got.splitlines()[-1].decode())
"""
ASKING = """
import socket
with socket.create_connection(("127.0.0.1", 11211)) as one:
    one.sendall(b"set key 7 60 4093\\r\\n" + b"v" * 4093 + b"\\r\\n")
    one.sendall(b"get key other\\r\\nincr key 1\\r\\nmg key s v\\r\\nmn\\r\\nstats\\r\\nquit\\r\\n")
    while one.recv(4096):
        pass
"""
MEMCACHED = """
memcached -u nobody -l 127.0.0.1 -P $PWD/memcached.pid &
tries=0
until python3 ask.py 2>ask.log; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { kill $!; exit 1; }
done
kill $!
wait
"""
POSTGRES = """
set -e
initdb -D data -U me --auth=trust --no-sync --no-instructions >initdb.log
echo 'host all all all trust' >>data/pg_hba.conf
exec postgres -D data -h '*' -k "$PWD" -c jit=off 2>postgres.log
"""
SQL = r"""
create table t (id int, name text);
copy t from stdin;
1	one
2	two
3	three
\.
select * from t order by id;
insert into t select n, repeat('v', 97) from generate_series(4, 97) n;
copy t to stdout;
select id from t;
select * from missing;
begin; select 1 / 0; rollback;
prepare p as select count(*) from t where id < $1; execute p(23);
do $$ begin raise notice 'careful'; end $$;
"""
CLIENT = (
    "until psql -h server -U me postgres -Atc 'select 1' >psql.log 2>&1; do"
    " grep -q 'starting up' psql.log || exit; done;"
    " psql -h server -U me postgres -XAt -f queries.sql 2>errors.log"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user can reach."""
    with tempfile.TemporaryDirectory(prefix="netlab-programs-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_redis(tmp_path: Path) -> None:
    (tmp_path / "talk").write_text(REDIS)
    (tmp_path / "script.lua").write_text("return redis.call('nope')")
    (tmp_path / "pipeline.py").write_text(PIPELINE)

    def work() -> None:
        done = trace(tmp_path, "--", "sh", "talk", env={"PATH": PATH})
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == ":97"

    in_private_network(work)
    found, rows = read(tmp_path / FILE), by_tshark(tmp_path / FILE)
    assert check_redis(rows, found) == len(found)
    said = [said_of(one) for one in found]
    assert [one.fault for one in said if one.fault] == []
    client, server = sides(found, "Redis")
    texts = [one.text for one in said]
    for text in (
        "SET key 4093", "SET key: OK", "HGETALL hash: 2 pairs: a = 1, b = 2",
        "LRANGE list: 3 values: one, two, three", "GET nothing: nil", "INCR n: 97",
        "subscribed to news, 1 subscription now", 'message on news: "two words"',
        "PUBLISH news: 1",
    ):  # fmt: skip
        assert text in texts
    assert any(text.startswith("INCR hash: error WRONGTYPE") for text in texts)
    # Every reply has its command, but for what was published and what was confirmed, and the
    # server that was told to shut down never replies.
    answering = [one for one in server if any(item.name == "answers" for item in one.items)]
    commands = [one for one in client if not one.text.startswith(("SUBSCRIBE", "SHUTDOWN"))]
    assert len(answering) == len(commands) == len(server) - 2
    for one in answering:
        assert one.text.startswith(named([one], "answers")[0])


@pytest.mark.slow
def test_postgres(folder: Path) -> None:
    (folder / "serve").write_text(POSTGRES)
    (folder / "queries.sql").write_text(SQL)
    done = subprocess.run(
        [*ORDINARY_USER, *netlab_arguments("lab", "-o", FILE, "--quiet", "--server", "sh serve",
         "--listen-timeout", "40", "--client", f"sh -c {shlex.quote(CLIENT)}")],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT_S,
        env={**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, rows = read(folder / FILE), by_tshark(folder / FILE)
    check_postgres(rows, found)
    assert [one.fault for one in found if one.fault] == []
    client, server = sides(found, "PostgreSQL")
    texts = [one.text for one in server]
    for text in (
        "SELECT 1: 1 row", "1 row: ?column? = 1", "COPY 3: 3 rows", "SELECT 3: 3 rows",
        "INSERT 0 94: 94 rows", "COPY 97: 97 rows", "SELECT 97: 97 rows",
        'error 42P01: relation "missing" does not exist', "error 22012: division by zero",
        "ready, in a failed transaction", "1 row: count = 22", "notice 00000: careful",
        "2 columns: id, name",
    ):  # fmt: skip
        assert text in texts
    assert sum(text.startswith("97 rows, ") for text in texts) == 1
    assert any(one.text.startswith("copied data: ") for one in client)
    assert client[-1].text == "goodbye"


@pytest.mark.root  # memcached becomes nobody, whom a namespace of an ordinary user does not have
def test_memcached(tmp_path: Path) -> None:
    (tmp_path / "talk").write_text(MEMCACHED)
    (tmp_path / "ask.py").write_text(ASKING)

    def work() -> None:
        done = trace(tmp_path, "--", "sh", "talk", env={"PATH": PATH})
        assert done.returncode == 0, done.stderr

    in_private_network(work)
    client, server = sides(read(tmp_path / FILE), "memcached")
    assert [one.text for one in client] == [
        "set key: 4,093 bytes, for 60 s", "get key other", "incr key 1", "mg key s v", "mn",
        "stats", "quit",
    ]  # fmt: skip
    said = [one.text for one in server]
    assert said[:5] == [
        "set key: STORED", "get key: key (4,093 bytes)",
        "incr key: CLIENT_ERROR cannot increment or decrement non-numeric value",
        "mg key: value (4,093 bytes)", "mn: MN",
    ]  # fmt: skip
    assert said[5].startswith("stats: ")
    assert said[5].endswith(" figures")
    assert [one.fault for one in (*client, *server) if one.fault] == []


@pytest.mark.slow
def test_curl_with_mail_files_and_mqtt(tmp_path: Path) -> None:
    program = Path(__file__).with_name("curl_servers.py")
    lines = [f"line {number}".ljust(71, ".") for number in range(997)]
    mail = "Subject: many lines\nFrom: a@me.example\n\n" + "\n".join([*lines, ".", ""])
    (tmp_path / "mail").write_text(mail.replace("\n", "\r\n"), newline="")

    def work() -> None:
        done = trace(tmp_path, "--", sys.executable, program)
        assert done.returncode == 0, done.stderr
        got, said = map(int, done.stdout.split()[-2:])
        assert got == 3 * 31_337
        assert said >= 4093  # some versions of curl print the topic too

    in_private_network(work)
    found = read(tmp_path / FILE)
    rows = by_tshark(tmp_path / FILE, "-d", "tcp.port==2525,smtp", "-d", "tcp.port==2121,ftp")
    assert [one for one in found if one.fault] == []
    client, server = sides(found, "SMTP")
    assert named(client, "command") == column(rows, "smtp.req.command")
    codes = [text.partition(" ")[0].partition("-")[0] for text in named(server, "reply")]
    assert codes == column(rows, "smtp.response.code")
    # The dot that begins a line is doubled on the wire (RFC 5321 4.5.2).
    size = len(mail) + mail.count("\n") + 1
    texts = [one.text for one in client]
    assert f'a mail "many lines": 1,001 lines, {size:,} bytes' in texts
    assert "mail from a@me.example (SIZE=" in "".join(texts)
    assert [text for text in texts if text.startswith("to ")] == [
        "to b@you.example", "to c@you.example"]  # fmt: skip
    assert server[-1].text == "QUIT: 221 2.0.0 bye"
    client, server = sides(found, "FTP")
    assert named(client, "command") == column(rows, "ftp.request.command")
    assert [text[:3] for text in named(server, "reply")] == column(rows, "ftp.response.code")
    ports = column(rows, "ftp.epsv.port")
    assert named(server, "data address") == [f"port {port} of the server" for port in ports]
    assert len(ports) == 1
    assert check_mqtt(rows, found) == 9
    texts = [one.text for side in sides(found, "MQTT") for one in side]
    assert "publish here: 4,093 bytes, QoS 0" in texts
    assert "publish there: hello (5 bytes), QoS 0" in texts


@pytest.mark.slow
def test_name_server(tmp_path: Path) -> None:
    program = Path(__file__).with_name("name_server.py")

    def work() -> None:
        done = trace(tmp_path, "--", sys.executable, program)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == str(2 * len(QUESTIONS))

    in_private_network(work)
    found = read(tmp_path / FILE)
    datagrams = [one for one in found if len(one.frames) == 1 and one.start == 0 and one.protocol]
    assert Counter(one.direction for one in found if one.protocol == "DNS") == {
        Direction.C2S: 2 * len(QUESTIONS), Direction.S2C: 2 * len(QUESTIONS),
    }  # fmt: skip
    rows = by_tshark(tmp_path / FILE)
    over_udp = [row for row in rows if not row["tcp.srcport"]]
    udp = {int(row["frame.number"][0]) for row in over_udp}
    assert check_dns(over_udp, [one for one in datagrams if one.frames[-1] in udp]) == 2 * len(
        QUESTIONS)  # fmt: skip
    said = [said_of(one) for one in found]
    ids = [text for one in said for text in named([one], "id")]
    assert Counter(ids) == Counter(column(rows, "dns.id"))
    texts = [one.text for one in said]
    for text in (
        "A www.example.com?", "www.example.com is 192.0.2.1 (TTL 4093 s)",
        "www.example.com is ::1 (TTL 4093 s)",
        "mail for example.com goes to mx.example.com, preference 10 (TTL 4093 s)",
        'example.com says "one" "two" (TTL 4093 s)', "A no.example.com: no such name",
        "alias.example.com is another name for www.example.com (TTL 4093 s)",
        "many.example.com is 192.0.2.0 (TTL 4093 s), 23 answers",
    ):  # fmt: skip
        assert texts.count(text) == 2, text
    assert scapys(tmp_path) == Counter(
        (text, name) for one in said for text, name in zip(
            named([one], "id"), named([one], "question 1 name"), strict=True)
    )  # fmt: skip


def scapys(folder: Path) -> Counter[tuple[str, str]]:
    """Id and name of each message over UDP, and of those over TCP, as scapy reads the datagrams."""
    from netlab.capture.files import read_raw
    from netlab.explain.analysis import analyse

    raw = read_raw(folder / FILE)
    found: Counter[tuple[str, str]] = Counter()
    for packet, frame in zip(analyse(raw).packets, raw.frames, strict=True):
        if packet.protocol == "UDP" and packet.payload_off is not None:
            message = dns.DNS(bytes(frame.data[packet.payload_off :]))
            name = message.qd[0].qname.decode().removesuffix(".")
            found[f"0x{message.id:04x}", name] += 2  # the same was asked over TCP
    return found

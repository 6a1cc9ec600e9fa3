"""Programs by others that talk to each other, and what is prepared for them: the cases of the map.

`.ci/servers` gets them. Each case is a folder of its own, a server (or two) and a client as their
users would call them, bounded in bytes and requests. Sizes are primes or stand beside an edge.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netlab.correlate.reasons import Reason

Prepare = Callable[[Path], None]
Commands = tuple[tuple[str, str], ...]  # a host, and what runs on it as a shell would read it


@dataclass(frozen=True)
class Case:
    """Who talks to whom. `allowed`: why bytes on the network may be left over in the ledger."""

    servers: Commands
    client: str
    prepare: Prepare
    hosts: tuple[str, ...] = ("client", "server")
    allowed: frozenset[Reason] = frozenset()


# A client that has what it wants, or hopes that a connection is kept when the server has closed it.
ABORTED = frozenset({Reason.RESET, Reason.CLOSED_UNREAD, Reason.LOST})

# What is prepared.

SMALL = (1, 2, 1447, 1448, 1449, 65_537)
LARGE = (*SMALL, 1_000_003)


def content(size: int) -> bytes:
    """So many bytes, of which no two stretches of a segment's length are equal."""
    rows = b"".join(number.to_bytes(3) for number in range(size // 3 + 1))
    return rows[:size]


def site(*sizes: int) -> Prepare:
    """A folder with a page for each size."""

    def prepare(folder: Path) -> None:
        (folder / "site").mkdir()
        for size in sizes:
            (folder / "site" / str(size)).write_bytes(content(size))

    return prepare


def both(*parts: Prepare) -> Prepare:
    def prepare(folder: Path) -> None:
        for part in parts:
            part(folder)

    return prepare


def file(name: str, text: str) -> Prepare:
    return lambda folder: (folder / name).write_text(text) and None


def curl(options: str, *sizes: int) -> str:
    """One curl that gets all pages, over one connection unless options say otherwise."""
    pages = " ".join(f"-o got/{size} http://server/{size}" for size in sizes)
    return f"curl -sS --fail --create-dirs {options} {pages}"


NGINX = "nginx -p {folder} -c nginx.conf -e error.log"


def nginx_conf(sendfile: str) -> str:
    return f"""
worker_processes 2;
pid nginx.pid;
events {{ }}
http {{
    access_log off;
    sendfile {sendfile};
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{ listen 80; listen [::]:80; root site; }}
}}
"""


def one(
    server: str,
    client: str,
    prepare: Prepare = lambda folder: None,
    allowed: frozenset[Reason] = frozenset(),
) -> Case:
    return Case((("server", server),), client, prepare, allowed=allowed)


def caddy(*sizes: int) -> Case:
    serve = "env HOME={folder} caddy file-server --listen :80 --root site"
    return one(serve, curl("", *sizes), site(*sizes))


def nginx(sendfile: str, *sizes: int) -> Case:
    conf = file("nginx.conf", nginx_conf(sendfile))
    return one(NGINX, curl("", *sizes), both(site(*sizes), conf))


HAPROXY_CONF = """
global
    maxconn 50
    nbthread 2
defaults
    mode {mode}
    timeout connect 20s
    timeout client 20s
    timeout server 20s
{options}
frontend front
    bind :80
    default_backend back
backend back
    server one backend:8000
"""


def haproxy(mode: str, options: str, *sizes: int) -> Case:
    conf = HAPROXY_CONF.format(mode=mode, options=options)
    return Case(
        (
            ("backend", f"{sys.executable} -m http.server -d site 8000"),
            ("server", "haproxy -db -f haproxy.cfg"),
        ),
        curl("", *sizes),
        both(site(*sizes), file("haproxy.cfg", conf)),
        hosts=("client", "server", "backend"),
    )


REDIS = "redis-server --save '' --protected-mode no --dir {folder}"
BENCHMARK = "redis-benchmark -h server -d 101 -P 3 -q"

POSTGRES_SQL = """
create table t (id int, word text);
insert into t select n, repeat(chr(97 + n % 26), n % 499) from generate_series(1, 997) n;
select sum(length(word)) from t;
select * from t where id < 499;
copy t to stdout;
select repeat('v', 65537);
"""


def database(folder: Path) -> None:
    subprocess.run(
        ["initdb", "-D", "data", "-U", "me", "--auth=trust", "--no-sync", "--no-instructions"],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with (folder / "data" / "pg_hba.conf").open("a") as hba:
        hba.write("host all all all trust\n")
    (folder / "ask.sql").write_text(POSTGRES_SQL)


PSQL = (
    "sh -c 'until psql -h server -U me postgres -At -f ask.sql >told 2>psql.log; "
    'do grep -q "starting up" psql.log || exit; done\''
)
POSTGRES = "postgres -D data -h '*' -k {folder} -c jit=off -c autovacuum=off -c fsync=off"


MEMCACHED_CLIENT = """
import socket, threading
def talk(number):
    with socket.create_connection(("server", 11211)) as sock:
        file = sock.makefile("rb")
        for size in (1, 1447, 4093, 65537):
            value = bytes((number + n) % 251 for n in range(size))
            sock.sendall(b"set key%d 0 0 %d\\r\\n" % (number, size) + value + b"\\r\\n")
            assert file.readline() == b"STORED\\r\\n"
            sock.sendall(b"get key%d\\r\\n" % number)
            file.readline()
            assert file.read(size + 7) == value + b"\\r\\nEND\\r\\n"
        sock.sendall(b"quit\\r\\n")
        assert file.read() == b""
threads = [threading.Thread(target=talk, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""

NODE_SERVER = """
const http = require('http'), fs = require('fs');
http.createServer((request, response) => {
  if (request.method == 'POST') request.pipe(response);
  else fs.createReadStream('site' + request.url).pipe(response);
}).listen(3000);
"""
NODE_CLIENT = """
const sizes = process.argv.slice(2);
(async () => {
  for (const size of sizes) {
    const sent = Buffer.alloc(Number(size), size + ',');
    const echo = await fetch('http://server:3000/', {method: 'POST', body: sent});
    if (!sent.equals(Buffer.from(await echo.arrayBuffer()))) throw new Error('other bytes');
    const page = await fetch(`http://server:3000/${size}`);
    if ((await page.arrayBuffer()).byteLength != Number(size)) throw new Error('another length');
  }
})();
"""


def certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=server"],
        cwd=folder, check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def shell(text: str) -> str:
    return f"sh -c {shlex.quote(text)}"


CADDYFILE = """
{
    admin off
    auto_https off
}
:80 {
    reverse_proxy backend:8000
}
"""

ASYNCIO_SERVER = """
import asyncio, os
async def echo(reader, writer):
    while data := await reader.read(5003):
        writer.write(data)
        await writer.drain()
    writer.close()
async def serve():
    server = await asyncio.start_server(echo, "", 9000, reuse_port=True)
    await server.serve_forever()
os.fork()
asyncio.run(serve())
"""
ASYNCIO_CLIENT = """
import asyncio
async def ask(number):
    reader, writer = await asyncio.open_connection("server", 9000)
    sent = bytes((number + n) % 251 for n in range(65_537))
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == sent
    writer.close()
    await writer.wait_closed()
async def all():
    await asyncio.gather(*map(ask, range(7)))
asyncio.run(all())
"""

# Who reads which bytes is not known where several threads read at once.
SHARED_SERVER = """
import socket, threading
listener = socket.create_server(("", 9000))
while True:
    sock, _ = listener.accept()
    def pump():
        while data := sock.recv(3001):
            sock.sendall(data)
    threads = [threading.Thread(target=pump) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    sock.close()
"""
SHARED_CLIENT = """
import socket, threading
with socket.create_connection(("server", 9000)) as sock:
    def send():
        sock.sendall(bytes(65_537))
        sock.shutdown(socket.SHUT_WR)
    threading.Thread(target=send).start()
    assert sum(map(len, iter(lambda: sock.recv(1 << 16), b""))) == 65_537
"""

# A shell reads byte by byte from the socket that it inherits, and hands it on to others.
INETD_SCRIPT = "read word; echo $word; cat; exec cat site/*"
INETD_CLIENT = (
    "for it in 1 2 3; do printf 'hello\\nmore\\n' | socat -t 20 - TCP:server:9000 >>told; done"
)


def cases(sizes: tuple[int, ...], much: int) -> dict[str, Case]:
    """One of each program. `sizes`: of pages; `much`: of a stream without pages."""
    last = sizes[-1]
    words = " ".join(map(str, sizes))
    wget = f"wget -q -O /dev/null {' '.join(f'http://server:8000/{size}' for size in sizes)}"
    s_client = (
        f"for size in {words}; do printf 'GET /site/%d HTTP/1.0\\r\\n\\r\\n' $size |"
        " openssl s_client -quiet -connect server:443 >>told 2>>errors; done"
    )
    splice = "    option splice-response\n    option splice-request"
    return {
        "nginx": nginx("off", *sizes),
        "nginx sendfile": nginx("on", *sizes),
        "redis": one(REDIS, f"{BENCHMARK} -n 101 -c 3 -t set,get,lrange_100", allowed=ABORTED),
        "postgres": one(POSTGRES, PSQL, database),
        "memcached": one(
            "memcached -u nobody -t 3 -U 0",
            f"{sys.executable} client.py",
            file("client.py", MEMCACHED_CLIENT),
        ),
        "openssl": one(
            "openssl s_server -accept 443 -cert cert.pem -key key.pem -WWW -quiet",
            shell(s_client),
            both(site(*sizes), certificate),
        ),
        "iperf3": one("iperf3 -s -1", f"iperf3 -c server -n {much} -P 2", allowed=ABORTED),
        "iperf3 udp": one(
            "iperf3 -s -1",
            f"iperf3 -c server -u -b 20M -l 700 -n {much}",
            allowed=frozenset({Reason.LOST, Reason.STILL_QUEUED_DATAGRAM, Reason.SEVERAL_FIT}),
        ),
        "socat": one(
            "socat TCP-LISTEN:9000,fork,reuseaddr EXEC:cat",
            shell(f"socat -t 20 - TCP:server:9000 <site/{last} >told"),
            site(last),
        ),
        "haproxy": haproxy("http", "", *sizes),
        "haproxy splice": haproxy("tcp", splice, *sizes),
        "http.server": one(
            f"{sys.executable} -m http.server -d site 8000",
            shell(f"{wget} & {wget} & wait"),
            site(*sizes),
            allowed=ABORTED,
        ),
        "node": one(
            "node server.js",
            f"node client.js {words}",
            both(site(*sizes), file("server.js", NODE_SERVER), file("client.js", NODE_CLIENT)),
        ),
        "caddy": caddy(*sizes),
    }


def stranger_cases(sizes: tuple[int, ...]) -> dict[str, Case]:
    """Threads and processes that share what others have for themselves; a proxy written in Go."""
    return {
        "nginx threads": one(
            NGINX,
            curl("-6 --parallel", *sizes),
            both(site(*sizes), file("nginx.conf", nginx_conf("on; aio threads"))),
        ),
        "redis threads": one(
            f"{REDIS} --io-threads 3 --io-threads-do-reads yes",
            f"{BENCHMARK} -n 997 -c 20 --threads 3 -t set,get,lrange_100",
            allowed=ABORTED,
        ),
        "caddy proxy": Case(
            (
                ("backend", f"{sys.executable} -m http.server -d site 8000"),
                ("server", "env HOME={folder} caddy run --adapter caddyfile --config Caddyfile"),
            ),
            curl("--parallel", *sizes),
            both(site(*sizes), file("Caddyfile", CADDYFILE)),
            hosts=("client", "server", "backend"),
        ),
        "socat inetd": one(
            "socat TCP-LISTEN:9000,fork,reuseaddr EXEC:'sh script',nofork",
            shell(INETD_CLIENT),
            both(file("script", INETD_SCRIPT), site(SMALL[-1])),
        ),
        "asyncio": one(
            f"{sys.executable} server.py",
            f"{sys.executable} client.py",
            both(file("server.py", ASYNCIO_SERVER), file("client.py", ASYNCIO_CLIENT)),
        ),
        "shared socket": one(
            f"{sys.executable} server.py",
            f"{sys.executable} client.py",
            both(file("server.py", SHARED_SERVER), file("client.py", SHARED_CLIENT)),
            allowed=frozenset({Reason.SHARED}),
        ),
    }


def huge_cases(*sizes: int) -> dict[str, Case]:
    """What has 20 MB to say. iperf3's own copy is by sendfile with -Z, and -R turns it round."""
    return {
        "nginx": nginx("off", *sizes),
        "nginx sendfile": nginx("on", *sizes),
        "caddy": caddy(*sizes),
        "iperf3": one("iperf3 -s -1", f"iperf3 -c server -n {max(sizes)} -Z -R", allowed=ABORTED),
    }


SHORT = cases(SMALL, 100_003)
LONG = {**cases(LARGE, 1_000_003), **stranger_cases(LARGE)}
HUGE = huge_cases(1, 20_000_003)
CASES = {"short": SHORT, "long": LONG, "huge": HUGE}

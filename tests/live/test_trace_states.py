"""`netlab trace --sample`: the states of the traced program's own sockets, and of nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_trace import PYTHON, echoing
from trace_process import opened, trace

from netlab.model.tables import Side
from tests.private_network import in_private_network

PIECE, PIECES, LATE_S = 30_011, 23, 0.05
# Both ends in one program; the server takes its time, so that bytes wait to be read.
TALK = f"""
import select, socket
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
for _ in range({PIECES}):
    client.sendall(bytes({PIECE}))
    select.select([], [], [], {LATE_S})
    server.recv({PIECE}, socket.MSG_WAITALL)
client.close()
assert server.recv(1) == b""
server.close()
"""


@pytest.mark.parametrize("whose", [(), ("--all-traffic",)])
def test_the_program_s_sockets_are_sampled(tmp_path: Path, whose: tuple[str, ...]) -> None:
    def work() -> None:
        with echoing() as port:
            done = trace(tmp_path, "--sample", "2ms", *whose, "--", PYTHON, "-c", TALK)
        assert done.returncode == 0, done.stderr
        raw, tables = opened(tmp_path)
        (mine,) = (c for c in tables.connections if port not in (c.client_port, c.server_port))
        rows = [row for row in tables.states if row.connection == mine.connection]
        assert {row.side for row in rows} == set(Side)
        unread = [row.inq_bytes for row in rows if row.side == "server" and row.inq_bytes]
        assert max(unread) == PIECE
        foreign = {row.connection for row in tables.states} - {mine.connection, None}
        assert bool(foreign) == bool(whose)
        assert any(row.state == "LISTEN" for row in tables.states)
        of_whom = "of everybody" if whose else "of the program's own sockets"
        assert (
            f"of TCP sockets, {of_whom} (sock_diag), every 2ms: " in raw.description.witnesses[-1]
        )

    in_private_network(work)

"""Samples taken from outside: which end of which connection they are of, and what they say."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from playbook import ADDRESS, INODE, Play
from test_states import info

from netlab.correlate.tcp_info import state_from_sample
from netlab.model.sample import TCP_STATES, Sample
from netlab.model.tables import Connection, State, Tables

MEMORY = (2304, 131_072, 0, 46_080, 1792, 51_328, 0, 0, 3)
SYN_SENT, ESTABLISHED, LISTEN = map(TCP_STATES.index, ("SYN-SENT", "ESTABLISHED", "LISTEN"))


def sample(play: Play, side: str, state: int = ESTABLISHED, **more: object) -> None:
    """A look at one end, now."""
    other = "server" if side == "client" else "client"
    cookie = {"client": 7, "server": 8}[side]
    fields = {"inode": 0, "cookie": cookie, "local": ADDRESS[side], "peer": ADDRESS[other]} | more
    play.raw.samples.append(
        Sample(
            play.tick(), 100, "localhost", **fields, state=state, rqueue=0, wqueue=0,
            tcp_info=info(248), memory=MEMORY,
        )  # type: ignore[arg-type]
    )  # fmt: skip


def homes(tables: Tables) -> list[tuple[int | None, str | None]]:
    return [(row.connection, row.side) for row in tables.states]


# -- whose it is -----------------------------------------------------------------------------------


def test_ends_of_which_no_call_is_known_are_found_by_their_addresses() -> None:
    play = Play()
    sample(play, "client", SYN_SENT)
    play.handshake(calls=False)
    sample(play, "client")
    sample(play, "server")
    assert homes(play.tables()) == [(0, "client"), (0, "client"), (0, "server")]


def test_a_listener_and_a_connection_that_was_not_captured_are_of_none() -> None:
    play = Play()
    play.handshake(calls=False)
    sample(play, "server", LISTEN, local="0.0.0.0:80", peer="0.0.0.0:0", cookie=9)
    sample(play, "client", local="127.0.0.1:40001")
    assert homes(play.tables()) == [(None, None), (None, None)]


def test_a_port_that_is_used_again_is_told_apart_by_time() -> None:
    """Two connections of one pair of addresses; the first one's server closes late."""
    play = Play()
    play.handshake(calls=False)
    sample(play, "client")
    sample(play, "server")
    play.fin("c>s", 0), play.ack("s>c", 1), play.fin("s>c", 0, 1), play.ack("c>s", 1, 1)
    play.iss, play.irs = 500_000, 700_000
    sample(play, "client", SYN_SENT, cookie=17)  # about to send its SYN
    play.handshake(calls=False)
    sample(play, "client", cookie=17)
    sample(play, "server")  # the first one still
    sample(play, "server", cookie=18)
    tables = play.tables()
    assert len(tables.connections) == 2
    assert homes(tables) == [
        (0, "client"), (0, "server"), (1, "client"), (1, "client"), (0, "server"), (1, "server"),
    ]  # fmt: skip


def test_an_attempt_without_an_answer_is_the_one_whose_syn_it_sent() -> None:
    play = Play()
    play.handshake(calls=False)
    play.rst("c>s", 0)
    play.iss = 500_000
    sample(play, "client", SYN_SENT, cookie=17)
    play.syn()
    sample(play, "client", SYN_SENT, cookie=17)
    assert homes(play.tables()) == [(1, "client")] * 2


def test_a_socket_seen_before_the_capture_knew_of_any_is_of_none() -> None:
    play = Play()
    sample(play, "client")
    play.handshake(calls=False)
    assert homes(play.tables()) == [(None, None)]


def test_the_calls_know_whose_it_is_where_there_are_no_frames() -> None:
    """Two connections of one pair of addresses, told apart by inode alone."""
    play = Play()
    play.handshake(capture=False)
    sample(play, "client", inode=INODE["client"])
    play.did("client", "close", 0)
    play.did("server", "close", 0)
    with play.call("client", "connect", 0, address=ADDRESS["server"], inode=300):
        pass
    sample(play, "client", inode=300, cookie=17)
    sample(play, "client", inode=0, cookie=27)  # nobody knows
    tables = play.tables()
    assert len(tables.connections) == 2
    assert homes(tables) == [(0, "client"), (1, "client"), (None, None)]


def test_an_inode_that_somebody_else_has_by_now_is_not_believed() -> None:
    play = Play()
    play.handshake()
    play.did("client", "close", 0)
    sample(play, "client", inode=INODE["client"], local="127.0.0.1:40002")
    assert homes(play.tables()) == [(None, None)]


def test_ipv4_in_an_ipv6_socket_is_ipv4() -> None:
    play = Play()
    play.handshake(calls=False)
    sample(play, "client", local="[::ffff:127.0.0.1]:40000")
    assert homes(play.tables()) == [(0, "client")]


def test_one_end_of_a_socket_that_speaks_to_itself_is_not_told_from_the_other() -> None:
    row = Connection(0, 0, "tcp", "127.0.0.1", 80, "127.0.0.1", 80, 1, 9)
    from netlab.correlate.sockets import Sockets
    from netlab.correlate.states import states_of

    one = Sample(5, 1, "localhost", 0, 7, "127.0.0.1:80", "127.0.0.1:80", ESTABLISHED, 0, 0)
    (state,) = states_of([], Sockets(), [one], [row])
    assert (state.connection, state.side) == (0, None)


# -- what it says ----------------------------------------------------------------------------------


def row_of(name: str, rqueue: int, wqueue: int, notsent: int = 0) -> State:
    number = TCP_STATES.index(name)
    data = bytearray(info(248))
    data[0] = number
    struct.pack_into("=I", data, 144, notsent)
    return state_from_sample(
        Sample(5, 1, "a", 0, 7, "10.0.0.1:1", "10.0.0.2:2", number, rqueue, wqueue, bytes(data)),
        0,
        None,
    )


@pytest.mark.parametrize(
    ("name", "rqueue", "wqueue", "notsent", "bytes_"),
    [
        ("SYN-SENT", 0, 1, 0, (0, 0, 0)),
        ("SYN-SENT", 0, 101, 100, (0, 100, 100)),  # Fast Open
        ("ESTABLISHED", 33, 44, 11, (33, 44, 11)),
        ("CLOSE-WAIT", 34, 44, 0, (33, 44, 0)),  # the peer's FIN waits to be read
        ("CLOSE-WAIT", 0, 0, 0, (0, 0, 0)),  # and was read
        ("FIN-WAIT-1", 33, 45, 12, (33, 44, 11)),  # our FIN waits behind the rest
        ("FIN-WAIT-1", 33, 1, 0, (33, 0, 0)),
        ("FIN-WAIT-2", 33, 0, 0, (33, 0, 0)),
        ("LAST-ACK", 1, 1, 0, (0, 0, 0)),
        ("CLOSING", 1, 1, 0, (0, 0, 0)),
    ],
)
def test_queues_are_in_bytes_without_syn_and_fin(
    name: str, rqueue: int, wqueue: int, notsent: int, bytes_: tuple[int, int, int]
) -> None:
    row = row_of(name, rqueue, wqueue, notsent)
    assert (row.inq_bytes, row.outq_bytes, row.notsent_bytes) == bytes_
    assert row.state == name


def test_memory_is_the_kernels() -> None:
    play = Play()
    play.handshake(calls=False)
    sample(play, "client")
    (row,) = play.tables().states
    assert (row.rmem_alloc_bytes, row.rcvbuf_bytes) == (2304, 131_072)
    assert (row.wmem_queued_bytes, row.sndbuf_bytes, row.drops) == (51_328, 46_080, 3)
    assert (row.witness, row.local, row.peer) == ("sock_diag", ADDRESS["client"], ADDRESS["server"])
    assert row.ca_state == "open"


def test_a_listener_tells_of_its_queue_and_of_nothing_else() -> None:
    row = row_of("LISTEN", 3, 128)
    assert (row.accept_queue, row.backlog, row.peer) == (3, 128, None)
    named = ("time_ns", "host", "connection", "state", "witness", "local", "accept_queue",
             "backlog")  # fmt: skip
    assert {name for name in row.__slots__ if getattr(row, name) is not None} == set(named)


def test_a_request_that_has_no_socket_yet_is_a_state_and_no_more() -> None:
    whole = Sample(5, 1, "a", 0, 7, "10.0.0.1:1", "10.0.0.2:2", 3, 0, 0)
    row = state_from_sample(whole, 0, None)
    assert (row.state, row.snd_cwnd, row.inq_bytes, row.drops) == ("SYN-RECEIVED", None, None, None)


def test_a_state_that_nobody_knows_yet_is_said_to_be_unknown() -> None:
    row = state_from_sample(replace(whole_sample(), state=99), 0, None)
    assert row.state == "unknown"


def whole_sample() -> Sample:
    return Sample(5, 1, "a", 0, 7, "10.0.0.1:1", "10.0.0.2:2", 1, 0, 0)

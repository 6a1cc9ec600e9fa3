"""Why a wait took as long as it took that an error ended, of which no call says what it was."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.model.call import MSG_ERRQUEUE, POLLERR
from netlab.model.tables import Icmp, Packet
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

# --- the stamp of acknowledgement of a stream

ACK, SOFTWARE, REPORT = 1 << 9, 1 << 1, 1 << 4
TAKEN = {"size": 0, "flags": MSG_ERRQUEUE}


def stamped(option: str, *, held_ms: int = 0, events: int = POLLERR) -> Play:
    """A send whose option asks for stamps, and a wait until its bytes were acknowledged."""
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "send", 10, size=10):
        frame = 0 if held_ms else play.data("c>s", 0, 10, way="hold")
    with play.wait("client", (INODE["client"], events), op="poll", args="nfds=1"):
        play.now_ns += held_ms * MS
        frame = frame or play.data("c>s", 0, 10, way="hold")
        play.now_ns += 20 * MS
        play.arrives(frame)
        ack = play.ack("s>c", 10, way="hold")
        play.now_ns += 30 * MS
        play.arrives(ack)
    play.did("client", "recvmsg", 0, **TAKEN)
    return play


@pytest.mark.parametrize(
    "option",
    [
        f"SOL_SOCKET, 37, {ACK | REPORT}",
        f"SOL_SOCKET, SO_TIMESTAMPING, {ACK | REPORT}",
        f"SOL_SOCKET, SO_TIMESTAMPING_OLD, {ACK}",
        f"SOL_SOCKET, 65, 0x{ACK.to_bytes(4, 'little').hex()}00000000",
        f"SOL_SOCKET, 37, {ACK | SOFTWARE}",  # the bytes had left, so that had been told
    ],
)
def test_a_wait_for_the_stamp_of_acknowledgement(option: str) -> None:
    tables, rows = told(stamped(option))
    assert causes(rows, number_of(tables, "poll")) == [("network", 20), ("network", 30)]


@pytest.mark.parametrize(
    ("option", "held_ms"),
    [
        (f"SOL_SOCKET, 37, {SOFTWARE | REPORT}", 0),
        ("SOL_SOCKET, SO_RCVLOWAT, 512", 0),
        (f"SOL_SOCKET, 37, {ACK | SOFTWARE}", 10),  # the stamp of the way out came in the wait
    ],
)
def test_a_wait_for_another_stamp_or_none(option: str, held_ms: int) -> None:
    tables, rows = told(stamped(option, held_ms=held_ms))
    assert [cause for cause, _ in causes(rows, number_of(tables, "poll"))] == ["unknown"]


def test_what_was_acknowledged_before_is_not_what_the_error_queue_told() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, 37, {ACK}")
    for at in (0, 10):
        with play.call("client", "send", 10, size=10):
            last = play.data("c>s", at, at + 10)
    play.ack("s>c", 10)
    play.did("client", "recvmsg", 0, **TAKEN)
    with play.wait("client", (INODE["client"], POLLERR), op="poll", args="nfds=1"):
        play.now_ns += 40 * MS
        acked = play.ack("s>c", 20)
    tables, rows = told(play)
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("delayed_ack", 40)]
    assert of(rows, poll, "delayed_ack").frames == (last, acked)


# --- ICMP messages of datagrams

UDP: dict[str, Any] = {"kind": "SOCK_DGRAM"}


def refused(*names: str, option: str = "", of_another: bool = False) -> Play:
    """A datagram, and a wait in which ICMP messages quote it, each after 20 ms."""
    play = Play()
    play.did("client", "connect", 0, **UDP, address=ADDRESS["server"])
    if option:
        play.did("client", "setsockopt", 0, **UDP, args=option)
    with play.call("client", "send", 10, size=10, **UDP):
        frame = play.datagram(ADDRESS["client"], ADDRESS["server"], 10)
    with play.wait("client", (INODE["client"], POLLERR), op="poll", args="nfds=1"):
        for name in names:
            play.now_ns += 20 * MS
            sport = 40001 if of_another else 40000
            quoted = Packet(0, 0, None, "unknown", "lo", "", 66, 66, src="127.0.0.1",
                            dst="127.0.0.1", sport=sport, dport=80, protocol="UDP",
                            ip_id=frame)  # fmt: skip
            mtu = 1400 if name == "fragmentation needed" else None
            play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                          _quoted=quoted, _icmp=Icmp(3, 0, name, mtu),
                          _port_unreachable=name == "port unreachable")  # fmt: skip
    play.did("client", "getsockopt", 0, **UDP, args="SOL_SOCKET, SO_ERROR")
    return play


@pytest.mark.parametrize(
    ("names", "option", "expected", "certainty"),
    [
        (("port unreachable",), "", "refused", "observed"),
        (("host unreachable",), "SOL_IP, IP_RECVERR, 1", "unreachable", "observed"),
        (("port unreachable", "host unreachable"), "", "refused", "inferred"),
        (("port unreachable",), "SOL_SOCKET, 37, 18", "refused", "inferred"),
    ],
)
def test_a_wait_that_an_icmp_message_ended_which_no_call_returned(
    names: tuple[str, ...], option: str, expected: str, certainty: str
) -> None:
    tables, rows = told(refused(*names, option=option))
    poll = number_of(tables, "poll")
    assert causes(rows, poll)[0] == (expected, 20)
    assert of(rows, poll, expected).certainty == certainty
    assert of(rows, poll, expected).frames == (2,)


@pytest.mark.parametrize(
    ("name", "of_another"), [("port unreachable", True), ("fragmentation needed", False)]
)
def test_a_wait_that_another_message_cannot_have_ended(name: str, of_another: bool) -> None:
    """It quotes what another socket sent, or says that a datagram was too big."""
    tables, rows = told(refused(name, of_another=of_another))
    assert causes(rows, number_of(tables, "poll")) == [("unknown", 20)]


def test_a_message_that_came_before_the_wait_had_been_told() -> None:
    play = refused("port unreachable")
    with play.wait("client", (INODE["client"], POLLERR), op="poll", args="nfds=1"):
        play.now_ns += 20 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll", 1)) == [("refused", 20)]
    assert causes(rows, number_of(tables, "poll", 2)) == [("unknown", 20)]

"""Why a wait took as long as it took for what was reported, and never read or accepted."""

from __future__ import annotations

from netlab.model.call import POLLIN
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

UDP = {"kind": "SOCK_DGRAM"}


def test_a_wait_for_a_datagram_that_nobody_read() -> None:
    play = Play(wired=True)
    play.did("client", "bind", 0, **UDP, peer=None)
    with play.wait("client", (INODE["client"], POLLIN), op="poll", args="nfds=1"):
        play.now_ns += 40 * MS
        with play.call("server", "sendto", 10, size=10, **UDP, address=ADDRESS["client"]):
            frame = play.datagram(ADDRESS["server"], ADDRESS["client"], 10, way="hold")
        play.now_ns += 20 * MS
        play.arrives(frame)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("peer_app", 40), ("network", 20)]


def test_a_wait_for_a_client_that_nobody_accepted() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="8", inode=INODE["listener"], fd=3, peer=None)
    with play.wait("server", (INODE["listener"], POLLIN), op="poll", args="nfds=1"):
        play.now_ns += 40 * MS
        with play.call("client", "connect", 0, address=ADDRESS["server"]):
            syn = play.syn()
            play.synack()
            ack = play.ack("c>s", 0, way="hold")
        play.now_ns += 20 * MS
        play.arrives(ack)
    tables, rows = told(play)
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("no_client", 40), ("network", 20)]
    assert of(rows, poll, "no_client").frames == (syn,)
    assert of(rows, poll, "network").frames == (ack,)

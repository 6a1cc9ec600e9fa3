"""The causes that few calls meet: each where it speaks and where it is silent."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import MSG_ZEROCOPY, POLLERR, POLLOUT
from netlab.model.tables import Packet
from netlab.model.wire import Arrival
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1460


def opened(*options: str, side: str = "client") -> Play:
    play = Play(wired=True)
    play.handshake()
    for option in options:
        play.did(side, "setsockopt", 0, args=option)
    return play


def queued(rule: str, *, flight_ms: int = 60) -> Play:
    """A segment whose way took so long, by a wire that says why."""
    play = opened()
    with play.call("server", "recv", FULL, size=FULL):
        with play.call("client", "send", FULL, size=FULL):
            frame = play.data("c>s", 0, FULL, way="hold")
        play.now_ns += flight_ms * MS
        play.arrives(frame)
    packet = play.packets[-1]
    packet._arrival = Arrival(frame, "delivered", packet.arrived_ns, 0, rule)
    return play


def test_the_rate_of_the_wire_is_its_queue_and_its_delay_is_not() -> None:
    tables, rows = told(queued("rate 200kbit; delay 20ms"))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("wire_queue", 40), ("network", 20)]
    assert "rate 200kbit" in of(rows, recv, "wire_queue").text


def test_a_wire_without_a_rate_has_no_queue() -> None:
    tables, rows = told(queued("delay 60ms"))
    assert causes(rows, number_of(tables, "recv")) == [("network", 60)]


def blocked_by_a_loss(*, sacked: bool) -> Play:
    """A send that fills the buffer while its first segment is lost; the ACK of all ends it."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    size = 100 * FULL
    with play.call("client", "send", size, size=size):
        play.data("c>s", 0, FULL, way="drop")
        for number in range(1, 4):
            play.data("c>s", number * FULL, (number + 1) * FULL)
        options = play.sack_option("c>s", (FULL, 4 * FULL)) if sacked else None
        play.now_ns += 20 * MS
        if sacked:
            play.ack("s>c", 0, options=options)
        else:
            play.now_ns += 200 * MS
        play.data("c>s", 0, FULL)
        play.ack("s>c", 4 * FULL)
    return play


def test_acks_that_show_the_gap_have_it_sent_again() -> None:
    tables, rows = told(blocked_by_a_loss(sacked=True))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("fast_retransmit", 20)]
    assert of(rows, send, "fast_retransmit").certainty == "observed"


def test_without_such_acks_it_is_the_timer() -> None:
    tables, rows = told(blocked_by_a_loss(sacked=False))
    assert causes(rows, number_of(tables, "send")) == [("rto", 220)]


def silence(*options: str, probes: bool) -> Play:
    play = opened(*options)
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    play.did("server", "recv", 10, size=10)
    play.ack("s>c", 10)
    with play.call("client", "recv", None, size=10, errno="ETIMEDOUT"):
        for _ in range(3):
            play.now_ns += 1000 * MS
            if probes:
                play.frame("c>s", "A", 10, 1, way="drop")  # one before the next byte, empty
    return play


def test_keep_alive_probes_without_answer() -> None:
    tables, rows = told(silence("SOL_SOCKET, SO_KEEPALIVE, 1", probes=True))
    recv = number_of(tables, "recv", 1, "client")
    assert [cause for cause, _ in causes(rows, recv)] == ["keepalive"]
    assert "3 keep-alive probes had no answer" in of(rows, recv, "keepalive").text


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("drop", [("keepalive", 3000)]),
        ("carry", [("peer_app", 2000), ("keepalive", 1000)]),
    ],
)
def test_only_what_arrives_is_a_sign_of_life(way: str, expected: list[tuple[str, int]]) -> None:
    play = opened("SOL_SOCKET, SO_KEEPALIVE, 1")
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    play.did("server", "recv", 10, size=10)
    play.ack("s>c", 10)
    with play.call("client", "recv", None, size=10, errno="ETIMEDOUT"):
        for answered in (True, True, False):
            play.frame("c>s", "A", 10, 1)
            if answered:
                play.now_ns += 1000 * MS
                play.ack("s>c", 10, way=way)
        play.now_ns += 1000 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == expected


def test_a_user_timeout_is_named_before_the_probes() -> None:
    option = "SOL_TCP, TCP_USER_TIMEOUT, 2500"
    tables, rows = told(silence("SOL_SOCKET, SO_KEEPALIVE, 1", option, probes=True))
    recv = number_of(tables, "recv", 1, "client")
    assert [cause for cause, _ in causes(rows, recv)] == ["user_timeout"]
    assert of(rows, recv, "user_timeout").calls == (number_of(tables, "setsockopt", 2),)


def test_a_time_out_of_which_nothing_is_seen_is_unknown() -> None:
    tables, rows = told(silence(probes=False))
    recv = number_of(tables, "recv", 1, "client")
    assert [cause for cause, _ in causes(rows, recv)] == ["unknown"]


def paced(*options: str) -> Play:
    play = opened(*options)
    with play.call("server", "recv", 2 * FULL, size=2 * FULL, flags=0x100):
        with play.call("client", "send", 2 * FULL, size=2 * FULL):
            play.data("c>s", 0, FULL)
            play.ack("s>c", FULL)
        play.now_ns += 40 * MS
        play.data("c>s", FULL, 2 * FULL)
    return play


def test_a_socket_that_asked_for_pacing_spreads_its_segments() -> None:
    tables, rows = told(paced("SOL_SOCKET, 47, 100000"))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("pacing", 40)]
    assert of(rows, recv, "pacing").certainty == "inferred"


def test_one_that_did_not_is_not_said_to_pace() -> None:
    tables, rows = told(paced())
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 40)]


@pytest.mark.parametrize(
    ("options", "cause"), [(("SOL_SOCKET, 47, 100000",), "pacing"), ((), "cwnd")]
)
def test_an_ack_that_comes_first_is_no_full_congestion_window(
    options: tuple[str, ...], cause: str
) -> None:
    """Two segments are out, fewer than any new connection may send (RFC 6928)."""
    play = opened(*options)
    play.ack("s>c", 0)  # the first window that is scaled
    with play.call("server", "recv", 3 * FULL, size=3 * FULL, flags=0x100):
        with play.call("client", "send", 3 * FULL, size=3 * FULL):
            play.data("c>s", 0, FULL)
            play.data("c>s", FULL, 2 * FULL)
        ack = play.ack("s>c", 2 * FULL, way="hold")
        play.now_ns += 40 * MS
        play.arrives(ack)
        play.data("c>s", 2 * FULL, 3 * FULL)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [(cause, 40)]


def blocked_and_paced(*options: str, behind_ack_ms: int) -> Play:
    """A send that sleeps: twelve segments are out, their ACK comes, and the next leave later."""
    play = opened(*options)
    play.ack("s>c", 0)
    size = 100 * FULL
    with play.call("client", "send", size, size=size):
        for flight in range(3):
            for at in range(12 * flight, 12 * flight + 12):
                play.data("c>s", at * FULL, (at + 1) * FULL)
            ack = play.ack("s>c", 12 * (flight + 1) * FULL, way="hold")
            play.now_ns += 20 * MS
            play.arrives(ack)
            play.now_ns += behind_ack_ms * MS
        for at in range(36, 100):
            play.data("c>s", at * FULL, (at + 1) * FULL)
    return play


def test_what_leaves_long_after_an_ack_was_not_held_by_a_full_buffer() -> None:
    tables, rows = told(blocked_and_paced("SOL_SOCKET, 47, 100000", behind_ack_ms=10))
    told_causes = {cause for cause, _ in causes(rows, number_of(tables, "send"))}
    assert "pacing" in told_causes
    assert not told_causes & {"send_buffer", "cwnd"}


def test_what_an_ack_lets_go_was_not_paced() -> None:
    tables, rows = told(blocked_and_paced("SOL_SOCKET, 47, 100000", behind_ack_ms=0))
    told_causes = {cause for cause, _ in causes(rows, number_of(tables, "send"))}
    assert told_causes
    assert "pacing" not in told_causes


def reset_after_close(*, late_ms: int) -> Play:
    """The server has closed; the client sends, and waits for what comes of it."""
    play = opened()
    play.did("server", "close", 0)
    play.fin("s>c", 0)
    play.ack("c>s", 1)
    play.did("client", "send", 10, size=10)
    data = play.data("c>s", 0, 10, ack=1, way="hold")
    with play.wait("client", (INODE["client"], 0x18), op="poll"):
        play.now_ns += 20 * MS
        play.arrives(data)
        play.now_ns += late_ms * MS
        reset = play.frame("s>c", "R", 2, way="hold")
        play.now_ns += 20 * MS
        play.arrives(reset)
    return play


def test_a_reset_that_answers_a_frame_waited_for_its_way() -> None:
    tables, rows = told(reset_after_close(late_ms=0))
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("network", 20), ("network", 20)]


def test_a_reset_long_after_a_frame_does_not_answer_it() -> None:
    tables, rows = told(reset_after_close(late_ms=50))
    poll = number_of(tables, "poll")
    assert ("unknown", 70) in causes(rows, poll)


@pytest.mark.parametrize("errno", ["EHOSTUNREACH", "ENETUNREACH"])
def test_no_way_there(errno: str) -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno=errno, address=ADDRESS["server"]):
        play.syn(way="drop")
        play.now_ns += 30 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "connect")) == [("unreachable", 30)]


def test_a_host_without_a_route_says_so_at_once() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="ENETUNREACH", address=ADDRESS["server"]):
        play.now_ns += 5 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "connect")) == [("scheduler", 5)]


def refused(*, port_unreachable: bool) -> Play:
    """A datagram to a port where nobody is, and the read after it."""
    play = Play()
    client, server = "127.0.0.1:5000", "127.0.0.1:53"
    own: dict[str, Any] = {"kind": "SOCK_DGRAM", "local": client, "peer": server}
    play.did("client", "connect", 0, address=server, **own)
    with play.call("client", "send", 10, **own):
        play.datagram(client, server, 10, ip_id=77)
    quoted = Packet(0, 0, None, "unknown", "lo", "", 36, 36, src="127.0.0.1", dst="127.0.0.1",
                    sport=5000, dport=53, protocol="UDP", ip_id=77)  # fmt: skip
    with play.call("client", "recv", None, errno="ECONNREFUSED", **own):
        play.now_ns += 30 * MS
        if port_unreachable:
            play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                          _quoted=quoted, _port_unreachable=True)  # fmt: skip
    return play


def refused_in_a_poll(*, told_inside: bool) -> Play:
    """A poll that reports an error on a socket of datagrams, and the send that has it."""
    play = Play()
    client, server = "127.0.0.1:5000", "127.0.0.1:53"
    own: dict[str, Any] = {"kind": "SOCK_DGRAM", "local": client, "peer": server}
    play.did("client", "connect", 0, address=server, **own)
    with play.call("client", "send", 10, **own):
        play.datagram(client, server, 10, ip_id=77)
    quoted = Packet(0, 0, None, "unknown", "lo", "", 36, 36, src="127.0.0.1", dst="127.0.0.1",
                    sport=5000, dport=53, protocol="UDP", ip_id=77)  # fmt: skip
    icmp: dict[str, Any] = {"protocol": "ICMP", "sport": None, "_quoted": quoted,
                            "_port_unreachable": True}  # fmt: skip
    with play.wait("client", (INODE["client"], POLLERR), op="poll", args="nfds=1"):
        play.now_ns += 30 * MS
        if told_inside:
            play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, **icmp)
    if not told_inside:
        play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, **icmp)
    play.did("client", "send", None, errno="ECONNREFUSED", **own)
    return play


def test_a_wait_that_an_icmp_message_ended() -> None:
    tables, rows = told(refused_in_a_poll(told_inside=True))
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("refused", 30)]
    assert of(rows, poll, "refused").certainty == "observed"


def test_a_message_that_came_after_a_wait_did_not_end_it() -> None:
    tables, rows = told(refused_in_a_poll(told_inside=False))
    assert causes(rows, number_of(tables, "poll")) == [("unknown", 30)]


def lent(flags: int, *, sits_ms: int = 0) -> Play:
    """A send, and a wait that the error queue ends: with MSG_ZEROCOPY when all is acknowledged."""
    play = opened()
    play.did("client", "send", FULL, size=FULL, flags=flags)
    data = play.data("c>s", 0, FULL, way="hold")
    with play.wait("client", (INODE["client"], POLLERR), op="poll", args="nfds=1"):
        play.now_ns += 20 * MS
        play.arrives(data)
        play.now_ns += sits_ms * MS
        ack = play.ack("s>c", FULL, way="hold")
        play.now_ns += 20 * MS
        play.arrives(ack)
    return play


def test_memory_that_was_lent_comes_back_with_the_ack() -> None:
    tables, rows = told(lent(MSG_ZEROCOPY))
    assert causes(rows, number_of(tables, "poll")) == [("network", 20), ("network", 20)]


def test_an_ack_that_was_delayed_keeps_the_memory() -> None:
    tables, rows = told(lent(MSG_ZEROCOPY, sits_ms=40))
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("network", 20), ("delayed_ack", 40), ("network", 20)]


def test_memory_that_comes_back_late_is_no_small_send_buffer() -> None:
    play = lent(MSG_ZEROCOPY, sits_ms=40)
    found = findings_of(explained(play.tables(), play.raw))
    assert "send_buffer" not in [one.kind for one in found]


def test_an_error_after_a_plain_send_is_not_told_so() -> None:
    tables, rows = told(lent(0))
    assert causes(rows, number_of(tables, "poll")) == [("unknown", 40)]


def test_a_read_of_datagrams_that_an_icmp_message_failed() -> None:
    tables, rows = told(refused(port_unreachable=True))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("refused", 30)]
    wait = of(rows, recv, "refused")
    assert (wait.certainty, wait.frames) == ("observed", (2,))
    assert wait.text == "until the ICMP message of frame 2 came (ECONNREFUSED)"


def test_one_of_which_no_such_message_is_seen_is_unknown() -> None:
    tables, rows = told(refused(port_unreachable=False))
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 30)]


def test_a_connect_that_went_on_without_waiting_waited_for_nothing() -> None:
    play = Play(wired=True)
    play.did("client", "connect", None, errno="EINPROGRESS", address=ADDRESS["server"])
    _, rows = told(play)
    assert [row.cause for row in rows] == ["copy"]


def test_a_probe_of_new_bytes_is_a_tail_loss_probe() -> None:
    """The first write is lost, Nagle holds the second; the probe sends the second."""
    play = opened()
    with play.call("server", "recv", 129, size=129, flags=0x100):
        with play.call("client", "send", 64, size=64):
            lost = play.data("c>s", 0, 64, way="drop")
        play.did("client", "send", 65, size=65)
        play.now_ns += 210 * MS
        probe = play.data("c>s", 64, 129)
        play.ack("s>c", 0, options=play.sack_option("c>s", (64, 129)))
        play.data("c>s", 0, 64)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert "tail_loss_probe" in dict(causes(rows, recv))
    assert of(rows, recv, "tail_loss_probe").frames[0] == lost
    assert probe in of(rows, recv, "tail_loss_probe").frames


def strace_of(play: Play) -> Play:
    from dataclasses import replace

    play.calls = [
        replace(call, witness="strace", returned_by_ns=call.returned_ns) for call in play.calls
    ]
    return play


def test_what_strace_stops_is_the_witness_and_not_the_scheduler() -> None:
    play = opened()
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50)
        play.now_ns += 1 * MS
    tables, rows = told(strace_of(play))
    recv = number_of(tables, "recv")
    assert of(rows, recv, "witness").certainty == "inferred"
    assert not [row for row in rows if row.cause == "scheduler"]


def test_the_probe_stops_nobody() -> None:
    play = opened()
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50)
        play.now_ns += 1 * MS
    _, rows = told(play)
    assert not [row for row in rows if row.cause == "witness"]


def killed(*, by_ms: int) -> Play:
    """A server whose last sign of life is its accept; its FIN comes 60 ms later."""
    play = opened()
    with play.call("client", "recv", 0, size=100):
        bound_ns = play.now_ns + by_ms * MS
        with play.call("server", "exit", None, inode=None, fd=None, inside=True, args="SIGKILL",
                       returned_by_ns=bound_ns):  # fmt: skip
            pass
        play.now_ns += 60 * MS
        play.fin("s>c", 0)
    return play


def test_the_moment_of_a_kill_is_told_by_the_fin() -> None:
    tables, rows = told(killed(by_ms=70))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 60)]
    wait = of(rows, recv, "peer_app")
    assert wait.certainty == "inferred"
    assert "before the process of server was killed (SIGKILL, exit #" in wait.text


def test_a_process_that_was_killed_long_after_its_last_send_held_nothing_back() -> None:
    """Its end is known by bounds alone: at the first of them its bytes were still on the way."""
    play = opened()
    with play.call("server", "send", 5, size=5):
        play.data("s>c", 0, 5)
    bound_ns = play.now_ns + 80 * MS
    with play.call("server", "exit", None, inode=None, fd=None, inside=True, args="SIGKILL",
                   returned_by_ns=bound_ns):  # fmt: skip
        pass
    play.did("client", "recv", 5, size=100)
    play.now_ns += 10 * MS
    play.ack("c>s", 5)
    with play.call("client", "recv", 0, size=100):
        play.now_ns += 60 * MS
        play.fin("s>c", 5)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 2)
    assert causes(rows, recv) == [("peer_app", 60)]
    assert (
        "before the process of server was killed (SIGKILL, exit #"
        in of(rows, recv, "peer_app").text
    )


def test_a_fin_long_after_a_process_ended_has_another_reason() -> None:
    tables, rows = told(killed(by_ms=1))
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 60)]


def early_again(*, flight_ms: int) -> Play:
    """A poll for room while what was sent is still on its way, and sent again too early."""
    play = opened()
    play.ack("s>c", 0)
    with play.call("client", "send", FULL, size=2 * FULL):
        first = play.data("c>s", 0, FULL, way="hold")
    with play.wait("client", (INODE["client"], POLLOUT), args="timeout=-1, maxevents=64"):
        play.now_ns += 210 * MS
        play.data("c>s", 0, FULL, way="hold")
        play.now_ns += flight_ms * MS
        play.arrives(first)
        play.arrives(first + 1)
        play.ack("s>c", FULL)
    return play


def test_what_is_still_on_its_way_was_not_lost() -> None:
    tables, rows = told(early_again(flight_ms=30))
    found = {cause for cause, _ in causes(rows, number_of(tables, "epoll_wait"))}
    assert found == {"send_buffer"}


@pytest.mark.parametrize(("op", "cause"), [("execve", "copy"), ("bind", "scheduler")])
def test_a_program_that_is_loaded_is_the_kernel_at_work(op: str, cause: str) -> None:
    play = Play()
    with play.call("client", op, 0, inode=None, fd=None, local=None, peer=None):
        play.now_ns += 2 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, op)) == [(cause, 2)]


@pytest.mark.parametrize(("quiet_ms", "cause"), [(300, "rto"), (60, "fast_retransmit")])
def test_a_resend_that_was_lost_too_is_sent_again_by_a_timer(quiet_ms: int, cause: str) -> None:
    """Long after the last ACK: what that had shown was answered, and the answer lost."""
    play = opened()
    with play.call("server", "recv", FULL, size=FULL):
        with play.call("client", "send", 3 * FULL, size=3 * FULL):
            play.data("c>s", 0, FULL, way="drop")
            play.data("c>s", FULL, 2 * FULL)
            play.data("c>s", 2 * FULL, 3 * FULL)
        options = play.sack_option("c>s", (FULL, 3 * FULL))
        play.ack("s>c", 0, options=options)
        play.now_ns += 1 * MS
        play.data("c>s", 0, FULL, way="drop")
        play.now_ns += quiet_ms * MS
        play.data("c>s", 0, FULL)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    longest = of(rows, recv, "head_of_line")
    assert round((longest.stop_ns - longest.start_ns) / MS) == quiet_ms
    assert ("retransmission time-out 1 sent it again" in longest.text) is (cause == "rto")
    assert ("ACKs that showed the gap" in longest.text) is (cause == "fast_retransmit")

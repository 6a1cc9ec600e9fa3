"""UDP: which datagrams a socket may have read, and which never reached it."""

from __future__ import annotations

from typing import Any

from playbook import Play, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.frame import DIRECTION_OUT
from netlab.model.tables import Packet

CLIENT = "127.0.0.1:5000"
C: dict[str, Any] = {"inode": 1, "local": CLIENT, "peer": None, "kind": "SOCK_DGRAM"}
S: dict[str, Any] = {"inode": 2, "local": "0.0.0.0:53", "peer": None, "kind": "SOCK_DGRAM"}
S6 = {**S, "inode": 3, "local": "[::]:53", "family": "AF_INET6"}
C6 = {**C, "inode": 4, "local": "[::1]:5000", "family": "AF_INET6"}
GROUP = "224.1.1.7"
NOT_SURE = "order ambiguous: a datagram fits that may not have reached the socket"


def bound(play: Play, **who: Any) -> None:
    play.did("server", "socket", 5, **who)
    play.did("server", "bind", 0, **who)


def option(play: Play, args: str, **who: Any) -> None:
    play.did("server", "setsockopt", 0, args=args, **who)


def send(play: Play, to: str, length: int, **more: Any) -> int:
    who = {**C, **more}
    with play.call("client", "sendto", length, address=to, **who):
        return play.datagram(who["local"], to, length)


def read(play: Play, length: int, **who: Any) -> int:
    return play.did("server", "recv", length, size=100, **who)


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def reasons(tables: Any) -> dict[int | None, str]:
    return {u.call: u.reason for u in tables.unmatched}


def test_an_ipv4_socket_does_not_read_what_was_sent_to_its_port_by_ipv6() -> None:
    play = Play()
    bound(play, **S)
    send(play, "[::1]:53", 5, **C6)
    frame = send(play, "127.0.0.1:53", 5)
    call = read(play, 5, **S)
    tables = closes(play)
    assert spans_of(tables, call) == [("delivered", frame, 0, 5)]
    assert reasons(tables) == {None: "no call witness"}


def test_sockets_of_both_families_on_one_port_are_told_apart() -> None:
    play = Play()
    bound(play, **S)
    play.did("server", "socket", 5, **S6)
    option(play, "SOL_IPV6, IPV6_V6ONLY, 1", **S6)
    play.did("server", "bind", 0, **S6)
    four, six = send(play, "127.0.0.1:53", 5), send(play, "[::1]:53", 5, **C6)
    by4, by6 = read(play, 5, **S), read(play, 5, **S6)
    tables = closes(play)
    assert spans_of(tables, by4) == [("delivered", four, 0, 5)]
    assert spans_of(tables, by6) == [("delivered", six, 0, 5)]
    assert tables.unmatched == []


def test_an_ipv6_socket_may_hear_ipv4_while_nothing_says_that_it_does_not() -> None:
    play = Play()
    bound(play, **S6)
    send(play, "127.0.0.1:53", 5)
    send(play, "[::1]:53", 5, **C6)
    call = read(play, 5, **S6)
    tables = closes(play)
    assert spans_of(tables, call) == []
    assert reasons(tables) == {call: NOT_SURE, None: NOT_SURE}


def test_a_mapped_address_shows_that_an_ipv6_socket_hears_ipv4() -> None:
    play = Play()
    bound(play, **S6)
    frame = send(play, "127.0.0.1:53", 5)
    send(play, "[::1]:53", 5, **C6)
    play.did("server", "recvfrom", 5, size=100, address="[::ffff:127.0.0.1]:5000", **S6)
    tables = closes(play)
    assert spans_of(tables, 5) == [("delivered", frame, 0, 5)]


def test_what_was_refused_was_read_by_nobody() -> None:
    play = Play()
    play.did("server", "socket", 5, **S)
    with play.call("server", "bind", 0, **S):
        send(play, "127.0.0.1:53", 5)
        quoted = Packet(0, 0, None, "unknown", "lo", "", 36, 36, src="127.0.0.1", dst="127.0.0.1",
                        sport=5000, dport=53, protocol="UDP", ip_id=1)  # fmt: skip
        play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                      _quoted=quoted, _port_unreachable=True)  # fmt: skip
    frame = send(play, "127.0.0.1:53", 5)
    call = read(play, 5, **S)
    tables = closes(play)
    assert spans_of(tables, call) == [("delivered", frame, 5, 10)]
    assert reasons(tables) == {None: "refused: nobody listens at this port"}


def test_multicast_that_nobody_is_known_to_have_joined_is_not_said_to_be_read() -> None:
    play = Play()
    bound(play, **S)
    send(play, f"{GROUP}:53", 5)
    send(play, "127.0.0.1:53", 5)
    call = read(play, 5, **S)
    tables = closes(play)
    assert spans_of(tables, call) == []
    assert reasons(tables) == {call: NOT_SURE, None: NOT_SURE}


def test_a_member_reads_multicast_in_order() -> None:
    play = Play()
    bound(play, **S)
    option(play, "SOL_IP, IP_ADD_MEMBERSHIP, 0xe00101077f000001", **S)
    group, single = send(play, f"{GROUP}:53", 5), send(play, "127.0.0.1:53", 5)
    first = read(play, 5, **S)
    option(play, "SOL_IP, IP_DROP_MEMBERSHIP, 0xe00101077f000001", **S)
    option(play, "SOL_IP, 49, 0", **S)
    send(play, f"{GROUP}:53", 7)
    send(play, f"{GROUP}:53", 5)
    second = read(play, 5, **S)
    tables = closes(play)
    assert spans_of(tables, first) == [("delivered", group, 0, 5)]
    assert spans_of(tables, second) == [("delivered", single, 0, 5)]


def test_members_of_another_group_or_interface_are_not_sure_to_hear_it() -> None:
    for mreq in ("0xe00101087f000001", "0xe00101070a000001", "0xe00101070a00000100000002"):
        play = Play()
        bound(play, **S)
        option(play, f"SOL_IP, 35, {mreq}", **S)
        send(play, f"{GROUP}:53", 5)
        send(play, "127.0.0.1:53", 5)
        call = read(play, 5, **S)
        assert reasons(closes(play))[call] == NOT_SURE


def test_an_ipv6_group_is_joined_by_index() -> None:
    play = Play()
    bound(play, **S6)
    option(play, "SOL_IPV6, IPV6_JOIN_GROUP, 0xff02" + "00" * 13 + "07" + "01000000", **S6)
    frame = send(play, "[ff02::7]:53", 5, **C6)
    send(play, "[::1]:53", 5, **C6)
    call = read(play, 5, **S6)
    assert spans_of(closes(play), call) == [("delivered", frame, 0, 5)]


def test_what_a_filter_may_have_dropped_is_not_said_to_be_read() -> None:
    play = Play()
    bound(play, **S)
    option(play, "SOL_SOCKET, 26, 0x01000000000000005014ebf2f67f0000", **S)
    send(play, "127.0.0.1:53", 5)
    option(play, "SOL_SOCKET, 27, 0", **S)
    send(play, "127.0.0.1:53", 5)
    send(play, "127.0.0.1:53", 6)
    first = read(play, 5, **S)
    second = read(play, 6, **S)
    tables = closes(play)
    assert spans_of(tables, first) == []
    assert reasons(tables)[first] == NOT_SURE
    assert len(spans_of(tables, second)) == 1


def test_a_broadcast_is_read_by_every_socket_of_the_port() -> None:
    play = Play()
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_BROADCAST, 1", **C)
    other = {**S, "inode": 7}
    bound(play, **S)
    bound(play, **other)
    frame = send(play, "127.255.255.255:53", 5)
    calls = [read(play, 5, **S), read(play, 5, **other)]
    tables = closes(play)
    assert [spans_of(tables, n) for n in calls] == [[("delivered", frame, 0, 5)]] * 2
    assert tables.unmatched == []


def test_two_sockets_cannot_both_have_read_what_was_sent_to_one() -> None:
    play = Play()
    other = {**S, "inode": 7}
    bound(play, **S)
    bound(play, **other)
    send(play, "127.0.0.1:53", 5)
    calls = [read(play, 5, **S), read(play, 5, **other)]
    tables = closes(play)
    assert [spans_of(tables, n) for n in calls] == [[], []]
    assert set(reasons(tables).values()) == {"shared socket, order ambiguous"}


def test_sockets_that_share_a_port_are_told_apart_by_what_only_one_can_have_read() -> None:
    play = Play()
    other = {**S, "inode": 7}
    bound(play, **S)
    bound(play, **other)
    frames = [send(play, "127.0.0.1:53", length) for length in (5, 6)]
    calls = [read(play, 6, **S), read(play, 5, **other)]
    tables = closes(play)
    assert [spans_of(tables, n)[0][1] for n in calls] == frames[::-1]


def test_what_leaves_the_machine_was_not_read_by_its_sender() -> None:
    play = Play()
    bound(play, **S)
    with play.call("server", "sendto", 5, address="10.0.0.9:53", **S):
        play.datagram("10.0.0.1:53", "10.0.0.9:53", 5, interface="eth0", _offload=DIRECTION_OUT)
    frame = send(play, "127.0.0.1:53", 5)
    call = read(play, 5, **S)
    assert spans_of(closes(play), call) == [("delivered", frame, 0, 5)]


def test_what_came_before_connect_is_read_after_it() -> None:
    play = Play()
    bound(play, **S)
    send(play, "127.0.0.2:53", 5, local="127.0.0.1:6000", inode=9)
    named = {**S, "local": "127.0.0.1:53", "peer": CLIENT}
    play.did("server", "connect", 0, **named, address=CLIENT)
    frame = send(play, "127.0.0.1:53", 5)
    first, second = read(play, 5, **named), read(play, 5, **named)
    tables = closes(play)
    assert [c.connection for c in tables.calls if c.op == "recv"] == [0, 1]
    assert spans_of(tables, second) == [("delivered", frame, 0, 5)]
    assert first == second - 1

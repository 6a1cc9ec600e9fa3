"""UDP of this kernel, recorded: no read is given a datagram that it did not get."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netlab
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.tables import Tables
from tests.private_network import in_private_network

LOCAL, PORT = ("127.0.0.1", 5353), 5353
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
UDP_CORK, UDP_SEGMENT = 1, 103


def recorded(path: Path, work: Callable[[Any], None]) -> Tables:
    def run() -> None:
        with netlab.record(path) as probe:
            work(probe)

    in_private_network(run)
    tables = netlab.read(path).tables
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def udp(probe: Any, family: int = socket.AF_INET) -> Any:
    return probe.socket(family, socket.SOCK_DGRAM)


def read_lengths(tables: Tables) -> list[tuple[int | None, list[int | None]]]:
    """(bytes read, lengths of the frames that brought them), call by call."""
    lengths = {packet.frame: packet.payload_len_bytes for packet in tables.packets}
    return [
        (
            call.result,
            [lengths[s.frame] for s in tables.spans
             if s.call == call.call and s.role == "delivered" and s.frame is not None],
        )
        for call in tables.calls if call.op.startswith("recv") and call.errno is None
    ]  # fmt: skip


def frames_to(tables: Tables, address: str) -> list[int]:
    return [p.frame for p in tables.packets if p.dst == address and p.dport == PORT]


def delivered(tables: Tables) -> list[int | None]:
    return [span.frame for span in tables.spans if span.role == "delivered"]


def test_a_refused_datagram_of_the_other_family_is_nobodys(tmp_path: Path) -> None:
    def work(probe: Any) -> None:
        with udp(probe) as server, udp(probe, socket.AF_INET6) as six, udp(probe) as four:
            server.bind(("0.0.0.0", PORT))
            six.sendto(b"six!!", ("::1", PORT))
            four.sendto(b"four!", LOCAL)
            assert server.recv(100) == b"four!"

    tables = recorded(tmp_path / "r.pcapng", work)
    assert delivered(tables) == frames_to(tables, "127.0.0.1")
    assert [u.reason for u in tables.unmatched] == ["refused: nobody listens at this port"]


def test_two_families_share_a_port(tmp_path: Path) -> None:
    def work(probe: Any) -> None:
        with udp(probe) as four, udp(probe, socket.AF_INET6) as six, udp(probe) as client:
            four.bind(("0.0.0.0", PORT))
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::", PORT))
            client.sendto(b"same!", LOCAL)
            six.sendto(b"same!", ("::1", PORT))
            assert six.recv(100) == four.recv(100) == b"same!"

    tables = recorded(tmp_path / "r.pcapng", work)
    assert delivered(tables) == [*frames_to(tables, "::1"), *frames_to(tables, "127.0.0.1")]
    assert tables.unmatched == []


@pytest.mark.parametrize("joined", [False, True])
def test_multicast_goes_to_members(tmp_path: Path, joined: bool) -> None:
    group, here = socket.inet_aton("224.1.1.7"), socket.inet_aton("127.0.0.1")

    def work(probe: Any) -> None:
        with udp(probe) as server, udp(probe) as client:
            server.bind(("0.0.0.0", PORT))
            if joined:
                server.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + here)
            client.bind(("127.0.0.1", 0))
            client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            client.sendto(b"multi", ("224.1.1.7", PORT))
            client.sendto(b"uni!!", LOCAL)
            assert server.recv(100) == (b"multi" if joined else b"uni!!")

    tables = recorded(tmp_path / "r.pcapng", work)
    assert delivered(tables) == (frames_to(tables, "224.1.1.7") if joined else [])


def test_a_filter_may_drop_what_it_likes(tmp_path: Path) -> None:
    def work(probe: Any) -> None:
        with udp(probe) as server, udp(probe) as client:
            server.bind(LOCAL)
            kept = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # drop all
            server.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                              struct.pack("HL", 1, ctypes.addressof(kept)))  # fmt: skip
            client.sendto(b"first", LOCAL)
            server.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            client.sendto(b"secnd", LOCAL)
            assert server.recv(100) == b"secnd"

    tables = recorded(tmp_path / "r.pcapng", work)
    assert delivered(tables) == []
    assert {u.reason for u in tables.unmatched} == {
        "order ambiguous: a datagram fits that may not have reached the socket"
    }


def test_a_broadcast_reaches_every_socket_of_the_port(tmp_path: Path) -> None:
    def work(probe: Any) -> None:
        with udp(probe) as one, udp(probe) as two, udp(probe) as client:
            for server in (one, two):
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("0.0.0.0", PORT))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"bcast", ("127.255.255.255", PORT))
            assert one.recv(100) == two.recv(100) == b"bcast"

    tables = recorded(tmp_path / "r.pcapng", work)
    assert delivered(tables) == frames_to(tables, "127.255.255.255") * 2
    assert tables.unmatched == []


def test_gathered_and_cut_sends(tmp_path: Path) -> None:
    def work(probe: Any) -> None:
        with udp(probe) as server, udp(probe) as client:
            server.bind(LOCAL)
            client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1009)
            client.sendto(bytes(3000), LOCAL)
            client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
            assert [len(server.recv(2000)) for _ in range(3)] == [1009, 1009, 982]
            size = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", 1009))]
            client.sendmsg([bytes(2000)], size, 0, LOCAL)
            assert [len(server.recv(2000)) for _ in range(2)] == [1009, 991]
            client.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
            client.sendto(b"abc", LOCAL)
            client.sendto(b"defg", LOCAL)
            client.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 0)
            assert server.recv(100) == b"abcdefg"

    tables = recorded(tmp_path / "r.pcapng", work)
    assert read_lengths(tables) == [
        (1009, [3000]), (1009, [3000]), (982, [3000]), (1009, [2000]), (991, [2000]), (7, [7]),
    ]  # fmt: skip
    assert tables.unmatched == []

"""The packet ring on real traffic, each test in a network namespace of its own."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import threading
import time
from typing import NamedTuple

import pytest

from netlab.capture import ring as ring_module
from netlab.capture.bpf import accept_all, only_ports
from netlab.capture.ring import PacketRing
from netlab.lab import syscalls
from netlab.model.errors import PrivilegeError, UsageError
from netlab.model.frame import (
    CHECKSUM_NOT_READY,
    DIRECTION_IN,
    DIRECTION_OUT,
    TCP_SEGMENTATION_OFFLOAD,
)
from netlab.model.ranges import RangeSet
from netlab.model.seqnum import SEQ_MASK, seq_diff
from tests.private_network import in_private_network, set_up

SMALL = {"block_bytes": 1 << 16, "blocks": 4}


def udp_pair(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """A bound receiver and a sender connected to it."""
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    return sender, receiver


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def make_veth_pair() -> None:
    ip("link add v0 type veth peer name v1")
    ip("link set v0 up")
    ip("link set v1 up")


class Seen(NamedTuple):
    """A frame of the ring, with names."""

    time_ns: int
    data: bytes
    origlen_bytes: int
    flags: int


def drained(ring: PacketRing) -> list[Seen]:
    return [Seen._make(frame) for frame in ring.drain()]


def ip_total_length(frame: Seen) -> int:
    return int.from_bytes(frame.data[16:18], "big")


def tcp_seq(frame: Seen) -> int:
    ip_header = (frame.data[14] & 0xF) * 4
    return int.from_bytes(frame.data[14 + ip_header + 4 :][:4], "big")


def tcp_payload_bytes(frame: Seen) -> int:
    """Of an IPv4 TCP frame, as its headers declare."""
    ip_header = (frame.data[14] & 0xF) * 4
    tcp_header = (frame.data[14 + ip_header + 12] >> 4) * 4
    return ip_total_length(frame) - ip_header - tcp_header


def test_every_datagram_is_captured_once_with_its_bytes_and_a_stamp_inside_the_send() -> None:
    def work() -> list[tuple[int, Seen, int, bytes]]:
        with PacketRing.open("lo", **SMALL) as ring:
            sender, _receiver = udp_pair()
            sent = []
            for number in range(23):
                payload = bytes([number]) * (number * 83 + 1)
                before = time.time_ns()
                sender.send(payload)
                sent.append((before, time.time_ns(), payload))
            frames = drained(ring)
            assert len(frames) == 23
            return [(b, f, a, p) for (b, a, p), f in zip(sent, frames, strict=True)]

    for before, frame, after, payload in in_private_network(work):
        assert before <= frame.time_ns <= after
        assert frame.data[42:] == payload
        assert frame.origlen_bytes == len(frame.data) == 42 + len(payload)
        assert frame.flags == DIRECTION_IN | CHECKSUM_NOT_READY


def test_a_tcp_transfer_is_whole_in_frames_larger_than_any_mtu() -> None:
    def work() -> list[Seen]:
        with PacketRing.open("lo") as ring:
            listener = socket.create_server(("127.0.0.1", 0))
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
            reader = threading.Thread(target=lambda: server.recv(4_000_037, socket.MSG_WAITALL))
            reader.start()
            client.sendall(b"y" * 4_000_037)
            reader.join()
            client.close()
            server.close()
            assert ring.statistics().dropped == 0
            return drained(ring)

    frames = in_private_network(work)
    start = tcp_seq(frames[0]) + 1  # the SYN
    carried = RangeSet()
    for frame in frames:
        if length := tcp_payload_bytes(frame):  # a busy machine may resend: each byte counts once
            at = seq_diff(tcp_seq(frame), start & SEQ_MASK)
            carried.add(at, at + length)
    assert list(carried) == [(0, 4_000_037)]
    assert all(len(frame.data) == frame.origlen_bytes for frame in frames)
    assert max(frame.origlen_bytes for frame in frames) > 20_000
    offload = TCP_SEGMENTATION_OFFLOAD
    assert {frame.flags & ~offload for frame in frames} == {DIRECTION_IN | CHECKSUM_NOT_READY}


def test_segmentation_offload_is_marked_where_a_frame_stands_for_several_segments() -> None:
    def work() -> tuple[int, list[Seen]]:
        with PacketRing.open("lo") as ring:
            listener = socket.create_server(("127.0.0.1", 0))
            client = socket.socket()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            client.sendall(b"m" * 20_011)
            server.recv(20_011, socket.MSG_WAITALL)
            return mss, drained(ring)

    mss, frames = in_private_network(work)
    data = [frame for frame in frames if tcp_payload_bytes(frame)]
    assert any(frame.flags & TCP_SEGMENTATION_OFFLOAD for frame in data)
    for frame in data:
        assert bool(frame.flags & TCP_SEGMENTATION_OFFLOAD) == (tcp_payload_bytes(frame) > mss)


def test_snap_length_cuts_the_bytes_and_keeps_the_length() -> None:
    def work() -> list[Seen]:
        with PacketRing.open("lo", filter=accept_all(100), **SMALL) as ring:
            sender, _receiver = udp_pair()
            sender.send(b"a" * 1009)
            sender.send(b"b" * 11)
            return drained(ring)

    cut, short = in_private_network(work)
    assert (len(cut.data), cut.origlen_bytes) == (100, 42 + 1009)
    assert (len(short.data), short.origlen_bytes) == (42 + 11, 42 + 11)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_filter_takes_that_port_its_fragments_and_nothing_else(family: int) -> None:
    def work() -> list[Seen]:
        wanted, wanted_receiver = udp_pair(family)
        other, _other_receiver = udp_pair(family)
        port = wanted_receiver.getsockname()[1]
        with PacketRing.open("lo", filter=only_ports([port]), **SMALL) as ring:
            other.send(b"not this")
            wanted.send(b"this")
            wanted_receiver.sendto(b"and its answer", wanted.getsockname())
            ip("link set lo mtu 1500")
            wanted.send(b"f" * 4001)  # three fragments, the ports stand in the first
            return drained(ring)

    frames = in_private_network(work)
    assert [b"not this" in frame.data for frame in frames] == [False] * 5
    assert frames[0].data.endswith(b"this")
    assert frames[1].data.endswith(b"and its answer")
    fragment_header = 14 + (20 if family == socket.AF_INET else 48)
    pieces = b"".join(frame.data[fragment_header:] for frame in frames[2:])
    assert pieces[8:] == b"f" * 4001  # behind the UDP header of the first


def test_frames_from_before_and_of_other_interfaces_stay_out() -> None:
    def work() -> list[Seen]:
        make_veth_pair()
        ip("addr add 10.0.0.1/24 dev v0")
        elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        elsewhere.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender, _receiver = udp_pair()
        sender.send(b"before")
        with PacketRing.open("lo", **SMALL) as ring:
            elsewhere.sendto(b"elsewhere", ("10.0.0.255", 9))
            sender.send(b"after")
            return drained(ring)

    frames = in_private_network(work)
    assert [frame.data[42:] for frame in frames] == [b"after"]


def test_both_directions_and_the_vlan_tag_on_a_device_that_is_no_loopback() -> None:
    def work() -> list[Seen]:
        make_veth_pair()
        tag = struct.pack("!HH", 0x8100, 0x6007)  # priority 3, VLAN 7
        macs = bytes(range(12))
        with PacketRing.open("v0", **SMALL) as ring:
            for interface in ("v0", "v1"):
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
                raw.bind((interface, 0))
                raw.send(macs + tag + b"\x88\xb5" + interface.encode() * 30)
            return drained(ring)

    frames = in_private_network(work)
    ours = [frame for frame in frames if frame.data[:12] == bytes(range(12))]
    assert [frame.flags & 3 for frame in ours] == [DIRECTION_OUT, DIRECTION_IN]
    for frame, name in zip(ours, (b"v0", b"v1"), strict=True):
        assert frame.data[12:] == b"\x81\x00\x60\x07\x88\xb5" + name * 30
        assert frame.origlen_bytes == len(frame.data)


def test_an_old_kernel_without_ignore_outgoing_still_gives_each_frame_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "PACKET_IGNORE_OUTGOING", 9999)  # no kernel has this option

    def work() -> list[Seen]:
        with PacketRing.open("lo", **SMALL) as ring:
            sender, _receiver = udp_pair()
            sender.send(b"once")
            return drained(ring)

    assert [frame.data[42:] for frame in in_private_network(work)] == [b"once"]


def test_what_a_full_ring_loses_is_counted_and_the_ring_goes_on() -> None:
    def work() -> tuple[int, int, int, bytes]:
        with PacketRing.open("lo", **SMALL) as ring:
            sender, _receiver = udp_pair()
            for _ in range(1009):
                sender.send(b"x" * 1000)
            frames = drained(ring)
            after = ring.statistics()
            sender.send(b"later")
            return len(frames), after.received, after.dropped, drained(ring)[-1].data[42:]

    taken, received, dropped, last = in_private_network(work)
    assert received == 1009
    assert dropped > 0
    assert taken == received - dropped
    assert last == b"later"


def test_blocks_stay_in_order_over_many_rounds_of_the_ring() -> None:
    def work() -> list[int]:
        numbers = []
        with PacketRing.open("lo", **SMALL) as ring:
            sender, _receiver = udp_pair()
            for number in range(5003):
                sender.send(struct.pack("!I", number) + bytes(200))
                if number % 97 == 0:
                    numbers += map(Seen._make, ring.read())
            numbers += drained(ring)
            assert ring.statistics().dropped == 0
        return [int.from_bytes(frame.data[42:46], "big") for frame in numbers]

    assert in_private_network(work) == list(range(5003))


def test_read_never_blocks_and_poll_wakes_when_a_block_is_retired() -> None:
    def work() -> tuple[list[Seen], bool, bool, int]:
        with PacketRing.open("lo", retire_ms=20, **SMALL) as ring:
            sender, _receiver = udp_pair()
            nothing = ring.read()
            quiet = bool(select.select([ring], [], [], 0)[0])
            sender.send(b"!")
            woken = bool(select.select([ring], [], [], 5)[0])
            return nothing, quiet, woken, len(ring.read())

    assert in_private_network(work) == ([], False, True, 1)


def test_drain_ends_although_traffic_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by its count: its time limit is out of reach here."""
    monkeypatch.setattr(ring_module, "_DRAIN_LIMIT_S", 3600.0)

    def work() -> bool:
        with PacketRing.open("lo", **SMALL) as ring:
            sender, _receiver = udp_pair()
            stop = threading.Event()

            def talk() -> None:
                while not stop.wait(0.0005):
                    sender.send(b"more")

            talker = threading.Thread(target=talk)
            drainer = threading.Thread(target=ring.drain, daemon=True)
            talker.start()
            drainer.start()
            drainer.join(timeout=60)
            ended = not drainer.is_alive()
            stop.set()
            talker.join()
            return ended

    assert in_private_network(work)


def test_a_ring_opened_elsewhere_is_read_from_its_passed_socket() -> None:
    def work() -> list[bytes]:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.fork() == 0:
            opened = PacketRing.open("lo", **SMALL)
            socket.send_fds(there, [b"ring"], [opened.fileno()])
            os._exit(0)
        _, (descriptor,), _, _ = socket.recv_fds(here, 4, 1)
        os.wait()
        with PacketRing.from_socket(socket.socket(fileno=descriptor), **SMALL) as ring:
            sender, _receiver = udp_pair()
            sender.send(b"passed on")
            return [frame.data[42:] for frame in drained(ring)]

    assert in_private_network(work) == [b"passed on"]


def test_an_interface_that_goes_down_does_not_make_poll_spin() -> None:
    def work() -> tuple[bool, bytes]:
        with PacketRing.open("lo", **SMALL) as ring:
            set_up("lo", up=False)
            poller = select.poll()
            poller.register(ring, select.POLLIN)
            poller.poll(0)
            ring.read()
            spins = bool(poller.poll(0))
            set_up("lo", up=True)
            sender, _receiver = udp_pair()
            sender.send(b"up again")
            return spins, drained(ring)[-1].data[42:]

    assert in_private_network(work) == (False, b"up again")


def test_an_unknown_interface_is_named_with_those_there_are() -> None:
    def work() -> str:
        with pytest.raises(UsageError) as error:
            PacketRing.open("nope0")
        return str(error.value)

    assert in_private_network(work) == "no network interface nope0: there is lo"


def test_without_the_right_to_capture_the_error_says_what_grants_it() -> None:
    def work() -> str:
        syscalls.give_up_privileges()
        with pytest.raises(PrivilegeError) as error:
            PacketRing.open("lo")
        return str(error.value)

    text = in_private_network(work)
    assert text.startswith(
        "no right to capture packets: run as root, or grant it with: sudo setcap"
    )


@pytest.mark.root
def test_an_ordinary_user_captures_in_a_user_namespace() -> None:
    def work() -> bytes:
        with PacketRing.open("lo", **SMALL) as ring:
            sender, _receiver = udp_pair()
            sender.send(b"as uid 1000")
            return drained(ring)[0].data[42:]

    assert in_private_network(work, uid=1000) == b"as uid 1000"


def test_an_interface_without_ethernet_header_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Devices without one (tun) need a device node that not every machine has: let lo be of a kind
    # that is not known.
    monkeypatch.setattr(ring_module, "ARPHRD_LOOPBACK", ring_module.ARPHRD_ETHER)

    def work() -> str:
        with pytest.raises(UsageError) as error:
            PacketRing.open("lo", **SMALL)
        return str(error.value)

    text = in_private_network(work)
    assert text.startswith("lo is not an Ethernet interface (hardware type 772)")

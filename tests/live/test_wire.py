"""The wire's process between real hosts, each test in network namespaces of its own."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from netlab.lab.syscalls import give_up_privileges
from netlab.lab.wire.journal import JournalReader, Taken
from netlab.lab.wire.orders import Orders, Side
from netlab.model.errors import PrivilegeError, UsageError
from netlab.model.recording import Loss
from netlab.model.wire import Arrival
from tests.private_network import in_private_network, set_up
from tests.wired_hosts import Host, WiredHosts, wait_until

BULK_BYTES = 1_000_003
PORT = 7000
ETH_P_TEST = 0x88B5  # IEEE 802 local experimental ethertype: nobody else's
BROADCAST = "ff:ff:ff:ff:ff:ff"
WIRE = 2  # the wire's own interface where there are two hosts


def frame_between(source: Host, target: str, payload: bytes) -> bytes:
    """An Ethernet frame from a host to a MAC."""
    macs = bytes.fromhex((target + source.mac).replace(":", ""))
    return macs + struct.pack("!H", ETH_P_TEST) + payload


def send_bulk(hosts: WiredHosts, data: bytes, port: int = PORT) -> bytes:
    """What the server's program got of the data that the client's sent; once at each port."""
    client, server = hosts.hosts[:2]
    with server.inside():
        listener = socket.create_server((server.address, port))
    with client.inside():
        sender = socket.create_connection((server.address, port))
    with listener, sender, listener.accept()[0] as receiver:
        thread = threading.Thread(target=lambda: (sender.sendall(data), sender.close()))
        thread.start()
        parts = []
        while part := receiver.recv(1 << 16):
            parts.append(part)
        thread.join()
    return b"".join(parts)


def udp_pair(hosts: WiredHosts) -> tuple[socket.socket, socket.socket]:
    """A socket of the client connected to one of the server, which waits for a while."""
    client, server = hosts.hosts[:2]
    with server.inside():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((server.address, PORT))
        receiver.settimeout(20)
    with client.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(receiver.getsockname())
    return sender, receiver


def read(hosts: WiredHosts) -> tuple[Taken, list[Loss]]:
    """All that is in the spool."""
    reader = JournalReader(hosts.spools)
    return reader.finish(), reader.losses


def check_carried(hosts: WiredHosts) -> Taken:
    """Every frame is in the spool once, and arrived once, after it had left."""
    taken, losses = read(hosts)
    assert losses == []
    numbers = list(range(1, len(taken.frames) + 1))
    assert [frame[0] for frame in taken.frames] == numbers
    assert sorted(arrival.packet for arrival in taken.arrivals) == numbers
    left_ns = {packet: time_ns for packet, _, time_ns, _ in taken.frames}
    for arrival in taken.arrivals:
        assert arrival.fate == "delivered"
        assert arrival.arrived_ns is not None
        assert arrival.late_ns is not None
        assert left_ns[arrival.packet] <= arrival.arrived_ns
    return taken


def test_bytes_pass_intact_and_each_frame_is_noted_once(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools")
        data = random.Random(1).randbytes(BULK_BYTES)
        assert send_bulk(hosts, data) == data
        report = hosts.stop()
        taken = check_carried(hosts)
        assert (report.frames, report.left, report.lost, report.unrecorded) == (
            len(taken.frames), 0, 0, 0,
        )  # fmt: skip
        assert report.frame_bytes == sum(len(frame[3]) for frame in taken.frames)
        assert max(len(frame[3]) for frame in taken.frames) == 1514
        assert {frame[1] for frame in taken.frames} == {0, 1}

    in_private_network(work)


@pytest.mark.root
def test_the_wire_gives_up_every_privilege_and_becomes_the_owner_of_its_spool(
    tmp_path: Path,
) -> None:
    spools = tmp_path / "spools"
    spools.mkdir()
    os.chown(spools, 1000, 1000)

    def work() -> None:
        hosts = WiredHosts(spools)
        facts = Path(f"/proc/{hosts.process.pid}/status").read_text()
        status = dict(line.split(":\t", 1) for line in facts.splitlines())
        assert status["Uid"].split() == ["1000"] * 4
        assert status["Gid"].split() == ["1000"] * 4
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind], 16) == 0
        hosts.stop()
        assert {path.stat().st_uid for path in spools.iterdir()} == {1000}

    in_private_network(work)


def test_an_interface_that_is_not_there_is_named(tmp_path: Path) -> None:
    def work() -> str:
        hosts = WiredHosts.__new__(WiredHosts)
        hosts.spools = tmp_path
        side = Side("client", "w7", "02:00:00:00:00:01", ("10.7.0.1",))
        with pytest.raises(UsageError) as caught:
            hosts.start(Orders((side,)))
        return caught.value.message

    assert in_private_network(work) == "no network interface w7"


def test_without_privilege_it_says_what_is_missing(tmp_path: Path) -> None:
    def work() -> str:
        hosts = WiredHosts.__new__(WiredHosts)
        give_up_privileges()
        hosts.spools = tmp_path
        side = Side("client", "lo", "02:00:00:00:00:01", ("10.7.0.1",))
        with pytest.raises(PrivilegeError) as caught:
            hosts.start(Orders((side,)))
        return caught.value.message

    assert in_private_network(work) == "no right to carry packets"


@pytest.mark.parametrize(
    ("rules", "message"), [("delay", "TIME"), ("dely 3ms", "dely"), ("queue 3 packets", "rate")]
)
def test_rules_that_are_none_end_it_at_its_start(tmp_path: Path, rules: str, message: str) -> None:
    def work() -> None:
        with pytest.raises(UsageError) as caught:
            WiredHosts(tmp_path / "spools", rules=rules)
        assert message.lower() in str(caught.value).lower()

    in_private_network(work)


def test_a_wire_that_was_killed_leaves_all_that_hosts_saw(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools")
        client, server = hosts.hosts
        with hosts.packet_socket(client) as out, hosts.packet_socket(server, ETH_P_TEST) as heard:
            for number in range(499):
                out.send(frame_between(client, server.mac, number.to_bytes(4, "big")))
                if number == 251:
                    heard.recv(2048)
                    hosts.kill()
            heard.setblocking(False)
            seen = {0}
            while select.select([heard], [], [], 0)[0]:
                seen.add(int.from_bytes(heard.recv(2048)[14:18], "big"))
        taken, losses = read(hosts)
        assert losses == []
        noted = [int.from_bytes(frame[3][14:18], "big") for frame in taken.frames]
        assert noted == list(range(len(noted)))
        assert seen <= set(noted)
        # One frame may have been on its way to the host just then.
        assert len(taken.frames) - len(taken.arrivals) in (0, 1)

    in_private_network(work)


def test_a_reader_that_was_killed_leaves_the_rest_to_another(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools")
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            reader = JournalReader(hosts.spools)
            while True:
                for frame in reader.poll().frames:
                    os.write(tell, frame[0].to_bytes(4, "big"))
        os.close(tell)
        data = random.Random(2).randbytes(BULK_BYTES)
        assert send_bulk(hosts, data) == data
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert send_bulk(hosts, data, PORT + 1) == data
        report = hosts.stop()
        first = set()
        with os.fdopen(told, "rb") as pipe:
            while len(word := pipe.read(4)) == 4:
                first.add(int.from_bytes(word, "big"))
        taken, losses = read(hosts)
        assert losses == []
        numbers = [frame[0] for frame in taken.frames]
        assert numbers == sorted(set(numbers))
        assert first | set(numbers) == set(range(1, report.frames + 1))
        assert min(numbers) <= max(first) + 1

    in_private_network(work)


def test_what_the_queue_has_no_room_for_is_counted(tmp_path: Path) -> None:
    count = 9001  # more than a queue holds

    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools")
        client, server = hosts.hosts
        os.kill(hosts.process.pid, signal.SIGSTOP)
        with hosts.packet_socket(client) as out:
            for number in range(count):
                out.send(frame_between(client, server.mac, number.to_bytes(4, "big")))
            dropped = int(tx_dropped(client))
        os.kill(hosts.process.pid, signal.SIGCONT)
        report = hosts.stop()
        assert report.lost > 0
        assert report.frames + report.lost + dropped == count
        reader = JournalReader(hosts.spools)
        assert len(reader.finish().frames) == report.frames
        assert reader.dropped == {0: report.lost}  # of the client
        (loss,) = reader.losses
        assert (loss.witness, loss.what, loss.count) == ("packets", "frames", report.lost)
        assert loss.reason == "the wire's receive queue of client was full"
        assert loss.since_ns is not None

    in_private_network(work)


def tx_dropped(host: Host) -> str:
    """Frames that did not even leave the host: the kernel's own queue to the wire was full."""
    with host.inside():
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    (line,) = (line for line in lines if line.strip().startswith("eth0:"))
    return line.split(":")[1].split()[11]


def test_a_group_hears_what_is_said_to_all_and_a_host_what_is_said_to_it(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", names=("client-1", "server", "client-2"))
        one, server, two = hosts.hosts
        heard = {host.name: hosts.packet_socket(host, ETH_P_TEST) for host in hosts.hosts}
        with hosts.packet_socket(one) as out:
            for target, payload in (
                (BROADCAST, b"to all"),
                ("33:33:00:00:00:07", b"to a group"),
                ("02:00:00:00:99:99", b"to a stranger"),
                (one.mac, b"to myself"),
                (two.mac, b"to client-2"),
                (server.mac, b"to the server"),
            ):
                out.send(frame_between(one, target, payload))
            got: dict[str, list[bytes]] = {"server": [], "client-2": []}
            for name, last in (("server", b"to the server"), ("client-2", b"to client-2")):
                while last not in got[name]:
                    got[name].append(heard[name].recv(2048)[14:])
        all_hear = [b"to all", b"to a group"]
        assert got["server"] == [*all_hear, b"to the server"]
        assert got["client-2"] == [*all_hear, b"to client-2"]
        report = hosts.stop()
        assert heard["client-1"].getsockname()[0] == "eth0"
        assert not select.select([heard["client-1"]], [], [], 0)[0]
        taken, losses = read(hosts)
        assert (report.frames, report.made, losses) == (6, 2, [])
        fates = {arrival.packet: arrival for arrival in taken.arrivals}
        assert [
            (number, data[14:], fates[packet].fate) for packet, number, _, data in taken.frames
        ] == [
            (0, b"to all", "delivered"),
            (3, b"to all", "delivered"),  # of the wire's own, to client-2
            (0, b"to a group", "delivered"),
            (3, b"to a group", "delivered"),
            (0, b"to a stranger", "dropped"),
            (0, b"to myself", "dropped"),
            (0, b"to client-2", "delivered"),
            (0, b"to the server", "delivered"),
        ]
        assert {fate.rule for fate in fates.values() if fate.fate == "dropped"} == {
            "it is addressed to its own sender, or to nobody here"
        }

    in_private_network(work)


def test_frames_that_the_wire_makes_are_frames_of_its_own(tmp_path: Path) -> None:
    rule = "duplicate c>s datagram 2 times 2"

    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules=rule)
        sender, receiver = udp_pair(hosts)
        for number in range(3):
            sender.send(b"datagram %d" % number)
        got = [receiver.recv(100) for _ in range(5)]
        assert sorted(got) == [b"datagram 0", *[b"datagram 1"] * 3, b"datagram 2"]
        report = hosts.stop()
        assert (report.frames, report.made, report.fired) == (3, 2, ((rule, 1),))
        taken = check_carried(hosts)
        data = {frame[0]: frame[3] for frame in taken.frames}
        original = next(n for n, bytes_ in data.items() if bytes_.endswith(b"datagram 1"))
        copies = [frame for frame in taken.frames if frame[1] == WIRE]
        assert [frame[3] for frame in copies] == [data[original]] * 2
        assert {arrival.packet for arrival in taken.arrivals if arrival.rule == rule} >= {
            frame[0] for frame in copies
        }

    in_private_network(work)


def test_icmp_of_the_wire_reaches_the_sender(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules="mtu 900")
        sender, _ = udp_pair(hosts)
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: IP_PMTUDISC_DO
        sender.send(bytes(1201))
        sender.setblocking(False)
        wait_until(lambda: refused(sender), "no ICMP reached the client")
        report = hosts.stop()
        taken, _ = read(hosts)
        (icmp,) = (frame for frame in taken.frames if frame[1] == WIRE)
        assert icmp[3][14 + 20] == 3  # destination unreachable
        assert (report.frames, report.made) == (len(taken.frames) - 1, 1)
        (lost,) = (arrival for arrival in taken.arrivals if arrival.fate == "dropped")
        assert lost.rule == "mtu 900"

    def refused(sender: socket.socket) -> bool:
        """Whether the client has learnt that its packets are too big."""
        return sender.getsockopt(socket.IPPROTO_IP, 14) == 900  # IP_MTU

    in_private_network(work)


def test_frames_are_changed_dropped_and_delivered_as_the_rules_say(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(
            tmp_path / "spools", rules="drop c>s datagram 2; corrupt c>s datagram 3; delay 3ms"
        )
        sender, receiver = udp_pair(hosts)
        for number in range(5):
            sender.send(b"datagram %d" % number)
        assert [receiver.recv(100) for _ in range(3)] == [
            b"datagram 0", b"datagram 3", b"datagram 4",
        ]  # fmt: skip
        report = hosts.stop()
        taken, losses = read(hosts)
        assert (report.frames, report.left, losses) == (5, 0, [])
        by_packet = {arrival.packet: arrival for arrival in taken.arrivals}
        assert [by_packet[n].fate for n in range(1, 6)] == [
            "delivered", "dropped", "changed", "delivered", "delivered",
        ]  # fmt: skip
        assert by_packet[2] == Arrival(2, "dropped", rule="drop c>s datagram 2")
        changed = by_packet[3].changed
        assert changed is not None
        original = taken.frames[2][3]
        assert len(changed) == len(original)
        assert changed != original
        left_ns = {frame[0]: frame[2] for frame in taken.frames}
        for arrival in taken.arrivals:
            if arrival.arrived_ns is not None:
                assert arrival.late_ns == arrival.arrived_ns - left_ns[arrival.packet] - 3_000_000
                assert arrival.late_ns >= 0  # never too early

    in_private_network(work)


def test_stopping_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules="delay 300ms")
        sender, receiver = udp_pair(hosts)
        for _ in range(7):
            sender.send(b"late")
        report = hosts.stop()
        assert (report.frames, report.left) == (7, 0)
        assert [receiver.recv(10) for _ in range(7)] == [b"late"] * 7
        check_carried(hosts)

    in_private_network(work)


def test_it_says_what_is_on_its_way(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules="duplicate datagram 3 by 30s")
        assert hosts.count() == (0, 0)
        sender, receiver = udp_pair(hosts)
        for _ in range(7):
            sender.send(b"one of them twice")
        for _ in range(7):
            receiver.recv(100)
        assert hosts.count() == (7, 1)  # the copy
        hosts.stop(within_ms=0)

    in_private_network(work)


def test_stopping_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules="delay 100s")
        sender, _ = udp_pair(hosts)
        for _ in range(7):
            sender.send(b"never")
        report = hosts.stop(within_ms=50)
        assert (report.frames, report.left) == (7, 7)
        taken, losses = read(hosts)
        assert (len(taken.frames), taken.arrivals, losses) == (7, [], [])

    in_private_network(work)


def close_control(hosts: WiredHosts) -> None:
    hosts.control.close()


def terminate(hosts: WiredHosts) -> None:
    hosts.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [close_control, terminate])
def test_it_ends_at_once_when_its_lab_does(
    tmp_path: Path, end: Callable[[WiredHosts], None]
) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules="delay 100s")
        sender, _ = udp_pair(hosts)
        for _ in range(7):
            sender.send(b"never")
        reader = JournalReader(hosts.spools)
        frames: list[object] = []
        wait_until(lambda: frames.extend(reader.poll().frames) or len(frames) == 7, "no frames")
        for number in (signal.SIGINT, signal.SIGHUP):
            hosts.process.send_signal(number)  # the terminal's: not for it
        end(hosts)
        assert hosts.process.wait(20) == 0
        assert reader.finish() == Taken()

    in_private_network(work)


@pytest.mark.parametrize(
    ("offload", "mtu_bytes", "fault"),
    [
        (True, 1500, "its checksum was left to a device: checksum offload is on"),
        (False, 3000, "2042 bytes are longer than the link allows: is TSO or GSO on?"),
    ],
)
def test_a_frame_that_no_real_wire_could_get_is_a_fault_of_the_lab(
    tmp_path: Path, offload: bool, mtu_bytes: int, fault: str
) -> None:
    def work() -> None:
        hosts = WiredHosts(
            tmp_path / "spools", offload=offload, mtu_bytes=1500, host_mtu_bytes=mtu_bytes
        )
        sender, receiver = udp_pair(hosts)
        sender.send(bytes(2000 if mtu_bytes > 1500 else 100))
        message = hosts.hear()
        assert message["event"] == "fault"
        assert (message["message"], message["hint"]) == (
            "a frame of client cannot be carried", fault,
        )  # fmt: skip
        hosts.stop()
        taken, losses = read(hosts)
        assert losses == []
        assert taken.arrivals == [Arrival(1, "dropped", rule=f"fault of the lab: {fault}")]
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(1)

    in_private_network(work)


@pytest.mark.parametrize("rules", ["", "delay 1ms"])
@pytest.mark.parametrize("end", ["host", "wire"])
def test_a_host_that_does_not_take_frames_loses_them(tmp_path: Path, rules: str, end: str) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", rules=rules)
        sender, receiver = udp_pair(hosts)
        server = hosts.hosts[1]
        switch(server, up=False)
        for _ in range(3):
            sender.send(b"to nobody")
        hosts.settle(3)
        switch(server, up=True)
        sender.send(b"to somebody")
        assert receiver.recv(100) == b"to somebody"
        report = hosts.stop()
        taken, losses = read(hosts)
        assert losses == []
        assert [arrival.fate for arrival in taken.arrivals] == [*["dropped"] * 3, "delivered"]
        reason = "server: its interface is down"
        assert report.refused == ((reason, 3),)
        assert {arrival.rule for arrival in taken.arrivals[:3]} == {reason}

    def switch(server: Host, *, up: bool) -> None:
        """One end of the server's link, up or down."""
        if end == "wire":
            set_up("w1", up=up)
            return
        with server.inside():
            set_up("eth0", up=up)

    in_private_network(work)


def test_a_full_spool_stops_no_frame(tmp_path: Path) -> None:
    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools", spool_limit_bytes=1 << 20)
        data = random.Random(3).randbytes(BULK_BYTES * 3)
        assert send_bulk(hosts, data) == data
        report = hosts.stop()
        assert report.unrecorded > 0
        taken, losses = read(hosts)
        assert losses == [Loss("packets", "frames", report.unrecorded, "spool limit")]
        assert len(taken.frames) + report.unrecorded == report.frames
        assert len(taken.arrivals) == len(taken.frames)

    in_private_network(work)


def test_tagged_frames_keep_their_tag(tmp_path: Path) -> None:
    """The kernel takes the tag off before it hands a frame over; the frame is longer by it."""

    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools")
        client, server = hosts.hosts
        plain = frame_between(client, server.mac, random.Random(4).randbytes(1500))
        tagged = plain[:12] + b"\x81\x00\x20\x07" + plain[12:]
        with hosts.packet_socket(client) as out, hosts.packet_socket(server, 0x0003) as heard:
            out.send(tagged)
            assert heard.recv(2048) == plain  # it does so for the server's socket as well
        hosts.stop()
        assert [frame[3] for frame in check_carried(hosts).frames] == [tagged]

    in_private_network(work)


def test_departure_is_the_kernels_stamp_of_what_the_host_sent(tmp_path: Path) -> None:
    """A frame waits while the wire is stopped; it left before."""

    def work() -> None:
        hosts = WiredHosts(tmp_path / "spools")
        sender, receiver = udp_pair(hosts)
        os.kill(hosts.process.pid, signal.SIGSTOP)
        sender.send(b"waits")
        after_ns = time_of_file(tmp_path / "later")
        os.kill(hosts.process.pid, signal.SIGCONT)
        assert receiver.recv(10) == b"waits"
        hosts.stop()
        taken = check_carried(hosts)
        ((_, _, left_ns, _),) = taken.frames
        (arrival,) = taken.arrivals
        assert arrival.arrived_ns is not None
        assert left_ns < after_ns < arrival.arrived_ns
        assert arrival.late_ns == arrival.arrived_ns - left_ns

    def time_of_file(path: Path) -> int:
        path.touch()
        return time.time_ns()

    in_private_network(work)

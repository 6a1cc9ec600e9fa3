"""Hosts with a wire between them, for tests of the wire alone: namespaces, veths and the process.

Everything lives in the process that makes it, which must be in a network namespace of its own (see
`private_network`): that one is the wire's. A socket stays in the namespace that it was made in, so
one thread can hold those of all hosts.
"""

from __future__ import annotations

import array
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

from netlab.lab import syscalls
from netlab.lab.hosts import python_arguments
from netlab.lab.network import links
from netlab.lab.wire.journal import JournalReader
from netlab.lab.wire.orders import COUNT, Orders, Report, Side, report_from, stop
from netlab.model.errors import error_from
from netlab.server.messages import control
from tests.private_network import set_up

SIOCETHTOOL = 0x8946  # linux/sockios.h
# linux/ethtool.h: ETHTOOL_SRXCSUM, _STXCSUM, _SSG, _STSO, _SGSO, _SGRO
OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
ANSWER_WITHIN_S = 20


@dataclass(frozen=True)
class Host:
    """A host: its namespace, and what it is called there."""

    name: str
    namespace: int
    mac: str
    address: str
    address6: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that are made meanwhile are this host's."""
        before = _namespace()
        _enter(self.namespace)
        try:
            yield
        finally:
            _enter(before)
            os.close(before)


class WiredHosts:
    """Hosts, the wire's ends, and the wire's process."""

    def __init__(
        self,
        spools: Path,
        *,
        names: tuple[str, ...] = ("client", "server"),
        rules: str = "",
        offload: bool = False,
        mtu_bytes: int = 1500,
        host_mtu_bytes: int = 0,
        ipv6: bool = False,
        **orders: Any,
    ) -> None:
        self.spools = spools
        spools.mkdir(exist_ok=True)
        self.hosts = [_make_host(number, name, ipv6) for number, name in enumerate(names)]
        for number, host in enumerate(self.hosts):
            _join(number, host, offload, host_mtu_bytes or mtu_bytes)
        sides = tuple(
            Side(
                host.name, f"w{number}", host.mac, (host.address, host.address6),
                host.name == "server",
            )
            for number, host in enumerate(self.hosts)
        )  # fmt: skip
        self.start(Orders(sides, rules, mtu_bytes, **orders))
        for host in self.hosts:
            with host.inside():
                if ipv6:
                    links.bring_up("eth0", quiet=True)
                    ip(f"addr add {host.address6}/64 dev eth0 nodad")
                else:
                    set_up("eth0", up=True)
                _know_the_others(host, self.hosts, ipv6)

    def start(self, orders: Orders) -> None:
        """Start the wire's process, and raise the error that it tells instead of being ready."""
        self.control, theirs = control.pair()
        folder = os.open(self.spools, os.O_RDONLY | os.O_DIRECTORY)
        with theirs:
            self.process = subprocess.Popen(
                python_arguments("netlab.lab.wire.forward", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
            )
        control.send(self.control, orders.as_message(), (folder,))
        os.close(folder)
        message = self.hear()
        if message["event"] != "ready":
            assert self.process.wait(ANSWER_WITHIN_S) == 0
            raise error_from(message)

    def hear(self) -> control.Message:
        """The wire's next message."""
        assert select.select([self.control], [], [], ANSWER_WITHIN_S)[0], "the wire says nothing"
        received = control.receive(self.control)
        assert received is not None, "the wire is gone"
        return received[0]

    def count(self) -> tuple[int, int]:
        """How many frames hosts have sent, and how many are on their way."""
        control.send(self.control, COUNT)
        message = self.hear()
        assert message["event"] == "counted", message
        return message["frames"], message["on_their_way"]

    def stop(self, within_ms: int = 5000) -> Report:
        """Let the wire finish; how it went."""
        control.send(self.control, stop(within_ms))
        message = self.hear()
        assert message["event"] == "stopped", message
        assert self.process.wait(ANSWER_WITHIN_S) == 0
        return report_from(message)

    def settle(self, frames: int) -> None:
        """Wait until so many frames have a fate."""
        reader = JournalReader(self.spools)
        found: list[object] = []
        wait_until(lambda: found.extend(reader.poll().arrivals) or len(found) >= frames, "no fate")
        reader.close()

    def kill(self) -> None:
        """End the wire as nobody can defend against."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Take the links away, and hold the hosts no longer: they go with their last socket."""
        self.control.close()
        for number, host in enumerate(self.hosts):
            ip(f"link del w{number}")
            os.close(host.namespace)

    def cpu_s(self) -> float:
        """Processor time that the wire has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def packet_socket(self, host: Host, kind: int = 0x0003) -> socket.socket:
        """A socket that sends and receives whole frames on a host."""
        with host.inside():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind(("eth0", kind))
        sock.settimeout(ANSWER_WITHIN_S)
        return sock


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def wait_until(condition: Any, what: str) -> None:
    """Ask again and again, without a sleep, for a while."""
    until_s = time.monotonic() + ANSWER_WITHIN_S
    while not condition():
        assert time.monotonic() < until_s, what
        os.sched_yield()


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    syscalls._call("setns", ctypes.c_int(namespace), ctypes.c_int(syscalls.CLONE_NEWNET))


def _make_host(number: int, name: str, ipv6: bool) -> Host:
    before = _namespace()
    syscalls.unshare(syscalls.CLONE_NEWNET)
    namespace = _namespace()
    set_up("lo", up=True)
    # No solicitations that tests would have to know.
    for setting in ("all", "default") if not ipv6 else ():
        Path(f"/proc/sys/net/ipv6/conf/{setting}/disable_ipv6").write_text("1")
    if ipv6:
        Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")
    _enter(before)
    os.close(before)
    mac = f"02:00:00:00:00:{number + 1:02x}"
    return Host(name, namespace, mac, f"10.7.0.{number + 1}", f"fd07::{number + 1:x}")


def _join(number: int, host: Host, offload: bool, mtu_bytes: int) -> None:
    there = f"/proc/{os.getpid()}/fd/{host.namespace}"
    ip(
        f"link add w{number} mtu {mtu_bytes} type veth"
        f" peer name eth0 address {host.mac} mtu {mtu_bytes} netns {there}"
    )
    Path(f"/proc/sys/net/ipv6/conf/w{number}/disable_ipv6").write_text("1")
    if not offload:
        _no_offload(f"w{number}")
    set_up(f"w{number}", up=True)
    with host.inside():
        if not offload:
            _no_offload("eth0")
        ip(f"addr add {host.address}/24 dev eth0")


def _know_the_others(host: Host, hosts: list[Host], ipv6: bool) -> None:
    for other in hosts:
        if other is not host and ipv6:
            ip(f"neigh replace {other.address6} lladdr {other.mac} dev eth0 nud permanent")
        if other is not host:
            ip(f"neigh replace {other.address} lladdr {other.mac} dev eth0 nud permanent")


def _no_offload(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in OFFLOADS:
            value = array.array("B", struct.pack("@II", command, 0))
            address, _ = value.buffer_info()
            ioctl(sock, SIOCETHTOOL, struct.pack("@16sP16x", interface.encode(), address))

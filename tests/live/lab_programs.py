"""Functions that tests run on the hosts of a lab; each gets the probe of its process first."""

from __future__ import annotations

import os
import select
import signal
import socket
from pathlib import Path
from typing import Any

from netlab.lab.network import offloads
from netlab.model.probe import Probe

PORT = 80
MESSAGE_BYTES = 4093


def look(probe: Probe) -> dict[str, Any]:
    """What a program sees of its host, and what it may do there."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = socket.getaddrinfo("server", PORT, type=socket.SOCK_STREAM)
    return {
        "uid": os.getuid(),
        "groups": sorted(os.getgroups()),
        "cwd": os.getcwd(),
        "capabilities": status["CapEff"].strip(),
        "no_new_privs": status["NoNewPrivs"].strip(),
        "host": socket.gethostname(),
        "server": [address[0] for *_, address in found],
        "interfaces": [name for _, name in socket.if_nameindex()],
        "sysfs": sorted(os.listdir("/sys/class/net")),
        "mac": Path("/sys/class/net/eth0/address").read_text().strip(),
        "mtu": int(Path("/sys/class/net/eth0/mtu").read_text()),
        "offloads": offloads.read("eth0"),
        "syn_retries": Path("/proc/sys/net/ipv4/tcp_syn_retries").read_text().strip(),
        "processes": [int(name) for name in os.listdir("/proc") if name.isdecimal()],
        "outer": int(os.readlink("self", dir_fd=int(os.environ["NETLAB_PROC_FD"]))),
        "pinged": ping("server"),
        "mounted": [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()],
    }


def ping(host: str) -> bool:
    """Whether an echo request of ours is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(20)
        sock.sendto(b"\x08\0\0\0\0\0\0\x01netlab", (host, 0))
        return sock.recv(100).endswith(b"netlab")


def congestion(probe: Probe, host: str) -> list[str]:
    """The congestion control of a connection to a host over IPv4, and over IPv6."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        address = socket.getaddrinfo(host, PORT, family, socket.SOCK_STREAM)[0][4]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.connect(address)
            name = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            found.append(name.rstrip(b"\0").decode())
    return found


def accept_congestion(probe: Probe, connections: int) -> list[str]:
    """Serve so many connections, and tell what congestion control they have here."""
    found = []
    with socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        for _ in range(connections):
            sock, _ = server.accept()
            name = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            found.append(name.rstrip(b"\0").decode())
            sock.close()
    return found


def echo_once(probe: Probe, messages: int) -> int:
    """Serve one connection: give every byte back. Returns how many there were."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", PORT))
    listener.listen()
    sock, _ = listener.accept()
    total = 0
    while data := sock.recv(1 << 16):
        sock.sendall(data)
        total += len(data)
    sock.close()
    listener.close()
    return total


def say(probe: Probe, address: str, messages: int) -> int:
    """Send so many messages, each once the one before has come back."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect((address, PORT))
    for number in range(messages):
        message = bytes([number % 251]) * MESSAGE_BYTES
        sock.sendall(message)
        heard = b""
        while len(heard) < MESSAGE_BYTES:
            heard += sock.recv(1 << 16)
        assert heard == message
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""
    sock.close()
    return messages * MESSAGE_BYTES


def daemonise(probe: Probe) -> None:
    """Leave a daemon behind that listens a little later, as `nginx` and `memcached -d` do."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    with socket.create_server(("0.0.0.0", 11211)) as listener:
        select.select([listener], [], [])
        signal.pause()


def bind_datagrams(probe: Probe, port: int) -> None:
    """Have a UDP port, and wait for the end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", port))
        signal.pause()


def hear_datagrams(probe: Probe, family: int, count: int) -> int:
    """Read so many datagrams; how many bytes were in them."""
    with probe.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", PORT))
        return sum(len(sock.recv(1 << 16)) for _ in range(count))


def tell_by_name(probe: Probe, family: int, host: str, count: int) -> None:
    """Send so many datagrams to a host by its name."""
    with probe.socket(family, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(bytes(97), (host, PORT))


def tell_all(probe: Probe, group: str, messages: int) -> None:
    """Say something to every host's port 9 at once."""
    with probe.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for number in range(messages):
            to = (group, 9, 0, socket.if_nametoindex("eth0"))
            sock.sendto(b"told to all %d" % number, to)


def fail(probe: Probe) -> None:
    """Raise."""
    raise ValueError("on a host")

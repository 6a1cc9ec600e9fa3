"""Makes the hosts of a plan and the links to the wire, in the lab's first process.

The network namespace that the process is in becomes the wire's. Each host gets namespaces of its
own for network, mounts and host name, held open here by descriptors; a child enters them before it
becomes a program. A host's link comes up only when `connect` is called: the wire must be there
first, to see its first frame. Read man 7 network_namespaces, man 2 setns.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netlab.capture.sockdiag import open_netlink
from netlab.lab import sysctls
from netlab.lab.namespaces import HostFacts, set_baseline, step
from netlab.lab.network import links, offloads, routes, shaping
from netlab.lab.network.mounts import furnish
from netlab.lab.network.plan import LINK, MTU_BYTES, Plan, PlannedHost
from netlab.lab.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    setns,
    unshare,
)
from netlab.model.errors import UsageError

_KINDS = (("net", CLONE_NEWNET), ("mnt", CLONE_NEWNS), ("uts", CLONE_NEWUTS))
# What makes IPv6 speak by itself, off: a frame on the wire is one that a program caused.
_HUSH = (
    ("net.ipv6.conf.default.addr_gen_mode", "1"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.autoconf", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
)
_NO_IPV6 = (("net.ipv6.conf.default.disable_ipv6", "1"),)


@dataclass(frozen=True, slots=True)
class Place:
    """The namespaces of a host or of the wire, open; by them a process gets there."""

    descriptors: tuple[tuple[int, int], ...]  # each with its CLONE_NEW* flag

    @classmethod
    def here(cls) -> Place:
        """Where this process is now."""
        flags = os.O_RDONLY | os.O_CLOEXEC
        return cls(tuple((os.open(f"/proc/self/ns/{name}", flags), k) for name, k in _KINDS))

    def enter(self) -> None:
        """Go there; the working directory becomes /."""
        for descriptor, kind in self.descriptors:
            setns(descriptor, kind)

    @property
    def network(self) -> int:
        """The descriptor of the network namespace."""
        return self.descriptors[0][0]


class Network:
    """The hosts of a plan, made; `wire` is where the other ends of their links are."""

    def __init__(self, plan: Plan) -> None:
        """Make namespaces and links. Raises Refused, and UsageError for a sysctl that did not
        take."""
        self.plan = plan
        self.places: dict[str, Place] = {}
        self.facts: dict[str, HostFacts] = {}
        self._algorithms: dict[str, str] = {}  # congestion control that the routes must carry
        sysctls.write_all(sysctls.BEFORE_HOST)
        sysctls.write_all(_NO_IPV6)
        with step("host name namespace"):
            unshare(CLONE_NEWUTS)  # to one that is not ours nobody could come back
        self.wire = Place.here()
        for host in plan.hosts:
            with self._back_afterwards():
                self._make(host)

    def connect(self) -> None:
        """Bring the hosts' links up: addresses, routes, neighbours. Raises Refused."""
        for host in self.plan.hosts:
            with self._back_afterwards(), step(f"link of {host.name}"):
                self.places[host.name].enter()
                self._connect(host)

    def diagnosis_sockets(self) -> list[socket.socket]:
        """For each host a netlink socket by which anybody can ask its kernel for its sockets."""
        found = []
        for host in self.plan.hosts:
            with self._back_afterwards():
                self.places[host.name].enter()
                found.append(open_netlink())
        return found

    @contextmanager
    def _back_afterwards(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.wire.enter()

    def _make(self, host: PlannedHost) -> None:
        with step(f"namespaces of {host.name}"):
            unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS)
        place = self.places[host.name] = Place.here()
        sysctls.write_all(_HUSH)
        notes = []
        try:
            socket.sethostname(host.name)
        except OSError as error:
            notes.append(f"programs see the machine's own name ({error.strerror})")
        with step(f"link of {host.name}"):
            self.wire.enter()
            links.make_veth(
                host.name,
                host.wire_mac,
                peer=LINK,
                peer_mac=host.mac,
                peer_namespace=place.network,
                mtu_bytes=MTU_BYTES,
            )
            offloads.switch_off(host.name)
            links.bring_up(host.name, quiet=True)
            place.enter()
            offloads.switch_off(LINK)
            links.bring_up("lo")
        notes += furnish(self.plan)
        self._set(host, notes)

    def _set(self, host: PlannedHost, notes: list[str]) -> None:
        """Baseline and the sysctls that were asked for."""
        algorithm = dict(host.sysctls).get(sysctls.CONGESTION_CONTROL, sysctls.CUBIC)
        facts = set_baseline(algorithm)
        _let_ping()
        self._algorithms[host.name] = facts.on_routes
        by_name = {setting.name: setting for setting in facts.settings}
        for name, value in host.sysctls:
            if name == sysctls.CONGESTION_CONTROL:
                if facts.on_routes or by_name[name].held:
                    continue
                raise _not_taken(host, by_name[name])
            by_name[name] = setting = sysctls.write(name, value)
            if not setting.held:
                raise _not_taken(host, setting)
        self.facts[host.name] = HostFacts(
            tuple(by_name.values()), (*facts.notes, *notes), facts.on_routes
        )

    def _connect(self, host: PlannedHost) -> None:
        if host.bits_per_s:
            shaping.limit_rate(LINK, host.bits_per_s)
        links.bring_up(LINK, quiet=not self.plan.resolve)
        algorithm = self._algorithms[host.name]
        ipv6 = routes.has_ipv6()
        for address in (host.ipv4, host.ipv6) if ipv6 else (host.ipv4,):
            links.add_address(LINK, address)
            routes.add_link_route(LINK, address, algorithm)
        if self.plan.resolve:
            return
        next_hops = dict(host.next_hops)
        for other in self.plan.hosts:
            if other is not host:
                hop = self.plan.host(next_hops.get(other.name, other.name))
                for neighbour in (other.ipv4, other.ipv6) if ipv6 else (other.ipv4,):
                    links.add_neighbour(LINK, neighbour.ip, hop.mac)


_PING = "net.ipv4.ping_group_range"


def _let_ping() -> None:
    """Let programs send echo requests, which are a privilege in a new network namespace."""
    if not sysctls.write(_PING, "0 2147483647").held:
        gid = os.getegid()  # the only one that there is in an ordinary user's namespace
        sysctls.write(_PING, f"{gid} {gid}")


def _not_taken(host: PlannedHost, setting: sysctls.Setting) -> UsageError:
    if setting.value is None:
        return UsageError(f"{host.name} has no sysctl {setting.name}", "see `sysctl -a` on it")
    return UsageError(
        f"{setting.name} on {host.name} is {setting.value}, not {setting.wanted}: "
        "writing it did not take",
        "this kernel does not allow that value for a host of its own",
    )

"""What the hosts of a lab are called and how they are numbered: names -> a plan, as text for JSON.

The same names give the same MACs and the same last numbers of addresses every time, so recordings
repeat; the subnet is another each time, so that two of them are not taken for one. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Interface, IPv6Interface

from netlab.lab.sysctls import NAME
from netlab.model.errors import UsageError

LINK = "eth0"  # what a host calls its end of the wire
WIRE = "wire"
SERVER = "server"
MTU_BYTES = 1500
MOST_HOSTS = 16
LEAST_BITS_PER_S = 1_000  # a frame in 12 s
SUBNET_BYTES = 5
_HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")  # it names an interface too, which has 15 bytes
_TAKEN = (WIRE, "localhost", "lo", LINK)


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """One host of a lab."""

    name: str
    mac: str
    wire_mac: str  # of the wire's end of its link
    address4: str  # with the prefix length: 10.7.9.1/24
    address6: str
    sysctls: tuple[tuple[str, str], ...] = ()  # beyond the baseline, in the order to write
    next_hops: tuple[tuple[str, str], ...] = ()  # what is for a host goes to another: both names
    bits_per_s: int = 0  # what its link sends at the most; 0: no limit

    @property
    def ipv4(self) -> IPv4Interface:
        return IPv4Interface(self.address4)

    @property
    def ipv6(self) -> IPv6Interface:
        return IPv6Interface(self.address6)


@dataclass(frozen=True, slots=True)
class Plan:
    """All hosts of a lab, in the order of their interfaces in the recording."""

    hosts: tuple[PlannedHost, ...]
    server: str = SERVER
    resolve: bool = False  # hosts ask for each other's MAC, and are not told beforehand

    def host(self, name: str) -> PlannedHost:
        """The host of that name; UsageError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise UsageError(f"there is no host {name!r}", f"there is {names}")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the recording must know of the hosts' links."""
        return tuple(
            f"the link of {host.name} sends {host.bits_per_s:,} bits/s at the most: what is more "
            "waits in the host's own queue, and a frame is seen when it leaves that"
            for host in self.hosts
            if host.bits_per_s
        )

    def as_json(self) -> str:
        """For the helper's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What `as_json` gave."""
        fields = json.loads(text)
        hosts = []
        for host in fields["hosts"]:
            pairs = tuple((name, value) for name, value in host.pop("sysctls"))
            hops = tuple((other, hop) for other, hop in host.pop("next_hops"))
            hosts.append(PlannedHost(**host, sysctls=pairs, next_hops=hops))
        return cls(tuple(hosts), fields["server"], fields["resolve"])


def client_names(count: int) -> tuple[str, ...]:
    """What so many clients are called."""
    return ("client",) if count == 1 else tuple(f"client-{n}" for n in range(1, count + 1))


def host_names(count: int) -> tuple[str, ...]:
    """The names of so many hosts: a client, the server, then the other clients."""
    if not 2 <= count <= MOST_HOSTS:
        raise UsageError(f"a lab of {count} hosts", f"2 to {MOST_HOSTS}")
    first, *others = client_names(count - 1)
    return (first, SERVER, *others)


def make_plan(
    names: Sequence[str],
    subnet: bytes,
    *,
    server: str = SERVER,
    sysctls: Iterable[tuple[str, str, str]] = (),
    resolve: bool = False,
    next_hops: Iterable[tuple[str, str, str]] = (),
    link_rates: Mapping[str, int] | None = None,
) -> Plan:
    """Number the hosts. `subnet`: SUBNET_BYTES bytes, what is to be different from other labs.

    The n-th host has the MAC 02:00:00:00:00:n, 10.a.b.n and fd..::n. `sysctls` are host, name and
    value; `next_hops` a host, another, and to whose MAC it sends what is for that one;
    `link_rates`: by host, bits a second. Raises UsageError for names and rates that cannot be.
    """
    if not 1 <= len(names) <= MOST_HOSTS:
        raise UsageError(f"a lab of {len(names)} hosts", f"1 to {MOST_HOSTS}")
    for name in names:
        if not _HOST_NAME.fullmatch(name) or name in _TAKEN or names.count(name) > 1:
            raise UsageError(
                f"{name!r} can be no host's name",
                "at most 15 of a-z, 0-9 and -, a letter first, each name once",
            )
    wanted = list(sysctls)
    for host, name, _ in wanted:
        if host not in names:
            raise UsageError(f"there is no host {host!r} to set {name} on", ", ".join(names))
    hops = list(next_hops)
    for hop in hops:
        if unknown := set(hop) - set(names):
            raise UsageError(f"there is no host {min(unknown)!r} on the way", ", ".join(names))
    rates = dict(link_rates or {})
    for host, rate in rates.items():
        if host not in names or rate < LEAST_BITS_PER_S:
            raise UsageError(
                f"the link of {host!r} cannot send {rate:,} bits/s at the most",
                f"a host ({', '.join(names)}) and {LEAST_BITS_PER_S:,} or more",
            )
    first, second, *_ = subnet
    prefix6 = f"fd{subnet[0]:02x}:{subnet[1]:02x}{subnet[2]:02x}:{subnet[3]:02x}{subnet[4]:02x}:"
    hosts = [
        PlannedHost(
            name,
            f"02:00:00:00:00:{n:02x}",
            f"02:00:00:00:01:{n:02x}",
            f"10.{first}.{second}.{n}/24",
            f"{IPv6Interface(f'{prefix6}:{n:x}/64')}",
            tuple((key, value) for host, key, value in wanted if host == name),
            tuple((other, hop) for host, other, hop in hops if host == name),
            rates.get(name, 0),
        )
        for n, name in enumerate(names, 1)
    ]
    return Plan(tuple(hosts), server, resolve)


def sysctl_from_text(text: str) -> tuple[str, str, str]:
    """`client:net.ipv4.tcp_syn_retries=2` as host, name and value. Raises UsageError."""
    host, colon, rest = text.partition(":")
    name, equals, value = rest.partition("=")
    name, value = name.strip().replace("/", "."), " ".join(value.split())
    if not (host and colon and equals and value):
        raise UsageError(
            f"{text!r} sets no sysctl", "as in --sysctl client:net.ipv4.tcp_syn_retries=2"
        )
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no sysctl of a host", "only those that begin with net. are a host's own"
        )
    return host, name, value

"""Names and numbers of a lab's hosts, and what `--sysctl` says."""

from __future__ import annotations

import ipaddress

import pytest

from netlab.lab.network.mounts import hosts_file
from netlab.lab.network.plan import Plan, host_names, make_plan, sysctl_from_text
from netlab.model.errors import UsageError

SUBNET = bytes((7, 9, 0, 0xAB, 0xCD))


def test_two_hosts_are_a_client_and_a_server() -> None:
    client, server = make_plan(host_names(2), SUBNET).hosts
    assert (client.name, server.name) == ("client", "server")
    assert (client.mac, server.mac) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert (client.address4, server.address4) == ("10.7.9.1/24", "10.7.9.2/24")
    assert (client.address6, server.address6) == (
        "fd07:900:abcd::1/64", "fd07:900:abcd::2/64"
    )  # fmt: skip
    assert len({client.mac, server.mac, client.wire_mac, server.wire_mac}) == 4


def test_more_clients_are_numbered_and_the_server_stays_the_second() -> None:
    assert host_names(4) == ("client-1", "server", "client-2", "client-3")
    assert make_plan(host_names(4), SUBNET).host("server").mac == "02:00:00:00:00:02"


@pytest.mark.parametrize("count", [0, 1, 17])
def test_as_many_hosts_as_there_can_be(count: int) -> None:
    with pytest.raises(UsageError, match="2 to 16"):
        host_names(count)


@pytest.mark.parametrize("subnet", [bytes(5), b"\xff" * 5, bytes((1, 2, 3, 4, 5))])
def test_addresses_are_private_whatever_the_subnet(subnet: bytes) -> None:
    for host in make_plan(host_names(16), subnet).hosts:
        assert host.ipv4.ip in ipaddress.ip_network("10.0.0.0/8")
        assert host.ipv6.ip in ipaddress.ip_network("fd00::/8")
        assert host.ipv4.network.prefixlen == 24
        assert host.ipv6.network.prefixlen == 64


@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("wire", "b"), ("localhost",), ("A",), ("1st",), ("",), ("x" * 16,), ("a b",),
     ("eth0", "b"), ()],
)  # fmt: skip
def test_names_that_can_be_no_hosts(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        make_plan(names, SUBNET)


def test_a_plan_survives_json() -> None:
    sysctls = [("client", "net.ipv4.tcp_sack", "0"), ("client", "net.ipv4.tcp_rmem", "1 2 3")]
    hops = [("client", "server", "router")]
    plan = make_plan(
        ("client", "server", "router"), SUBNET, sysctls=sysctls, resolve=True, next_hops=hops,
        link_rates={"server": 200_000},
    )  # fmt: skip
    assert Plan.from_json(plan.as_json()) == plan
    assert plan.host("client").sysctls == tuple((name, value) for _, name, value in sysctls)
    assert plan.host("server").sysctls == ()
    assert plan.resolve
    assert [host.bits_per_s for host in plan.hosts] == [0, 200_000, 0]
    assert [note[:41] for note in plan.notes] == ["the link of server sends 200,000 bits/s a"]
    assert [host.next_hops for host in plan.hosts] == [(("server", "router"),), (), ()]


def test_a_sysctl_of_a_host_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="'clint'"):
        make_plan(("client", "server"), SUBNET, sysctls=[("clint", "net.ipv4.tcp_sack", "0")])


@pytest.mark.parametrize(("host", "rate"), [("clint", 200_000), ("client", 0), ("client", 999)])
def test_a_link_that_cannot_be_so_slow(host: str, rate: int) -> None:
    with pytest.raises(UsageError, match=f"link of '{host}'"):
        make_plan(("client", "server"), SUBNET, link_rates={host: rate})


def test_of_links_without_a_limit_there_is_nothing_to_know() -> None:
    assert make_plan(("client", "server"), SUBNET).notes == ()


def test_a_way_over_a_host_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="'rooter'"):
        make_plan(("client", "server"), SUBNET, next_hops=[("client", "server", "rooter")])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("client:net.ipv4.tcp_sack=0", ("client", "net.ipv4.tcp_sack", "0")),
        ("server:net/ipv4/tcp_sack=1", ("server", "net.ipv4.tcp_sack", "1")),
        ("a: net.ipv4.tcp_rmem = 1  2\t3 ", ("a", "net.ipv4.tcp_rmem", "1 2 3")),
        ("a:net.ipv6.conf.eth0.mtu=1400", ("a", "net.ipv6.conf.eth0.mtu", "1400")),
    ],
)
def test_what_a_sysctl_says(text: str, meant: tuple[str, str, str]) -> None:
    assert sysctl_from_text(text) == meant


@pytest.mark.parametrize(
    "text",
    ["", "client", "client:net.ipv4.tcp_sack", "net.ipv4.tcp_sack=0", ":net.ipv4.tcp_sack=0",
     "client:net.ipv4.tcp_sack=", "client:kernel.pid_max=9", "client:net..ipv4=1", "client:net=1",
     "client:net/../../kernel/pid_max=9", "client:net.ipv4.tcp sack=0", "client:=1"],
)  # fmt: skip
def test_what_sets_no_sysctl_of_a_host(text: str) -> None:
    with pytest.raises(UsageError):
        sysctl_from_text(text)


@pytest.mark.parametrize("both", [True, False])
def test_the_hosts_file_has_everybody_ipv4_first(both: bool) -> None:
    lines = hosts_file(make_plan(host_names(2), SUBNET), both=both).splitlines()
    named = [line.split()[0] for line in lines if "server" in line.split()[1:]]
    assert named == ["10.7.9.2", "fd07:900:abcd::2"][: 1 + both]
    assert [line.split()[0] for line in lines if "server-ipv6" in line] == ["fd07:900:abcd::2"]
    assert lines[0] == "127.0.0.1 localhost"

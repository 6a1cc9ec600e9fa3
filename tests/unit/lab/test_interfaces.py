"""Which interfaces an address is reached by."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from netlab.lab import interfaces

KNOWN = [
    ("lo", "127.0.0.1"), ("eth0", "192.0.2.2"), ("eth0", "192.0.2.3"), ("wg0", "10.9.0.1"),
    ("lo", "::1"), ("eth1", "2001:db8::5"), ("eth0", "fe80::1"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(name, ipaddress.ip_address(text)) for name, text in KNOWN]
    monkeypatch.setattr(interfaces, "addresses", lambda: found)
    monkeypatch.setattr(interfaces, "is_ethernet", lambda name: name != "wg0")


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        (["127.0.0.1"], ["lo"]),
        (["127.0.0.9"], ["lo"]),
        (["::1"], ["lo"]),
        (["192.0.2.3"], ["lo", "eth0"]),  # from this machine by loopback, else by eth0
        (["2001:db8::5", "192.0.2.2"], ["lo", "eth1", "eth0"]),
        (["fe80::1%eth0"], ["lo", "eth0"]),
        (["0.0.0.0"], ["lo", "eth0", "eth1"]),
        (["::"], ["lo", "eth0", "eth1"]),
        (["10.9.0.1"], ["lo"]),  # a tunnel has no Ethernet headers
        ([], ["lo"]),
    ],
)
def test_interfaces_of_addresses(hosts: list[str], names: list[str]) -> None:
    assert interfaces.interfaces_for(hosts) == names


def test_this_machine_has_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert ("lo", ipaddress.ip_address("127.0.0.1")) in interfaces.addresses()
    assert interfaces.is_ethernet("lo")


@pytest.mark.parametrize(("kind", "yes"), [("1", True), ("772", True), ("65534", False)])
def test_the_kernel_says_what_is_ethernet(
    kind: str, yes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "type").write_text(f"{kind}\n")
    assert interfaces.is_ethernet("x", tmp_path) == yes

"""Orders for a server, and addresses as users type them."""

from __future__ import annotations

import pytest

from netlab.lab.options import RunOptions
from netlab.lab.scenarios import SCENARIOS, orders_for
from netlab.lab.serving import ServeOrders, make_server, place_from_text
from netlab.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("7777", ("127.0.0.1", 7777, "tcp")),
        (":80", ("0.0.0.0", 80, "tcp")),
        ("0.0.0.0:0", ("0.0.0.0", 0, "tcp")),
        ("[::1]:80", ("::1", 80, "tcp")),
        ("localhost:80", ("localhost", 80, "tcp")),
        ("tcp:10.0.0.1:80", ("10.0.0.1", 80, "tcp")),
        ("udp:53", ("127.0.0.1", 53, "udp")),
        ("udp:[::]:53", ("::", 53, "udp")),
        ("/run/a.sock", ("/run/a.sock", 0, "unix")),
        ("./a:b", ("./a:b", 0, "unix")),
        ("@name", ("@name", 0, "unix")),
        ("unix:name", ("name", 0, "unix")),
        ("unix_dgram:@name", ("@name", 0, "unix_dgram")),
    ],
)
def test_addresses(text: str, meant: tuple[str, int, str]) -> None:
    place = place_from_text(text)
    assert (place.host, place.port, place.kind) == meant


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:x", "1.2.3.4:-1", "7777:", "tcp:", "²"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        place_from_text(text)


def test_orders_survive_the_command_line() -> None:
    orders = ServeOrders("slow", ("7", "@x"), {"mode": "base"}, "/tmp", 5, (0.5, 1.0))
    assert ServeOrders.from_json(orders.as_json()) == orders


def test_what_the_user_says_counts_before_what_the_handler_says() -> None:
    server = make_server(ServeOrders("chat", options={"max_message": "99", "worker_num": "3"}))
    assert server.options.max_message == 99
    assert server.options.terminator == b"\n"
    assert server.options.workers == 3


def test_a_framing_of_another_kind_than_the_handlers_is_refused() -> None:
    with pytest.raises(UsageError, match="two framings on one port"):
        make_server(ServeOrders("chat", options={"fixed_size": "9"}))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_served(name: str) -> None:
    from pathlib import Path

    options = RunOptions(Path("x"), name, {"mode": "base", "workers": "2"}, ipv6=True, nodelay=True)
    server = make_server(orders_for(options))
    assert server.options.nodelay
    assert (server.options.mode, server.options.workers) == ("base", 2)


def test_a_server_can_hold_the_message_that_a_client_sends_before_it_reads() -> None:
    from pathlib import Path

    server = make_server(orders_for(RunOptions(Path("x"), size_bytes=1 << 26)))
    assert server.options.high_watermark >= 1 << 26

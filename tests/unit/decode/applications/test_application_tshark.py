"""Fields of applications as netlab and tshark read them: talks by hand and sample captures."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from application_samples import ANSWER, QUERY, TALKS, C, S, protocol_of
from datagram_samples import DATAGRAMS
from talk_capture import datagrams, talks
from tshark_applications import (
    Rows,
    by_tshark,
    check_dhcp,
    check_dhcpv6,
    check_dns,
    check_mqtt,
    check_ntp,
    check_postgres,
    check_redis,
    named,
    of,
    read,
    sides,
    values,
)
from tshark_fields import column

from netlab.model.tables import Message

PORTS = {
    "redis": 6379, "memcached": 11211, "postgres": 5432, "mqtt": 1883, "smtp": 25, "ftp": 21,
    "dns": 53, "mdns": 5353, "llmnr": 5355, "dhcp": 67, "dhcpv6": 547, "ntp": 123, "ssdp": 1900,
}  # fmt: skip
CAPTURES = [
    "many_interfaces-1.pcapng", "raw_ip.pcap", "smb_v2_only_non_zero_reserved1.pcap",
    "wikipedia.pcap", "http_PPI.pcap", "le-advanced-test102.pcapng", "mqtt-limit-2-input.pcap",
    "pubsub.pcap",
]  # fmt: skip


def test_datagrams_by_hand(tmp_path: Path) -> None:
    """All but a name of bytes, which tshark writes in its own way, and a BOOTP it finds short."""
    those = {
        name: (payload, PORTS[protocol], C)
        for name, (protocol, payload) in DATAGRAMS.items()
        if name not in ("dns bytes in a name", "bootp")
    }
    those["query"] = QUERY, 53, C
    those["answer"] = ANSWER, 53, S
    path = datagrams(tmp_path / "d.pcap", those)
    found, rows = read(path), by_tshark(path)
    assert check_dns(rows, found) == 15
    assert check_dhcp(rows, found) == 6
    assert check_dhcpv6(rows, found) == 3
    assert check_ntp(rows, found) == 7


def test_sample_captures(captures_dir: Path) -> None:
    compared: Counter[str] = Counter()
    for name in CAPTURES:
        path = captures_dir / "files" / name
        found, rows = read(path), by_tshark(path)
        compared["dns"] += check_dns(rows, found)
        compared["dhcp"] += check_dhcp(rows, found)
        compared["ntp"] += check_ntp(rows, found)
        compared["mqtt"] += check_mqtt(rows, found)
        compared["redis"] += check_redis(rows, found)
    assert compared == {"dns": 74, "dhcp": 3, "ntp": 2, "mqtt": 12, "redis": 17}


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, list[Message]]:
    """Each talk as a connection of its own; tshark reads one command in a segment of mail."""
    path = tmp_path_factory.mktemp("talks") / "t.pcap"
    scripts = dict(TALKS)
    for talk in ("smtp", "ftp"):
        scripts[talk] = [
            (side, part)
            for side, data in TALKS[talk]
            for part in ([data] if data[3:4] == b"-" else lines(data))
        ]
    talks(path, [(scripts[talk], PORTS[protocol_of(talk)]) for talk in scripts])
    return by_tshark(path), read(path)


def lines(data: bytes) -> list[bytes]:
    """The lines of what was said, each with its end."""
    return re.findall(rb"[^\n]*\n", data)


Talked = tuple[Rows, list[Message]]


def test_dns_and_mqtt_talks(talked: Talked) -> None:
    rows, found = talked
    assert [one for one in found if one.fault] == []
    assert check_mqtt(rows, found) == 23
    said = [one for _, one in of(found, "DNS")]
    assert [one for one in said for one in values(one, "id")] == column(rows, "dns.id")
    assert named(said, "question 1 name") == column(rows, "dns.qry.name")


def test_postgres_talk(talked: Talked) -> None:
    check_postgres(*talked)


def test_mail_talk(talked: Talked) -> None:
    rows, found = talked
    client, server = sides(found, "SMTP")
    # Of a command that it does not know, tshark takes the first four letters.
    theirs = column(rows, "smtp.req.command")
    ours = named(client, "command")
    assert [name[: len(word)] for name, word in zip(ours, theirs, strict=True)] == theirs
    assert min(map(len, theirs)) == 4
    codes = [text.partition(" ")[0].partition("-")[0] for text in named(server, "reply")]
    assert codes == column(rows, "smtp.response.code")


def test_ftp_talk(talked: Talked) -> None:
    rows, found = talked
    client, server = sides(found, "FTP")
    assert named(client, "command") == column(rows, "ftp.request.command")
    assert named(client, "argument") == column(rows, "ftp.request.arg")
    assert [text[:3] for text in named(server, "reply")] == column(rows, "ftp.response.code")
    passive, extended, active = (
        [" port ".join(pair) for pair in zip(column(rows, a), column(rows, b), strict=True)]
        for a, b in (("ftp.passive.ip", "ftp.passive.port"), ("ftp.eprt.ipv6", "ftp.eprt.port"),
                     ("ftp.active.cip", "ftp.active.port"))
    )  # fmt: skip
    ports = [f"port {port} of the server" for port in column(rows, "ftp.epsv.port")]
    assert named(server, "data address") == [*passive, *ports]
    assert named(client, "data address") == [*extended, *active]

"""Fields of applications as netlab and tshark read them from the same file: the checks.

Each gets tshark's rows and netlab's messages, and tells how many messages it compared.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tshark_fields import column, tshark_rows

from netlab.capture.files import read_raw
from netlab.correlate.messages import messages, said_of
from netlab.decode.applications.dhcp_options import OPTIONS
from netlab.decode.applications.dhcpv6 import OPTIONS as OPTIONS_6
from netlab.decode.applications.dns_words import type_name
from netlab.decode.applications.message import Item, Said
from netlab.explain.analysis import analyse
from netlab.model.tables import Direction, Message

DNS_DATA = {"A": "dns.a", "AAAA": "dns.aaaa", "CNAME": "dns.cname", "NS": "dns.ns",
            "PTR": "dns.ptr.domain_name"}  # fmt: skip
COUNTS = ["dns.count.queries", "dns.count.answers", "dns.count.auth_rr", "dns.count.add_rr"]
FIELDS = [
    "dns.id", "dns.flags.rcode", *COUNTS, "dns.qry.name", "dns.qry.type", "dns.resp.name",
    "dns.resp.type", "dns.resp.ttl", *DNS_DATA.values(),
    "dhcp.id", "dhcp.ip.client", "dhcp.ip.your", "dhcp.ip.server", "dhcp.ip.relay",
    "dhcp.option.dhcp", "dhcp.option.type", "dhcpv6.msgtype", "dhcpv6.option.type",
    "ntp.flags.vn", "ntp.flags.mode", "ntp.stratum", "ntp.ppoll", "ntp.rootdelay",
    "ntp.reftime", "ntp.org", "ntp.rec", "ntp.xmt",
    "mqtt.msgtype", "mqtt.len", "mqtt.topic", "mqtt.msgid", "mqtt.clientid", "mqtt.kalive",
    "resp.string", "resp.error", "resp.integer",
    "pgsql.query", "pgsql.tag", "pgsql.code", "pgsql.message", "pgsql.col.name", "pgsql.type",
    "smtp.req.command", "smtp.response.code", "ftp.request.command", "ftp.request.arg",
    "ftp.response.code", "ftp.passive.ip", "ftp.passive.port", "ftp.active.cip",
    "ftp.active.port", "ftp.eprt.ipv6", "ftp.eprt.port", "ftp.epsv.port",
]  # fmt: skip
Rows = list[dict[str, list[str]]]


def by_tshark(path: Path, *options: str) -> Rows:
    """What tshark reads of all these protocols."""
    return tshark_rows(path, "(udp or tcp) and not icmp", FIELDS, options)


def with_field(rows: Rows, field: str) -> dict[int, dict[str, list[str]]]:
    """Those that have a field, by frame."""
    return {int(row["frame.number"][0]): row for row in rows if row[field]}


def read(path: Path) -> list[Message]:
    raw = read_raw(path)
    return messages(analyse(raw), raw)


def of(found: list[Message], *protocols: str) -> Iterator[tuple[int, Said]]:
    """Messages of these protocols by the frame that ended them."""
    for message in found:
        if message.protocol.startswith(protocols):
            yield message.frames[-1], said_of(message)


def values(said: Said, ending: str) -> list[str]:
    """The texts of all fields whose names end so."""
    return [item.text for item in said.items if item.name.endswith(ending)]


def number(text: str) -> str:
    """The number in `no error (0)`."""
    found = re.search(r"\(([^()]*)\)\Z", text)
    return found.group(1) if found else text


def check_dns(every: Rows, found: list[Message]) -> int:
    rows = with_field(every, "dns.id")
    compared = 0
    for frame, said in of(found, "DNS", "mDNS", "LLMNR"):
        row = rows.pop(frame)
        if said.fault:
            continue
        compared += 1
        assert values(said, "id")[:1] == row["dns.id"]
        assert [number(text) for text in values(said, "response code")[:1]] == row[
            "dns.flags.rcode"]  # fmt: skip
        for place, field in enumerate(COUNTS):
            if row[field]:  # an update's sections have other names
                assert (
                    row[field]
                    == [item.text for item in said.items if is_count(item)][place : place + 1]
                )
        kinds = values(said, " type")
        names = list(zip(values(said, " name"), kinds, strict=True))
        asked = len(row["dns.qry.name"])
        assert [name for name, _ in names[:asked]] == [root(n) for n in row["dns.qry.name"]]
        # tshark calls the name of an SRV record dns.srv.name.
        told = [name for name, kind in names[asked:] if kind != "SRV"]
        assert told == [root(name) for name in row["dns.resp.name"]]
        if "NSEC" not in kinds:  # tshark puts the types that it lists among those of records
            theirs = row["dns.qry.type"] + row["dns.resp.type"]
            assert kinds == [type_name(int(kind)) for kind in theirs]
        assert values(said, " TTL") == [f"{ttl} s" for ttl in row["dns.resp.ttl"]]
        data: dict[str, list[str]] = {kind: [] for kind in DNS_DATA}
        for before, item in zip(said.items, said.items[1:], strict=False):
            if before.name.endswith(" type"):
                kind = before.text
            if item.name.endswith(" data") and kind in data and "\\#" not in item.text:
                data[kind].append(item.text)
        for kind, field in DNS_DATA.items():
            assert data[kind] == row[field], (frame, kind)
    assert not rows  # that netlab took for something else
    return compared


def is_count(item: Item) -> bool:
    return item.source in ("RFC 1035 4.1.1", "RFC 2136 2.2") and item.text.isdigit()


def root(name: str) -> str:
    return "." if name == "<Root>" else name


def check_dhcp(every: Rows, found: list[Message]) -> int:
    rows = with_field(every, "dhcp.id")
    names = {name: str(code) for code, name in OPTION_NAMES.items()}
    compared = 0
    for frame, said in of(found, "DHCP"):
        if said.protocol == "DHCPv6" or said.fault:
            continue
        row = rows.pop(frame)
        compared += 1
        assert values(said, "transaction id") == row["dhcp.id"]
        for ours, theirs in (("client address", "client"), ("your address", "your"),
                             ("next server", "server"), ("relay address", "relay")):  # fmt: skip
            assert values(said, ours) == row[f"dhcp.ip.{theirs}"]
        assert [number(text) for text in values(said, "message type")] == row["dhcp.option.dhcp"]
        ours_too = Counter(
            names.get(item.name, item.name.removeprefix("option ")) for item in said.items
            if (item.start >= 240 or item.source.startswith("RFC 2132")) and item.name != "end"
        )  # fmt: skip
        assert ours_too == Counter(c for c in row["dhcp.option.type"] if c not in ("0", "255"))
    return compared


OPTION_NAMES = {code: option.name for code, option in OPTIONS.items()}


def check_dhcpv6(every: Rows, found: list[Message]) -> int:
    rows = with_field(every, "dhcpv6.msgtype")
    names = {name: str(code) for code, (name, _) in OPTIONS_6.items()}
    compared = 0
    for frame, said in of(found, "DHCPv6"):
        row = rows.pop(frame)
        compared += 1
        kinds = [number(text) for text in values(said, "message type")]
        assert sorted(kinds) == sorted(row["dhcpv6.msgtype"])
        options = [names[item.name] for item in said.items if item.name in names]
        assert options == row["dhcpv6.option.type"]
    return compared


def their_time(text: str) -> str:
    """`Nov  3, 2025 18:14:24.500000000 UTC` as netlab writes it."""
    if text in ("", "NULL"):
        return "not given"
    date, _, fraction = text.removesuffix(" UTC").partition(".")
    read_date = time.strptime(date, "%b %d, %Y %H:%M:%S")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', read_date)}.{fraction} UTC"


def check_ntp(every: Rows, found: list[Message]) -> int:
    times = {"reference timestamp": "ntp.reftime", "origin timestamp": "ntp.org",
             "receive timestamp": "ntp.rec", "transmit timestamp": "ntp.xmt"}  # fmt: skip
    rows = with_field(every, "ntp.flags.vn")
    compared = 0
    for frame, said in of(found, "NTP"):
        if said.fault:
            continue
        row = rows.pop(frame)
        compared += 1
        assert values(said, "version") == row["ntp.flags.vn"]
        assert [number(text) for text in values(said, "mode")] == row["ntp.flags.mode"]
        if row["ntp.flags.mode"][0] in "67":
            continue
        stratum = "".join(filter(str.isdigit, values(said, "stratum")[0]))
        assert [stratum] == row["ntp.stratum"]
        poll = re.search(r"2\^(-?\d+)", values(said, "poll interval")[0])
        assert poll is not None
        assert [poll.group(1)] == row["ntp.ppoll"]
        delay = int(row["ntp.rootdelay"][0]) / 65536 * 1000
        assert values(said, "root delay") == [f"{delay:.3f} ms"]
        for ours, theirs in times.items():
            assert values(said, ours) == [their_time("".join(row[theirs]))]
    return compared


def check_mqtt(rows: Rows, found: list[Message]) -> int:
    fields = {
        "mqtt.msgtype": {"packet type"}, "mqtt.len": {"remaining length"},
        "mqtt.topic": {"topic", "topic filter", "topic by alias"}, "mqtt.msgid": {"packet id"},
        "mqtt.clientid": {"client id"}, "mqtt.kalive": {"keep alive"},
    }  # fmt: skip
    said = [one for _, one in sorted(of(found, "MQTT"), key=lambda pair: pair[0])]
    for field, names in fields.items():
        ours = [item.text for one in said for item in one.items if item.name in names]
        if field == "mqtt.msgtype":
            ours = [number(text) for text in ours]
        assert [text for text in ours if text] == column(rows, field), field
    return len(said)


def check_redis(rows: Rows, found: list[Message]) -> int:
    kinds = {"resp.string": "simple string", "resp.error": "simple error",
             "resp.integer": "integer"}  # fmt: skip
    said = [one for _, one in of(found, "Redis")]
    for field, kind in kinds.items():
        ours = Counter(text.removeprefix("error ") for text in named(said, kind))
        assert ours == Counter(column(rows, field)), field
    return len(said)


def sides(found: list[Message], protocol: str) -> tuple[list[Said], list[Said]]:
    """The messages of the client and of the server."""
    every = [message for message in found if message.protocol.startswith(protocol)]
    client, server = (
        [said_of(one) for one in every if one.direction == direction] for direction in Direction
    )
    return client, server


def named(said: list[Said], name: str) -> list[str]:
    """The texts of all fields of this name."""
    return [item.text for one in said for item in one.items if item.name == name]


def check_postgres(rows: Rows, found: list[Message]) -> None:
    client, server = sides(found, "PostgreSQL")
    assert named(client, "query") == column(rows, "pgsql.query")
    assert named(server, "command tag") == column(rows, "pgsql.tag")
    assert named(server, "SQLSTATE") == column(rows, "pgsql.code")
    assert named(server, "message") == column(rows, "pgsql.message")
    columns = [
        item.text.rpartition(" ")[0] for one in server for item in one.items
        if re.fullmatch(r"column \d+", item.name)
    ]  # fmt: skip
    assert columns == column(rows, "pgsql.col.name")
    counted = sum(
        int(one.text.split(" ")[0]) for one in server
        if any(item.source.endswith("DataRow") for item in one.items)
    )  # fmt: skip
    assert counted == column(rows, "pgsql.type").count("Data row")

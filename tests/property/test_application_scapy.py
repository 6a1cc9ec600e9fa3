"""What scapy builds, netlab reads: DNS (also as dpkt does), DHCP, NTP and MQTT, field by field."""

from __future__ import annotations

import dpkt
from application_samples import C, play
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib import mqtt
from scapy.layers import dhcp, dns, ntp

from netlab.decode.applications.message import Said
from netlab.decode.applications.ntp import stamp_text
from netlab.decode.applications.registry import by_name

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
LABELS = st.text(LETTERS, min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)
ADDRESSES = st.ip_addresses(v=4).map(str)
ADDRESSES_6 = st.ip_addresses(v=6)
NUMBERS_16 = st.integers(0, 0xFFFF)
NUMBERS_32 = st.integers(0, 0xFFFF_FFFF)
TEXTS = st.text(LETTERS + " .:/", min_size=1, max_size=60)


def datagram(name: str, payload: bytes) -> Said:
    read = by_name(name).datagram
    assert read is not None
    (said,) = read(payload)
    assert said.fault == ""
    return said


def ending(said: Said, name: str) -> list[str]:
    return [item.text for item in said.items if item.name.endswith(name)]


@st.composite
def records(draw: st.DrawFn) -> tuple[dns.DNSRR, str]:
    """A record as scapy has it, and its data as zone files write it."""
    kind = draw(st.sampled_from(["A", "AAAA", "NS", "CNAME", "PTR", "MX", "TXT", "SRV", "SOA"]))
    head = {"rrname": draw(NAMES), "ttl": draw(NUMBERS_32)}
    name, number = draw(NAMES), draw(NUMBERS_16)
    if kind == "A":
        text = draw(ADDRESSES)
        return dns.DNSRR(type=kind, rdata=text, **head), text
    if kind == "AAAA":
        # How scapy writes an address is not how RFC 5952 does, so bytes are compared.
        packed = draw(ADDRESSES_6)
        return dns.DNSRR(type=kind, rdata=str(packed), **head), packed.packed.hex()
    if kind == "MX":
        return dns.DNSRRMX(preference=number, exchange=name, **head), f"{number} {name}"
    if kind == "TXT":
        texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
        whole = " ".join(f'"{text}"' for text in texts)
        return dns.DNSRR(type=kind, rdata=[text.encode() for text in texts], **head), whole
    if kind == "SRV":
        record = dns.DNSRRSRV(priority=number, weight=1, port=2, target=name, **head)
        return record, f"{number} 1 2 {name}"
    if kind == "SOA":
        other = draw(NAMES)
        record = dns.DNSRRSOA(mname=name, rname=other, serial=1, refresh=2, retry=3, expire=4,
                              minimum=number, **head)  # fmt: skip
        return record, f"{name} {other} 1 2 3 4 {number}"
    return dns.DNSRR(type=kind, rdata=name, **head), name


@settings(max_examples=40)
@given(NUMBERS_16, NAMES, st.lists(records(), max_size=5), st.lists(records(), max_size=3),
       st.sampled_from([0, 0, 0, 2, 3, 5]), st.booleans())  # fmt: skip
def test_dns(
    number: int, name: str, answers: list[tuple[dns.DNSRR, str]],
    more: list[tuple[dns.DNSRR, str]], rcode: int, compressed: bool,
) -> None:  # fmt: skip
    message = dns.DNS(id=number, qr=1, rcode=rcode, qd=[dns.DNSQR(qname=name)],
                      an=[record for record, _ in answers], ns=[],
                      ar=[record for record, _ in more])  # fmt: skip
    message = dns.dns_compress(message) if compressed else message
    payload = bytes(message)
    said = datagram("dns", payload)
    every = answers + more
    assert ending(said, "id") == [f"0x{number:04x}"]
    assert ending(said, "response code")[0].endswith(f"({rcode})")
    assert [item.text for item in said.items if item.start in (4, 6, 8, 10)] == [
        "1", str(len(answers)), "0", str(len(more))]  # fmt: skip
    names = [record.rrname.decode().removesuffix(".") for record, _ in every]
    assert ending(said, " name") == [name, *names]
    assert ending(said, " TTL") == [f"{record.ttl} s" for record, _ in every]
    data = [item for item in said.items if item.name.endswith(" data")]
    for item, (record, text) in zip(data, every, strict=True):
        if record.type == 28:
            assert payload[item.start : item.stop].hex() == text
        else:
            assert item.text == text
    # dpkt writes no length of a name's compressed form, but reads the same names.
    theirs = dpkt.dns.DNS(payload)
    assert [one.name for one in theirs.qd + theirs.an + theirs.ar] == ending(said, " name")


@settings(max_examples=40)
@given(NUMBERS_32, ADDRESSES, ADDRESSES, st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8]),
       ADDRESSES, NUMBERS_32, TEXTS, st.lists(ADDRESSES, min_size=1, max_size=4),
       st.lists(st.integers(1, 254), min_size=1, max_size=9))  # fmt: skip
def test_dhcp(
    number: int, client: str, yours: str, kind: int, server: str, lease: int, host: str,
    servers: list[str], wanted: list[int],
) -> None:  # fmt: skip
    options = [
        ("message-type", kind), ("server_id", server), ("lease_time", lease),
        ("hostname", host), ("name_server", *servers), ("param_req_list", wanted), "end",
    ]  # fmt: skip
    payload = bytes(dhcp.BOOTP(xid=number, ciaddr=client, yiaddr=yours, chaddr=b"\2\0\0\0\0\1")
                    / dhcp.DHCP(options=options))  # fmt: skip
    said = datagram("dhcp", payload)
    fields = {item.name: item for item in said.items}
    assert fields["transaction id"].text == f"0x{number:08x}"
    assert (fields["client address"].text, fields["your address"].text) == (client, yours)
    assert fields["client hardware address"].text == "02:00:00:00:00:01"
    assert fields["message type"].text.endswith(f"({kind})")
    assert fields["server id"].text == server
    assert fields["lease time"].text == ("for ever" if lease == 0xFFFFFFFF else f"{lease} s")
    assert fields["host name"].text == host
    assert fields["domain name server"].text == ", ".join(servers)
    listed = fields["parameter request list"]
    assert list(payload[listed.start + 2 : listed.stop]) == wanted
    assert len(listed.text.split(", ")) >= len(wanted)


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 15), st.integers(-20, 20),
       st.integers(-30, 0), NUMBERS_32,
       st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4))  # fmt: skip
def test_ntp(
    version: int, mode: int, stratum: int, poll: int, precision: int, delay: int,
    stamps: list[int],
) -> None:  # fmt: skip
    header = ntp.NTPHeader(version=version, mode=mode, stratum=stratum, poll=poll,
                           precision=precision)  # fmt: skip
    payload = bytearray(bytes(header)[:48])
    payload[4:8] = delay.to_bytes(4, "big")
    for place, stamp in zip((16, 24, 32, 40), stamps, strict=True):
        payload[place : place + 8] = stamp.to_bytes(8, "big")
    said = datagram("ntp", bytes(payload))
    theirs = ntp.NTPHeader(bytes(payload))
    fields = {item.name: item.text for item in said.items}
    assert said.protocol == f"NTPv{theirs.version}"
    assert fields["mode"].endswith(f"({theirs.mode})")
    assert str(theirs.stratum) in fields["stratum"]
    assert f"2^{poll} s" in fields["poll interval"]
    assert f"2^{precision} s" in fields["precision"]
    assert fields["root delay"] == f"{delay / 65536 * 1000:.3f} ms"
    for name, stamp in zip(("reference", "origin", "receive", "transmit"), stamps, strict=True):
        assert fields[f"{name} timestamp"] == stamp_text(stamp)


PACKETS = st.one_of(
    st.builds(
        lambda topic, qos, number, value, retain: (
            mqtt.MQTT(QOS=qos, RETAIN=retain) / mqtt.MQTTPublish(
                topic=topic, msgid=number if qos else None, value=value),
            {"topic": topic, "QoS": str(qos), "RETAIN": "set" if retain else "not set",
             **({"packet id": str(number)} if qos else {}), "payload": value.decode()},
        ),
        TEXTS, st.integers(0, 2), NUMBERS_16, TEXTS.map(str.encode), st.integers(0, 1),
    ),
    st.builds(
        lambda number, topics: (
            mqtt.MQTT(QOS=1) / mqtt.MQTTSubscribe(
                msgid=number, topics=[mqtt.MQTTTopicQOS(topic=t, QOS=1) for t in topics]),
            {"packet id": str(number), "topic filter": topics[-1]},
        ),
        NUMBERS_16, st.lists(TEXTS, min_size=1, max_size=4),
    ),
    st.builds(
        lambda kind, number: (
            mqtt.MQTT(type=kind, QOS=1 if kind == 6 else 0)
            / {4: mqtt.MQTTPuback, 5: mqtt.MQTTPubrec, 6: mqtt.MQTTPubrel,
               7: mqtt.MQTTPubcomp}[kind](msgid=number),
            {"packet id": str(number)},
        ),
        st.integers(4, 7), NUMBERS_16,
    ),
)  # fmt: skip


@settings(max_examples=40)
@given(TEXTS, NUMBERS_16, st.lists(PACKETS, max_size=6), st.integers(1, 40))
def test_mqtt(client: str, alive: int, packets: list[tuple[mqtt.MQTT, dict[str, str]]],
              step: int) -> None:  # fmt: skip
    connect = mqtt.MQTT() / mqtt.MQTTConnect(clientId=client, klive=alive, protolevel=4,
                                             clientIdlen=len(client), cleansess=1)  # fmt: skip
    stream = bytes(connect) + b"".join(bytes(packet) for packet, _ in packets)
    said = play("mqtt", [(C, stream)], step)[C]
    assert [one.fault for one in said if one.fault] == []
    assert len(said) == 1 + len(packets)
    first = {item.name: item.text for item in said[0].items}
    assert (first["client id"], first["keep alive"]) == (client, str(alive))
    for one, (packet, wanted) in zip(said[1:], packets, strict=True):
        fields = {item.name: item.text for item in one.items}
        assert {name: fields.get(name) for name in wanted} == wanted
        assert one.stop - one.start == len(bytes(packet))

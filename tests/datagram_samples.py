"""Datagrams of applications, byte for byte, written by hand: what protocol, and the payload."""

from __future__ import annotations

from application_samples import h

MAC = h("020000000001")


def dhcp(op: int, your: str, options: bytes, sname: bytes = b"", file: bytes = b"") -> bytes:
    """A DHCP message from or to the client with `MAC`."""
    fixed = bytes((op, 1, 6, 0)) + h("3903f326 0000 8000 00000000") + h(your) + bytes(8)
    fixed += MAC + bytes(10) + sname.ljust(64, b"\0") + file.ljust(128, b"\0")
    return fixed + h("63825363") + options


def name(text: str) -> bytes:
    """A name as labels."""
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".")) + b"\0"


def record(owner: bytes, kind: int, group: int, ttl: int, data: bytes) -> bytes:
    """A record of DNS."""
    head = kind.to_bytes(2, "big") + group.to_bytes(2, "big") + ttl.to_bytes(4, "big")
    return owner + head + len(data).to_bytes(2, "big") + data


EVERY_TYPE = [
    (1, h("c0000201")),
    (2, name("ns.example")),
    (5, name("other.example")),
    (
        6,
        name("ns.example") + name("me.example") + h("00000001 00000e10 00000258 00093a80 0000003c"),
    ),
    (12, name("host.example")),
    (13, b"\3cpu\2os"),
    (15, h("000a") + name("mx.example")),
    (16, b"\5hello\6v=spf1"),
    (28, h("20010db8 00000000 00000000 00000001")),
    (33, h("0001 0002 0ffd") + name("srv.example")),
    (35, h("0001 0002") + b"\1s\7SIP+D2U\0" + name("sip.example")),
    (39, name("all.example")),
    (43, h("1092 0d 02 00112233")),
    (44, h("04 02 00112233")),
    (46, h("0001 0d 02 0000012c 6566b000 65415600 1092") + name("example") + h("0011")),
    (47, name("next.example") + h("00 07 62018008000380")),
    (48, h("0101 03 0d 00112233")),
    (50, h("01 00 000a 02 aabb 03 010203 00 01 40")),
    (51, h("01 00 000a 00")),
    (52, h("03 01 01 00112233")),
    (64, h("0000") + name("svc.example")),
    (
        65,
        h("0001 00 0001 0006")
        + b"\2h2\2h3"
        + h(
            "0003 0002 0ffd 0004 0004 c0000201"
            "0006 0010 20010db8000000000000000000000001 0000 0002 0001 0002 0000 0005 0003 010203"
        ),
    ),
    (99, b"\6v=spf1"),
    (250, name("hmac-sha256") + h("000065415600 012c 0002 aabb 1234 0000 0000")),
    (256, h("0001 0002") + b"http://a/"),
    (257, h("00 05") + b"issueca.example"),
    (731, h("abcdef")),
]

DATAGRAMS: dict[str, tuple[str, bytes]] = {
    "dns every type": (
        "dns",
        h("0001 8580 0000")
        + len(EVERY_TYPE).to_bytes(2, "big")
        + h("0000 0000")
        + b"".join(record(name("a"), kind, 1, 300, data) for kind, data in EVERY_TYPE),
    ),
    "dns edns": (
        "dns",
        h("0002 8182 0001 0000 0000 0001")
        + name("a.b")
        + h(
            "0001 0001 00 0029 04d0"
            "01 00 8000 003b 0003 0002 6e73 0008 0007 0001 18 00 c00002"
            "000a 0010 00112233445566778899aabbccddeeff 000b 0002 0064"
            "000c 0004 00000000 000f 0004 0016"
        )
        + b"no",
    ),
    "dns no such name": (
        "dns",
        h("0003 8183 0001 0000 0001 0000")
        + name("no.example")
        + h("0001 0001")
        + record(h("c00f"), 6, 1, 60, name("ns") + name("me") + h("00000001") * 5),
    ),
    "dns referral": (
        "dns",
        h("0004 8000 0001 0000 0001 0001")
        + name("www.example")
        + h("0001 0001")
        + record(h("c010"), 2, 1, 60, h("026e73c010"))
        + record(h("c027"), 1, 1, 60, h("c0000201")),
    ),
    "dns no record": ("dns", h("0005 8400 0001 0000 0000 0000") + name("a") + h("001c 0001")),
    "dns update": (
        "dns",
        h("0006 2800 0001 0000 0001 0000")
        + name("zone.example")
        + h("0006 0001")
        + record(name("a.zone.example"), 1, 255, 0, b""),
    ),
    "dns notify answer": (
        "dns",
        h("0007 a400 0001 0000 0000 0000") + name("zone.example") + h("0006 0001"),
    ),
    "dns loop": ("dns", h("0008 0100 0001 0000 0000 0000 c00c 0001 0001")),
    "dns chaos": (
        "dns",
        h("0009 0000 0001 0000 0000 0000") + name("version.bind") + h("0010 0003"),
    ),
    "dns bytes in a name": (
        "dns",
        h("000a 0000 0001 0000 0000 0000") + b"\5a.b\\c\3\x07\xff\xfe\0" + h("0001 0001"),
    ),
    "mdns query": (
        "mdns",
        h("0000 0000 0002 0001 0000 0000")
        + name("_http._tcp.local")
        + h("000c 8001")
        + name("my printer.local")
        + h("00ff 8001")
        + record(h("c00c"), 12, 1, 4500, h("0161c00c")),
    ),
    "mdns probe": (
        "mdns",
        h("0000 0000 0001 0000 0001 0000")
        + name("host.local")
        + h("00ff 0001")
        + record(h("c00c"), 1, 1, 120, h("c0000201")),
    ),
    "mdns answer": (
        "mdns",
        h("0000 8400 0000 0002 0000 0000")
        + record(name("host.local"), 1, 0x8001, 120, h("c0000201"))
        + record(h("c00c"), 28, 0x8001, 120, bytes(15) + b"\1"),
    ),
    "mdns goodbye": (
        "mdns",
        h("0000 8400 0000 0001 0000 0000") + record(name("_a._tcp.local"), 12, 1, 0, h("0162c00c")),
    ),
    "llmnr": ("llmnr", h("0001 0500 0001 0000 0000 0000") + name("host") + h("0001 0001")),
    "dhcp discover": (
        "dhcp",
        dhcp(
            1,
            "00000000",
            h("350101 3d0701020000000001 3204c0000263 37040103060f3902 05dc 0c026d65 ff"),
        ),
    ),
    "dhcp offer": (
        "dhcp",
        dhcp(
            2,
            "c0000263",
            h("350102 3604c0000201 330400000e10 0104ffffff00 0304c00002010608c000020108080808 0f07")
            + b"example"
            + h("7908 18 cb0071 c0000201 7709")
            + name("a.b")
            + h("0162c000")
            + h("ff"),
        ),
    ),
    "dhcp request": (
        "dhcp",
        dhcp(
            1,
            "00000000",
            h(
                "350103 3604c0000201 3204c0000263 510a 05 0000 026d6501610000"
                "520a 0102aabb 0204c0000201 ff"
            ),
        ),
    ),
    "dhcp ack overloaded": (
        "dhcp",
        dhcp(
            2,
            "c0000263",
            h("350105 340103 3304ffffffff ff"),
            h("0c026d65ff"),
            h("1104") + b"/srv" + h("ff"),
        ),
    ),
    "dhcp nak": ("dhcp", dhcp(2, "00000000", h("350106 3604c0000201 3807") + b"no more" + h("ff"))),
    "dhcp in pieces": (
        "dhcp",
        dhcp(1, "00000000", h("350108 0c02") + b"lo" + h("0c02") + b"ng" + h("7f01aa ff")),
    ),
    "dhcp cut": ("dhcp", dhcp(1, "00000000", h("350101 3d07 0102"))),
    "bootp": ("dhcp", dhcp(2, "c0000263", b"", b"", b"/boot")[:236]),
    "dhcpv6 solicit": (
        "dhcpv6",
        h(
            "01 123456 0001 000a 0003 0001 020000000001 0008 0002 0064"
            "0006 0004 0017 0018 0003 000c 00000001 00000000 00000000 000e 0000"
        ),
    ),
    "dhcpv6 reply": (
        "dhcpv6",
        h(
            "07 123456 0002 000e 0001 0001 2c0c0000 020000000002"
            "0003 0028 00000001 00000708 00000b40"
            "0005 0018 20010db8000000000000000000000063 00000e10 00001c20"
            "0017 0010 20010db8000000000000000000000053 0019 0029 00000001 00000000 00000000"
            "001a 0019 ffffffff ffffffff 38 20010db8010000000000000000000000"
            "000d 0008 0006"
        )
        + b"no pfx"
        + h("001f 0001 00"),
    ),
    "dhcpv6 relay": (
        "dhcpv6",
        h(
            "0c 01 20010db8000000000000000000000001 fe800000000000000000000000000001"
            "0012 0002 6531 0009 0008 0b 123456 0008 0000"
        ),
    ),
    "ntp client": ("ntp", h("23 00 06 e9") + bytes(36) + h("ecb36f80 80000000")),
    "ntp server": (
        "ntp",
        h("24 01 06 e8 00000100 00000200")
        + b"GPS\0"
        + h("ecb36f00 00000000ecb36f80 80000000 ecb36f80 80100000 ecb36f80 80200000"),
    ),
    "ntp kiss": ("ntp", h("e4 00 0a e9 00000000 00000000") + b"RATE" + bytes(32)),
    "ntp version 3 with a key": (
        "ntp",
        h("1a 03 0a ec 00010000 00008000 c0000201")
        + bytes(24)
        + h("7fffffff ffffffff 00000007")
        + bytes(range(16)),
    ),
    "ntp with a field": ("ntp", h("23 00 06 e9") + bytes(44) + h("0104 0010") + bytes(12)),
    "ntp control": ("ntp", h("16 82 0001 0615 0000 0000 0009") + b"version=4"),
    "ntp private": ("ntp", h("17 00 03 2a 00000000")),
    "ntp short": ("ntp", h("23 00 06")),
    "ssdp search": (
        "ssdp",
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\n'
        b"MX: 3\r\nST: upnp:rootdevice\r\n\r\n",
    ),
    "ssdp alive": (
        "ssdp",
        b"NOTIFY * HTTP/1.1\r\nHOST: [ff02::c]:1900\r\nNT: upnp:rootdevice\r\n"
        b"NTS: ssdp:alive\r\nUSN: uuid:1::upnp:rootdevice\r\nLOCATION: http://192.0.2.1/d.xml\r\n"
        b"CACHE-CONTROL: max-age=1800\r\n\r\n",
    ),
    "ssdp answer": (
        "ssdp",
        b"HTTP/1.1 200 OK\r\nST: ssdp:all\r\nEXT:\r\nLOCATION: http://192.0.2.1/\r\n\r\n",
    ),
    "ssdp cut": ("ssdp", b"NOTIFY * HTTP/1.1\r\nNT: a\r\nNT"),
    "ssdp else": ("ssdp", b"hello\r\n\r\n"),
}

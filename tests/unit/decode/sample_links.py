"""Frames of links and tunnels, written by hand as `sample_frames`, with the columns they become."""

from __future__ import annotations

from sample_frames import ETH4, MACS, TCP, UDP, V4, V6, Case, h, ip4, ip6, tcp, udp

DATAGRAM_4, DATAGRAM_6 = ip4(udp(b"q"), 17), ip6(udp(b"q"), 17)
SNAP4 = h("aaaa 03 000000 0800")
ADDRESSES = h("0200 0000 0001 0200 0000 0002 0200 0000 0003")
DATA_FRAME = h("0800 0000") + ADDRESSES + h("0010")
QOS_FRAME = h("8801 0000") + ADDRESSES + h("0010 0000")
FOUR_ADDRESSES = h("0803 0000") + ADDRESSES + h("0010") + h("0200 0000 0004")


def of_length(data: bytes) -> bytes:
    """An 802.3 frame: its length in place of a type."""
    return MACS + len(data).to_bytes(2, "big") + data


def pppoe(payload: bytes) -> bytes:
    return h("1100 0001") + len(payload).to_bytes(2, "big") + payload


def radiotap(fields: bytes, present: str, frame: bytes) -> bytes:
    size = 8 + len(fields)
    return h("0000") + size.to_bytes(2, "little") + h(present) + fields + frame


FCS = h("deadbeef")

LINK_CASES = [
    Case("snap on 802.3", of_length(SNAP4 + DATAGRAM_4), V4 | UDP | {"payload_off": 50}),
    Case("snap of bridges", of_length(h("aaaa 03 0000f8 86dd") + DATAGRAM_6), V6 | UDP),
    Case("snap of others", of_length(h("aaaa 03 00000c 2000") + b"cdp"),
         {"protocol": "SNAP", "src": None}, need=22),
    Case("ip on llc", of_length(h("0606 03") + DATAGRAM_4), V4 | UDP),
    Case("llc with numbers", of_length(h("0404 00 01")), {"protocol": "LLC"}, need=17),
    Case("pppoe session", MACS + h("8864") + pppoe(h("0021") + DATAGRAM_4),
         V4 | UDP | {"payload_off": 50}),
    Case("pppoe session, one byte", MACS + h("8864") + pppoe(h("57") + DATAGRAM_6), V6 | UDP),
    Case("pppoe session, lcp", MACS + h("8864") + pppoe(h("c021 01")), {"protocol": "PPP LCP"},
         need=22),
    Case("mpls, two labels", MACS + h("8847 00010040 00011140") + DATAGRAM_4,
         V4 | UDP | {"payload_off": 50}),
    Case("ppp", h("ff03 0021") + DATAGRAM_4, V4 | UDP | {"link": "PPP"}, 9),
    Case("ppp, bare", h("0057") + DATAGRAM_6, V6 | UDP, 9),
    Case("ppp serial, hdlc", h("0f00 0800") + DATAGRAM_4, V4 | UDP, 50),
    Case("hdlc", h("8f00 86dd") + DATAGRAM_6, V6 | UDP | {"link": "Cisco HDLC"}, 104),
    Case("pppoe link", pppoe(h("0021") + DATAGRAM_4), V4 | UDP, 51),
    Case("fddi", h("57") + MACS + SNAP4 + DATAGRAM_4, V4 | UDP | {"link": "FDDI"}, 10),
    Case("token ring", h("1040") + MACS + SNAP4 + DATAGRAM_4, V4 | UDP, 6),
    Case("token ring, routed", h("1040") + MACS[:6] + h("8200 0000 0001 0630 0011 0020")
         + SNAP4 + DATAGRAM_4, V4 | UDP | {"payload_off": 56}, 6),
    Case("nflog", h("0200 0000 0800 0100 00000000 2100 0900") + DATAGRAM_4 + h("000000"),
         V4 | UDP | {"payload_off": 44}, 239),
    Case("pflog", h("3d02 0000") + bytes(60) + DATAGRAM_4, V4 | UDP | {"payload_off": 92}, 117),
    Case("802.11", DATA_FRAME + SNAP4 + DATAGRAM_4, V4 | UDP | {"link": "802.11"}, 105),
    Case("802.11 with qos", QOS_FRAME + SNAP4 + DATAGRAM_4, V4 | UDP | {"payload_off": 62}, 105),
    Case("802.11, four addresses", FOUR_ADDRESSES + SNAP4 + DATAGRAM_4, V4 | UDP, 105),
    Case("802.11 encrypted", h("0840") + DATA_FRAME[2:] + b"?", {"protocol": "802.11 encrypted"},
         105, need=24),
    Case("802.11 beacon", h("8000") + DATA_FRAME[2:], {"protocol": "802.11 beacon"}, 105, need=2),
    Case("radiotap", radiotap(b"", "00000000", DATA_FRAME + SNAP4 + DATAGRAM_4),
         V4 | UDP | {"payload_off": 68}, 127),
    Case("radiotap, padded", radiotap(h("20"), "02000000", QOS_FRAME + h("0000") + SNAP4
                                      + DATAGRAM_4), V4 | UDP | {"payload_off": 73}, 127),
    Case("ppi", h("0000 0800 69000000") + DATA_FRAME + SNAP4 + DATAGRAM_4, V4 | UDP, 192),
    Case("ppi, ethernet", h("0000 0800 01000000") + ETH4 + DATAGRAM_4, V4 | UDP, 192),
    Case("avs", h("80211001 00000040") + bytes(56) + DATA_FRAME + SNAP4 + DATAGRAM_4, V4 | UDP,
         163),
    Case("prism", h("44000000 90000000") + bytes(136) + DATA_FRAME + SNAP4 + DATAGRAM_4, V4 | UDP,
         119),
]  # fmt: skip

INNER = ip4(tcp(b"hello"), 6).replace(h("c000 0201"), h("0a00 0001"))
INNER_4 = V4 | TCP | {"src": "10.0.0.1", "ip_len_bytes": 45, "payload_len_bytes": 5}
TUNNEL_CASES = [
    Case("ip in ip", ETH4 + ip4(INNER, 4), INNER_4 | {"payload_off": 74}),
    Case("6in4", ETH4 + ip4(DATAGRAM_6, 41), V6 | UDP | {"ip_id": 0x1234}),
    Case("ip in ipv6", MACS + h("86dd") + ip6(INNER, 4), INNER_4),
    Case("gre", ETH4 + ip4(h("0000 0800") + INNER, 47), INNER_4 | {"payload_off": 78}),
    Case("gre with all its words", ETH4 + ip4(h("b000 0800") + bytes(12) + INNER, 47), INNER_4),
    Case("gre, ethernet inside", ETH4 + ip4(h("0000 6558") + ETH4 + INNER, 47), INNER_4),
    Case("gre, erspan", ETH4 + ip4(h("1000 88be 00000001") + h("1001 0000 0000 0000") + ETH4
                                   + INNER, 47), INNER_4),
    Case("pptp", ETH4 + ip4(h("3001 880b 00000000 00000001 ff03 0021") + INNER, 47), INNER_4),
    Case("pptp, an ACK alone", ETH4 + ip4(h("2081 880b 00000000 00000001"), 47),
         V4 | {"protocol": "GRE"}),
    Case("gre, source routed", ETH4 + ip4(h("4000 0800") + INNER, 47), V4 | {"protocol": "GRE"}),
    Case("fragment of a tunnel", ETH4 + ip4(INNER, 4, frag=0x2000),
         V4 | {"protocol": "IPv4 in IP", "fragment": "0+45 more", "sport": None}),
]  # fmt: skip

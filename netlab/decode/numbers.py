"""Numbers of protocols -> the names people know them by. What has no name here gets its number.

Sources: the LINKTYPE_ registry of tcpdump.org, IANA "Protocol Numbers" and "IEEE 802 Numbers".
"""

from __future__ import annotations

from netlab.decode.linktypes import OPAQUE_LINKS

LINK_NULL = 0
LINK_ETHERNET = 1
LINK_TOKEN_RING = 6
LINK_PPP = 9
LINK_FDDI = 10
LINK_RAW_BSD = 12  # DLT_RAW as most systems wrote it into files
LINK_RAW_OPENBSD = 14
LINK_PPP_SERIAL = 50
LINK_PPPOE = 51
LINK_RAW = 101
LINK_HDLC = 104
LINK_WIRELESS = 105
LINK_LOOP = 108
LINK_COOKED = 113
LINK_PFLOG = 117
LINK_PRISM = 119
LINK_RADIOTAP = 127
LINK_AVS = 163
LINK_PPI = 192
LINK_IPV4 = 228
LINK_IPV6 = 229
LINK_NFLOG = 239
LINK_COOKED_2 = 276

LINKS = {
    LINK_NULL: "BSD loopback",
    LINK_ETHERNET: "Ethernet",
    LINK_TOKEN_RING: "Token Ring",
    LINK_PPP: "PPP",
    LINK_FDDI: "FDDI",
    LINK_RAW_BSD: "Raw IP",
    LINK_RAW_OPENBSD: "Raw IP",
    LINK_PPP_SERIAL: "PPP serial",
    LINK_PPPOE: "PPPoE",
    LINK_RAW: "Raw IP",
    LINK_HDLC: "Cisco HDLC",
    LINK_WIRELESS: "802.11",
    LINK_LOOP: "BSD loopback",
    LINK_COOKED: "Linux cooked v1",
    LINK_PFLOG: "pflog",
    LINK_PRISM: "802.11 Prism",
    LINK_RADIOTAP: "802.11 radiotap",
    LINK_AVS: "802.11 AVS",
    LINK_PPI: "PPI",
    LINK_IPV4: "Raw IP",
    LINK_IPV6: "Raw IP",
    LINK_NFLOG: "NFLOG",
    LINK_COOKED_2: "Linux cooked v2",
}

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_BRIDGING = 0x6558
ETHERTYPE_MPLS = 0x8847
ETHERTYPE_MPLS_MULTICAST = 0x8848
ETHERTYPE_PPPOE_SESSION = 0x8864
ETHERTYPE_PPP = 0x880B  # PPTP's in GRE (RFC 2637)
ETHERTYPE_SERVICE_VLAN = 0x88A8
ETHERTYPE_ERSPAN = 0x88BE
ETHERTYPE_OLD_SERVICE_VLAN = 0x9100  # before 802.1ad gave it a number
ETHERTYPE_SMALLEST = 0x0600  # below it, the field is an 802.3 length

ETHERTYPES = {
    ETHERTYPE_IPV4: "IPv4",
    ETHERTYPE_ARP: "ARP",
    0x0842: "Wake-on-LAN",
    0x22F0: "AVTP",
    ETHERTYPE_BRIDGING: "Ethernet bridging",
    0x8035: "RARP",
    ETHERTYPE_VLAN: "802.1Q",
    0x8137: "IPX",
    ETHERTYPE_IPV6: "IPv6",
    0x8808: "Ethernet flow control",
    0x8809: "Slow protocols",
    ETHERTYPE_PPP: "PPP",
    ETHERTYPE_MPLS: "MPLS",
    ETHERTYPE_MPLS_MULTICAST: "MPLS multicast",
    0x8863: "PPPoE discovery",
    ETHERTYPE_PPPOE_SESSION: "PPPoE session",
    0x888E: "EAPOL",
    0x88A2: "ATA over Ethernet",
    ETHERTYPE_SERVICE_VLAN: "802.1ad",
    ETHERTYPE_ERSPAN: "ERSPAN",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88F7: "PTP",
    0x8906: "FCoE",
    0x9000: "Ethernet loopback",
    ETHERTYPE_OLD_SERVICE_VLAN: "802.1QinQ",
}

IP_HOP_BY_HOP = 0
IP_ICMP = 1
IP_IGMP = 2
IP_IPV4 = 4
IP_TCP = 6
IP_UDP = 17
IP_DCCP = 33
IP_IPV6 = 41
IP_ROUTING = 43
IP_FRAGMENT = 44
IP_GRE = 47
IP_AUTHENTICATION = 51
IP_ICMPV6 = 58
IP_NOTHING = 59
IP_DESTINATION_OPTIONS = 60
IP_SCTP = 132
IP_MOBILITY = 135
IP_UDP_LITE = 136
IP_HIP = 139
IP_SHIM6 = 140
IP_ETHERNET = 143

IP_PROTOCOLS = {
    IP_HOP_BY_HOP: "IPv6 hop-by-hop",
    IP_ICMP: "ICMP",
    IP_IGMP: "IGMP",
    IP_IPV4: "IPv4 in IP",
    IP_TCP: "TCP",
    8: "EGP",
    9: "IGP",
    IP_UDP: "UDP",
    IP_DCCP: "DCCP",
    IP_IPV6: "IPv6 in IP",
    IP_ROUTING: "IPv6 routing",
    IP_FRAGMENT: "IPv6 fragment",
    46: "RSVP",
    IP_GRE: "GRE",
    50: "ESP",
    IP_AUTHENTICATION: "AH",
    IP_ICMPV6: "ICMPv6",
    IP_NOTHING: "IPv6 no next header",
    IP_DESTINATION_OPTIONS: "IPv6 destination options",
    88: "EIGRP",
    89: "OSPF",
    97: "EtherIP",
    103: "PIM",
    108: "IPComp",
    112: "VRRP",
    115: "L2TP",
    IP_SCTP: "SCTP",
    IP_MOBILITY: "IPv6 mobility",
    IP_UDP_LITE: "UDP-Lite",
    137: "MPLS in IP",
    IP_HIP: "HIP",
    IP_SHIM6: "Shim6",
    IP_ETHERNET: "Ethernet in IP",
    262: "MPTCP",
}

PPP_IPV4 = 0x0021
PPP_IPV6 = 0x0057
PPP_MPLS, PPP_MPLS_MULTICAST = 0x0281, 0x0283
PPP_PROTOCOLS = {
    PPP_IPV4: "IPv4",
    0x003D: "PPP multilink",
    PPP_IPV6: "IPv6",
    0x00FD: "PPP compressed",
    PPP_MPLS: "MPLS",
    PPP_MPLS_MULTICAST: "MPLS multicast",
    0x8021: "PPP IPCP",
    0x8057: "PPP IPV6CP",
    0x80FD: "PPP CCP",
    0xC021: "PPP LCP",
    0xC023: "PPP PAP",
    0xC025: "PPP LQR",
    0xC223: "PPP CHAP",
}
LLC_SAPS = {
    0x00: "LLC null",
    0x42: "STP",
    0xE0: "IPX",
    0xF0: "NetBIOS",
    0xFE: "OSI",
    0xFF: "IPX",  # Novell's raw frames: no LLC at all, but a checksum of ones
}


def ppp_name(number: int) -> str:
    """The name of a PPP protocol number."""
    return PPP_PROTOCOLS.get(number) or f"PPP protocol 0x{number:04x}"


def llc_name(access_point: int) -> str:
    """What a service access point of LLC stands for."""
    return LLC_SAPS.get(access_point) or f"LLC 0x{access_point:02x}"


def link_name(link: int) -> str:
    """The name of a LINKTYPE_ number."""
    return LINKS.get(link) or OPAQUE_LINKS.get(link) or f"link type {link}"


def ethertype_name(ethertype: int) -> str:
    """The name of an EtherType; an 802.3 length means that an LLC header follows."""
    if ethertype < ETHERTYPE_SMALLEST:
        return "LLC"
    return ETHERTYPES.get(ethertype) or f"EtherType 0x{ethertype:04x}"


def ip_protocol_name(number: int) -> str:
    """The name of an IP protocol or IPv6 next header number."""
    return IP_PROTOCOLS.get(number) or f"IP protocol {number}"

"""Numbers of protocols -> the names people know them by. What has no name here gets its number.

Sources: the LINKTYPE_ registry of tcpdump.org, IANA "Protocol Numbers" and "IEEE 802 Numbers".
"""

from __future__ import annotations

LINK_NULL = 0
LINK_ETHERNET = 1
LINK_RAW_BSD = 12  # DLT_RAW as most systems wrote it into files
LINK_RAW_OPENBSD = 14
LINK_RAW = 101
LINK_LOOP = 108
LINK_COOKED = 113
LINK_IPV4 = 228
LINK_IPV6 = 229
LINK_COOKED_2 = 276

LINKS = {
    LINK_NULL: "BSD loopback",
    LINK_ETHERNET: "Ethernet",
    6: "Token Ring",
    7: "ARCNET",
    8: "SLIP",
    9: "PPP",
    10: "FDDI",
    LINK_RAW_BSD: "Raw IP",
    LINK_RAW_OPENBSD: "Raw IP",
    50: "PPP serial",
    51: "PPPoE",
    LINK_RAW: "Raw IP",
    104: "Cisco HDLC",
    105: "802.11",
    LINK_LOOP: "BSD loopback",
    LINK_COOKED: "Linux cooked v1",
    117: "pflog",
    119: "802.11 Prism",
    127: "802.11 radiotap",
    163: "802.11 AVS",
    187: "Bluetooth HCI H4",
    189: "USB",
    192: "PPI",
    195: "802.15.4",
    220: "USB",
    227: "CAN",
    LINK_IPV4: "Raw IP",
    LINK_IPV6: "Raw IP",
    239: "NFLOG",
    249: "USBPcap",
    251: "Bluetooth LE",
    253: "netlink",
    271: "vsock",
    272: "nordic BLE",
    274: "Ethernet mPacket",
    LINK_COOKED_2: "Linux cooked v2",
}

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_SERVICE_VLAN = 0x88A8
ETHERTYPE_OLD_SERVICE_VLAN = 0x9100  # before 802.1ad gave it a number
ETHERTYPE_SMALLEST = 0x0600  # below it, the field is an 802.3 length

ETHERTYPES = {
    ETHERTYPE_IPV4: "IPv4",
    ETHERTYPE_ARP: "ARP",
    0x0842: "Wake-on-LAN",
    0x22F0: "AVTP",
    0x6558: "Ethernet bridging",
    0x8035: "RARP",
    ETHERTYPE_VLAN: "802.1Q",
    0x8137: "IPX",
    ETHERTYPE_IPV6: "IPv6",
    0x8808: "Ethernet flow control",
    0x8809: "Slow protocols",
    0x8847: "MPLS",
    0x8848: "MPLS multicast",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE session",
    0x888E: "EAPOL",
    0x88A2: "ATA over Ethernet",
    ETHERTYPE_SERVICE_VLAN: "802.1ad",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88F7: "PTP",
    0x8906: "FCoE",
    0x9000: "Ethernet loopback",
    ETHERTYPE_OLD_SERVICE_VLAN: "802.1QinQ",
}

IP_HOP_BY_HOP = 0
IP_ICMP = 1
IP_TCP = 6
IP_UDP = 17
IP_ROUTING = 43
IP_FRAGMENT = 44
IP_AUTHENTICATION = 51
IP_ICMPV6 = 58
IP_NOTHING = 59
IP_DESTINATION_OPTIONS = 60
IP_MOBILITY = 135
IP_HIP = 139
IP_SHIM6 = 140

IP_PROTOCOLS = {
    IP_HOP_BY_HOP: "IPv6 hop-by-hop",
    IP_ICMP: "ICMP",
    2: "IGMP",
    4: "IPv4 in IP",
    IP_TCP: "TCP",
    8: "EGP",
    9: "IGP",
    IP_UDP: "UDP",
    33: "DCCP",
    41: "IPv6 in IP",
    IP_ROUTING: "IPv6 routing",
    IP_FRAGMENT: "IPv6 fragment",
    46: "RSVP",
    47: "GRE",
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
    132: "SCTP",
    IP_MOBILITY: "IPv6 mobility",
    136: "UDP-Lite",
    137: "MPLS in IP",
    IP_HIP: "HIP",
    IP_SHIM6: "Shim6",
    143: "Ethernet in IP",
    262: "MPTCP",
}


def link_name(link: int) -> str:
    """The name of a LINKTYPE_ number."""
    return LINKS.get(link) or f"link type {link}"


def ethertype_name(ethertype: int) -> str:
    """The name of an EtherType; an 802.3 length means that an LLC header follows."""
    if ethertype < ETHERTYPE_SMALLEST:
        return "LLC"
    return ETHERTYPES.get(ethertype) or f"EtherType 0x{ethertype:04x}"


def ip_protocol_name(number: int) -> str:
    """The name of an IP protocol or IPv6 next header number."""
    return IP_PROTOCOLS.get(number) or f"IP protocol {number}"

"""The one table of header fields: where each lies, how it reads, what it means, who says so.

`layers` shows frames by it, and the tests hold the columns of `packets` to it. Links, network and
transport; less usual links are in `fields_link`, TCP's options in `fields_tcp`, less usual
transports and tunnels over UDP in `fields_transport`. It must not know which layer follows which.
"""

from __future__ import annotations

from netlab.decode.field import Field, Kind, table
from netlab.decode.fields_link import LINK_TABLES
from netlab.decode.fields_tcp import OPTION_TABLES, OptionName
from netlab.decode.fields_transport import TRANSPORT_TABLES

N, H, F = Kind.NUMBER, Kind.HEX, Kind.FLAG

# fmt: off
_ETHERNET = table(
    "Ethernet", "IEEE 802.3 3.1.1",
    ("destination", 48, Kind.MAC, "Hardware address of the receiver on this link.", ""),
    ("source", 48, Kind.MAC, "Hardware address of the sender on this link.", ""),
    ("type", 16, Kind.ETHERTYPE,
     "What follows; below 0x0600 the length of an 802.3 frame instead.", ""),
)
_VLAN = table(
    "802.1Q", "IEEE 802.1Q 9.6",
    ("priority", 3, N, "Which queue a switch puts the frame in, 7 the most urgent.", ""),
    ("drop eligible", 1, F, "A switch may drop this frame first when it is congested.", ""),
    ("VLAN", 12, N, "The virtual network that the frame belongs to.", "vlan"),
    ("type", 16, Kind.ETHERTYPE, "What follows the tag.", ""),
)
_COOKED = table(
    "Linux cooked v1", "LINKTYPE_LINUX_SLL",
    ("packet type", 16, N, "0 to this host, 1 broadcast, 2 multicast, 3 to others, 4 sent.", ""),
    ("hardware type", 16, N, "Kind of device (ARPHRD_ number): 1 Ethernet, 772 loopback.", ""),
    ("address length", 16, N, "How many of the following 8 bytes are an address.", ""),
    ("address", 64, Kind.BYTES, "Hardware address of the sender, padded to 8 bytes.", ""),
    ("type", 16, Kind.ETHERTYPE, "What follows.", ""),
)
_COOKED_2 = table(
    "Linux cooked v2", "LINKTYPE_LINUX_SLL2",
    ("type", 16, Kind.ETHERTYPE, "What follows.", ""),
    ("reserved", 16, H, "Zero.", ""),
    ("interface index", 32, N, "The kernel's number of the device that saw the frame.", ""),
    ("hardware type", 16, N, "Kind of device (ARPHRD_ number): 1 Ethernet, 772 loopback.", ""),
    ("packet type", 8, N, "0 to this host, 1 broadcast, 2 multicast, 3 to others, 4 sent.", ""),
    ("address length", 8, N, "How many of the following 8 bytes are an address.", ""),
    ("address", 64, Kind.BYTES, "Hardware address of the sender, padded to 8 bytes.", ""),
)
_LOOPBACK = table(
    "BSD loopback", "LINKTYPE_NULL, LINKTYPE_LOOP",
    ("family", 32, Kind.BYTES,
     "Address family of what follows, in the byte order of the capturing machine.", ""),
)
_ARP = table(
    "ARP", "RFC 826",
    ("hardware type", 16, N, "Kind of hardware address: 1 is Ethernet.", ""),
    ("protocol type", 16, Kind.ETHERTYPE, "Kind of protocol address.", ""),
    ("hardware size", 8, N, "Bytes in a hardware address.", ""),
    ("protocol size", 8, N, "Bytes in a protocol address.", ""),
    ("operation", 16, N, "1 asks who has the target address, 2 answers.", ""),
)
_ARP_ADDRESSES = table(  # as long as the sizes are 6 and 4
    "ARP addresses", "RFC 826",
    ("sender hardware", 48, Kind.MAC, "Hardware address of the sender.", ""),
    ("sender", 32, Kind.IPV4, "Protocol address of the sender.", "src"),
    ("target hardware", 48, Kind.MAC, "Hardware address asked for; zero in a question.", ""),
    ("target", 32, Kind.IPV4, "Protocol address asked for.", "dst"),
)
_IPV4 = table(
    "IPv4", "RFC 791 3.1",
    ("version", 4, N, "The version of IP, 4.", "ip_version"),
    ("header length", 4, Kind.WORDS, "Length of this header with its options.", ""),
    ("differentiated services", 6, H, "Asks routers for a treatment (RFC 2474).", ""),
    ("ECN", 2, N, "0 not able, 1 or 2 able, 3 congestion was met on the way (RFC 3168).", ""),
    ("total length", 16, N,
     "Bytes of header and payload; 0 where segmentation was left to a device.", "ip_len_bytes"),
    ("identification", 16, H, "Names the packet that fragments belong to.", "ip_id"),
    ("reserved", 1, F, "Zero.", ""),
    ("don't fragment", 1, F, "Routers must not cut this packet; too large, it is dropped.", ""),
    ("more fragments", 1, F, "Other fragments of the same packet follow this one.", ""),
    ("fragment offset", 13, Kind.EIGHTS, "Where this fragment's bytes belong.", ""),
    ("time to live", 8, N, "Each router takes one off; at zero the packet is dropped.", "ttl"),
    ("protocol", 8, Kind.PROTOCOL, "What follows.", ""),
    ("header checksum", 16, H, "Guards this header alone.", ""),
    ("source", 32, Kind.IPV4, "Address of the sender.", "src"),
    ("destination", 32, Kind.IPV4, "Address of the receiver.", "dst"),
)
_IPV6 = table(
    "IPv6", "RFC 8200 3",
    ("version", 4, N, "The version of IP, 6.", "ip_version"),
    ("differentiated services", 6, H, "Asks routers for a treatment (RFC 2474).", ""),
    ("ECN", 2, N, "0 not able, 1 or 2 able, 3 congestion was met on the way (RFC 3168).", ""),
    ("flow label", 20, H, "The sender's mark for packets to be kept on one path.", ""),
    ("payload length", 16, N,
     "Bytes after this header; 0 where it is too long for 16 bits.", ""),
    ("next header", 8, Kind.PROTOCOL, "What follows.", ""),
    ("hop limit", 8, N, "Each router takes one off; at zero the packet is dropped.", "ttl"),
    ("source", 128, Kind.IPV6, "Address of the sender.", "src"),
    ("destination", 128, Kind.IPV6, "Address of the receiver.", "dst"),
)
_EXTENSION = table(  # the beginning that all extension headers with a length share
    "IPv6 extension", "RFC 8200 4",
    ("next header", 8, Kind.PROTOCOL, "What follows this header.", ""),
    ("length", 8, N, "Length in units of 8 bytes, not counting the first 8 (AH: 4 bytes).", ""),
)
_FRAGMENT = table(
    "IPv6 fragment", "RFC 8200 4.5",
    ("next header", 8, Kind.PROTOCOL, "What the whole packet carries here.", ""),
    ("reserved", 8, H, "Zero.", ""),
    ("fragment offset", 13, Kind.EIGHTS, "Where this fragment's bytes belong.", ""),
    ("reserved bits", 2, H, "Zero.", ""),
    ("more fragments", 1, F, "Other fragments of the same packet follow this one.", ""),
    ("identification", 32, H, "Names the packet that fragments belong to.", "ip_id"),
)
_TCP = table(
    "TCP", "RFC 9293 3.1",
    ("source port", 16, N, "Port of the sender.", "sport"),
    ("destination port", 16, N, "Port of the receiver.", "dport"),
    ("sequence number", 32, N,
     "Number of the first payload byte; of a SYN, the number before it.", "seg_seq"),
    ("acknowledgment number", 32, N,
     "The next number that the sender of this segment expects.", "seg_ack"),
    ("data offset", 4, Kind.WORDS, "Length of this header with its options.", ""),
    ("reserved", 3, H, "Zero.", ""),
    ("AE", 1, F, "Accurate ECN: part of the count of marked packets (RFC 9768).", ""),
    ("CWR", 1, F, "The sender reduced its congestion window (RFC 3168).", ""),
    ("ECE", 1, F, "The sender met congestion marks; in a SYN: it can use ECN (RFC 3168).", ""),
    ("URG", 1, F, "The urgent pointer counts.", ""),
    ("ACK", 1, F, "The acknowledgment number counts; set in all segments but the first.", ""),
    ("PSH", 1, F, "The sender had no more to send now; hand the bytes to the program.", ""),
    ("RST", 1, F, "The connection is broken off or does not exist.", ""),
    ("SYN", 1, F, "Opens a direction and tells its first sequence number.", ""),
    ("FIN", 1, F, "The sender will send no more bytes.", ""),
    ("window", 16, N,
     "How many bytes may be in flight towards the sender, before scaling.", "seg_wnd_raw"),
    ("checksum", 16, H, "Guards header, payload and addresses.", ""),
    ("urgent pointer", 16, N, "Where urgent data end, counted from the sequence number.", ""),
)
_UDP = table(
    "UDP", "RFC 768",
    ("source port", 16, N, "Port of the sender.", "sport"),
    ("destination port", 16, N, "Port of the receiver.", "dport"),
    ("length", 16, N, "Bytes of this header and its payload.", ""),
    ("checksum", 16, H, "Guards header, payload and addresses; 0 means none was made.", ""),
)
_ICMP = table(
    "ICMP", "RFC 792",
    ("type", 8, N, "What kind of message this is.", ""),
    ("code", 8, N, "Which of the kind.", ""),
    ("checksum", 16, H, "Guards the whole message.", ""),
    ("rest of header", 32, Kind.BYTES, "Depends on the type.", ""),
)
_ICMPV6 = table(
    "ICMPv6", "RFC 4443 2.1",
    ("type", 8, N, "What kind of message this is; below 128 an error.", ""),
    ("code", 8, N, "Which of the kind.", ""),
    ("checksum", 16, H, "Guards the whole message and the addresses.", ""),
    ("rest of header", 32, Kind.BYTES, "Depends on the type.", ""),
)
# fmt: on

_ALL = (
    _ETHERNET, _VLAN, _COOKED, _COOKED_2, _LOOPBACK, _ARP, _ARP_ADDRESSES, _IPV4, _IPV6,
    _EXTENSION, _FRAGMENT, _TCP, _UDP, _ICMP, _ICMPV6,
)  # fmt: skip
FIELDS: dict[str, tuple[Field, ...]] = {
    one[0].layer: one for one in (*_ALL, *LINK_TABLES, *OPTION_TABLES, *TRANSPORT_TABLES)
}


IPV4_OPTIONS = {
    0: OptionName("end of options", "What follows is padding.", "RFC 791 3.1"),
    1: OptionName("no operation", "Fills a byte between options.", "RFC 791 3.1"),
    7: OptionName("record route", "Routers write their addresses here.", "RFC 791 3.1"),
    68: OptionName("timestamp", "Routers write the time here.", "RFC 791 3.1"),
    130: OptionName("security", "How secret the packet is.", "RFC 1108"),
    131: OptionName("loose source route", "Routers the packet must pass.", "RFC 791 3.1"),
    137: OptionName("strict source route", "The only routers the packet may pass.", "RFC 791 3.1"),
    148: OptionName("router alert", "Asks routers to look at the packet.", "RFC 2113 2.1"),
}
SOURCE_ROUTES = frozenset({131, 137})

"""The header fields of links and of what carries packets between them and IP. See `fields`."""

from __future__ import annotations

from netlab.decode.field import Kind, table

N, H, F, B, L = Kind.NUMBER, Kind.HEX, Kind.FLAG, Kind.BYTES, Kind.LITTLE

# fmt: off
LINK_TABLES = (
    table(
        "LLC", "IEEE 802.2 3.2",
        ("destination SAP", 8, H, "What at the receiver it is for: 0xaa SNAP, 0x06 IP.", ""),
        ("source SAP", 8, H, "What at the sender it is from.", ""),
        ("control", 8, H, "0x03: a datagram, unnumbered.", ""),
    ),
    table(
        "SNAP", "RFC 1042",
        ("organisation", 24, H, "Whose numbers the next field has; 0: EtherTypes.", ""),
        ("type", 16, Kind.ETHERTYPE, "What follows.", ""),
    ),
    table(
        "PPP", "RFC 1661 2",
        ("protocol", 16, H, "What follows: 0x0021 IPv4, 0x0057 IPv6.", ""),
    ),
    table(
        "PPPoE session", "RFC 2516 4",
        ("version", 4, N, "1.", ""),
        ("type", 4, N, "1.", ""),
        ("code", 8, H, "0 in a session.", ""),
        ("session", 16, N, "Names the session together with both hardware addresses.", ""),
        ("length", 16, N, "Bytes that follow this header.", ""),
    ),
    table(
        "MPLS", "RFC 3032 2.1",
        ("label", 20, N, "What routers forward it by.", ""),
        ("traffic class", 3, N, "Its treatment (RFC 5462).", ""),
        ("bottom of stack", 1, F, "No label follows this one.", ""),
        ("time to live", 8, N, "Each router takes one off.", ""),
    ),
    table(
        "GRE", "RFC 2784 2, RFC 2890",
        ("checksum present", 1, F, "A checksum follows.", ""),
        ("routing present", 1, F, "A source route follows (RFC 1701).", ""),
        ("key present", 1, F, "A key follows.", ""),
        ("sequence present", 1, F, "A sequence number follows.", ""),
        ("reserved", 4, H, "Zero.", ""),
        ("ACK present", 1, F, "An acknowledgment number follows (RFC 2637).", ""),
        ("flags", 4, H, "Zero.", ""),
        ("version", 3, N, "0, or 1 for PPTP.", ""),
        ("type", 16, Kind.ETHERTYPE, "What follows.", ""),
    ),
    table(
        "ERSPAN", "draft-foschiano-erspan 4.2",
        ("version", 4, N, "1: type II.", ""),
        ("VLAN", 12, N, "The virtual network of the mirrored frame.", ""),
        ("class of service", 3, N, "Its priority.", ""),
        ("encapsulation", 2, N, "How the frame was tagged.", ""),
        ("truncated", 1, F, "The mirrored frame was cut.", ""),
        ("session", 10, N, "Names the mirroring.", ""),
        ("reserved", 12, H, "Zero.", ""),
        ("index", 20, N, "The port and direction that was mirrored.", ""),
    ),
    table(
        "Cisco HDLC", "LINKTYPE_C_HDLC",
        ("address", 8, H, "0x0f: to one, 0x8f: to all.", ""),
        ("control", 8, H, "Zero.", ""),
        ("type", 16, Kind.ETHERTYPE, "What follows.", ""),
    ),
    table(
        "FDDI", "ANSI X3T9.5",
        ("frame control", 8, H, "0x50 to 0x57: an LLC frame with its priority.", ""),
        ("destination", 48, Kind.MAC, "Hardware address of the receiver on this ring.", ""),
        ("source", 48, Kind.MAC, "Hardware address of the sender on this ring.", ""),
    ),
    table(
        "Token Ring", "IEEE 802.5",
        ("access control", 8, H, "Priority, token and monitor bits.", ""),
        ("frame control", 8, H, "0x40: an LLC frame.", ""),
        ("destination", 48, Kind.MAC, "Hardware address of the receiver on this ring.", ""),
        ("source", 48, Kind.MAC, "Of the sender; its highest bit: a route follows.", ""),
    ),
    table(
        "NFLOG", "LINKTYPE_NFLOG",
        ("family", 8, N, "The packet's address family: 2 IPv4, 10 IPv6.", ""),
        ("version", 8, N, "0.", ""),
        ("resource", 16, N, "The log group that the firewall's rule named.", ""),
    ),
    table(
        "pflog", "LINKTYPE_PFLOG",
        ("length", 8, N, "Bytes of this header, before it is filled up to four.", ""),
        ("family", 8, N, "The packet's address family: 2 IPv4, 24 IPv6.", ""),
        ("action", 8, N, "0 passed, 1 dropped.", ""),
        ("reason", 8, N, "Why.", ""),
    ),
    table(
        "802.11", "IEEE 802.11 9.2.4",
        ("subtype", 4, N, "Which of its type; of data, 8: with QoS.", ""),
        ("type", 2, N, "0 management, 1 control, 2 data.", ""),
        ("version", 2, N, "0.", ""),
        ("order", 1, F, "Of QoS data: an HT control field follows.", ""),
        ("protected", 1, F, "What follows is encrypted.", ""),
        ("more data", 1, F, "The access point keeps more for a sleeping station.", ""),
        ("power management", 1, F, "The station will sleep.", ""),
        ("retry", 1, F, "Sent before and not acknowledged.", ""),
        ("more fragments", 1, F, "Other fragments of the same frame follow.", ""),
        ("from DS", 1, F, "From an access point.", ""),
        ("to DS", 1, F, "To an access point.", ""),
    ),
    table(
        "802.11 addresses", "IEEE 802.11 9.3.2",
        ("duration", 16, Kind.LITTLE, "For how long the medium is taken, in us.", ""),
        ("receiver", 48, Kind.MAC, "Hardware address of the station that takes it.", ""),
        ("transmitter", 48, Kind.MAC, "Hardware address of the station that sends it.", ""),
        ("third address", 48, Kind.MAC, "Who else: source, destination or network.", ""),
        ("sequence", 16, Kind.LITTLE, "Number of frame and fragment.", ""),
    ),
    table(
        "802.11 radiotap", "radiotap.org",
        ("version", 8, N, "0.", ""),
        ("padding", 8, H, "Zero.", ""),
        ("length", 16, L, "Bytes of this header with its fields.", ""),
        ("present", 32, B, "Which fields follow, a bit each.", ""),
    ),
    table(
        "PPI", "CACE PPI 1.0 3.1",
        ("version", 8, N, "0.", ""),
        ("flags", 8, H, "1: fields are filled up to four bytes.", ""),
        ("length", 16, L, "Bytes of this header with its fields.", ""),
        ("link type", 32, L, "What follows: 105 is 802.11.", ""),
    ),
)
# fmt: on

"""Datagrams, and the packets below them."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "datagram_boundaries": "datagrams of several sizes, and recv(256)",
    "udp_refused": "ECONNREFUSED without a connection",
    "overflow": "datagrams that come too fast: who is told",
    "fragmentation": "a datagram that does not fit into a frame",
    "path_mtu": "a narrower link on the way: how TCP finds out",
    "black_hole": "small messages get through, large ones hang",
    "ttl": "two routers that send a packet to each other",
    "arp": "an IP address: whose network card that is",
    "arp_failure": "`No route to host`: who says it, and when",
    "neighbours": "a MAC address by IPv6, without broadcast",
}

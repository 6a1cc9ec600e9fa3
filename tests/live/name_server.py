"""A name server with dpkt and clients with scapy, over UDP and TCP on loopback: traffic to record.

Run as a program; prints how many questions were answered.
"""

from __future__ import annotations

import signal
import socket
import threading

import dpkt
from scapy.layers import dns

PORT = 53
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
ADDRESS, ADDRESS_6 = b"\xc0\x00\x02\x01", bytes(15) + b"\1"
QUESTIONS = [
    ("www.example.com", "A"), ("www.example.com", "AAAA"), ("example.com", "MX"),
    ("example.com", "NS"), ("example.com", "SOA"), ("example.com", "TXT"),
    ("alias.example.com", "CNAME"), ("1.2.0.192.in-addr.arpa", "PTR"), ("no.example.com", "A"),
    ("many.example.com", "A"),
]  # fmt: skip


def answered(query: bytes) -> bytes:
    """The answer to a query, in dpkt's words."""
    message = dpkt.dns.DNS(query)
    question = message.qd[0]
    message.qr, message.ra, message.ar = dpkt.dns.DNS_R, 1, []
    record = {"name": question.name, "type": question.type, "ttl": 4093}
    if question.name.startswith("no."):
        message.rcode = dpkt.dns.DNS_RCODE_NXDOMAIN
    elif question.name.startswith("many."):
        message.an = [dpkt.dns.DNS.RR(**record, ip=bytes((192, 0, 2, n))) for n in range(23)]
    else:
        data = {
            1: {"ip": ADDRESS}, 28: {"ip6": ADDRESS_6}, 5: {"cname": "www.example.com"},
            2: {"nsname": "ns.example.com"}, 12: {"ptrname": "www.example.com"},
            15: {"preference": 10, "mxname": "mx.example.com"}, 16: {"text": [b"one", b"two"]},
            6: {"mname": "ns.example.com", "rname": "me.example.com", "serial": 1, "refresh": 2,
                "retry": 3, "expire": 4, "minimum": 5},
        }[question.type]  # fmt: skip
        message.an = [dpkt.dns.DNS.RR(**record, **data)]
    return bytes(message)


def serve_datagrams(server: socket.socket) -> None:
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answered(query), client)


def serve_streams(server: socket.socket) -> None:
    while True:
        client, _ = server.accept()
        with client:
            while size := client.recv(2, socket.MSG_WAITALL):
                query = client.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
                answer = answered(query)
                client.sendall(len(answer).to_bytes(2, "big") + answer)


def queries() -> list[bytes]:
    """With EDNS every other one."""
    return [
        bytes(dns.DNS(id=number, rd=1, qd=dns.DNSQR(qname=name, qtype=kind),
                      ar=dns.DNSRROPT(rclass=1232) if number % 2 else None))
        for number, (name, kind) in enumerate(QUESTIONS)
    ]  # fmt: skip


def main() -> None:
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", PORT))
    streams = socket.create_server(("127.0.0.1", PORT))
    for serve, server in ((serve_datagrams, datagrams), (serve_streams, streams)):
        threading.Thread(target=serve, args=(server,), daemon=True).start()
    signal.alarm(40)  # a server that fails must not keep whoever waits for this program
    count = 0
    for query in queries():
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", PORT))
            client.send(query)
            count += bool(client.recv(4096))
    with socket.create_connection(("127.0.0.1", PORT)) as client:
        # All at once, in pieces that end within messages.
        whole = b"".join(len(query).to_bytes(2, "big") + query for query in queries())
        for at in range(0, len(whole), 23):
            client.sendall(whole[at : at + 23])
        for _ in QUESTIONS:
            size = int.from_bytes(client.recv(2, socket.MSG_WAITALL), "big")
            count += len(client.recv(size, socket.MSG_WAITALL)) == size
    print(count)


if __name__ == "__main__":
    main()

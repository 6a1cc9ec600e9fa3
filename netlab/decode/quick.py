"""The payload of one packet -> one line on what it says: DNS, HTTP/1, TLS. By dpkt, asked last.

A quick look, not a dissector: it says nothing when it is not certain, and each packet alone must be
enough. dpkt is imported only when a payload looks like one of the three. The line holds captured
text: escape it before a terminal. Read first: RFC 1035 4.1, RFC 9112 2 and 3, RFC 8446 4 and 5.
"""

from __future__ import annotations

import re

_REQUEST = re.compile(rb"[A-Z]{3,17} [^\s\x00]{1,8000} HTTP/1\.[01](?=\r?\n|$)")
_STATUS = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2}(?: [^\r\n\x00]{0,200})?(?=\r?\n|$)")
_DNS_PORTS = frozenset({53, 5353, 5355})
_TLS_CONTENT = {
    20: "change cipher spec",
    21: "alert",
    22: "handshake",
    23: "application data",
    24: "heartbeat",
}
_TLS_HANDSHAKE = {
    1: "client hello",
    2: "server hello",
    4: "new session ticket",
    11: "certificate",
    12: "server key exchange",
    13: "certificate request",
    14: "server hello done",
    16: "client key exchange",
}
_DNS_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
    64: "SVCB", 65: "HTTPS", 255: "ANY",
}  # fmt: skip
_DNS_ERRORS = {1: "format error", 2: "server failure", 3: "no such name", 4: "not implemented",
               5: "refused"}  # fmt: skip


def info(protocol: str | None, sport: int | None, dport: int | None, payload: bytes) -> str:
    """One line on the payload, empty when nothing is certain. Never raises, whatever the bytes."""
    if len(payload) < 5 or sport is None or dport is None:
        return ""
    dns = sport in _DNS_PORTS or dport in _DNS_PORTS
    try:
        if protocol == "UDP":
            return _dns(payload) if dns else ""
        if protocol != "TCP":
            return ""
        if dns and int.from_bytes(payload[:2], "big") == len(payload) - 2:
            return _dns(payload[2:])
        if payload[0] in _TLS_CONTENT and payload[1] == 3 and payload[2] <= 4:
            return _tls(payload)
        return _http(payload)
    except Exception:  # dpkt raises whatever its parsing hits; the look is a courtesy, not a fact
        return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _dns(payload: bytes) -> str:
    if len(payload) < 12:
        return ""
    import dpkt

    message = dpkt.dns.DNS(payload)
    if not message.qd and not message.an:
        return ""
    names = [f"{_DNS_TYPES.get(q.type, q.type)} {q.name}" for q in message.qd]
    if message.qr == dpkt.dns.DNS_Q:
        return _one_line(f"DNS query {', '.join(names)}") if names else ""
    outcome = _DNS_ERRORS.get(message.rcode)
    count = len(message.an)
    found = outcome or f"{count} answer{'' if count == 1 else 's'}"
    return _one_line(f"DNS response {', '.join(names)}: {found}")


def _http(payload: bytes) -> str:
    line = _REQUEST.match(payload) or _STATUS.match(payload)
    if line is None:
        return ""
    import dpkt

    text = line.group().decode("latin-1")
    if line.re is _REQUEST:
        try:
            host = dpkt.http.Request(payload).headers.get("host")
        except dpkt.UnpackError:  # headers or body go on in the next segment
            host = None
        if isinstance(host, str):
            text += f" (host {host})"
    return _one_line(text)


def _tls(payload: bytes) -> str:
    if len(payload) < 9 and payload[0] == 22:
        return ""
    import dpkt

    length = int.from_bytes(payload[3:5], "big")
    if not 0 < length <= 16_384 + 2048:  # RFC 5246 6.2.3: at most 2**14 + 2048
        return ""
    what = _TLS_CONTENT[payload[0]]
    # An encrypted handshake record begins with any byte: its length would hardly fit.
    if payload[0] == 22 and int.from_bytes(payload[6:9], "big") + 4 <= length:
        what = _TLS_HANDSHAKE.get(payload[5], what)
        if payload[5] == 1 and len(payload) >= 5 + length:
            name = _server_name(dpkt.ssl.TLSHandshake(payload[5 : 5 + length]).data)
            return _one_line(f"TLS {what}{f' for {name}' if name else ''}")
    return f"TLS {what}, {length} bytes"


def _server_name(hello: object) -> str:
    """The server_name extension's first host name (RFC 6066 section 3)."""
    for kind, data in getattr(hello, "extensions", []):
        if kind == 0 and len(data) > 5 and data[2] == 0:
            size = int.from_bytes(data[3:5], "big")
            return bytes(data[5 : 5 + size]).decode("latin-1")
    return ""

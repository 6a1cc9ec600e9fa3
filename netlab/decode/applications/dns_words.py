"""DNS: numbers of types, classes, codes and options -> their names.

Source: IANA's "Domain Name System (DNS) Parameters" and "DNS Service Bindings (SVCB)".
"""

from __future__ import annotations

TYPES = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR",
    10: "NULL", 11: "WKS", 12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP",
    18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 30: "NXT", 33: "SRV", 35: "NAPTR",
    36: "KX", 37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP",
    45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
    51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY",
    61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF",
    108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR",
    255: "ANY", 256: "URI", 257: "CAA", 32768: "TA", 32769: "DLV",
}  # fmt: skip
TYPE_MEANINGS = {
    1: "an IPv4 address",
    2: "a server that knows the names below this one",
    5: "this name is another name for that one",
    6: "who is in charge of the zone, and how long its absent names may be remembered",
    12: "another name that this one points to, as an address to its host",
    15: "where mail for this name goes",
    16: "free text",
    28: "an IPv6 address",
    33: "host and port of a service",
    41: "no record, but the settings of EDNS",
    43: "a hash of the key that the zone below signs with",
    46: "a signature over records",
    47: "proof that no name stands between this one and the next",
    48: "a key that signs the zone's records",
    64: "where and how to reach a service",
    65: "where and how to reach a web site, before the first connection to it",
}
CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
OPCODES = {0: "query", 1: "inverse query", 2: "status", 4: "notify", 5: "update", 6: "stateful"}
RCODES = {
    0: "no error",
    1: "format error",
    2: "server failure",
    3: "no such name",
    4: "not implemented",
    5: "refused",
    6: "the name exists but should not",
    7: "the records exist but should not",
    8: "the records should exist but do not",
    9: "not authoritative or not authorized",
    10: "the name is not in the zone",
    11: "type of stateful operation not implemented",
    16: "bad version of EDNS or bad signature",
    17: "key not recognized",
    18: "signature out of time window",
    19: "bad TKEY mode",
    20: "duplicate key name",
    21: "algorithm not supported",
    22: "bad truncation",
    23: "bad or missing server cookie",
}
EDNS_OPTIONS = {
    1: "LLQ", 2: "update lease", 3: "NSID", 5: "DAU", 6: "DHU", 7: "N3U", 8: "client subnet",
    9: "expire", 10: "cookie", 11: "TCP keepalive", 12: "padding", 13: "chain", 14: "key tag",
    15: "extended error", 16: "client tag", 17: "server tag", 18: "report channel",
    19: "zone version",
}  # fmt: skip
EDNS_ERRORS = {
    0: "other", 1: "unsupported DNSKEY algorithm", 2: "unsupported DS digest type",
    3: "stale answer", 4: "forged answer", 5: "DNSSEC indeterminate", 6: "DNSSEC bogus",
    7: "signature expired", 8: "signature not yet valid", 9: "DNSKEY missing",
    10: "RRSIGs missing", 11: "no zone key bit set", 12: "NSEC missing", 13: "cached error",
    14: "not ready", 15: "blocked", 16: "censored", 17: "filtered", 18: "prohibited",
    19: "stale NXDOMAIN answer", 20: "not authoritative", 21: "not supported",
    22: "no reachable authority", 23: "network error", 24: "invalid data",
}  # fmt: skip
SERVICE_KEYS = {
    0: "mandatory", 1: "alpn", 2: "no-default-alpn", 3: "port", 4: "ipv4hint", 5: "ech",
    6: "ipv6hint", 7: "dohpath", 8: "ohttp",
}  # fmt: skip
ALGORITHMS = {
    1: "RSA/MD5", 3: "DSA", 5: "RSA/SHA-1", 7: "RSA/SHA-1 NSEC3", 8: "RSA/SHA-256",
    10: "RSA/SHA-512", 13: "ECDSA P-256", 14: "ECDSA P-384", 15: "Ed25519", 16: "Ed448",
}  # fmt: skip


def type_name(number: int) -> str:
    """The name of a type of record; RFC 3597 section 5 writes unknown ones as TYPE731."""
    return TYPES.get(number) or f"TYPE{number}"


def class_name(number: int) -> str:
    """The name of a class; RFC 3597 section 5 writes unknown ones as CLASS32."""
    return CLASSES.get(number) or f"CLASS{number}"

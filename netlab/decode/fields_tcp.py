"""The fields of every TCP option that is in use, and which of them an option of these bytes has.

An option whose length decides its form is made of several tables, one behind the other; a field of
no width fills what is left. See `fields`. Sources: IANA "TCP Parameters", and the RFC of each.
"""

from __future__ import annotations

from netlab.decode.field import Kind, table
from netlab.model.records import dataclass

N, H, F, B = Kind.NUMBER, Kind.HEX, Kind.FLAG, Kind.BYTES
LENGTH = ("length", 8, N, "Bytes of this option.", "")


@dataclass(frozen=True, slots=True)
class OptionName:
    """What an option kind of TCP or IPv4 is called, and who says so."""

    name: str
    meaning: str
    source: str


TCP_OPTIONS = {
    0: OptionName("end of options", "What follows is padding.", "RFC 9293 3.2"),
    1: OptionName("no operation", "Fills a byte between options.", "RFC 9293 3.2"),
    2: OptionName("MSS", "The largest payload that the sender takes.", "RFC 9293 3.2"),
    3: OptionName("window scale", "The sender's windows count in larger units.", "RFC 7323 2.2"),
    4: OptionName("SACK permitted", "The sender understands SACK blocks.", "RFC 2018 2"),
    5: OptionName("SACK", "Ranges that arrived behind a gap.", "RFC 2018 3"),
    6: OptionName("echo", "Obsolete: timestamps took its place.", "RFC 1072 3"),
    7: OptionName("echo reply", "Obsolete: timestamps took its place.", "RFC 1072 3"),
    8: OptionName("timestamps", "Measures round trips, guards against old copies.", "RFC 7323 3.2"),
    9: OptionName("POC permitted", "Obsolete: partial order.", "RFC 1693 3.1"),
    10: OptionName("POC service profile", "Obsolete: partial order.", "RFC 1693 3.1"),
    11: OptionName("CC", "Obsolete: T/TCP's connection count.", "RFC 1644 3.1"),
    12: OptionName("CC.NEW", "Obsolete: T/TCP's connection count.", "RFC 1644 3.1"),
    13: OptionName("CC.ECHO", "Obsolete: T/TCP's connection count.", "RFC 1644 3.1"),
    14: OptionName("alternate checksum request", "Obsolete.", "RFC 1146 2"),
    15: OptionName("alternate checksum data", "Obsolete.", "RFC 1146 3"),
    18: OptionName("trailer checksum", "Obsolete.", "IANA TCP Parameters"),
    19: OptionName("MD5 signature", "Proves the sender (as BGP uses it).", "RFC 2385 3"),
    20: OptionName("SCPS capabilities", "For links in space.", "CCSDS 714.0-B-2"),
    21: OptionName("selective NACK", "For links in space.", "CCSDS 714.0-B-2"),
    27: OptionName("quick start response", "The rate that routers allowed.", "RFC 4782 4.2"),
    28: OptionName("user timeout", "How long the sender waits for ACKs.", "RFC 5482 3"),
    29: OptionName("TCP-AO", "Proves the sender.", "RFC 5925 2.2"),
    30: OptionName("MPTCP", "Several paths for one connection.", "RFC 8684 3"),
    34: OptionName("fast open", "A cookie that lets a SYN carry data.", "RFC 7413 4.1.1"),
    69: OptionName("ENO", "Negotiates encryption.", "RFC 8547 4"),
    172: OptionName("AccECN order 0", "Counts of bytes by their ECN mark.", "RFC 9768 3.2.3"),
    174: OptionName("AccECN order 1", "Counts of bytes by their ECN mark.", "RFC 9768 3.2.3"),
    253: OptionName("experiment 1", "An experiment, named by its first bytes.", "RFC 6994 3"),
    254: OptionName("experiment 2", "An experiment, named by its first bytes.", "RFC 6994 3"),
}
# IANA "TCP Experimental Option Experiment Identifiers". SMC-R's has 32 bits, of which these are 16.
EXPERIMENTS = {
    0xF989: OptionName("fast open", "As it was before it had a number.", "RFC 7413 4.1.1"),
    0xACCE: OptionName("AccECN", "As it was before it had numbers.", "RFC 9768 3.2.3"),
    0xACC0: OptionName("AccECN order 0", "As it was before it had a number.", "RFC 9768 3.2.3"),
    0xACC1: OptionName("AccECN order 1", "As it was before it had a number.", "RFC 9768 3.2.3"),
    0x454E: OptionName("ENO", "As it was before it had a number.", "RFC 8547 4"),
    0xE2D4: OptionName("SMC-R", "Both ends can move the stream to RDMA.", "RFC 7609 appendix A"),
}
MPTCP_SUBTYPES = {
    0: "MP_CAPABLE",
    1: "MP_JOIN",
    2: "DSS",
    3: "ADD_ADDR",
    4: "REMOVE_ADDR",
    5: "MP_PRIO",
    6: "MP_FAIL",
    7: "MP_FASTCLOSE",
    8: "MP_TCPRST",
    15: "MP_EXPERIMENTAL",
}


# fmt: off
def _kind(meaning: str) -> tuple[str, int, Kind, str, str]:
    return "kind", 8, N, meaning, ""


_SUBTYPE = ("subtype", 4, N, "Which of MPTCP's options.", "")
_ADDRESS_ID = ("address id", 8, N, "The sender's number for one of its addresses.", "")
_MPTCP = (_kind("MPTCP."), LENGTH, _SUBTYPE)
_E0 = ("bytes with ECT(0)", 24, N, "Payload bytes that came marked ECT(0).", "")
_E1 = ("bytes with ECT(1)", 24, N, "Payload bytes that came marked ECT(1).", "")
_CE = ("bytes with CE", 24, N, "Payload bytes that came marked: congestion met.", "")

OPTION_TABLES = (
    table("TCP option 2", "RFC 9293 3.2", _kind("Maximum segment size."), LENGTH,
          ("maximum segment size", 16, N, "The largest payload that the sender takes.", "mss")),
    table("TCP option 3", "RFC 7323 2.2", _kind("Window scale."), LENGTH,
          ("window scale", 8, N, "The sender's windows count in units of 2 to this power.",
           "wscale")),
    table("TCP option 8", "RFC 7323 3.2", _kind("Timestamps."), LENGTH,
          ("timestamp value", 32, N, "The sender's clock when it sent this.", "ts_val"),
          ("timestamp echo", 32, N, "The last value that the sender got from its peer.",
           "ts_ecr")),
    table("TCP option 19", "RFC 2385 2.0", _kind("MD5 signature."), LENGTH,
          ("digest", 128, B, "MD5 of addresses, header, payload and a secret key.", "")),
    table("TCP option 27", "RFC 4782 4.2", _kind("Quick-Start response."), LENGTH,
          ("reserved", 4, H, "Zero.", ""),
          ("rate request", 4, N, "The rate that came, 2 to this power times 40 kbit/s.", ""),
          ("TTL difference", 8, N, "Tells whether all routers took part.", ""),
          ("nonce", 30, H, "Proves that no router raised the rate.", ""),
          ("reserved bits", 2, H, "Zero.", "")),
    table("TCP option 28", "RFC 5482 3", _kind("User timeout."), LENGTH,
          ("G: in minutes", 1, F, "The time counts minutes, else seconds.", ""),
          ("user timeout", 15, N, "How long sent bytes may stay without an ACK.", "")),
    table("TCP option 29", "RFC 5925 2.2", _kind("Authentication."), LENGTH,
          ("key id", 8, N, "Which key signed this segment.", ""),
          ("next key id", 8, N, "Which key the sender wants to get from now on.", ""),
          ("MAC", 0, B, "Signs addresses, header and payload.", "")),
    table("TCP option 34", "RFC 7413 4.1.1", _kind("Fast open."), LENGTH,
          ("cookie", 0, B, "Proves that the client has this address; none asks for one.", "")),
    table("TCP option 69", "RFC 8547 4.1", _kind("Encryption negotiation."), LENGTH,
          ("suboptions", 0, B, "The kinds of encryption that the sender can do.", "")),
    table("TCP experiment", "RFC 6994 3", _kind("An experiment."), LENGTH,
          ("experiment id", 16, H, "Which experiment.", ""),
          ("value", 0, B, "Depends on the experiment.", "")),
    table("TCP experiment head", "RFC 6994 3", _kind("An experiment."), LENGTH,
          ("experiment id", 16, H, "Which experiment.", "")),
    table("TCP cookie", "RFC 7413 4.1.1",
          ("cookie", 0, B, "Proves that the client has this address; none asks for one.", "")),
    table("TCP option head", "RFC 9293 3.2", _kind("An option."), LENGTH),
    *(table(f"AccECN order {order} of {count}", "RFC 9768 3.2.3", *counters[:count])
      for order, counters in enumerate(((_E0, _CE, _E1), (_E1, _CE, _E0)))
      for count in (1, 2, 3)),
    table("MPTCP", "RFC 8684 3", *_MPTCP,
          ("rest", 4, H, "Depends on the subtype.", ""),
          ("value", 0, B, "Its length fits no form of the subtype.", "")),
    table("MP_CAPABLE", "RFC 8684 3.1", *_MPTCP,
          ("version", 4, N, "Of MPTCP.", ""),
          ("A: checksum required", 1, F, "DSS checksums are used.", ""),
          ("B: extensibility", 1, F, "Zero.", ""),
          ("C: no joins here", 1, F, "Open no subflow to the sender's address and port.", ""),
          ("D to G", 4, H, "Crypto that may come.", ""),
          ("H: HMAC-SHA256", 1, F, "Keys are used with HMAC-SHA256.", "")),
    table("MP_CAPABLE sender", "RFC 8684 3.1",
          ("sender's key", 64, B, "Names and guards the connection, together with the other.", "")),
    table("MP_CAPABLE receiver", "RFC 8684 3.1",
          ("receiver's key", 64, B, "What the other end sent as its key.", "")),
    table("MP_CAPABLE data", "RFC 8684 3.1",
          ("data-level length", 16, N, "Bytes of the first payload.", "")),
    table("MPTCP checksum", "RFC 8684 3.3.1",
          ("DSS checksum", 16, H, "Guards payload and mapping.", "")),
    table("MP_JOIN SYN", "RFC 8684 3.2", *_MPTCP,
          ("reserved", 3, H, "Zero.", ""),
          ("B: backup", 1, F, "Use this path only when no other is left.", ""), _ADDRESS_ID,
          ("receiver's token", 32, H, "Names the connection: a hash of the receiver's key.", ""),
          ("sender's random number", 32, H, "For the HMAC of the answer.", "")),
    table("MP_JOIN SYN ACK", "RFC 8684 3.2", *_MPTCP,
          ("reserved", 3, H, "Zero.", ""),
          ("B: backup", 1, F, "Use this path only when no other is left.", ""), _ADDRESS_ID,
          ("truncated HMAC", 64, B, "Proves that the sender has the keys.", ""),
          ("sender's random number", 32, H, "For the HMAC of the answer.", "")),
    table("MP_JOIN ACK", "RFC 8684 3.2", *_MPTCP,
          ("reserved", 12, H, "Zero.", ""),
          ("HMAC", 160, B, "Proves that the sender has the keys.", "")),
    table("DSS", "RFC 8684 3.3", *_MPTCP,
          ("reserved", 7, H, "Zero.", ""),
          ("F: DATA_FIN", 1, F, "The connection's last byte; its subflows go on.", ""),
          ("m: 8-byte sequence", 1, F, "The data sequence number has 8 bytes.", ""),
          ("M: mapping", 1, F, "Sequence numbers, length and checksum are present.", ""),
          ("a: 8-byte ACK", 1, F, "The data ACK has 8 bytes.", ""),
          ("A: data ACK", 1, F, "A data ACK is present.", "")),
    *(table(f"DSS ACK of {size}", "RFC 8684 3.3.2",
            ("data ACK", 8 * size, N, "The next byte of the connection that is expected.", ""))
      for size in (4, 8)),
    *(table(f"DSS sequence of {size}", "RFC 8684 3.3.1",
            ("data sequence number", 8 * size, N, "Of the payload's first byte, in the connection.",
             ""),
            ("subflow sequence number", 32, N, "Of the same byte, relative to this subflow.", ""),
            ("data-level length", 16, N, "Bytes that the mapping is for.", ""))
      for size in (4, 8)),
    table("ADD_ADDR", "RFC 8684 3.4.1", *_MPTCP,
          ("reserved", 3, H, "Zero; version 0 of MPTCP has the version of IP in these four.", ""),
          ("E: echo", 1, F, "Says only that the address was heard of.", ""), _ADDRESS_ID),
    table("ADD_ADDR IPv4", "RFC 8684 3.4.1",
          ("address", 32, Kind.IPV4, "Another address of the sender.", "")),
    table("ADD_ADDR IPv6", "RFC 8684 3.4.1",
          ("address", 128, Kind.IPV6, "Another address of the sender.", "")),
    table("ADD_ADDR port", "RFC 8684 3.4.1",
          ("port", 16, N, "To be used with the address.", "")),
    table("ADD_ADDR HMAC", "RFC 8684 3.4.1",
          ("truncated HMAC", 64, B, "Proves that the sender has the keys.", "")),
    table("REMOVE_ADDR", "RFC 8684 3.4.2", *_MPTCP,
          ("reserved", 4, H, "Zero.", "")),
    table("REMOVE_ADDR address", "RFC 8684 3.4.2",
          ("address id", 8, N, "An address of the sender that is gone.", "")),
    table("MP_PRIO", "RFC 8684 3.3.8", *_MPTCP,
          ("reserved", 3, H, "Zero.", ""),
          ("B: backup", 1, F, "Use this path only when no other is left.", "")),
    table("MP_PRIO address", "RFC 6824 3.3.8", _ADDRESS_ID),
    table("MP_FAIL", "RFC 8684 3.7", *_MPTCP,
          ("reserved", 12, H, "Zero.", ""),
          ("data sequence number", 64, N, "Of the first byte whose checksum was wrong.", "")),
    table("MP_FASTCLOSE", "RFC 8684 3.5", *_MPTCP,
          ("reserved", 12, H, "Zero.", ""),
          ("receiver's key", 64, B, "Proves that the sender may close the connection.", "")),
    table("MP_TCPRST", "RFC 8684 3.6", *_MPTCP,
          ("U, V, W", 3, H, "Zero.", ""),
          ("T: transient", 1, F, "It may work again later.", ""),
          ("reason", 8, N,
           "0 not said, 1 MPTCP, 2 resources, 3 prohibited, 4 too much data, 5 performance, "
           "6 middlebox.", "")),
    table("MP_EXPERIMENTAL", "RFC 8684 3.8", *_MPTCP,
          ("S: in a SYN", 1, F, "Sent at the start of a subflow.", ""),
          ("U: ignored", 1, F, "The receiver did not know it.", ""),
          ("reserved", 2, H, "Zero.", ""),
          ("value", 0, B, "Depends on the experiment.", "")),
)
# fmt: on
_FIXED = {2: 4, 3: 3, 8: 10, 19: 18, 27: 8, 28: 4}
_AT_LEAST = {29: 4, 34: 2, 69: 2}
_ECN_ORDERS = {172: 0, 174: 1}


def option_tables(raw: bytes) -> list[str]:
    """The tables that describe a whole option, in order; none where its length fits no form."""
    kind, length = raw[0], len(raw)
    if kind in _FIXED:
        return [f"TCP option {kind}"] if length == _FIXED[kind] else []
    if kind in _AT_LEAST:
        return [f"TCP option {kind}"] if length >= _AT_LEAST[kind] else []
    if kind in _ECN_ORDERS:
        return ["TCP option head", *_counters(_ECN_ORDERS[kind], length - 2)]
    if kind in (253, 254) and length >= 4:
        return _experiment(int.from_bytes(raw[2:4], "big"), length - 4)
    if kind == 30 and length >= 3:
        return _mptcp(raw[2] >> 4, raw, length) or ["MPTCP"]
    return []


def _counters(order: int, size: int) -> list[str]:
    known = size in (3, 6, 9)
    return [f"AccECN order {order} of {size // 3}"] if known else []


def _experiment(identifier: int, size: int) -> list[str]:
    if identifier == 0xF989:
        return ["TCP experiment head", "TCP cookie"]
    if identifier in (0xACC0, 0xACC1) and (counters := _counters(identifier & 1, size)):
        return ["TCP experiment head", *counters]
    return ["TCP experiment"]


def _mptcp(subtype: int, raw: bytes, length: int) -> list[str]:
    name = MPTCP_SUBTYPES.get(subtype, "")
    if name == "MP_CAPABLE":
        return _CAPABLE.get(length, [])
    if name == "MP_JOIN":
        return _JOIN.get(length, [])
    if name == "ADD_ADDR":
        return _ADD.get(length, [])
    if name == "DSS" and length >= 4:
        return _dss(raw[3], length)
    if name in _LENGTHS:
        return [name] if length == _LENGTHS[name] else []
    if name == "MP_PRIO":
        return {3: [name], 4: [name, "MP_PRIO address"]}.get(length, [])
    if name == "REMOVE_ADDR":
        return [name, *["REMOVE_ADDR address"] * (length - 3)]
    return [name] if name == "MP_EXPERIMENTAL" else []


def _dss(flags: int, length: int) -> list[str]:
    names, size = ["DSS"], 4
    if flags & 1:
        width = 8 if flags & 2 else 4
        names.append(f"DSS ACK of {width}")
        size += width
    if flags & 4:
        width = 8 if flags & 8 else 4
        names.append(f"DSS sequence of {width}")
        size += width + 6
        if length == size + 2:
            names.append("MPTCP checksum")
            size += 2
    return names if length == size else []


_LENGTHS = {"MP_FAIL": 12, "MP_FASTCLOSE": 12, "MP_TCPRST": 4}
_KEYS = ["MP_CAPABLE", "MP_CAPABLE sender", "MP_CAPABLE receiver"]
_CAPABLE = {
    4: _KEYS[:1],
    12: _KEYS[:2],
    20: _KEYS,
    22: [*_KEYS, "MP_CAPABLE data"],
    24: [*_KEYS, "MP_CAPABLE data", "MPTCP checksum"],
}
_JOIN = {12: ["MP_JOIN SYN"], 16: ["MP_JOIN SYN ACK"], 24: ["MP_JOIN ACK"]}
_ADD = {
    4 + size + port + proof: [
        "ADD_ADDR", f"ADD_ADDR IPv{version}", *(["ADD_ADDR port"] if port else []),
        *(["ADD_ADDR HMAC"] if proof else []),
    ]
    for version, size in ((4, 4), (6, 16))
    for port in (0, 2)
    for proof in (0, 8)
}  # fmt: skip

"""MQTT: numbers of packets, properties and reasons -> what they are called.

Sources: MQTT 5.0 (OASIS) 2.1.2, 2.2.2.2 and 2.4; MQTT 3.1.1 3.2.2.3 and 3.9.3.
"""

from __future__ import annotations

PACKETS = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL",
    7: "PUBCOMP", 8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK",
    12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT", 15: "AUTH",
}  # fmt: skip
PACKET_MEANINGS = {
    1: "the first thing that a client says",
    2: "whether the server takes the client",
    3: "a message for all that subscribed to its topic",
    4: "the message has arrived (QoS 1)",
    5: "the message has arrived (QoS 2, step 2 of 4)",
    6: "so it will not be sent again (QoS 2, step 3 of 4)",
    7: "and its id is free again (QoS 2, step 4 of 4)",
    8: "what the client wants to be told",
    9: "what of it the server grants",
    10: "what the client no longer wants",
    11: "the server has understood",
    12: "the client is still there",
    13: "and so is the server",
    14: "the end of the connection, said in order",
    15: "a step of an exchange of proofs",
}
QOS_MEANINGS = {
    0: "at most once: nobody confirms it",
    1: "at least once: sent until confirmed",
    2: "exactly once: four packets make sure of it",
    3: "not allowed",
}
VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5"}
RETURN_CODES = {
    0: "accepted", 1: "protocol version not accepted", 2: "client id not accepted",
    3: "server unavailable", 4: "bad user name or password", 5: "not authorized",
}  # fmt: skip
REASONS = {
    0x00: "success", 0x01: "granted QoS 1", 0x02: "granted QoS 2", 0x04: "disconnect with will",
    0x10: "no matching subscribers", 0x11: "no subscription existed",
    0x18: "continue authentication", 0x19: "authenticate again", 0x80: "unspecified error",
    0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation specific error",
    0x84: "protocol version not supported", 0x85: "client id not valid",
    0x86: "bad user name or password", 0x87: "not authorized", 0x88: "server unavailable",
    0x89: "server busy", 0x8A: "banned", 0x8B: "server shutting down",
    0x8C: "bad authentication method", 0x8D: "keep alive timeout", 0x8E: "session taken over",
    0x8F: "topic filter invalid", 0x90: "topic name invalid", 0x91: "packet id in use",
    0x92: "packet id not found", 0x93: "receive maximum exceeded", 0x94: "topic alias invalid",
    0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded",
    0x98: "administrative action", 0x99: "payload format invalid",
    0x9A: "retain not supported", 0x9B: "QoS not supported", 0x9C: "use another server",
    0x9D: "server moved", 0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded", 0xA0: "maximum connect time",
    0xA1: "subscription ids not supported", 0xA2: "wildcard subscriptions not supported",
}  # fmt: skip
# Number -> name and form: a number of so many bytes, or v: variable, s: string, b: bytes, p: pair.
PROPERTIES: dict[int, tuple[str, str]] = {
    0x01: ("payload format", "1"), 0x02: ("message expiry interval", "4"),
    0x03: ("content type", "s"), 0x08: ("response topic", "s"), 0x09: ("correlation data", "b"),
    0x0B: ("subscription id", "v"), 0x11: ("session expiry interval", "4"),
    0x12: ("assigned client id", "s"), 0x13: ("server keep alive", "2"),
    0x15: ("authentication method", "s"), 0x16: ("authentication data", "b"),
    0x17: ("request problem information", "1"), 0x18: ("will delay interval", "4"),
    0x19: ("request response information", "1"), 0x1A: ("response information", "s"),
    0x1C: ("server reference", "s"), 0x1F: ("reason string", "s"),
    0x21: ("receive maximum", "2"), 0x22: ("topic alias maximum", "2"), 0x23: ("topic alias", "2"),
    0x24: ("maximum QoS", "1"), 0x25: ("retain available", "1"), 0x26: ("user property", "p"),
    0x27: ("maximum packet size", "4"), 0x28: ("wildcard subscriptions available", "1"),
    0x29: ("subscription ids available", "1"), 0x2A: ("shared subscriptions available", "1"),
}  # fmt: skip
TOPIC_ALIAS = 0x23
EXPIRIES = frozenset({0x02, 0x11, 0x18})  # seconds

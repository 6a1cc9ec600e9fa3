"""Values that users hand from process to process <-> the payload of an envelope.

Bytes and text travel as they are; anything else is pickled. That is safe here: both ends of a
channel belong to one server, and nobody else has them. Data of connections never passes this way.
"""

from __future__ import annotations

import json
import pickle
import struct
from typing import Any

from netlab.model.errors import UsageError
from netlab.server.terms import Client

_NOTHING, _BYTES, _TEXT, _PICKLED = b"", b"b", b"s", b"p"


def parcel_from(value: object) -> bytes:
    """The payload that carries `value`; None is empty. Raises UsageError for what cannot travel."""
    if value is None:
        return _NOTHING
    if isinstance(value, bytes):
        return _BYTES + value
    if type(value) is str:
        return _TEXT + value.encode("utf-8", "surrogatepass")
    try:
        return _PICKLED + pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # __reduce__ of the user's own class may raise anything
        raise UsageError(
            f"a {type(value).__name__} cannot pass between processes: {error}",
            "hand over bytes, text, or what pickle takes",
        ) from error


def value_from(parcel: bytes) -> Any:
    """The value that a payload carries."""
    kind, content = parcel[:1], parcel[1:]
    if kind == _NOTHING:
        return None
    if kind == _BYTES:
        return content
    if kind == _TEXT:
        return content.decode("utf-8", "surrogatepass")
    return pickle.loads(content)


_LENGTH = struct.Struct("<HH")


def parcel_from_packet(client: Client, data: bytes) -> bytes:
    """A datagram with who sent it and where it came in; plain bytes, as it is connections' data."""
    address = client.address
    words: object = {"raw": address.decode("latin-1")} if isinstance(address, bytes) else address
    text = json.dumps(words).encode()
    return _LENGTH.pack(len(text), client.entrance) + text + data


def packet_from(parcel: bytes) -> tuple[Client, bytes]:
    """The datagram that a payload carries."""
    size, entrance = _LENGTH.unpack_from(parcel)
    end = _LENGTH.size + size
    words = json.loads(parcel[_LENGTH.size : end])
    if isinstance(words, dict):
        words = words["raw"].encode("latin-1")
    elif isinstance(words, list):
        words = tuple(words)
    return Client(words, entrance), parcel[end:]

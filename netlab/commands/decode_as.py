"""`--decode-as tcp.port==8080,http`: what is spoken at a port, in tshark's way of saying it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.model.errors import UsageError

if TYPE_CHECKING:
    from netlab.correlate.messages import DecodeAs

_RULE = re.compile(r"(tcp|udp)\.port\s*==\s*([0-9]{1,5})\s*,\s*(\S+)")
_HIGHEST_PORT = 65_535


def rules(texts: Sequence[str]) -> list[DecodeAs]:
    """What was typed, understood. Raises UsageError for what cannot be."""
    return [_rule(text) for text in texts]


def _rule(text: str) -> DecodeAs:
    from netlab.correlate.messages import DecodeAs
    from netlab.decode.applications.registry import by_name

    match = _RULE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--decode-as {text!r} is no rule", "say tcp.port==8080,http or udp.port==5300,dns"
        )
    transport, port, name = match[1], int(match[2]), match[3]
    if not 1 <= port <= _HIGHEST_PORT:
        raise UsageError(f"no port {port}", f"ports are 1 to {_HIGHEST_PORT}")
    application = by_name(name)
    over = application.conversation if transport == "tcp" else application.datagram
    if over is None:
        other = "udp" if transport == "tcp" else "tcp"
        raise UsageError(
            f"{application.name} is not spoken over {transport.upper()}",
            f"say {other}.port=={port},{application.name}",
        )
    return DecodeAs(transport, port, application)

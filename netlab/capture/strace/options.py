"""The arguments of setsockopt as strace prints them -> as netlab's probe writes them.

`SOL_TCP, TCP_NODELAY, [1], 4` becomes `SOL_TCP, TCP_NODELAY, 1`; bytes become hexadecimal.
Read first: man 7 socket, man 7 ip (struct ip_mreq).
"""

from __future__ import annotations

from netlab.capture.strace.values import Applied, Group, Text, Value, number_from, text_of


def option_args(items: list[Value]) -> str:
    """`items`: what stands behind the descriptor."""
    if len(items) < 3:
        return ", ".join(map(text_of, items))
    level, option, value = items[:3]
    return f"{text_of(level)}, {_name(option)}, {_shown(value)}"


def _name(option: Value) -> str:
    # strace tells the two layouts of time stamps and time-outs apart, netlab's readers do not.
    return text_of(option).removesuffix("_OLD")


def _shown(value: Value) -> str:
    if isinstance(value, Group):
        fields = value.fields
        if "l_onoff" in fields and "l_linger" in fields:
            on, seconds = text_of(fields["l_onoff"]), text_of(fields["l_linger"])
            return f"{{onoff={on}, linger={seconds}}}"
        if "imr_multiaddr" in fields:
            raw = _ip_mreq(fields)
            if raw is not None:
                return f"0x{raw.hex()}"
        if not fields and len(value.items) == 1 and value.whole:
            number = number_from(value.items[0])
            if number is not None:
                return str(number)
            return text_of(value.items[0])
    if isinstance(value, Text) and not value.whole and not value.data:
        return "0x..."
    return text_of(value)


def _ip_mreq(fields: dict[str, Value]) -> bytes | None:
    raw = b""
    for name in ("imr_multiaddr", "imr_interface"):
        value = fields.get(name)
        if not isinstance(value, Applied) or not value.arguments.items:
            return None
        text = value.arguments.items[0]
        if not isinstance(text, Text):
            return None
        parts = text.data.split(b".")
        if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts):
            return None
        raw += bytes(int(part) for part in parts)
    return raw

"""Numbers -> words: the only place that formats times, byte counts, ranges and addresses."""

from __future__ import annotations

import time

_MS = 1_000_000
_S = 1_000_000_000
_MOST_SCALE = 14  # RFC 7323 2.3


def duration(ns: int) -> str:
    """A length of time, about three figures of it: `812 ns`, `41 µs`, `40.1 ms`, `1.002 s`."""
    if ns < 0:
        return f"-{duration(-ns)}"
    if ns < 1000:
        return f"{ns} ns"
    if ns < 9_950:
        return f"{ns / 1000:.1f} µs"
    if ns < 999_500:
        return f"{ns / 1000:.0f} µs"
    if ns < 999_950_000:
        return f"{ns / _MS:.1f} ms"
    if ns < 600 * _S:
        return f"{ns / _S:.3f} s"
    minutes, seconds = divmod(ns // _S, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


class Ruler:
    """Prints times relative to a start, all in one unit and one width, so that the points align."""

    __slots__ = ("_places", "_unit_ns", "unit", "width")

    def __init__(self, longest_ns: int, earliest_ns: int = 0) -> None:
        in_seconds = longest_ns >= 100 * _S
        self.unit = "s" if in_seconds else "ms"
        self._unit_ns = _S if in_seconds else _MS
        self._places = 6 if in_seconds else 3
        self.width = max(len(self._text(longest_ns)), len(self._text(earliest_ns)), 6)

    def __call__(self, ns: int) -> str:
        return self._text(ns).rjust(self.width)

    def _text(self, ns: int) -> str:
        return f"{ns / self._unit_ns:.{self._places}f}"


def instant(ns: int) -> str:
    """A point in time, UTC, to the nanosecond: `2025-11-23 22:59:00.123456789 UTC`."""
    seconds, rest = divmod(ns, _S)
    try:
        parts = time.gmtime(seconds)
    except (OverflowError, OSError, ValueError):  # a damaged stamp: beyond the calendar
        return f"{seconds}.{rest:09d} s after 1970"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', parts)}.{rest:09d} UTC"


def byte_count(count: int) -> str:
    """An exact number of bytes: `4,096 B`."""
    return f"{count:,} B"


def byte_size(count: int) -> str:
    """A number of bytes at a glance: exact below 10,000, then `300 kB`, `1.5 MB`."""
    if count < 10_000:
        return byte_count(count)
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 10 else f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} TB"


def bit_rate(bits_per_second: int) -> str:
    """Bits a second at a glance, as links are sold: `812 bit/s`, `1.5 Mbit/s`."""
    rate = float(bits_per_second)
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"):
        if rate < 999.5:
            return f"{rate:.0f} {unit}" if rate >= 9.95 or unit == "bit/s" else f"{rate:.1f} {unit}"
        rate /= 1000
    return f"{rate:,.1f} Tbit/s"


def byte_range(start: int, stop: int) -> str:
    """A half-open range of stream offsets: `4096..8192`."""
    return f"{start}..{stop}"


def address(host: str, port: int | None) -> str:
    """`127.0.0.1:80`, `[::1]:80`, or the bare name where there is no port."""
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 packet`, `1,200 packets`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def scale_text(shift: int) -> str:
    """`7 (×128)`: a window scale, and by what it multiplies (RFC 7323 2.3)."""
    return f"{shift} (×{1 << min(shift, _MOST_SCALE)})"

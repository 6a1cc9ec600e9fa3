"""How times, bytes, ranges and addresses read."""

from __future__ import annotations

import pytest

from netlab.show import format as f


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (812, "812 ns"),
        (1_500, "1.5 µs"),
        (9_949, "9.9 µs"),
        (9_951, "10 µs"),
        (812_000, "812 µs"),
        (999_499, "999 µs"),
        (999_500, "1.0 ms"),
        (40_100_000, "40.1 ms"),
        (999_949_999, "999.9 ms"),
        (999_950_000, "1.000 s"),
        (1_002_000_000, "1.002 s"),
        (3_600_000_000_000, "1 h 0 min"),
        (-812_000, "-812 µs"),
    ],
)
def test_duration(ns: int, text: str) -> None:
    assert f.duration(ns) == text


def test_relative_times_share_unit_and_width() -> None:
    ruler = f.Ruler(41_203_000)
    assert (ruler.unit, ruler(0), ruler(41_203_000)) == ("ms", " 0.000", "41.203")
    ruler = f.Ruler(250 * 10**9)
    assert (ruler.unit, ruler(1_000), len(ruler(0))) == ("s", "  0.000001", 10)


def test_bytes() -> None:
    assert f.byte_count(4096) == "4,096 B"
    assert [f.byte_size(n) for n in (0, 9_999, 300_000, 1_500_000, 12 * 10**9, 4 * 10**12)] == [
        "0 B", "9,999 B", "300 kB", "1.5 MB", "12 GB", "4.0 TB",
    ]  # fmt: skip
    assert f.byte_range(4096, 8192) == "4096..8192"


def test_addresses() -> None:
    assert f.address("127.0.0.1", 80) == "127.0.0.1:80"
    assert f.address("::1", 80) == "[::1]:80"
    assert f.address("unix:/run/x", None) == "unix:/run/x"


def test_an_instant_keeps_every_nanosecond_and_survives_nonsense() -> None:
    assert f.instant(1_763_938_740_123_456_789) == "2025-11-23 22:59:00.123456789 UTC"
    assert f.instant(2**62 * 10**9).endswith("s after 1970")

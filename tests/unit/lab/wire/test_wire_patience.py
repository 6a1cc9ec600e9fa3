"""How long rules make others wait."""

from __future__ import annotations

import pytest

from netlab.lab.wire.grammar import rules_from_text
from netlab.lab.wire.patience import patience_with

MS = 1_000_000


@pytest.mark.parametrize(
    ("rules", "way_ns", "break_ns"),
    [
        ("", 0, 0),
        ("loss 2%; mtu 900; corrupt c>s data 2", 0, 0),
        ("delay 20ms jitter 3ms; delay c>s 7ms", 30 * MS, 0),
        ("delay s>c ack 2 by 300ms; duplicate s>c ack 4 by 5ms", 305 * MS, 0),
        ("reorder c>s data 4 after 6", 1_000 * MS, 0),
        ("reorder c>s data 4 after 6 within 50ms", 50 * MS, 0),
        ("cut at 1.5s for 3s; drop s>c ack at 1s for 500ms; cut after data 10", 0, 3_000 * MS),
        ("rate 8mbit; queue 2 packets", 3 * 1_514_000, 0),
        ("rate 8mbit; queue 3028B", 3 * 1_514_000, 0),
        ("rate 8mbit", 1_001 * 1_514_000, 0),
        ("rate 1kbit", 30_000 * MS, 0),  # nobody waits for three hours
    ],
)
def test_the_longest_way_and_the_longest_break(rules: str, way_ns: int, break_ns: int) -> None:
    patience = patience_with(rules_from_text(rules))
    assert (patience.way_ns, patience.break_ns) == (way_ns, break_ns)
    assert patience.close_ns == 4 * way_ns + 4 * break_ns

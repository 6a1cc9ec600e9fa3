"""Rules of a wire, drawn at random: each kind that there is, with exact ones in many places."""

from __future__ import annotations

from hypothesis import strategies as st

_directions = st.sampled_from(["c>s", "s>c"])
_early = st.integers(1, 8)
_times = st.sampled_from(["3ms", "29ms", "113ms"])


def _rules(pattern: str, *parts: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda values: pattern.format(*values))


_ranges = st.tuples(st.integers(0, 30_000), st.integers(1, 9_000)).map(
    lambda pair: f"{pair[0]}..{pair[0] + pair[1]}"
)
exact_rules = st.one_of(
    _rules("drop {} data {}", _directions, _early),
    _rules("drop {} data {} copy 1-2", _directions, _early),
    _rules("drop {} bytes {} copy 1", _directions, _ranges),
    _rules("drop {} ack {}", _directions, _early),
    _rules("drop {} fin 1", _directions),
    _rules("delay {} data {} by {}", _directions, _early, _times),
    _rules("delay {} ack {} by {}", _directions, _early, _times),
    _rules("duplicate {} data {}", _directions, _early),
    _rules("duplicate {} any {} times 2 by {}", _directions, _early, _times),
    _rules("reorder {} data {} by {}", _directions, _early, st.sampled_from([1, 3, 10])),
    _rules("reorder {} data {} after ack 3 within 50ms", _directions, _early),
    _rules("corrupt {} data {}", _directions, _early),
    _rules("corrupt {} any {}", _directions, _early),
    _rules("cut after {} data {} for 113ms", _directions, _early),
    _rules("cut {} at {} for 113ms", _directions, _times),
    _rules("drop {} conn 1 data {}", _directions, _early),
    _rules("{} mtu {} after data {}", _directions, st.sampled_from([700, 1290]), _early),
)
slow_rules = st.sampled_from(["drop c>s syn 1", "drop s>c synack 1", "drop c>s ack 1"])
random_rules = st.one_of(
    _rules("loss 2% seed {}", st.integers(0, 1 << 16)),
    _rules("reorder 5% seed {} by 3", st.integers(0, 1 << 16)),
    _rules("corrupt 2% seed {}", st.integers(0, 1 << 16)),
    _rules("duplicate 5% seed {}", st.integers(0, 1 << 16)),
    st.sampled_from([
        "loss 2% seed 1", "delay 30ms", "reorder data every 5 by 2", "mtu 900", "mtu 1300",
        "delay 7ms jitter 5ms unordered", "rate 20mbit; queue 7 packets",
    ]),
)  # fmt: skip
rules = st.one_of(
    random_rules,
    exact_rules,
    exact_rules.map(lambda rule: f"delay 3ms; {rule}"),
    st.tuples(random_rules, exact_rules).map("; ".join),
    slow_rules,
)

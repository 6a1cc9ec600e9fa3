"""Whatever the rules and the frames: nothing is lost twice, sent twice, forgotten or invented."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from test_wire_grammar import every_rule
from test_wire_sight import hostile_frames
from wire_frames import ENDS, Played, ip, play, tcp, udp

from netlab.lab.wire.headers import maybe_headers
from netlab.lab.wire.link import Wire
from netlab.lab.wire.outcomes import Lost, Made, Sent
from netlab.lab.wire.rules import Loss, Rule
from netlab.lab.wire.selection import Chance
from netlab.lab.wire.sight import Sights
from netlab.lab.wire.too_big import WIRE_MAC

ways = st.sampled_from([(0, 1), (1, 0), (0, 2), (2, 1), (1, 2)])
flags = st.sampled_from(["A", "PA", "S", "SA", "FA", "R"])


def tcp_frame(way: tuple[int, int], flags: str, seq: int, size: int, version: int) -> bytes:
    ports = {"sport": 80 if way[0] == 1 else 40_000, "dport": 40_000 if way[0] == 1 else 80}
    return tcp(flags, seq * 50, 1, bytes(size), *way, version=version, **ports)


def udp_frame(way: tuple[int, int], size: int, dont_fragment: bool) -> bytes:
    return udp(bytes(size), *way, dont_fragment=dont_fragment)


sizes = st.integers(0, 1460)
good_frames = st.one_of(
    st.builds(tcp_frame, ways, flags, st.integers(0, 9), sizes, st.sampled_from([4, 6])),
    st.builds(udp_frame, ways, sizes, st.booleans()),
    st.builds(lambda way: ip(b"\x08" + bytes(7), 1, *way), ways),
    st.just(b"\xff" * 12 + b"\x08\x06" + bytes(28)),
)
# A frame, from whom, how long after the one before, and whether `due` is asked meanwhile.
departures = st.lists(
    st.tuples(
        good_frames | hostile_frames, st.integers(0, 2), st.integers(0, 3_000_000), st.booleans()
    ),
    max_size=40,
)
# What a run can have: small numbers, so that rules meet frames and times meet other times.
near_rules = st.sampled_from(
    [
        "delay 2ms", "delay 2ms jitter 1ms", "delay 5ms jitter 5ms unordered",
        "delay c>s 1ms at 1ms",
        "rate 10mbit", "rate c>s 1mbit; queue 2 packets", "rate conn 0 1mbit; queue 3kB",
        "loss 20% seed 3", "mtu 576", "mtu c>s 700 without icmp", "mtu 68 after data 2 for 9ms",
        "drop data 2", "drop c>s syn 1", "drop bytes 0..100 copy 2-", "drop data 1 copy 2",
        "delay any every 3 by 4ms", "delay 20% by 1ms", "duplicate data 1-3 times 2 by 1ms",
        "duplicate 30% seed 2", "reorder data 1 after 2 within 4ms", "reorder 30% by 2",
        "reorder any 2-4 by 3 within 2ms", "corrupt any every 2", "corrupt data",
        "cut at 3ms for 4ms",
        "cut after data 2 for 3ms", "cut conn 1", "drop icmp; drop datagram 2",
    ]
)  # fmt: skip
rule_lists = st.lists(near_rules, max_size=6).map("; ".join)


@given(rule_lists | st.lists(every_rule, max_size=4).map(lambda r: "; ".join(map(str, r))),
       departures)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_every_frame_is_sent_or_lost_once_and_none_waits_for_ever(
    rules: str, departures: list[tuple[bytes, int, int, bool]]
) -> None:
    played = play(rules, ends=3)
    wire, now_ns, taken, came = played.wire, 10**18, {}, []
    for packet, (frame, source, after_ns, ask) in enumerate(departures, 1):
        now_ns += after_ns
        taken[packet] = frame, source, now_ns
        wire.take(packet, frame, source, now_ns)
        came += wire.due(now_ns) if ask else []
    while (next_ns := wire.next_ns()) is not None:
        now_ns = max(now_ns, next_ns)
        came += wire.due(now_ns)

    fates = [outcome.packet for outcome in came if not isinstance(outcome, Made)]
    assert sorted(fates) == list(taken)
    for outcome in came:
        if isinstance(outcome, Lost):
            continue
        made = isinstance(outcome, Made)
        frame, source, left_ns = taken[outcome.packet_of if made else outcome.packet]
        assert outcome.due_ns >= left_ns
        assert outcome.destination != source or frame != outcome.frame
        if isinstance(outcome, Sent):
            assert outcome.destination != source
            assert outcome.changed == (outcome.frame != frame)
        if not (made and outcome.frame[6:12] == WIRE_MAC):  # ICMP, to whoever the frame named
            assert ENDS[outcome.destination].mac == outcome.frame[:6] or outcome.frame[0] & 1
    fired = sum(count for _, count in wire.report())
    assert fired >= sum(1 for outcome in came if isinstance(outcome, Lost) and outcome.rule)


@given(rule_lists, departures)
@settings(max_examples=100, deadline=None)
def test_the_same_frames_meet_the_same_fate_however_often_the_wire_is_asked(
    rules: str, departures: list[tuple[bytes, int, int, bool]]
) -> None:
    def outcomes(asked: bool) -> list[object]:
        played = play(rules, ends=3)
        now_ns, found = 10**18, []
        for packet, (frame, source, after_ns, _) in enumerate(departures, 1):
            now_ns += after_ns
            played.wire.take(packet, frame, source, now_ns)
            found += played.wire.due(now_ns) if asked else []
        while (next_ns := played.wire.next_ns()) is not None:
            found += played.wire.due(next_ns)
        return found

    assert outcomes(True) == outcomes(False)


orderly_rules = st.lists(
    st.sampled_from(
        ["delay 2ms", "delay 3ms jitter 3ms", "delay c>s 9ms at 4ms for 4ms", "rate 1mbit",
         "rate c>s 5mbit at 2ms for 3ms", "rate 9mbit; queue 5 packets", "loss 20%", "mtu 800",
         "drop any every 3", "corrupt any every 5", "cut at 9ms for 2ms"]
    ),
    max_size=6,
).map("; ".join)  # fmt: skip


@given(orderly_rules, st.lists(st.tuples(good_frames, st.integers(0, 2_000_000)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_frames_of_a_connection_keep_their_order_unless_told(
    rules: str, departures: list[tuple[bytes, int]]
) -> None:
    """A SYN with a number of its own begins another connection at the same ports."""
    played, sights = play(rules), Sights()
    lanes: dict[object, list[int]] = {}
    for frame, after_ns in departures:
        source = 1 if frame[6:12] == ENDS[1].mac else 0
        packet = played.leave(frame, source, after_ns)
        headers = maybe_headers(frame)
        if headers is not None:
            connection = sights.see(headers, None).connection
            lanes.setdefault((headers.src, headers.dst, connection), []).append(packet)
    played.until_end()
    for lane in lanes.values():
        arrived = [packet for packet in played.order if packet in lane]
        assert arrived == sorted(arrived)


@given(
    st.integers(100_000, 100_000_000),
    st.lists(st.tuples(sizes, st.integers(0, 2_000_000)), min_size=1, max_size=40),
    st.sampled_from(["", "; queue 3 packets", "; queue 4kB", "; loss 5%"]),
)
@settings(deadline=None)
def test_no_window_has_more_bits_than_the_rate_allows(
    bits_per_s: int, sends: list[tuple[int, int]], more: str
) -> None:
    played = play(f"rate {bits_per_s}bit{more}")
    for size, after_ns in sends:
        played.leave(udp(bytes(size)), 0, after_ns)
    played.until_end()
    sent = [played.sent[packet] for packet in played.order]
    for first in range(len(sent)):
        bits = 0
        for outcome in sent[first + 1 :]:
            bits += len(outcome.frame) * 8
            window_ns = outcome.due_ns - sent[first].due_ns
            assert bits * 10**9 <= bits_per_s * window_ns
    # And the line is never idle while somebody waits.
    for before, after in pairwise(sent):
        starts_ns = max(before.due_ns, played.left_ns[after.packet])
        assert after.due_ns == starts_ns + -(-len(after.frame) * 8 * 10**9 // bits_per_s)


@given(st.floats(0, 100), st.integers(0, 1000), st.integers(0, 199))
@settings(max_examples=31, deadline=None)
def test_a_longer_run_begins_as_a_shorter_one(percent: float, seed: int, count: int) -> None:
    rule: Rule = Loss(Chance(percent, seed))

    def lost(count: int) -> list[int]:
        played = Played(Wire([rule], ENDS[:2]))
        for _ in range(count):
            played.leave(udp(b"x"))
        return list(played.lost)

    assert [packet for packet in lost(199) if packet <= count] == lost(count)

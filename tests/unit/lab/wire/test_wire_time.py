"""Rules that take time: delays, rates and their queues, cuts; and rules for a while."""

from __future__ import annotations

import pytest
from wire_frames import CLIENT, MS, SERVER, Played, play, segments, tcp, udp
from wire_frames import Conversation as Talk

from netlab.lab.wire.link import Wire
from netlab.lab.wire.rules import Queue
from netlab.model.errors import UsageError

ARP = b"\xff" * 12 + b"\x08\x06" + bytes(28)


def stream(played: Played, count: int, size: int = 958, apart_ns: int = 1_000) -> list[int]:
    """Frames of 1,000 bytes from the client."""
    return [played.leave(udp(bytes(size)), CLIENT, apart_ns) for _ in range(count)]


def test_without_rules_all_passes_at_once() -> None:
    played = play("")
    packets = [*stream(played, 3), played.leave(ARP)]
    assert played.wire.plain
    assert played.order == packets
    assert {played.took_ns(packet) for packet in packets} == {0}
    assert {sent.rule for sent in played.sent.values()} == {""}
    assert played.wire.report() == []


def test_a_delay_is_exact_and_says_when_to_ask_again() -> None:
    played = play("delay 20ms; delay s>c 5ms")
    there = played.leave(udp(b"x"))
    assert played.wire.next_ns() == played.now_ns + 20 * MS
    assert played.wire.due(played.now_ns + 20 * MS - 1) == []
    back = played.leave(udp(b"y", SERVER, CLIENT), SERVER)
    arp = played.leave(ARP)
    played.until_end()
    assert [played.took_ns(packet) for packet in (there, back, arp)] == [20 * MS, 25 * MS, 0]
    assert played.sent[back].rule == "delay 20ms; delay s>c 5ms"
    assert played.fired() == {"delay 20ms": 2, "delay s>c 5ms": 1}
    assert played.wire.next_ns() is None


def test_jitter_varies_the_delay_and_keeps_the_order() -> None:
    played = play("delay 20ms jitter 5ms")
    packets = stream(played, 499, apart_ns=MS)
    played.until_end()
    took_ns = [played.took_ns(packet) for packet in packets]
    assert min(took_ns) >= 15 * MS
    assert max(took_ns) <= 25 * MS
    assert len({took // 100_000 for took in took_ns}) > 20
    assert played.order == packets


def test_jitter_of_one_connection_does_not_hold_up_another() -> None:
    played = play("delay 20ms jitter 5ms; delay conn 0 100ms")
    slow, quick = played.leave(udp(sport=1)), played.leave(udp(sport=2))
    played.until_end()
    assert played.order == [quick, slow]


def test_unordered_jitter_lets_frames_overtake() -> None:
    played = play("delay 20ms jitter 5ms unordered")
    packets = stream(played, 499, apart_ns=MS)
    played.until_end()
    assert played.order != packets
    took_ns = sorted(played.took_ns(packet) for packet in packets)
    assert 15 * MS <= took_ns[0] < 16 * MS
    assert 19 * MS < took_ns[249] < 21 * MS
    assert 24 * MS < took_ns[-1] <= 25 * MS


@pytest.mark.parametrize("rule", ["loss 10%", "delay 9ms jitter 9ms unordered", "corrupt 9%"])
def test_one_seed_is_one_fate(rule: str) -> None:
    def fates(rules: str, with_others: str = "") -> list[object]:
        played = play(f"{rules}; {with_others}")
        packets = stream(played, 997)
        played.until_end()
        return [
            (played.took_ns(packet), played.sent[packet].changed)
            if packet in played.sent
            else "lost"
            for packet in packets
        ]

    first = fates(f"{rule} seed 7".replace("unordered seed 7", "seed 7 unordered"))
    assert first == fates(f"{rule} seed 7".replace("unordered seed 7", "seed 7 unordered"))
    other = fates(f"{rule} seed 8".replace("unordered seed 8", "seed 8 unordered"))
    assert first != other


def test_chance_does_not_depend_on_other_rules_or_the_other_direction() -> None:
    def lost(rules: str, back: bool = False) -> list[int]:
        played = play(rules)
        found = []
        for number in range(997):
            if back:
                played.leave(udp(b"y", SERVER, CLIENT), SERVER)
            packet = played.leave(udp(b"x", sport=5000 + number % 3))
            if "loss" in played.until_end().lost.get(packet, ""):
                found.append(number)
        return found

    alone = lost("loss 5% seed 3")
    assert 30 < len(alone) < 75
    assert lost("delay 1ms jitter 1ms seed 3; loss 5% seed 3; corrupt 50% seed 3", True) == alone
    assert lost("loss s>c 5% seed 3; loss c>s 5% seed 3", True) == alone
    # A frame that another rule lost has drawn its number all the same.
    assert set(lost("drop c>s any every 2; loss 5% seed 3")) == {
        number for number in alone if number % 2 == 0
    }


def test_all_and_nothing_by_chance() -> None:
    played = play("loss c>s 100%; loss s>c 0%")
    there = stream(played, 97)
    back = [played.leave(udp(b"y", SERVER, CLIENT), SERVER) for _ in range(97)]
    played.until_end()
    assert list(played.lost) == there
    assert list(played.sent) == back


def test_a_rate_sends_one_frame_after_the_other() -> None:
    played = play("rate 8mbit")  # a byte a microsecond
    packets = stream(played, 5)
    pause = played.leave(udp(bytes(458)), CLIENT, 10 * MS)
    played.until_end()
    begin = played.left_ns[packets[0]]
    assert [played.sent[packet].due_ns - begin for packet in packets] == [
        at * MS for at in range(1, 6)
    ]
    assert played.took_ns(pause) == MS // 2
    assert played.sent[pause].rule == "rate 8mbit"


def test_both_directions_and_all_connections_of_one_share_the_rate() -> None:
    played = play("rate 8mbit", ends=3)
    mine = played.leave(udp(bytes(958)), CLIENT)
    back = played.leave(udp(bytes(958), SERVER, CLIENT), SERVER)
    others = played.leave(udp(bytes(958), 2), 2)
    played.until_end()
    assert played.took_ns(mine) == played.took_ns(back) == MS
    assert played.took_ns(others) == 2 * MS - 2_000


def test_a_full_queue_loses_what_comes_last() -> None:
    played = play("rate 8mbit; queue 3 packets; delay 1ms")
    packets = stream(played, 6)  # one is being sent, three wait
    later = stream(played, 1, apart_ns=MS)  # the first is through, the second being sent
    played.until_end()
    assert played.lost == dict.fromkeys(packets[4:], "queue 3 packets")
    assert later[0] in played.sent
    assert played.fired() == {"rate 8mbit": 5, "queue 3 packets": 2, "delay 1ms": 5}


def test_a_queue_of_bytes_has_room_for_so_many() -> None:
    played = play("rate 8mbit; queue 2.5kB")
    big, small = stream(played, 4), stream(played, 2, size=458)
    played.until_end()
    assert list(played.lost) == [big[3], small[1]]


def test_a_rate_without_a_queue_holds_a_thousand_packets() -> None:
    played = play("rate 8mbit")
    packets = stream(played, 1_003, apart_ns=1)
    played.until_end()
    assert played.lost == dict.fromkeys(packets[1_001:], "rate 8mbit")


def test_the_narrowest_of_several_rates_decides_and_each_has_its_queue() -> None:
    played = play("rate 80mbit; rate c>s 8mbit; queue 2 packets")
    packets = stream(played, 4, apart_ns=100_000)
    played.until_end()
    took_ns = [played.took_ns(packet) for packet in packets if packet in played.sent]
    assert took_ns == [1_100_000, 2_000_000, 2_900_000]
    assert played.lost == {packets[3]: "queue 2 packets"}


def test_a_slow_connection_does_not_hold_up_others_at_the_next_rate() -> None:
    played = play("rate conn 0 80kbit; rate 80mbit")
    slow = played.leave(udp(bytes(958), sport=1))
    quick = played.leave(udp(bytes(958), sport=2))
    played.until_end()
    assert played.took_ns(quick) == MS // 10
    assert played.took_ns(slow) == 100 * MS + MS // 10


def test_a_queue_that_can_never_fill_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="never fills"):
        Wire([Queue(3)], ())


def test_a_cut_begins_and_ends_and_stops_everything() -> None:
    played = play("cut at 100ms for 50ms; delay 1ms")
    before = played.leave(udp(b"x"))  # time counts from here
    on_its_way = played.leave(udp(b"x"), CLIENT, 100 * MS - 1)
    during = [played.leave(frame, CLIENT, 1) for frame in (udp(b"x"), ARP)]
    back = played.leave(udp(b"x", SERVER, CLIENT), SERVER, 49 * MS)
    after = played.leave(udp(b"x"), CLIENT, MS)
    played.until_end()
    assert played.lost == dict.fromkeys([*during, back], "cut at 100ms for 50ms")
    assert played.sent.keys() == {before, on_its_way, after}


def test_a_cut_of_one_direction_after_a_frame() -> None:
    played = play("cut c>s after data 2 for 10ms")
    talk = Talk(played).handshake()
    data = segments(talk, 4)
    back = segments(talk, 3, "s>c")
    later = played.leave(tcp("A", 1001, 1), CLIENT, 10 * MS)
    played.until_end()
    assert list(played.lost) == data[2:]
    assert {*back, later} <= played.sent.keys()


def test_a_cut_after_a_frame_of_the_other_direction_or_any() -> None:
    played = play("cut c>s after s>c data 1")
    talk = Talk(played).handshake()
    data = segments(talk, 2)
    segments(talk, 1, "s>c")
    lost = talk.data("c>s", 200, 300)
    played.until_end()
    assert data[1] in played.sent
    assert list(played.lost) == [lost]

    played = play("cut after data 2")
    talk = Talk(played).handshake()
    segments(talk, 1)
    back = segments(talk, 3, "s>c")
    lost = talk.data("c>s", 100, 200)
    assert list(played.until_end().lost) == [back[2], lost]


def test_a_cut_of_one_connection_leaves_the_rest() -> None:
    played = play("cut conn 0")
    first, second = Talk(played, sport=1), Talk(played, sport=2)
    lost = first.syn()
    passed = [second.syn(), played.leave(ARP)]
    played.until_end()
    assert (list(played.lost), sorted(played.sent)) == ([lost], passed)


def test_any_rule_can_hold_for_a_while() -> None:
    played = play("delay 20ms at 10ms for 10ms; loss 100% at 30ms for 1ms")
    packets = [played.leave(udp(b"x"), CLIENT, 5 * MS) for _ in range(8)]
    played.until_end()
    took = {packet: played.took_ns(packet) // MS for packet in packets if packet in played.sent}
    # Who comes when the delay is over does not overtake who is still delayed.
    assert [took.get(packet) for packet in packets] == [0, 0, 20, 20, 15, 10, None, 0]


def test_a_rate_that_ends_lets_nobody_overtake() -> None:
    played = play("rate 80kbit at 0s for 10ms")
    first, second = stream(played, 2, apart_ns=11 * MS)
    played.until_end()
    assert played.took_ns(first) == 100 * MS
    assert played.took_ns(second) == 89 * MS
    assert played.order == [first, second]

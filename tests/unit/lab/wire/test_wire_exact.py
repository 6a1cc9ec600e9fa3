"""Exact rules: the frames that they name, and no others."""

from __future__ import annotations

import pytest
from wire_frames import CLIENT, ICMP, MS, OTHER, SECOND, SERVER, ip, play, segments, tcp, udp
from wire_frames import Conversation as Talk

from netlab.decode.checksums import GOOD, PseudoHeader, verdict
from netlab.lab.wire.headers import maybe_headers


def test_the_third_data_segment_is_lost_and_its_resend_arrives() -> None:
    played = play("drop c>s data 3")
    talk = Talk(played).handshake()
    data = segments(talk, 5)
    back = segments(talk, 5, "s>c")
    again = talk.data("c>s", 200, 300)
    played.until_end()
    assert played.lost == {data[2]: "drop c>s data 3"}
    assert again in played.sent
    assert set(back) <= played.sent.keys()
    assert played.fired() == {"drop c>s data 3": 1}


def test_without_direction_each_way_and_each_connection_counts_for_itself() -> None:
    played = play("drop data 2")
    talks = [Talk(played, sport=port) for port in (40001, 40002)]
    for talk in talks:
        talk.handshake()
    lost = []
    for talk in talks:
        for way in ("c>s", "s>c"):
            lost.append(segments(talk, 3, way)[1])
    assert sorted(played.until_end().lost) == sorted(lost)


def test_one_connection_is_numbered_as_in_the_recording() -> None:
    played = play("drop conn 1 c>s data 1")
    talks = [Talk(played, sport=port).handshake() for port in (40001, 40002, 40003)]
    data = [segments(talk, 1)[0] for talk in talks]
    assert list(played.until_end().lost) == [data[1]]


@pytest.mark.parametrize(
    ("rule", "lost"),
    [
        ("drop c>s syn 1", ["syn"]),
        ("drop syn 1-2", ["syn", "syn again"]),
        ("drop s>c synack 1", ["synack"]),
        ("drop synack", ["synack", "synack again"]),
        ("drop c>s ack 1", ["ack"]),
        ("drop ack 2", []),
        ("drop c>s fin 1", ["fin"]),
        ("drop s>c fin", []),
        ("drop c>s any 2", ["syn again"]),
        ("drop c>s any 3-4", ["ack", "data"]),
        ("drop any every 2", ["syn again", "synack again", "data"]),
        ("drop data", ["data"]),
        ("drop rst", []),
        ("drop datagram", []),
    ],
)
def test_kinds_and_numbers(rule: str, lost: list[str]) -> None:
    played = play(rule)
    talk = Talk(played)
    names = {
        "syn": talk.syn(),
        "syn again": talk.syn(),
        "synack": talk.synack(),
        "synack again": talk.synack(),
        "ack": talk.ack("c>s"),
        "data": talk.data("c>s", 0, 10),
        "fin": talk.fin("c>s", 10),
    }
    played.until_end()
    assert sorted(played.lost) == sorted(names[name] for name in lost)
    assert played.fired() == {rule: len(lost)}


def test_copies_of_data_by_number_and_by_bytes() -> None:
    def sent(rule: str) -> list[int]:
        played = play(rule)
        talk = Talk(played)
        talk.handshake()
        frames = [
            talk.data("c>s", 0, 100),  # data 1
            talk.data("c>s", 100, 200),  # data 2
            talk.data("c>s", 0, 100),  # copy 2 of data 1
            talk.data("c>s", 50, 250),  # copy 3 and 2 of old bytes, and data 3
            talk.data("c>s", 100, 150),  # copy 3 of data 2
        ]
        return [frames.index(packet) for packet in played.until_end().lost]

    assert sent("drop c>s data 1") == [0]
    assert sent("drop c>s data 1 copy 1") == [0]
    assert sent("drop c>s data 1 copy 2") == [2]
    assert sent("drop c>s data 1 copy 2-") == [2, 3]
    assert sent("drop c>s data 2 copy 2") == [3]
    assert sent("drop c>s data 2 copy 3") == [4]
    assert sent("drop c>s data 3") == [3]
    assert sent("drop c>s data copy 2") == [2, 3]
    assert sent("drop c>s bytes 0..50 copy 1") == [0]
    assert sent("drop c>s bytes 0..50 copy 2") == [2]
    assert sent("drop c>s bytes 99..100") == [0, 2, 3]
    assert sent("drop c>s bytes 200..201 copy 1") == [3]
    assert sent("drop c>s bytes 250..251") == []
    assert sent("drop s>c bytes 0..50") == []


def test_datagrams_and_icmp() -> None:
    played = play("drop c>s datagram 2; drop icmp 1")
    data = [played.leave(udp(b"x", sport=port)) for port in (5000, 5000, 5001, 5001)]
    ping = played.leave(ip(b"\x08" + bytes(7), ICMP))
    assert sorted(played.until_end().lost) == [data[1], data[3], ping]


def test_one_ack_comes_late_and_others_overtake_it() -> None:
    played = play("delay s>c ack 2 by 300ms; delay 20ms")
    talk = Talk(played).handshake()
    acks = [talk.ack("s>c", of=at * 100) for at in range(1, 4)]
    played.until_end()
    assert [played.took_ns(ack) for ack in acks] == [20 * MS, 320 * MS, 20 * MS]
    assert played.order[-1] == acks[1]
    assert played.sent[acks[1]].rule == "delay 20ms; delay s>c ack 2 by 300ms"
    assert played.sent[acks[0]].rule == "delay 20ms"


def test_duplicates_follow_their_frame() -> None:
    played = play("duplicate c>s data 2; duplicate c>s data 3 times 2 by 5ms")
    data = segments(Talk(played).handshake(), 3)
    played.until_end()
    second, third = played.sent[data[1]], played.sent[data[2]]
    assert [made.packet_of for made in played.made] == [data[1], data[2], data[2]]
    assert all(made.frame == played.sent[made.packet_of].frame for made in played.made)
    assert [made.due_ns for made in played.made] == [
        second.due_ns, third.due_ns + 5 * MS, third.due_ns + 5 * MS
    ]  # fmt: skip
    assert played.made[0].rule == "duplicate c>s data 2"
    assert second.rule == ""
    assert len(played.lost) == 0


def test_what_is_lost_is_not_copied() -> None:
    played = play("duplicate c>s data 2; drop c>s data 2")
    segments(Talk(played).handshake(), 3)
    played.until_end()
    assert played.made == []
    assert played.fired() == {"duplicate c>s data 2": 0, "drop c>s data 2": 1}


@pytest.mark.parametrize("by", [1, 3, 10])
def test_a_frame_waits_for_a_later_one(by: int) -> None:
    played = play(f"reorder c>s data 4 after {4 + by}; delay 20ms")
    data = segments(Talk(played).handshake(), 20)
    played.until_end()
    order = [packet for packet in played.order if packet in data]
    held = data.pop(3)
    data.insert(3 + by, held)
    assert order == data
    assert played.sent[held].due_ns == played.sent[data[2 + by]].due_ns
    assert played.fired()[f"reorder c>s data 4 after data {4 + by}"] == 1


def test_reorder_by_counts_the_frames_that_pass() -> None:
    played = play("reorder c>s data 1-2 by 2")
    talk = Talk(played).handshake()
    data = segments(talk, 2)
    later = [talk.ack("c>s"), talk.data("c>s", 200, 300), talk.ack("c>s")]
    played.until_end()
    # data 1 waits for data 2, which itself waits, and the first ACK.
    assert [packet for packet in played.order if packet >= data[0]] == [
        later[0], data[0], later[1], data[1], later[2]
    ]  # fmt: skip


def test_a_frame_for_which_nobody_comes_goes_on_after_a_while() -> None:
    played = play("reorder c>s data 4 after 9; reorder c>s data 2 after 9 within 30ms")
    data = segments(Talk(played).handshake(), 5)
    played.until_end()
    assert played.wire.next_ns() is None
    assert played.took_ns(data[3]) == SECOND
    assert played.took_ns(data[1]) == 30 * MS
    assert set(played.fired().values()) == {0}


def test_other_connections_and_the_other_way_do_not_count_for_a_reorder() -> None:
    played = play("reorder c>s conn 0 data 1 after 2")
    first, second = Talk(played, sport=1).handshake(), Talk(played, sport=2).handshake()
    held = segments(first, 1)[0]
    segments(second, 3)
    segments(first, 3, "s>c")
    last = first.data("c>s", 100, 200)
    played.until_end()
    assert played.order[-2:] == [last, held]


def test_any_frame_waits_for_any_other_of_its_direction() -> None:
    played = play("reorder c>s any 2 after 5")
    first, second = Talk(played, sport=1), Talk(played, sport=2)
    packets = [first.syn(), first.syn(), first.synack(), second.syn(), second.syn(), second.syn()]
    played.until_end()
    assert played.order == [packets[0], *packets[2:], packets[1]]


def test_who_has_waited_for_long_enough_does_not_wait_for_a_frame_that_is_lost() -> None:
    played = play("reorder c>s data 1 after 2 within 5ms; drop c>s data 2")
    talk = Talk(played).handshake()
    held = segments(talk, 1)[0]
    played.now_ns += 9 * MS
    played.wire.take(99, tcp("A", 1101, 1, bytes(9)), CLIENT, played.now_ns)
    played.until_end()
    assert played.took_ns(held) == 5 * MS
    assert played.fired()["reorder c>s data 1 after data 2 within 5ms"] == 0
    assert [count for _, count in played.wire.vain()] == [1]


def test_a_reorder_that_comes_too_late_holds_nothing() -> None:
    played = play("reorder c>s data 3 after ack 1")
    data = segments(Talk(played).handshake(), 3)
    played.until_end()
    assert played.order[-1] == data[2]
    assert played.fired() == {"reorder c>s data 3 after ack 1": 0}


def test_who_waited_for_a_frame_that_is_lost_goes_on_too() -> None:
    played = play("reorder c>s data 1 after 2; drop c>s data 2")
    data = segments(Talk(played).handshake(), 3)
    played.until_end()
    assert played.order[-2:] == [data[0], data[2]]


@pytest.mark.parametrize("version", [4, 6])
def test_corrupt_flips_a_bit_of_the_payload_and_the_checksum_finds_it(version: int) -> None:
    played = play("corrupt c>s data 2; corrupt c>s data 3; corrupt data 3; corrupt c>s ack 1")
    talk = Talk(played, version=version).handshake()
    data = segments(talk, 3)
    ack = data[0] - 1
    played.until_end()
    for packet, bits in {data[0]: 0, data[1]: 1, data[2]: 2, ack: 1}.items():
        sent = played.sent[packet]
        headers = maybe_headers(sent.frame)
        assert headers is not None
        at, off = headers.transport_off, headers.payload_off
        pseudo = PseudoHeader(headers.src, headers.dst, 6)
        length = len(sent.frame) - at
        assert (verdict(sent.frame[at:], 16, pseudo, False, length) == GOOD) == (not bits)
        assert sent.changed == bool(bits)
        if packet == ack:
            continue
        start = (packet - data[0]) * 100
        original = bytes(offset % 251 for offset in range(start, start + 100))
        flipped = int.from_bytes(original, "big") ^ int.from_bytes(sent.frame[off:], "big")
        assert flipped.bit_count() == bits


def test_a_conversation_with_any_host_is_from_client_to_server() -> None:
    played = play("drop c>s syn; drop s>c synack", ends=3)
    other = Talk(played, client=OTHER)
    lost = [other.syn(), other.synack()]
    between = played.leave(udp(b"x", CLIENT, OTHER), CLIENT)
    played.until_end()
    assert list(played.lost) == lost
    assert played.sent[between].destination == OTHER


def test_frames_for_all_go_to_all_and_frames_for_nobody_to_nobody() -> None:
    played = play("delay 20ms", ends=3)
    to_all = b"\xff" * 6 + udp(b"x")[6:]
    packet = played.leave(to_all, CLIENT)
    nobody = played.leave(b"\x02\0\0\0\0\x63" + udp(b"x")[6:], CLIENT)
    itself = played.leave(udp(b"x", CLIENT, CLIENT), CLIENT)
    arp = played.leave(b"\xff" * 12 + b"\x08\x06" + bytes(28), SERVER)
    played.until_end()
    assert played.lost == {nobody: "", itself: ""}
    assert (played.sent[packet].destination, played.took_ns(packet)) == (SERVER, 20 * MS)
    assert (played.sent[arp].destination, played.took_ns(arp)) == (CLIENT, 0)
    assert [(made.packet_of, made.destination) for made in played.made] == [
        (arp, OTHER), (packet, OTHER)
    ]  # fmt: skip

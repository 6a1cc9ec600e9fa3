"""Cases with a known answer: what Linux's TCP does when the wire does one exact thing.

Every time is read from the recording, and none is slept. Read RFC 6298 (the retransmission timer),
RFC 8985 (RACK and the tail loss probe), RFC 5681 3.2, RFC 1191, and of the kernel
net/ipv4/tcp_{timer,output,recovery}.c for where Linux differs.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from lab_cases import (
    MS,
    MSS_BYTES,
    Case,
    S,
    again_if_the_wire_was_late,
    arrived_ns,
    ask,
    at_once,
    fires,
    ranges,
    segment_range,
)

from netlab.model.frame import WIRE
from netlab.model.ranges import RangeSet
from netlab.model.tables import Direction, Fate, Role

SYN_TIMEOUT_NS = 1 * S  # RFC 6298 section 2 (2.1), TCP_TIMEOUT_INIT
RTO_MIN_NS = 200 * MS  # Linux: TCP_RTO_MIN
DELAY_NS = 30 * MS
RTT_NS = 2 * DELAY_NS
SMALL_BYTES = 1009  # fits into one segment


def waited_for_synack_ns(case: Case) -> int:
    """How long connect had to wait; it returned then, or once its program had its turn."""
    connect = case.call("connect", "client")
    came_ns = arrived_ns(case.frames(Role.SYNACK, "connect")[0])
    assert connect.returned_ns is not None
    assert connect.returned_ns >= came_ns
    return came_ns - connect.entered_ns


@pytest.mark.parametrize("lost", [1, 2])
@again_if_the_wire_was_late
def test_connect_takes_the_time_outs_of_the_syns_that_were_lost(tmp_path: Path, lost: int) -> None:
    case = ask(tmp_path, f"drop c>s syn 1-{lost}", SMALL_BYTES)
    # Since Linux 6.5 the first few are all as long as the first, before they double.
    linear = int(case.settings.get("net.ipv4.tcp_syn_linear_timeouts", "0"))
    timeouts_ns = [SYN_TIMEOUT_NS << max(0, n - linear) for n in range(lost)]
    syns = case.frames(Role.SYN, "connect")
    assert [packet.fate for packet in syns] == [Fate.DROPPED] * lost + [Fate.DELIVERED]
    assert case.lost() == syns[:lost]
    assert [packet.arrived_ns for packet in case.lost()] == [None] * lost
    for (before, after), timeout_ns in zip(pairwise(syns), timeouts_ns, strict=True):
        assert fires(after.time_ns - before.time_ns, timeout_ns)
    assert fires(waited_for_synack_ns(case), sum(timeouts_ns))
    assert case.frames(Role.RESENT) == []  # no byte of any send was lost


@again_if_the_wire_was_late
def test_a_lost_synack_costs_a_time_out_and_no_other_connection(tmp_path: Path) -> None:
    case = ask(tmp_path, "drop s>c synack 1", SMALL_BYTES)
    (lost,) = case.lost()
    # Both ends have a timer of a second: whichever fires first, a SYN-ACK follows.
    syns, synacks = case.frames(Role.SYN, "accept"), case.frames(Role.SYNACK, "accept")
    assert [packet.fate for packet in syns] == [Fate.DELIVERED] * len(syns)
    assert synacks[0] is lost
    assert all(packet.arrived_ns for packet in synacks[1:])
    assert len(syns) + len(synacks) >= 3
    # Connect was ended by one that came, and saw nothing of the other.
    heard = case.frames(Role.SYNACK, "connect")
    assert heard == synacks[1 : 1 + len(heard)] != []
    assert fires(waited_for_synack_ns(case), SYN_TIMEOUT_NS)
    assert len(case.tables.connections) == 1


@again_if_the_wire_was_late
def test_a_lost_segment_is_resent_at_the_third_duplicate_ack(tmp_path: Path) -> None:
    case = ask(tmp_path, "delay 30ms; drop c>s data 3", 7 * MSS_BYTES)
    (lost,) = case.lost()
    third = segment_range(3)
    assert (case.segments[lost.frame].start, case.segments[lost.frame].stop) == third
    (resent,) = case.spans(Role.RESENT)
    assert ranges([resent]) == [third]
    # One ACK advances to the hole, then each segment behind it brings a duplicate.
    acks = case.acks(2 * MSS_BYTES + 1)
    assert len(acks) == 5
    assert at_once(case.of(resent).time_ns - arrived_ns(acks[3]))
    # The copy is what the server's calls were waiting for, with all that had come before it.
    assert third in ranges(s for s in case.spans(Role.DELIVERED) if s.frame == resent.frame)
    released = case.spans(Role.RELEASED)
    assert {span.frame for span in released} == {resent.frame}
    assert (released[0].start, released[-1].stop) == (3 * MSS_BYTES, 7 * MSS_BYTES)
    assert case.frames(Role.DUPLICATE) == []


@again_if_the_wire_was_late
def test_a_lost_last_segment_is_sent_again_by_a_timer(tmp_path: Path) -> None:
    case = ask(tmp_path, "delay 30ms; drop c>s data 7", 7 * MSS_BYTES)
    assert len(case.lost()) == 1
    (resent,) = case.spans(Role.RESENT)
    assert ranges([resent]) == [segment_range(7)]
    # Alone on its way, its probe would wait for two round trips and the longest delayed ACK
    # (200 ms); the time-out is sooner, and no probe is later than that (tcp_schedule_loss_probe).
    (last_ack,) = case.acks(6 * MSS_BYTES + 1)
    assert fires(case.of(resent).time_ns - arrived_ns(last_ack), RTT_NS + RTO_MIN_NS)
    assert segment_range(7) in ranges(case.spans(Role.DELIVERED))
    assert case.frames(Role.DUPLICATE) == []


@again_if_the_wire_was_late
def test_the_tail_loss_probe_sends_the_last_segment_before_the_first_that_is_missing(
    tmp_path: Path,
) -> None:
    case = ask(tmp_path, "delay 30ms; drop c>s data 6-7", 7 * MSS_BYTES)
    assert len(case.lost()) == 2
    probe, *later = case.spans(Role.RESENT)
    assert ranges([probe]) == [segment_range(7)]
    last_ack = case.acks(5 * MSS_BYTES + 1)[0]
    waited_ns = case.of(probe).time_ns - arrived_ns(last_ack)
    assert fires(waited_ns, 2 * RTT_NS)
    assert waited_ns < RTO_MIN_NS  # so it was no time-out, which would have sent segment 6
    # The probe's SACK tells of the hole. What fills it is RACK, or (where its round trip was the
    # shortest so far, so that the SACK may be the first copy's: RFC 8985 6.2 step 2) the time-out.
    assert ranges(later) == [segment_range(6)]
    assert ranges(case.spans(Role.RELEASED)) == [segment_range(7)]
    assert case.frames(Role.RELEASED) == [case.of(later[0])]


@again_if_the_wire_was_late
def test_a_late_ack_acknowledges_nothing_when_the_next_has_overtaken_it(tmp_path: Path) -> None:
    case = ask(tmp_path, "delay 30ms; delay s>c ack 2 by 100ms", 7 * MSS_BYTES)
    second, third = (case.acks(n * MSS_BYTES + 1)[0] for n in (2, 3))
    assert arrived_ns(second) - second.time_ns >= DELAY_NS + 100 * MS
    assert arrived_ns(third) < arrived_ns(second)
    acked = {span.frame: (span.start, span.stop) for span in case.spans(Role.ACKED, "sendall")}
    assert second.frame not in acked
    assert acked[third.frame] == (1 * MSS_BYTES, 3 * MSS_BYTES)
    assert case.lost() == case.frames(Role.RESENT) == []


@again_if_the_wire_was_late
def test_acks_that_come_too_late_make_the_sender_probe_in_vain(tmp_path: Path) -> None:
    wire = "delay 30ms; delay s>c ack 2- by 500ms; delay s>c data 1 by 500ms"
    case = ask(tmp_path, wire, 7 * MSS_BYTES)
    assert case.lost() == []
    resent = [span for span in case.spans(Role.RESENT) if case.of(span).direction == Direction.C2S]
    assert ranges(resent)[:1] == [segment_range(7)]
    (first_ack,) = case.acks(MSS_BYTES + 1)
    assert fires(case.of(resent[0]).time_ns - arrived_ns(first_ack), 2 * RTT_NS)
    # The copies arrived and brought nothing: no call read from them.
    copies = {span.frame for span in resent}
    assert copies <= {span.frame for span in case.spans(Role.DUPLICATE, "recv")}
    assert not copies & {span.frame for span in case.spans(Role.DELIVERED)}
    # Acknowledged is what an ACK covered when it came, not when it left.
    for span in case.spans(Role.ACKED, "sendall"):
        if case.of(span).direction == Direction.S2C and span.start:
            assert arrived_ns(case.of(span)) > case.of(resent[0]).time_ns


@again_if_the_wire_was_late
def test_a_link_that_is_cut_for_3_s_is_tried_at_ever_longer_intervals(tmp_path: Path) -> None:
    case = ask(tmp_path, "delay 5ms; cut after c>s ack 1 for 3s", SMALL_BYTES)
    copies = [packet for packet, _ in case.data()]
    (opened,) = case.frames(Role.HANDSHAKE_ACK)
    # What left during these 3 s never arrived; the first copy after them did.
    fates = [packet.time_ns < opened.time_ns + 3 * S for packet in copies]
    assert [packet.fate == Fate.DROPPED for packet in copies] == fates
    assert fates == [True] * 5 + [False]
    assert case.frames(Role.RESENT) == copies[1:]
    gaps_ns = [after.time_ns - before.time_ns for before, after in pairwise(copies)]
    # The tail loss probe takes the first time-out's place, so the intervals are T, T, 2T, 4T, 8T.
    assert all(fires(gap_ns, RTO_MIN_NS + 10 * MS) for gap_ns in gaps_ns[:2])
    for before_ns, after_ns in pairwise(gaps_ns[1:]):
        assert fires(after_ns, 2 * before_ns) or fires(2 * before_ns, after_ns)
    assert ranges(case.spans(Role.DELIVERED, "recv"))[0] == (0, SMALL_BYTES)
    assert case.frames(Role.DELIVERED, "recv")[0] is copies[-1]


@pytest.mark.parametrize(("ipv6", "mtu_bytes"), [(False, 900), (True, 1300)])
@again_if_the_wire_was_late
def test_a_path_whose_mtu_shrinks_is_discovered(tmp_path: Path, ipv6: bool, mtu_bytes: int) -> None:
    wire = f"delay 30ms; mtu {mtu_bytes} after c>s data 10"
    case = ask(tmp_path, wire, 12 * MSS_BYTES, ipv6=ipv6)
    before, after = case.data()[:10], case.data()[10:]
    assert {packet.fate for packet, _ in before} == {Fate.DELIVERED}
    assert all((p.ip_len_bytes or 0) > mtu_bytes for p, _ in before)
    # From then on what is too big is lost, and each loss told, at once and to its sender.
    lost = [packet for packet, _ in after if (packet.ip_len_bytes or 0) > mtu_bytes]
    assert case.lost() == lost != []
    told = [packet for packet in case.by_departure if packet.interface == WIRE]
    assert {packet.protocol for packet in told} == {"ICMPv6" if ipv6 else "ICMP"}
    assert {packet.dst for packet in told} == {lost[0].src}
    assert len(told) == len(lost)
    # The sender cuts what it had sent anew, without a time-out, and all of it arrives.
    resent = case.spans(Role.RESENT)
    assert at_once(case.of(resent[0]).time_ns - arrived_ns(told[0]))
    lost_frames, resent_frames = ({packet.frame for packet in lost}, {s.frame for s in resent})
    assert not lost_frames & resent_frames
    gone = RangeSet(ranges(s for s in case.spans(Role.CARRIED) if s.frame in lost_frames))
    again = RangeSet(ranges(resent))
    assert [again.gaps(start, stop) for start, stop in gone] == [[] for _ in gone]
    assert {packet.fate for packet, _ in after if packet not in lost} == {Fate.DELIVERED}
    assert after[-1][0].time_ns - lost[0].time_ns < RTO_MIN_NS


@pytest.mark.parametrize("by", [1, 3, 10])
@again_if_the_wire_was_late
def test_reordering(tmp_path: Path, by: int) -> None:
    """A segment that others overtake is one that is late, and from three on one that seems lost."""
    case = ask(tmp_path, f"delay 30ms; reorder c>s data 4 by {by}", 30 * MSS_BYTES)
    late, segment = case.data()[3]
    fourth = segment_range(4)
    assert (segment.start, segment.stop) == fourth
    assert case.lost() == []
    overtook = [
        packet for packet, _ in case.data()
        if packet.time_ns > late.time_ns and arrived_ns(packet) < arrived_ns(late)
    ]  # fmt: skip
    assert len(overtook) == by
    # It brought its own bytes, and made readable those that had come before it.
    assert fourth in ranges(s for s in case.spans(Role.DELIVERED) if s.frame == late.frame)
    released = [span for span in case.spans(Role.RELEASED) if span.frame == late.frame]
    assert (released[0].start, released[-1].stop) == (4 * MSS_BYTES, (4 + by) * MSS_BYTES)
    # The fewest duplicate ACKs that mean a loss (RFC 5681 3.2, net.ipv4.tcp_reordering).
    threshold = int(case.settings["net.ipv4.tcp_reordering"])
    resent = case.spans(Role.RESENT)
    if by < threshold:
        assert resent == case.frames(Role.DUPLICATE) == []
        return
    assert ranges(resent)[:1] == [fourth]
    third_duplicate = case.acks(3 * MSS_BYTES + 1)[threshold]
    assert at_once(case.of(resent[0]).time_ns - arrived_ns(third_duplicate))
    # In vain: the copy arrived, and nobody needed it.
    copies = {span.frame for span in resent}
    assert copies == {span.frame for span in case.spans(Role.DUPLICATE)}

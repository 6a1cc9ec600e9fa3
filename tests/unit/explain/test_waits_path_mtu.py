"""Segments that were too big for the path: named where a rule or ICMP shows it, and else not."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.rules import findings_of
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.explain.waits import explained
from netlab.model.tables import Icmp, Packet
from netlab.model.wire import Arrival
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

FULL, SMALL = 1448, 1148
RULE = "mtu 1200"


NEEDED = Icmp(3, 4, "fragmentation needed", 1200)


def icmp(play: Play, about: int, said: Icmp = NEEDED) -> int:
    """A router's message about a frame, to its sender."""
    quoted = play.packets[about - 1]
    number = len(play.packets) + 1
    play.packets.append(
        Packet(
            number, play.tick(), None, "unknown", "wire", "Ethernet", 590, 590, None, 4,
            "127.0.0.254", quoted.src, protocol="ICMP", _quoted=quoted, _icmp=said,
        )
    )  # fmt: skip
    frame = play._carry(number, "carry")
    play.packets[-1]._made = play.wired
    return frame


def too_long(
    rule: str = RULE, *, said: Icmp | None = NEEDED, after_ms: int = 0, wired: bool = True,
) -> Play:  # fmt: skip
    """A rule drops a segment; it is sent again: in two pieces after ICMP, whole by a timer."""
    play = Play(wired=wired)
    play.handshake()
    with play.call("server", "recv", FULL, size=FULL, flags=0x100):
        play.did("client", "send", FULL, size=FULL)
        lost = play.data("c>s", 0, FULL, way="drop")
        play.packets[lost - 1].ip_len_bytes = FULL + 52
        if wired:
            play.packets[lost - 1]._arrival = Arrival(lost, "dropped", None, None, rule)
        play.now_ns += 3 * MS
        if said is not None:
            icmp(play, lost, said)
        play.now_ns += after_ms * MS
        if said is not None:
            play.data("c>s", 0, SMALL)
        play.data("c>s", SMALL if said is not None else 0, FULL)
        play.now_ns += 2 * MS
    return play


def found(play: Play, *kinds: str) -> list[Finding]:
    return [one for one in findings_of(explained(play.tables(), play.raw)) if one.kind in kinds]


def test_what_icmp_had_sent_again_smaller_was_too_big_and_no_timer_sent_it() -> None:
    tables, rows = told(too_long())
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("path_mtu", 3), ("scheduler", 2)]
    named = of(rows, recv, "path_mtu")
    assert named.certainty == "observed"
    assert named.text == (
        "because frame 4 of 1,500 bytes did not pass the wire (mtu 1200), until ICMP said so"
        " (frame 5) and its bytes were sent again (frame 7)"
    )


def test_what_leaves_later_as_acks_make_way_icmp_had_counted_as_lost() -> None:
    tables, rows = told(too_long(after_ms=21))
    named = of(rows, number_of(tables, "recv"), "path_mtu")
    assert named.text.endswith(
        "until ICMP said so (frame 5) and its bytes were sent again (frame 7)"
    )


def test_where_no_icmp_says_so_the_timer_is_told_with_the_rule() -> None:
    tables, rows = told(too_long("mtu c>s 1200 without icmp", said=None, after_ms=240))
    recv = number_of(tables, "recv")
    assert causes(rows, recv)[0] == ("path_mtu", 243)
    text = of(rows, recv, "path_mtu").text
    assert text.startswith("because frame 4 of 1,500 bytes did not pass the wire (mtu c>s 1200")
    assert "tail loss probe" in text or "time-out 1" in text


def test_outside_the_lab_icmp_just_before_the_resend_says_so() -> None:
    (one,) = found(too_long(wired=False), "path_mtu")
    assert one.text.startswith("1 segment of the client did not pass the MTU: IP packets of up to")
    assert one.frames == (4, 5, 6, 7)


@pytest.mark.parametrize(
    ("said", "after_ms"),
    [
        (NEEDED, 240),  # ICMP did not have it sent
        (Icmp(3, 4, "fragmentation needed", 1500), 0),  # it fits
        (Icmp(3, 4, "fragmentation needed"), 0),  # from before RFC 1191: what fits is not known
        (Icmp(3, 1, "host unreachable"), 0),
    ],
)
def test_icmp_that_explains_no_resend_makes_no_finding(said: Icmp, after_ms: int) -> None:
    assert found(too_long(said=said, after_ms=after_ms, wired=False), "path_mtu") == []


@pytest.mark.parametrize("said", [None, NEEDED])
def test_what_another_rule_dropped_is_lost_like_any_other(said: Icmp | None) -> None:
    """The wire knows better than what ICMP says."""
    play = too_long("drop c>s data 1", said=said, after_ms=240)
    tables, rows = told(play)
    names = {row.cause for row in rows if row.call == number_of(tables, "recv")}
    assert "path_mtu" not in names
    assert names & {"rto", "tail_loss_probe"}
    assert [one.kind for one in found(play, "path_mtu", "loss_recovery")] == ["loss_recovery"]


def test_a_finding_says_which_sizes_do_not_pass_and_no_other_calls_it_a_loss() -> None:
    play = too_long()
    (one,) = found(play, "path_mtu", "loss_recovery", "retransmission_storm")
    assert one.severity is Severity.MEDIUM
    assert one.text == (
        "1 segment of the client did not pass the MTU of the wire (mtu 1200): IP packets of up to"
        " 1,500 bytes, where no more than 1,200 fit. ICMP said so (frame 5)."
    )
    assert "TCP_MAXSEG" in one.advice
    assert one.frames == (4, 5, 6, 7)


def test_a_black_hole_is_found_though_its_bytes_are_sent_again_and_again() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("client", "send", FULL, size=FULL)
    for nth in range(6):
        lost = play.data("c>s", 0, FULL, way="drop")
        play.packets[lost - 1].ip_len_bytes = FULL + 52
        rule = "mtu 1400 without icmp"
        play.packets[lost - 1]._arrival = Arrival(lost, "dropped", None, None, rule)
        play.now_ns += 210 * MS << nth
    (one,) = found(play, "path_mtu", "loss_recovery", "retransmission_storm")
    assert one.severity is Severity.HIGH
    assert one.text.startswith("6 segments of the client did not pass the MTU of the wire (mtu")
    assert "a black hole" in one.text
    assert "Let ICMP" in one.advice


def test_later_bytes_wait_behind_what_was_too_big() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.call("server", "recv", 2000, size=2000):
        play.did("client", "send", 2000, size=2000)
        lost = play.data("c>s", 0, FULL, way="drop")
        play.packets[lost - 1].ip_len_bytes = FULL + 52
        play.packets[lost - 1]._arrival = Arrival(lost, "dropped", None, None, RULE)
        play.data("c>s", FULL, 2000)
        icmp(play, lost)
        first = play.data("c>s", 0, SMALL, way="hold")
        play.data("c>s", SMALL, FULL)
        play.now_ns += 5 * MS
        play.arrives(first)
    assert found(play, "loss_recovery") == []
    tables, rows = told(play)
    behind = of(rows, number_of(tables, "recv"), "path_mtu")
    assert behind.text == (
        f"with later bytes here, until frame {first} came with bytes of frame {lost} of 1,500"
        " bytes, which did not pass the wire (mtu 1200)"
    )
    assert behind.frames == (lost, first)


def gives_up(rule: str) -> Play:
    """A read's time is up while the segment it waits for has not been sent again."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)  # the first window that is scaled
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_RCVTIMEO, 0.150 s")
    play.did("client", "send", FULL, size=FULL)
    with play.call("server", "recv", -1, size=FULL, errno="EAGAIN"):
        lost = play.data("c>s", 0, FULL, way="drop")
        play.packets[lost - 1].ip_len_bytes = FULL + 52
        play.packets[lost - 1]._arrival = Arrival(lost, "dropped", None, None, rule)
        play.now_ns += 150 * MS
    return play


@pytest.mark.parametrize(
    ("rule", "cause", "what"),
    [
        ("mtu 1200 without icmp", "path_mtu", "did not pass the wire (mtu 1200 without icmp)"),
        ("drop c>s data 1", "rto", "was dropped by the wire (drop c>s data 1)"),
    ],
)
def test_what_was_never_sent_again_was_too_big_only_where_the_rule_says_so(
    rule: str, cause: str, what: str
) -> None:
    play = gives_up(rule)
    scene = explained(play.tables(), play.raw)
    (owed,) = scene.owed.values()
    last = owed.parts[-1]
    assert (last.cause, last.frames, round(last.length_ns / MS)) == (cause, (5,), 150)
    assert last.text == f"because frame 5 {what}, and by then it had not been sent again"


def silent(said: Icmp) -> list[Part]:
    """The silences of a connection without calls, in which ICMP came before a resend."""
    play = Play()
    play.syn(), play.synack(), play.ack("c>s", 0)
    lost = play.data("c>s", 0, FULL)
    play.packets[lost - 1].ip_len_bytes = FULL + 52
    play.now_ns += 30 * MS
    icmp(play, lost, said)
    play.data("c>s", 0, SMALL)
    return silences_of(Scene(play.tables(), play.raw), 0)


def test_without_calls_icmp_says_why_it_was_silent() -> None:
    (one,) = silent(NEEDED)
    assert (one.cause, one.certainty, one.frames) == ("path_mtu", "inferred", (4, 5, 6))
    assert one.text == (
        "because frame 4 of 1,500 bytes did not pass a link of 1,200 bytes, until ICMP said so"
        " (frame 5) and its bytes were sent again (frame 6)"
    )
    assert all(one.cause != "path_mtu" for one in silent(Icmp(3, 1, "host unreachable")))

"""What a recording says of a connection as a whole: each rule where it speaks and where not."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.rules import RULES, WHOLE, findings_of
from netlab.explain.waits import explained
from netlab.model.call import POLLOUT
from netlab.model.wire import Arrival
from tests.playbook import ADDRESS, INODE, PID, Play, number_of
from tests.waits_told import MS

FULL = 1460


def found(play: Play) -> dict[str, Finding]:
    """The findings of a conversation, by kind; the last of each."""
    return {one.kind: one for one in findings_of(explained(play.tables(), play.raw))}


def opened(**more: object) -> Play:
    play = Play(wired=True, **more)  # type: ignore[arg-type]
    play.handshake()
    return play


def quiet() -> Play:
    """A question and its answer, read and closed: there is nothing to find."""
    play = opened()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    play.did("server", "recv", 100, size=4096)
    with play.call("server", "send", 50, size=50):
        play.data("s>c", 0, 50, 100)
    play.ack("c>s", 50, 100)
    play.did("client", "recv", 50, size=4096)
    with play.call("client", "close", 0):
        play.fin("c>s", 100, 50)
    play.did("server", "recv", 0, size=4096)
    with play.call("server", "close", 0):
        play.fin("s>c", 50, 101)
    play.ack("c>s", 51, 101)
    return play


def test_a_quiet_conversation_has_no_findings() -> None:
    assert found(quiet()) == {}


def test_a_finding_needs_evidence() -> None:
    with pytest.raises(ValueError, match="without evidence"):
        Finding("reset", 0, Severity.HIGH, "text", "", "")


def test_every_rule_has_its_source() -> None:
    rules = [*RULES, *WHOLE]
    assert all(rule.source for rule in rules)
    assert len({rule.kind for rule in rules}) == len(rules)


def test_nagle_against_delayed_ack() -> None:
    play = opened()
    with play.call("client", "send", 64, size=64):
        play.data("c>s", 0, 64)
    play.did("server", "recv", 64, size=4096)
    with play.call("server", "recv", 65, size=4096):
        play.did("client", "send", 65, size=65)
        play.now_ns += 40 * MS
        ack = play.ack("s>c", 64)
        play.data("c>s", 64, 129)
    one = found(play)["nagle_delayed_ack"]
    assert "once a small write waited" in one.text
    assert "TCP_NODELAY" in one.advice
    assert ack in one.frames
    assert one.severity is Severity.HIGH


def test_a_reader_that_does_not_read_is_named() -> None:
    play = opened(window=512)
    with play.call("client", "send", 100_000, size=100_000):
        at = 0
        while at + FULL <= 65_536:
            play.data("c>s", at, at + FULL)
            at += FULL
        play.ack("s>c", at, window=0)
        play.now_ns += 90 * MS
        with play.call("server", "recv", at, size=at):
            play.ack("s>c", at, window=512)
    one = found(play)["zero_window"]
    assert "stood still for 90.0 ms" in one.text
    assert "its program first read with server recv" in one.text


def blocked(wait_ms: int, *, set_to: int | None = None) -> Play:
    """A send with room for half; what it took left, and a poll waits for the ACK."""
    play = opened()
    if set_to is not None:
        play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, SO_SNDBUF, {set_to}")
    play.ack("s>c", 0)
    size = 30 * FULL
    with play.call("client", "send", size, size=2 * size):
        for at in range(0, size, FULL):
            play.data("c>s", at, at + FULL)
    with play.wait("client", (INODE["client"], POLLOUT), args="timeout=-1, maxevents=64"):
        ack = play.ack("s>c", size, way="hold")
        play.now_ns += wait_ms * MS
        play.arrives(ack)
    return play


def test_a_send_buffer_too_small_for_the_path() -> None:
    one = found(blocked(40))["send_buffer"]
    assert "The send buffer of the client was too small for the path: for 40.0 ms" in one.text
    assert "while 43,800 bytes were on their way or their ACK was" in one.text
    assert "SO_SNDBUF" in one.advice


@pytest.mark.parametrize("set_to", [30_000, None])
def test_a_buffer_that_nobody_set_has_a_limit_of_the_kernels(set_to: int | None) -> None:
    advice = found(blocked(40, set_to=set_to))["send_buffer"].advice
    assert ("net.ipv4.tcp_wmem" in advice) is (set_to is None)
    assert ("or none: then the kernel adapts it" in advice) is (set_to is not None)


def test_a_send_that_was_soon_over_needs_no_larger_buffer() -> None:
    assert "send_buffer" not in found(blocked(4))


def test_small_writes_one_behind_the_other() -> None:
    play = opened()
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    for number in range(30):
        with play.call("client", "send", 10, size=10):
            play.data("c>s", number * 10, number * 10 + 10)
    one = found(play)["small_writes"]
    assert "made 30 writes of 10 bytes in the median, 29 of them right behind another" in one.text


def test_a_read_of_several_writes_is_told_as_such() -> None:
    play = opened()
    for start in (0, 10):
        with play.call("client", "send", 10, size=10):
            play.data("c>s", start, start + 10)
    recv = play.did("server", "recv", 20, size=4096)
    one = found(play)["coalesced"]
    assert recv in one.calls
    assert "TCP keeps no message borders" in one.text


def test_reads_that_match_writes_are_none() -> None:
    play = opened()
    for start in (0, 10):
        with play.call("client", "send", 10, size=10):
            play.data("c>s", start, start + 10)
        play.did("server", "recv", 10, size=4096)
    assert "coalesced" not in found(play)


def test_a_reset_by_unread_data_accuses_its_close() -> None:
    play = opened()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.call("server", "close", 0):
        reset = play.rst("s>c", 0, 100)
    found_now = found(play)
    one = found_now["reset"]
    assert one.frames == (reset,)
    assert "left 100 bytes unread" in one.text
    assert "never_read" in found_now
    assert "never read 100 bytes" in found_now["never_read"].text


def test_a_reset_by_linger_accuses_the_option() -> None:
    play = opened()
    option = play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}")
    with play.call("server", "close", 0):
        play.rst("s>c", 0)
    assert f"with SO_LINGER (call #{option})" in found(play)["reset"].text


def test_a_reset_of_nobody_is_nobodys() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="ECONNREFUSED", address=ADDRESS["server"]):
        play.syn()
        play.frame("s>c", "RA", 0, 1)
    assert "nobody listens at that port" in found(play)["reset"].text


def test_an_overflowing_backlog() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="0", inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 1000 * MS
        play.syn()
        play.synack()
        play.ack("c>s", 0)
    kinds = found(play)
    assert "listen(0)" in kinds["backlog_overflow"].text
    assert "handshake_lost" not in kinds  # it is said once


@pytest.mark.parametrize("rule", ["drop c>s syn 1", ""])
def test_a_lost_syn_is_a_handshake_that_did_not_go_through(rule: str) -> None:
    """With the rule of the wire that dropped it, as of lost data, where one is noted."""
    play = Play(wired=True)
    frame = play.syn(way="drop")
    if rule:
        play.packets[-1]._arrival = Arrival(frame, "dropped", rule=rule)
    play.now_ns += 1000 * MS
    play.syn(), play.synack(), play.ack("c>s", 0)
    one = found(play)["handshake_lost"]
    named = f" ({rule})" if rule else ""
    assert f"2 SYNs and 1 SYN-ACK were sent, 1 of them lost on the wire{named}, over" in one.text


@pytest.mark.parametrize("answer", ["SA", "RA"])
def test_a_syn_sent_again_before_its_answer_came_is_not_lost(answer: str) -> None:
    """The round trip is longer than the timer: nothing is to be found."""
    play = Play(wired=True)
    play.syn()
    late = play.frame("s>c", answer, 0, 1, way="hold")
    play.now_ns += 1000 * MS
    play.syn()
    play.arrives(late)
    assert "handshake_lost" not in found(play)


@pytest.mark.parametrize("wired", [True, False])
def test_a_syn_sent_again_and_then_refused_had_an_answer(wired: bool) -> None:
    play = Play(wired=wired)
    play.syn(way="drop")
    play.now_ns += 1000 * MS
    play.syn()
    refusal = play.frame("s>c", "RA", 0, 1)
    one = found(play)["handshake_lost"]
    assert f"; frame {refusal} refused" in one.text
    assert "none was answered" not in one.text


def test_the_same_bytes_again_and_again() -> None:
    play = Play(wired=True)
    play.syn(), play.synack(), play.ack("c>s", 0)
    play.data("c>s", 0, 100, way="drop")
    for number in range(5):
        play.now_ns += (200 << number) * MS
        play.data("c>s", 0, 100, way="drop")
    one = found(play)["retransmission_storm"]
    assert "sent the bytes from 0 on again 5 times" in one.text


def test_one_byte_again_and_again() -> None:
    play = Play(wired=True)
    play.syn(), play.synack(), play.ack("c>s", 0)
    play.data("c>s", 0, 1, way="drop")
    for number in range(5):
        play.now_ns += (200 << number) * MS
        play.data("c>s", 0, 1, way="drop")
    assert "sent the byte at 0 again 5 times" in found(play)["retransmission_storm"].text


def test_one_frame_sent_again_is_no_storm() -> None:
    play = Play(wired=True)
    play.syn(), play.synack(), play.ack("c>s", 0)
    play.data("c>s", 0, 100, way="drop")
    play.now_ns += 200 * MS
    play.data("c>s", 0, 100)
    assert "retransmission_storm" not in found(play)


def test_a_loss_that_nobody_waited_for_costs_nothing() -> None:
    play = opened()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100, way="drop")
    play.now_ns += 200 * MS
    play.data("c>s", 0, 100)
    play.did("server", "recv", 100, size=4096)
    assert "loss_recovery" not in found(play)


def test_a_loss_that_was_waited_for() -> None:
    play = opened()
    with play.call("server", "recv", 100, size=4096):
        with play.call("client", "send", 100, size=100):
            lost = play.data("c>s", 0, 100, way="drop")
        play.now_ns += 210 * MS
        play.data("c>s", 0, 100)
    one = found(play)["loss_recovery"]
    assert lost in one.frames
    assert "Losses cost 210.0 ms" in one.text
    assert number_of(play.tables(), "recv") in one.calls


@pytest.mark.parametrize(("seq", "is_found"), [(1_025, False), (13, True)])
def test_a_reset_that_its_sender_outlived_ended_nothing(seq: int, is_found: bool) -> None:
    play = opened()
    with play.call("client", "send", 12):
        play.data("c>s", 0, 12)
    play.frame("c>s", "R", seq)
    play.ack("s>c", 12)
    play.ack("c>s", 0, at=12)
    assert ("reset" in found(play)) is is_found


@pytest.mark.parametrize("reader", [PID["server"], PID["client"]])
def test_a_byte_with_which_a_process_woke_itself_may_stay_unread(reader: int) -> None:
    play, unix = Play(), {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
    play.did("client", "socketpair", 0, new_inode=2, **unix, inode=1)
    play.did("client", "send", 1, size=1, **unix, inode=1)
    play.did("server", "close", 0, pid=reader, **unix, inode=2)
    play.did("client", "close", 0, **unix, inode=1)
    one = found(play).get("never_read")
    assert (one is not None) is (reader != PID["client"])
    if one is not None:  # its ends are no client and no server, and its program ended
        assert one.severity is Severity.LOW
        assert one.text.startswith("client send #2 succeeded, and at the other end of the")
        assert "the server" not in one.text


@pytest.mark.parametrize(
    ("ends", "again", "is_told"), [(True, False, False), (False, False, True), (True, True, False)]
)
def test_what_a_process_that_was_ending_left_in_a_pair_is_nothing(
    ends: bool, again: bool, is_told: bool
) -> None:
    """As nginx's master tells one worker that the other is gone, when both are."""
    play, unix = Play(), {"family": "AF_UNIX", "local": "unix:", "peer": "unix:"}
    play.did("client", "socketpair", 0, new_inode=2, **unix, inode=1)
    play.did("client", "send", 1, size=1, **unix, inode=1)
    play.did("server", "recv", 1, size=1, **unix, inode=2)
    if again:  # it is told before it ends, too
        play.did("client", "send", 1, size=1, **unix, inode=1)
    if ends:
        play.did("server", "exit", None, inode=None, fd=None, local=None, peer=None,
                 args="status 0", inside=True)  # fmt: skip
    play.did("client", "send", 1, size=1, **unix, inode=1)
    play.did("client", "close", 0, **unix, inode=2)
    play.did("client", "close", 0, **unix, inode=1)
    assert ("never_read" in found(play)) is is_told

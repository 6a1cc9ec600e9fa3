"""The half-open peer: whose end was gone, by whose doing, and how the other came to know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.explain.findings.finding import Finding
from tests.playbook import ADDRESS, INODE, Play
from tests.unit.explain.test_findings_more import of, opened
from tests.waits_told import MS


def asked(*, keep_alives: bool = False) -> Play:
    """A client that said 10 bytes, which were read and acknowledged."""
    play = opened()
    if keep_alives:
        play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_KEEPALIVE, 1")
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    play.did("server", "recv", 10, size=10)
    play.ack("s>c", 10)
    return play


def reset(play: Play) -> Finding:
    (one,) = of(play, "reset")
    return one


def sends(play: Play, *, ack: int = 0) -> tuple[int, int]:
    """The client sends 30 bytes, and the server's kernel resets: the frames of both."""
    with play.call("client", "send", 30, size=30):
        data = play.data("c>s", 10, 40, ack)
    return data, play.answer_rst("s>c", ack)


def aborted(*, way: str) -> tuple[Play, int]:
    """The server closes with SO_LINGER 0, and its RST has this way."""
    play = asked()
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}")
    with play.call("server", "close", 0):
        return play, play.rst("s>c", 0, 10, way=way)


def test_a_lost_reset_leaves_the_other_end_half_open_until_it_sends() -> None:
    play, lost = aborted(way="drop")
    play.now_ns += 700 * MS
    data, answer = sends(play)
    one = reset(play)
    assert f"(frame {lost}): server close #" in one.text
    assert (
        "that RST was lost on the wire, so the client's end was half-open for 700.0 ms" in one.text
    )
    assert f"until frame {answer} answered 30 bytes of client send #" in one.text
    assert one.frames == (lost, data, answer)
    assert len(one.calls) == 3  # the option, the close, the send
    assert one.advice.endswith("keep-alives there find sooner that its peer is gone.")


def test_or_until_a_keep_alive_probe_is_answered() -> None:
    play, _ = aborted(way="drop")
    play.now_ns += 700 * MS
    probe = play.frame("c>s", "A", 10, 1)
    play.answer_rst("s>c", 0)
    one = reset(play)
    assert f"answered the client's keep-alive probe (frame {probe})." in one.text
    assert "At the client" not in one.advice  # it had them


def test_of_a_lost_reset_without_another_no_more_is_said() -> None:
    play, _ = aborted(way="drop")
    assert reset(play).text.endswith("lost on the wire, and the client was not told by another.")


@pytest.mark.parametrize("way", ["carry", "hold"])
def test_a_reset_that_came_or_may_have_come_leaves_nothing_half_open(way: str) -> None:
    play, _ = aborted(way=way)
    assert "half-open" not in reset(play).text
    assert "lost" not in reset(play).text


def closed(*, way: str) -> tuple[Play, int]:
    """The server closes, and its FIN has this way; TCP_USER_TIMEOUT and keep-alives are on."""
    play = asked()
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_USER_TIMEOUT, 5000")
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_KEEPALIVE, 1")
    with play.call("server", "close", 0):
        fin = play.fin("s>c", 0, 10, way=way)
    play.now_ns += 2000 * MS
    return play, fin


def test_a_close_whose_fin_was_lost_leaves_the_other_end_half_open() -> None:
    play, fin = closed(way="drop")
    data, _ = sends(play)
    one = reset(play)
    assert f"for a connection that server close #{one.calls[0]} had closed" in one.text
    assert f"its FIN (frame {fin}) had not come to the client, whose end was half-open" in one.text
    assert set(one.frames) >= {fin, data}
    assert "Stop sending" not in one.advice  # it could not know


def test_one_whose_fin_came_is_no_half_open_end_and_no_time_out() -> None:
    play, fin = closed(way="carry")
    data, _ = sends(play, ack=1)
    one = reset(play)
    assert f"had closed it (FIN of frame {fin}) before 30 bytes of client send #" in one.text
    assert "half-open" not in one.text
    assert "TIMEOUT" not in one.text
    assert one.advice.startswith("Stop sending")
    assert data in one.frames


def test_who_read_the_end_of_the_stream_did_not_close_it() -> None:
    play = asked()
    with play.call("client", "recv", 0, size=10), play.call("server", "close", 0):
        play.fin("s>c", 0, 10)
    sends(play, ack=1)
    assert ": server close #7 had closed it (FIN of frame " in reset(play).text


def test_a_shutdown_for_writing_is_not_what_resets() -> None:
    play = asked()
    with play.call("server", "shutdown", 0, args="SHUT_WR"):
        play.fin("s>c", 0, 10)
    close = play.did("server", "close", 0)
    sends(play, ack=1)
    assert f": server close #{close} had closed it (FIN of frame " in reset(play).text


def gave_up(*options: str) -> Play:
    """The server's kernel gave the client up, as what it sent had no answer."""
    play = asked()
    for option in options:
        play.did("server", "setsockopt", 0, args=option)
    with play.call("server", "send", 5, size=5):
        play.data("s>c", 0, 5, 10, way="drop")
    with play.call("server", "recv", None, size=10, errno="ETIMEDOUT"):
        play.now_ns += 700 * MS
    play.now_ns += 700 * MS
    return play


def test_who_gave_its_peer_up_says_so_by_its_call() -> None:
    play = gave_up("SOL_TCP, TCP_USER_TIMEOUT, 700")
    data, _ = sends(play)
    one = reset(play)
    assert f"it answered 30 bytes of client send #{one.calls[-1]} (frame {data})" in one.text
    assert (
        f"TCP_USER_TIMEOUT (call #{one.calls[0]}) had given the peer up (server recv #" in one.text
    )
    assert "the client's end had been half-open since" in one.text


def test_without_that_option_it_was_its_kernel() -> None:
    play = gave_up()
    sends(play)
    assert "no longer had: its kernel had given the peer up (server recv #" in reset(play).text


def test_a_probe_that_had_no_answer_is_shown_and_an_option_alone_is_none() -> None:
    play = asked()
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_KEEPALIVE, 1")
    play.now_ns += 1000 * MS
    probe = play.frame("s>c", "A", 0, 11, way="drop")
    play.now_ns += 1000 * MS
    play.rst("s>c", 0, 10)
    assert f"1 keep-alive probe of it had no answer (frame {probe})" in reset(play).text
    play = asked()
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_KEEPALIVE, 1")
    play.rst("s>c", 0, 10)
    assert "keep-alive" not in reset(play).text


def test_probes_that_a_user_timeout_ended_name_it() -> None:
    play = asked()
    option = play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_USER_TIMEOUT, 1500")
    play.now_ns += 1000 * MS
    play.frame("s>c", "A", 0, 11, way="drop")
    play.now_ns += 1000 * MS
    play.rst("s>c", 0, 10)
    one = reset(play)
    assert f", and TCP_USER_TIMEOUT (call #{option}) gave the peer up." in one.text
    assert one.calls == (option,)


def test_an_option_that_is_set_after_the_reset_did_not_do_it() -> None:
    play = asked()
    play.now_ns += 1000 * MS
    play.frame("s>c", "A", 0, 11, way="drop")
    play.now_ns += 1000 * MS
    play.rst("s>c", 0, 10)
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_USER_TIMEOUT, 1500")
    one = reset(play)
    assert "1 keep-alive probe of it had no answer" in one.text
    assert "TCP_USER_TIMEOUT" not in one.text
    assert one.calls == ()


def test_an_option_that_is_set_after_the_kernel_gave_up_did_not_do_it() -> None:
    play = gave_up()
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_USER_TIMEOUT, 700")
    sends(play)
    assert "no longer had: its kernel had given the peer up (server recv #" in reset(play).text


def test_a_linger_is_cited_only_where_it_is_named() -> None:
    play = asked()
    option = play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}")
    with play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None,
                   args="SIGKILL"):  # fmt: skip
        play.rst("s>c", 0, 10)
    one = reset(play)
    assert "its process was killed (SIGKILL, server exit #" in one.text
    assert one.calls == (option + 1,)


def test_who_found_it_by_a_keep_alive_is_not_told_to_have_some() -> None:
    play, fin = closed(way="drop")
    play.frame("c>s", "A", 10, 1)
    play.answer_rst("s>c", 0)
    one = reset(play)
    assert f"its FIN (frame {fin}) had not come to the client" in one.text
    assert "keep-alives there" not in one.advice


@pytest.mark.parametrize(
    ("value", "blamed"),
    [("{onoff=1, linger=0}", True), ("{onoff=1, linger=5}", False), ("{onoff=0, linger=0}", False),
     ("0x0100000000000000", True), ("0x0100000005000000", False), ("0x", True)],
)  # fmt: skip
def test_only_a_linger_of_0_s_is_blamed(value: str, blamed: bool) -> None:
    play = asked()
    option = play.did("server", "setsockopt", 0, args=f"SOL_SOCKET, SO_LINGER, {value}")
    with play.call("server", "close", 0):
        play.rst("s>c", 0, 10)
    one = reset(play)
    assert (f"with SO_LINGER (call #{option})" in one.text) is blamed
    assert (option in one.calls) is blamed


def unread(*, late: bool = False, early: bool = True) -> Finding:
    """What the client said before and after the server's close."""
    play = asked()
    at = 10
    if early:
        with play.call("client", "send", 50, size=50):
            play.data("c>s", 10, 60)
        at = 60
    with play.call("server", "close", 0):
        play.rst("s>c", 0, at, way="drop")
    if late:
        with play.call("client", "send", 30, size=30):
            play.data("c>s", at, at + 30)
        play.answer_rst("s>c", 0)
    (one,) = of(play, "never_read")
    return one


def test_what_lay_in_the_queue_at_a_close_had_come() -> None:
    one = unread()
    assert "never read 50 bytes: they had come when server close #" in one.text
    assert one.text.endswith("threw them away.")
    assert one.frames


def test_what_came_later_came_later() -> None:
    assert "30 bytes: they came after server close #" in unread(late=True, early=False).text
    both = unread(late=True).text
    assert "80 bytes: some had come when server close #" in both
    assert both.endswith("threw them away, the others came after it.")


def test_a_process_that_is_killed_throws_away_what_had_come() -> None:
    play = opened()
    with play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None,
                   args="SIGKILL", inside=True, returned_by_ns=play.now_ns + 50 * MS):  # fmt: skip
        with play.call("client", "send", 50, size=50):
            play.data("c>s", 0, 50)
        play.now_ns += MS
        play.rst("s>c", 0, 50)
    (one,) = of(play, "never_read")
    assert "they had come when server exit #" in one.text


KEEP_ALIVE = ("SOL_SOCKET, SO_KEEPALIVE, 1", "SOL_TCP, TCP_KEEPIDLE, 60")


def killed(*options: str, args: str = "SIGKILL", probe_ms: int | None = None) -> Play:
    """The server's process ends with 50 bytes unread; its peer waits in a recv. `probe_ms`: so long
    before the RST it had sent a keep-alive probe that got lost."""
    play = opened()
    for option in options:
        play.did("server", "setsockopt", 0, args=option)
    with play.call("client", "send", 50, size=50):
        play.data("c>s", 0, 50)
    play.ack("s>c", 50)
    if probe_ms is not None:
        play.now_ns += 5000 * MS
        play.frame("s>c", "A", 0, 51, way="drop")
        play.now_ns += probe_ms * MS
    with (
        play.call("client", "recv", None, size=10, errno="ECONNRESET"),
        play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None,
                  args=args, inside=True, returned_by_ns=play.now_ns + 50 * MS),
    ):  # fmt: skip
        play.now_ns += MS
        play.rst("s>c", 0, 50)
    return play


@pytest.mark.parametrize(
    "options", [(), KEEP_ALIVE, ("SOL_TCP, TCP_USER_TIMEOUT, 30000",),
                (*KEEP_ALIVE, "SOL_TCP, TCP_USER_TIMEOUT, 30000")],
)  # fmt: skip
def test_an_option_that_is_only_set_does_not_reset_the_end_of_a_process_does(
    options: tuple[str, ...],
) -> None:
    one = reset(killed(*options))
    assert "its process was killed (SIGKILL, server exit #" in one.text
    assert "with 50 bytes unread" in one.text
    assert "keep-alive" not in one.text
    assert "TCP_USER_TIMEOUT" not in one.text


def test_nor_does_a_probe_that_left_less_than_an_interval_before() -> None:
    one = reset(killed(*KEEP_ALIVE, probe_ms=300))
    assert "its process was killed (SIGKILL, server exit #" in one.text
    late = reset(killed(*KEEP_ALIVE, probe_ms=1000))
    assert "1 keep-alive probe of it had no answer" in late.text


def test_of_a_process_whose_end_is_not_told_nobody_is_told_to_read_on() -> None:
    one = reset(killed(*KEEP_ALIVE, args=""))
    assert "its process ended (server exit #" in one.text
    assert "with 50 bytes unread, by a signal or of its own will" in one.text
    assert one.advice.startswith("Find out how it ended")


def test_a_recv_that_a_reset_ended_sent_nothing_to_a_closed_end() -> None:
    play = opened()
    with play.call("client", "recv", None, size=10, errno="ECONNRESET"):
        play.did("server", "detach", 0)
        play.did("server", "close", 0)
        play.now_ns += 3000 * MS
        play.rst("s>c", 0, 0)
    one = reset(play)
    assert "sent to an end" not in one.text
    assert "which call did it, the recording does not show" in one.text


def test_a_close_of_what_was_over_long_since_threw_nothing_away() -> None:
    play = gave_up("SOL_TCP, TCP_USER_TIMEOUT, 700")
    sends(play)
    play.did("server", "close", 0)
    (one,) = of(play, "never_read")
    assert "reset before delivery" in one.text
    play = asked()
    with play.call("client", "send", 30, size=30):
        play.data("c>s", 10, 40)
    with play.call("client", "close", 0):
        play.rst("c>s", 40, 0)
    play.did("server", "close", 0)
    (one,) = of(play, "never_read")
    assert "reset before delivery" in one.text


def in_a_poll(*, reads_ms: int) -> Play:
    """A window of 8,192 bytes over 20 ms each way, and a reader that waits in a poll."""
    play = Play(wired=True, window=64)
    play.did("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 40 * MS
        play.synack(), play.ack("c>s", 0)
    with play.accept():
        pass
    play.ack("s>c", 0)
    play.now_ns += 20 * MS
    at, size = 0, 1460
    with play.call("client", "send", 5 * 5 * size + 1, size=5 * 5 * size + 1):
        for _ in range(5):
            frames = [play.data("c>s", at + n * size, at + (n + 1) * size, way="hold")
                      for n in range(5)]  # fmt: skip
            at += 5 * size
            with play.wait("server", (INODE["server"], 1)):
                play.now_ns += 20 * MS
                for frame in frames:
                    play.arrives(frame)
            play.now_ns += reads_ms * MS
            with play.call("server", "recv", 5 * size, size=65_536):
                ack = play.ack("s>c", at, way="hold")
            play.now_ns += 20 * MS
            play.arrives(ack)
        play.data("c>s", at, at + 1)
    return play


def test_a_reader_that_waits_in_a_poll_is_not_why_a_window_is_full() -> None:
    play = in_a_poll(reads_ms=0)
    assert of(play, "zero_window") == []
    (one,) = of(play, "window_limited")
    assert "a round trip of 40.0 ms" in one.text
    assert "larger SO_RCVBUF" in one.advice


def test_one_that_lets_it_lie_is() -> None:
    play = in_a_poll(reads_ms=300)
    (one,) = of(play, "zero_window")
    assert "its program" in one.text
    (one,) = of(play, "window_limited")
    assert "as the program of the server let what had come lie unread, for 1.500 s" in one.text
    assert one.advice.startswith("Let the peer's program read sooner")


def test_of_an_end_without_calls_or_fin_nobody_knows_that_it_was_closed() -> None:
    play = Play()
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    play.now_ns += 5000 * MS
    with play.call("client", "send", 30, size=30):
        data = play.data("c>s", 0, 30)
    play.answer_rst("s>c", 0)
    one = reset(play)
    assert (
        f"the form of an answer to frame {data}, for a connection that it did not know" in one.text
    )
    assert one.advice.startswith("That end restarted or gave up")


@pytest.mark.parametrize("listens", [True, False])
def test_the_last_ack_of_a_handshake_that_met_no_listener_names_the_close(listens: bool) -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", inode=INODE["listener"], fd=3, peer=None)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack()
        play.ack("c>s", 0, way="drop")
    if not listens:
        play.did("server", "close", 0, inode=INODE["listener"], fd=3, peer=None)
    play.now_ns += 100 * MS
    with play.call("client", "send", 30, size=30):
        play.data("c>s", 0, 30)
        play.answer_rst("s>c", 0)
    one = reset(play)
    assert (
        "server close #3 had closed its listener before the last ACK" in one.text
    ) is not listens
    assert ("though its listener was open and its queue had room" in one.text) is listens
    assert "nobody listens" not in one.text
    assert one.calls[0] == 3  # the close, or the send


def again_and_again(play: Play) -> Play:
    """The client sends 30 bytes, and again five times, in vain."""
    play.did("client", "send", 30, size=30)
    play.data("c>s", 10, 40, way="drop")
    for nth in range(5):
        play.now_ns += (200 << nth) * MS
        play.data("c>s", 10, 40, way="drop")
    play.now_ns += 100 * MS
    return play


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda play: play.ack("s>c", 40), ", which acknowledged it."),
        (lambda play: play.fin("s>c", 0, 10), ", which did not acknowledge it."),
        (lambda play: play.answer_rst("s>c", 0), ", a RST."),
    ],
)
def test_a_storm_says_what_came_back_at_last(after: Callable[[Play], int], words: str) -> None:
    play = again_and_again(asked())
    frame = after(play)
    (one,) = of(play, "retransmission_storm")
    assert one.text.endswith(f"nothing came back before frame {frame}{words}")
    (one,) = of(again_and_again(asked()), "retransmission_storm")
    assert one.text.endswith("nothing came back.")


def test_a_lost_ack_of_the_handshake_is_told_and_shown() -> None:
    play = Play(wired=True)
    play.syn(), play.synack()
    first = play.ack("c>s", 0, way="drop")
    play.now_ns += 1000 * MS
    play.synack()
    second = play.ack("c>s", 0, way="drop")
    (one,) = of(play, "handshake_lost")
    assert "1 SYN and 2 SYN-ACKs were sent; 2 ACKs of the client were lost on the wire" in one.text
    assert {first, second} <= set(one.frames)

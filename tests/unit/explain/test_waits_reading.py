"""Why a recv took as long as it took: the peer, the wire, losses, gaps, its own thread."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

from netlab.model.call import MSG_PEEK, MSG_WAITALL
from netlab.model.recording import Host
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told


def talk(**more: object) -> Play:
    play = Play(wired=True, **more)  # type: ignore[arg-type]
    play.handshake()
    return play


def asked(play: Play) -> None:
    """The client asks 100 bytes, which the server has read."""
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    play.did("server", "recv", 100, size=4096)


def test_a_peer_that_thinks() -> None:
    play = talk()
    asked(play)
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += 30 * MS
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50, 100)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("peer_app", 30)]
    wait = of(rows, recv, "peer_app")
    assert wait.certainty == "observed"
    assert wait.calls == (number_of(tables, "send", 1, "server"),)
    assert wait.text == f"before the server's program called send #{wait.calls[0]}"


def test_a_frame_that_is_long_on_its_way() -> None:
    play = talk()
    asked(play)
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            frame = play.data("s>c", 0, 50, 100, way="hold")
        play.now_ns += 20 * MS
        play.arrives(frame)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("network", 20)]
    assert of(rows, recv, "network").frames == (frame,)


def test_the_peers_own_wait_is_not_its_programs() -> None:
    """The server waits for the client's request: that time on the wire is no `peer_app`."""
    play = talk()
    with play.call("server", "recv", 100, size=4096):
        with play.call("client", "send", 100, size=100):
            frame = play.data("c>s", 0, 100, way="hold")
        client = play.call("client", "recv", 50, size=4096)
        client.__enter__()
        play.now_ns += 20 * MS
        play.arrives(frame)
    play.now_ns += 5 * MS
    with play.call("server", "send", 50, size=50):
        answer = play.data("s>c", 0, 50, 100, way="hold")
    play.now_ns += 20 * MS
    play.arrives(answer)
    client.__exit__(None, None, None)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("network", 20), ("peer_app", 5), ("network", 20)]
    inside = number_of(tables, "recv", 1, "server")
    first = next(row for row in rows if row.call == recv and row.cause == "network")
    assert first.text == f"on the wire (frame {frame}) (inside server recv #{inside})"


def test_bytes_that_are_here_already_are_only_copied() -> None:
    play = talk()
    with play.call("server", "send", 50, size=50):
        play.data("s>c", 0, 50)
    play.now_ns += 50 * MS
    play.did("client", "recv", 50, size=4096)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert [row.cause for row in rows if row.call == recv] == ["copy"]


def test_a_thread_that_does_not_run() -> None:
    play = talk()
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50)
        play.now_ns += 30 * MS
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("scheduler", 30)]
    assert of(rows, recv, "scheduler").certainty == "inferred"


def test_a_lost_tail_is_the_probes() -> None:
    play = talk()
    asked(play)
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            lost = play.data("s>c", 0, 50, 100, way="drop")
        play.now_ns += 210 * MS
        again = play.data("s>c", 0, 50, 100)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("tail_loss_probe", 210)]
    assert of(rows, recv, "tail_loss_probe").frames == (lost, again)
    assert of(rows, recv, "tail_loss_probe").certainty == "observed"


@pytest.mark.parametrize(
    ("host", "early_retrans", "cause"),
    [
        ("server", "0", "rto"),
        ("server", "3", "tail_loss_probe"),
        ("client", "0", "tail_loss_probe"),  # the other end's setting is its own
    ],
)
def test_a_kernel_that_is_told_not_to_probe_sends_no_probe(
    host: str, early_retrans: str, cause: str
) -> None:
    play = talk()
    asked(play)
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50, 100, way="drop")
        play.now_ns += 210 * MS
        play.data("s>c", 0, 50, 100)
    for packet in play.packets:
        packet.interface = "server" if packet.sport == 80 else "client"
    set_so = Host(host, "6.1.0", (("net.ipv4.tcp_early_retrans", early_retrans),))
    play.raw.description = replace(play.raw.description, hosts=(set_so,))
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [(cause, 210)]


def test_a_tail_lost_twice_is_the_probes_and_then_the_timers() -> None:
    play = talk()
    asked(play)
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50, 100, way="drop")
        play.now_ns += 210 * MS
        play.data("s>c", 0, 50, 100, way="drop")
        play.now_ns += 220 * MS
        play.data("s>c", 0, 50, 100)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("tail_loss_probe", 210), ("rto", 220)]
    assert "time-out 1 " in of(rows, recv, "rto").text


def test_without_sack_there_is_no_probe() -> None:
    play = talk(sack=False)
    asked(play)
    with play.call("client", "recv", 50, size=4096):
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50, 100, way="drop")
        play.now_ns += 210 * MS
        play.data("s>c", 0, 50, 100)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("rto", 210)]


def test_later_bytes_here_behind_a_gap() -> None:
    """With MSG_WAITALL: three segments, the second lost; from the third's arrival the gap holds."""
    play = talk()
    with play.call("client", "recv", 4380, size=4380, flags=MSG_WAITALL):
        with play.call("server", "send", 4380, size=4380):
            play.data("s>c", 0, 1460)
            play.data("s>c", 1460, 2920, way="drop")
            play.data("s>c", 2920, 4380)
        play.ack("c>s", 1460, options=play.sack_option("s>c", (2920, 4380)))
        play.now_ns += 20 * MS
        again = play.data("s>c", 1460, 2920)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("head_of_line", 20)]
    assert again in of(rows, recv, "head_of_line").frames


def closed_under_a_read(*, comes_ms: int) -> Play:
    """A server closes its socket while another thread reads, and the client waits for its end.

    What the client has sent comes after `comes_ms` and ends that read; the FIN leaves after 20 ms,
    and no later than a read that returns by then.
    """
    play = talk()
    with ExitStack() as reading:
        reading.enter_context(play.call("server", "recv", 5, size=100, tid=21))
        play.now_ns += 10 * MS
        play.did("server", "close", 0)
        play.now_ns += 10 * MS
        with play.call("client", "send", 5, size=5):
            data = play.data("c>s", 0, 5, way="hold")
        with play.call("client", "recv", 0, size=100):
            play.now_ns += comes_ms * MS
            play.arrives(data)
            if comes_ms < 20:
                reading.close()
                play.now_ns += (20 - comes_ms) * MS
            play.fin("s>c", 0, 5)
            reading.close()
    return play


def test_a_close_under_another_threads_read_sends_its_fin_when_that_returns() -> None:
    tables, rows = told(closed_under_a_read(comes_ms=20))
    recv = number_of(tables, "recv", side="client")
    assert causes(rows, recv) == [("network", 20)]
    inside = f" (inside server recv #{number_of(tables, 'recv', side='server')})"
    assert of(rows, recv, "network").text.endswith(inside)


def test_a_read_that_had_returned_kept_nothing_open() -> None:
    tables, rows = told(closed_under_a_read(comes_ms=8))
    recv = number_of(tables, "recv", side="client")
    assert causes(rows, recv) == [("unknown", 20)]


def test_the_end_of_the_stream_is_the_peers_close() -> None:
    play = talk()
    with play.call("client", "recv", 0, size=4096):
        play.now_ns += 40 * MS
        with play.call("server", "close", 0):
            play.fin("s>c", 0)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("peer_app", 40)]
    assert "called close" in of(rows, recv, "peer_app").text


def test_a_recv_whose_time_is_up() -> None:
    play = talk()
    with play.call("client", "recv", None, size=4096, errno="EAGAIN"):
        play.now_ns += 80 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("timer", 80)]


def test_a_recv_that_was_told_not_to_wait_has_no_timer() -> None:
    play = talk()
    play.did("client", "recv", None, size=4096, errno="EAGAIN")
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert [row.cause for row in rows if row.call == recv] == ["copy"]


def test_a_signal_interrupts() -> None:
    play = talk()
    with play.call("client", "recv", None, size=4096, errno="EINTR"):
        play.now_ns += 25 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("signal", 25)]


def test_a_peer_whose_calls_are_not_known_is_only_inferred() -> None:
    play = talk()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.call("client", "recv", 50, size=4096):
        play.ack("s>c", 100)
        play.now_ns += 30 * MS
        play.data("s>c", 0, 50, 100)
    play.calls = [call for call in play.calls if call.actor == "client"]
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert of(rows, recv, "peer_app").certainty == "inferred"


def test_without_frames_of_the_answer_nothing_is_claimed() -> None:
    play = talk()
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += 30 * MS
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("unknown", 30)]


def test_a_plain_recv_is_not_behind_a_gap_of_its_own_first_byte() -> None:
    """As above, but for one byte: what it waits for is the lost segment itself."""
    play = talk()
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    with play.call("client", "recv", 1460, size=1460):
        with play.call("server", "send", 1460, size=1460):
            play.data("s>c", 0, 1460, way="drop")
        play.now_ns += 210 * MS
        play.data("s>c", 0, 1460)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("tail_loss_probe", 210)]


def peeks(flags: int, *, result: int = 50) -> Play:
    """The client has read 50 bytes and looks at those behind them, which come in two pieces."""
    play = talk()
    with play.call("server", "send", 50, size=50):
        play.data("s>c", 0, 50)
    play.did("client", "recv", 50, size=4096)
    with play.call("client", "recv", result, size=100, flags=flags):
        for start in (50, 100):
            play.now_ns += 30 * MS
            with play.call("server", "send", 50, size=50):
                play.data("s>c", start, start + 50)
            if not flags & MSG_WAITALL:
                break
    return play


def test_a_peek_waits_for_the_first_byte_that_no_read_took() -> None:
    tables, rows = told(peeks(MSG_PEEK))
    peek = number_of(tables, "recv", 2, "client")
    assert causes(rows, peek) == [("peer_app", 30)]
    assert of(rows, peek, "peer_app").calls == (number_of(tables, "send", 2),)


def test_a_peek_for_all_waits_for_the_last_byte() -> None:
    tables, rows = told(peeks(MSG_PEEK | MSG_WAITALL, result=100))
    peek = number_of(tables, "recv", 2, "client")
    assert of(rows, peek, "peer_app").calls[-1] == number_of(tables, "send", 3)
    assert sum(ms for cause, ms in causes(rows, peek) if cause == "peer_app") == 60


def test_a_peek_beside_a_read_of_another_thread_is_not_guessed_at() -> None:
    play = talk()
    with (
        play.call("client", "recv", 50, size=100, flags=MSG_PEEK),
        play.call("client", "recv", 50, size=100, tid=11),
    ):
        play.now_ns += 30 * MS
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("unknown", 30)]


def shut_down(how: str) -> Play:
    """A thread of the client shuts down what another one reads; then the server closes."""
    play = talk()
    with play.call("client", "recv", 0, size=100):
        play.now_ns += 30 * MS
        if how:
            with play.call("client", "shutdown", 0, args=how, tid=11):
                play.fin("c>s", 0)
    play.now_ns += 2 * MS
    with play.call("server", "close", 0):
        play.fin("s>c", 0, 1)
    return play


@pytest.mark.parametrize("how", ["SHUT_RD", "SHUT_RDWR"])
def test_a_read_that_its_own_side_shut_down(how: str) -> None:
    tables, rows = told(shut_down(how))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("other_event", 30)]
    shutdown = number_of(tables, "shutdown")
    assert of(rows, recv, "other_event").calls == (shutdown,)
    assert of(rows, recv, "other_event").text == (
        f"until client shutdown #{shutdown} of its own side ended it"
    )


@pytest.mark.parametrize("how", ["", "SHUT_WR"])
def test_a_fin_that_came_later_did_not_end_the_read(how: str) -> None:
    tables, rows = told(shut_down(how))
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 30)]

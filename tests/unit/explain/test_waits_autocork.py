"""What lies in the queue of the sender's own link, and what TCP holds because of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from netlab.model.clock import ClockPair
from netlab.model.recording import Host
from netlab.model.tables import Tables, TcpOptions, Wait
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1460  # the MSS that both SYNs of a play offer
SMALL = 100
MSG_MORE, MSG_WAITALL = 0x8000, 0x100
NODELAY = "SOL_TCP, TCP_NODELAY, 1"
WRITTEN, LEFT, OWN = 2, 60, 70  # ms: the small write, the frame before it leaves, its own leaves


@dataclass
class Stamps:
    """The clock in a host's timestamps: milliseconds since a moment of its own."""

    play: Play
    on: bool = True

    def at(self, time_ns: int) -> TcpOptions | None:
        return TcpOptions(ts_val=4_000_000_000 + time_ns // MS, ts_ecr=1) if self.on else None


def opened(*options: str, autocorking: str | None = "1", wired: bool = True) -> Play:
    play = Play(wired=wired)
    play.handshake()
    play.ack("s>c", 0)  # the first window that is scaled
    for option in options:
        play.did("client", "setsockopt", 0, args=option)
    settings = () if autocorking is None else (("net.ipv4.tcp_autocorking", autocorking),)
    host = Host("localhost", "6.18", settings)
    play.raw.description = replace(play.raw.description, hosts=(host,))
    return play


def behind(
    play: Play,
    *,
    sent_ms: int = LEFT,
    first: int = FULL,
    stamps: bool = True,
    flags: int = 0,
    ack_ms: int | None = None,
    more_ms: tuple[int, ...] = (),
) -> Play:
    """Two segments at once, and a small write behind them while the second is in the queue.

    `sent_ms`: when TCP sends the small write, by its timestamp. `ack_ms`: when the ACK of the first
    comes. `more_ms`: when further frames that were sent with the second leave.
    """
    clock = Stamps(play, stamps)
    whole = FULL + first * (1 + len(more_ms)) + SMALL
    began_ns = play.now_ns
    given = clock.at(began_ns + MS)
    play.now_ns = began_ns + MS

    def until(ms: int) -> None:
        play.now_ns = began_ns + (ms + 1) * MS

    with play.call("server", "recv", whole, size=whole, flags=MSG_WAITALL):
        play.did("client", "sendall", whole - SMALL, size=whole - SMALL)
        play.data("c>s", 0, FULL, options=given)
        until(WRITTEN)
        play.did("client", "send", SMALL, size=SMALL, flags=flags)
        if ack_ms is not None:
            until(ack_ms)
            play.ack("s>c", FULL)
        at = FULL
        for left_ms in (LEFT, *more_ms):
            until(left_ms)
            play.data("c>s", at, at + first, options=given)
            at += first
        until(max(OWN, *(ms + 10 for ms in more_ms)) if more_ms else OWN)
        play.data("c>s", at, whole, options=clock.at(began_ns + (sent_ms + 1) * MS))
    return play


def recv_of(told_of: tuple[Tables, list[Wait]]) -> tuple[list[tuple[str, int]], int]:
    tables, rows = told_of
    recv = number_of(tables, "recv")
    return causes(rows, recv), recv


def test_a_write_that_finds_a_frame_in_the_queue_is_held_until_that_leaves() -> None:
    tables, rows = told(behind(opened(NODELAY)))
    found, recv = recv_of((tables, rows))
    assert found == [("peer_app", 2), ("autocork", 58), ("wire_queue", 10)]
    wait = of(rows, recv, "autocork")
    send = number_of(tables, "send")
    second, third = (p.frame for p in tables.packets[-2:])
    assert wait.certainty == "observed"
    assert (wait.frames, wait.calls) == ((second, third), (send,))
    assert wait.text == (
        f"because autocorking held client send #{send} (100 bytes) while frame {second} lay in the"
        f" queue of the client's own link (by its timestamp TCP let frame {third} go no earlier)"
        " (MSG_WAITALL: all 3,020 bytes)"
    )
    assert of(rows, recv, "wire_queue").certainty == "inferred"


def test_one_that_tcp_sent_at_once_lay_in_the_queue_itself() -> None:
    found, _ = recv_of(told(behind(opened(NODELAY), sent_ms=WRITTEN)))
    assert found == [("peer_app", 2), ("wire_queue", 68)]


@pytest.mark.parametrize(("sent_ms", "parts"), [(WRITTEN, [68]), (LEFT, [58, 10])])
def test_where_it_is_off_nobody_autocorks(sent_ms: int, parts: list[int]) -> None:
    found, _ = recv_of(told(behind(opened(NODELAY, autocorking="0"), sent_ms=sent_ms)))
    assert found == [("peer_app", 2), *(("wire_queue", ms) for ms in parts)]


def test_where_it_is_not_known_to_be_on_it_is_inferred() -> None:
    tables, rows = told(behind(opened(NODELAY, autocorking=None)))
    found, recv = recv_of((tables, rows))
    assert ("autocork", 58) in found
    wait = of(rows, recv, "autocork")
    assert wait.certainty == "inferred"
    assert ", if net.ipv4.tcp_autocorking is on there (MSG_WAITALL" in wait.text


def test_nagle_holds_nothing_behind_a_full_segment() -> None:
    tables, rows = told(behind(opened()))
    found, recv = recv_of((tables, rows))
    assert ("autocork", 58) in found
    assert of(rows, recv, "autocork").certainty == "observed"


def test_behind_a_small_segment_nagle_holds_without_it() -> None:
    play = behind(opened(), first=SMALL, ack_ms=None, sent_ms=LEFT)
    names = {cause for cause, _ in recv_of(told(play))[0]}
    assert "nagle" in names
    assert "autocork" not in names


def test_msg_more_holds_without_it() -> None:
    names = {cause for cause, _ in recv_of(told(behind(opened(NODELAY), flags=MSG_MORE)))[0]}
    assert "cork" in names
    assert "autocork" not in names


def test_a_frame_that_comes_in_ends_it() -> None:
    """From then on TCP kept the bytes for another reason, as it did, by its timestamp, until 60."""
    found, _ = recv_of(told(behind(opened(NODELAY), ack_ms=20)))
    assert found == [("peer_app", 2), ("autocork", 18), ("wire_queue", 40), ("wire_queue", 10)]


def test_the_first_packet_that_leaves_ends_it() -> None:
    """Several segments that TCP gave away as one are freed with the last of them."""
    tables, rows = told(behind(opened(NODELAY), more_ms=(120,), sent_ms=120))
    found, recv = recv_of((tables, rows))
    assert found == [("peer_app", 2), ("autocork", 58), ("autocork", 60), ("wire_queue", 10)]
    assert of(rows, recv, "autocork").certainty == "inferred"  # it may have been two


def test_after_it_something_else_keeps_what_tcp_still_keeps() -> None:
    """A short segment ends a packet: with it the first left, and small queues held the write."""
    tables, rows = told(behind(opened(NODELAY), first=FULL - 1, more_ms=(120,), sent_ms=120))
    found, recv = recv_of((tables, rows))
    assert found == [("peer_app", 2), ("autocork", 58), ("wire_queue", 60), ("wire_queue", 10)]
    assert of(rows, recv, "autocork").certainty == "inferred"
    kept = next(row for row in rows if row.call == recv and row.cause == "wire_queue")
    assert "because enough of the same connection lay in the queue" in kept.text


def test_a_socket_that_paces_writes_the_time_it_is_to_leave() -> None:
    paces = behind(opened(NODELAY, "SOL_SOCKET, 47, 100000"))
    assert "autocork" not in {cause for cause, _ in recv_of(told(paces))[0]}


def test_without_timestamps_nobody_knows() -> None:
    names = {cause for cause, _ in recv_of(told(behind(opened(NODELAY), stamps=False)))[0]}
    assert not {"autocork", "wire_queue"} & names


def test_where_the_clock_was_set_timestamps_say_nothing() -> None:
    play = behind(opened(NODELAY))
    play.raw.clock_pairs = [ClockPair(0, 0), ClockPair(10**9 + 20 * MS, 10**9)]
    names = {cause for cause, _ in recv_of(told(play))[0]}
    assert not {"autocork", "wire_queue"} & names


def test_a_frame_late_for_no_more_than_a_busy_machine_was_in_no_queue() -> None:
    play = opened(NODELAY)
    clock = Stamps(play)
    with play.call("server", "recv", FULL + SMALL, size=FULL + SMALL, flags=MSG_WAITALL):
        given = clock.at(play.now_ns)
        play.did("client", "sendall", FULL, size=FULL)
        play.did("client", "send", SMALL, size=SMALL)
        play.now_ns += 2 * MS
        play.data("c>s", 0, FULL, options=given)
        play.data("c>s", FULL, FULL + SMALL, options=clock.at(play.now_ns))
    names = {cause for cause, _ in recv_of(told(play))[0]}
    assert not {"autocork", "wire_queue"} & names

"""Both ends' states at each frame, as far as the frames show them (RFC 9293 figure 5)."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from playbook import Play

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.model.tables import Side

STATES = {
    "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
    "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT", "CLOSED",
}  # fmt: skip


def told(play: Play) -> list[tuple[int, str, str]]:
    """(frame, side, state); with `(arrived)` where it is the arrival that changed it."""
    return [
        (c.frame, f"{c.side}{' (arrived)' if c.arrived else ''}", c.state)
        for c in play.tables().end_states
    ]


def opened(*, wired: bool = False) -> Play:
    play = Play(wired=wired)
    play.handshake(calls=False)
    return play


OPENED = [
    (1, "client", "SYN-SENT"),
    (2, "server", "SYN-RECEIVED"),
    (2, "client (arrived)", "ESTABLISHED"),
    (3, "server (arrived)", "ESTABLISHED"),
]


def test_a_clean_end_goes_through_every_state() -> None:
    play = opened()
    play.fin("c>s", 0)
    play.ack("s>c", 1)
    play.fin("s>c", 0, 1)
    play.ack("c>s", 1, 1)
    assert told(play) == [
        *OPENED,
        (4, "client", "FIN-WAIT-1"),
        (4, "server (arrived)", "CLOSE-WAIT"),
        (5, "client (arrived)", "FIN-WAIT-2"),
        (6, "server", "LAST-ACK"),
        (6, "client (arrived)", "TIME-WAIT"),
        (7, "server (arrived)", "CLOSED"),
    ]


def test_fins_that_cross_close_both_ends_at_once() -> None:
    play = opened()
    play.fin("c>s", 0)
    play.fin("s>c", 0)
    play.ack("c>s", 1, 1)
    play.ack("s>c", 1, 1)
    last = {side: state for _, side, state in told(play)}
    assert last["client (arrived)"] == last["server (arrived)"] == "TIME-WAIT"


def test_a_refused_connection_was_never_listened_for() -> None:
    play = Play()
    play.syn()
    play.frame("s>c", "RA", 0, 1)
    assert told(play) == [
        (1, "client", "SYN-SENT"),
        (2, "server", "CLOSED"),
        (2, "client (arrived)", "CLOSED"),
    ]


def test_a_reset_closes_its_sender_when_it_leaves_and_its_receiver_when_it_comes() -> None:
    play = opened()
    play.rst("s>c", 0)
    assert told(play)[4:] == [(4, "server", "CLOSED"), (4, "client (arrived)", "CLOSED")]


def test_a_reset_that_is_not_the_next_byte_ends_nothing() -> None:
    play = opened(wired=True)
    play.frame("c>s", "R", 1_025)
    play.ack("s>c", 0)  # RFC 5961: a challenge
    play.data("c>s", 0, 12)
    assert [state for *_, state in told(play)[4:]].count("CLOSED") == 0
    play.rst("c>s", 12)
    assert [state for *_, state in told(play)[4:]].count("CLOSED") == 2


def test_one_elsewhere_whose_sender_said_no_more_may_have_followed_what_was_not_captured() -> None:
    play = opened()
    play.frame("c>s", "R", 1_025)
    assert [state for *_, state in told(play)[4:]].count("CLOSED") == 2


def test_without_a_wires_notes_it_is_believed() -> None:
    """The kernels read a capture once, and do not know what comes behind."""
    play = opened()
    play.frame("c>s", "R", 1_025)
    play.data("c>s", 0, 12)
    assert [state for *_, state in told(play)[4:]].count("CLOSED") == 2


def test_a_capture_that_began_late_begins_established() -> None:
    play = Play()
    play.data("c>s", 5_000, 5_100, ack=700)
    assert told(play) == [(1, "client", "ESTABLISHED"), (1, "server (arrived)", "ESTABLISHED")]


def test_what_a_wire_dropped_changes_only_its_sender() -> None:
    play = Play(wired=True)
    play.syn(way="drop")
    play.syn()
    play.synack(way="drop")
    assert told(play) == [(1, "client", "SYN-SENT"), (3, "server", "SYN-RECEIVED")]


def test_the_last_change_of_each_end_is_what_its_connection_says(captures_dir: Path) -> None:
    """Over all captures: each is of RFC 9293, none stands twice in a row, the last is the row's."""
    compared = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            tables = analyse(read_raw(path))
        except BadRecording:
            continue
        course: dict[tuple[int, Side], list[str]] = defaultdict(list)
        for change in tables.end_states:
            course[change.connection, change.side].append(change.state)
        for row in tables.connections:
            if (row.client, row.client_port) == (row.server, row.server_port):
                continue
            for side in Side:
                states = course[row.connection, side]
                assert set(states) <= STATES
                assert all(a != b for a, b in pairwise(states))
                assert (states[-1] if states else None) == getattr(row, f"{side}_state")
                compared += bool(states)
    assert compared > 100


def test_each_segment_has_the_states_of_both_ends() -> None:
    play = opened()
    play.fin("c>s", 0)
    play.fin("s>c", 0, 1)
    play.ack("c>s", 1, 1)
    assert [(s.sender_state, s.receiver_state) for s in play.tables().segments] == [
        ("SYN-SENT", None), ("SYN-RECEIVED", "ESTABLISHED"), ("ESTABLISHED", "ESTABLISHED"),
        ("FIN-WAIT-1", "CLOSE-WAIT"), ("LAST-ACK", "TIME-WAIT"), ("TIME-WAIT", "CLOSED"),
    ]  # fmt: skip


def test_what_did_not_come_finds_no_state_at_the_other_end() -> None:
    play = Play(wired=True)
    play.handshake(calls=False)
    play.data("c>s", 0, 100, way="drop")
    last = play.tables().segments[-1]
    assert (last.sender_state, last.receiver_state) == ("ESTABLISHED", None)


def test_an_ack_that_was_ignored_established_nothing() -> None:
    """A full accept queue: the SYN-ACK is sent again, so what came before it ended nothing."""
    play = opened(wired=True)
    play.data("c>s", 0, 100)
    play.synack()
    play.ack("c>s", 0, 100)
    states = [one for one in told(play) if one[1].startswith("server") and one[2] != "LISTEN"]
    assert states == [(2, "server", "SYN-RECEIVED"), (6, "server (arrived)", "ESTABLISHED")]


def test_an_ack_that_no_socket_took_established_nothing() -> None:
    """tcp_abort_on_overflow: the RST that answers it has no ACK."""
    play = opened(wired=True)
    play.answer_rst("s>c", 0)
    assert [one for one in told(play) if one[1].startswith("server")] == [
        (2, "server", "SYN-RECEIVED"), (4, "server", "CLOSED"),
    ]  # fmt: skip


def test_a_reset_by_a_socket_ends_what_was_established() -> None:
    """Its RST has an ACK; and one that answers a later frame may have had a socket before."""
    play = opened(wired=True)
    play.rst("s>c", 0)
    assert (3, "server (arrived)", "ESTABLISHED") in told(play)
    play = opened(wired=True)
    play.data("c>s", 0, 100)
    play.answer_rst("s>c", 0)
    assert (3, "server (arrived)", "ESTABLISHED") in told(play)


def test_what_came_when_is_not_known_of_a_capture_at_one_place() -> None:
    """A SYN-ACK behind the ACK may have crossed it."""
    play = opened()
    play.synack()
    assert (3, "server (arrived)", "ESTABLISHED") in told(play)

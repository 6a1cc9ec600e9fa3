"""Which frame put a connection into its accept queue, and which its full listener ignored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.correlate.accept_queue import knocks_of, queued_ns
from netlab.correlate.admissions import Admission, backlog_of
from netlab.explain.scene import Scene
from netlab.model.recording import Host
from netlab.model.tables import State
from tests.playbook import INODE, Play

MS = 1_000_000
LISTENER: dict[str, Any] = {"inode": INODE["listener"], "fd": 3, "peer": None}


def listening(backlog: str = "0") -> Play:
    play = Play(wired=True)
    play.did("server", "listen", 0, args=backlog, **LISTENER)
    return play


def knocks(play: Play, *sports: int) -> None:
    """Clients from these ports, each with its handshake."""
    for sport in sports:
        play.frame("c>s", "S", 0, sport=sport, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=sport, options=play._offer())
        play.frame("c>s", "A", 1, 1, sport=sport)


def says(play: Play, sport: int) -> int:
    return play.frame("c>s", "PA", 1, 1, 5, sport=sport)


def accepts(play: Play, sport: int) -> None:
    play.did("server", "accept", sport, address=f"127.0.0.1:{sport}", new_inode=sport, **LISTENER)


def scene_of(play: Play) -> Scene:
    return Scene(play.tables(), play.raw)


def admitted(play: Play, connection: int) -> Admission:
    return scene_of(play).admissions.of[connection]


def frames(admission: Admission) -> tuple[int | None, list[int]]:
    """(the frame that did it, those that were ignored)."""
    done = admission.packet.frame if admission.packet is not None else None
    return done, [one.packet.frame for one in admission.ignored]


def test_a_queue_with_room_takes_the_last_ack() -> None:
    play = listening("1")
    knocks(play, 41000, 41001)
    for connection, ack in ((0, 3), (1, 6)):
        admission = admitted(play, connection)
        assert frames(admission) == (ack, [])
        assert admission.sure


@pytest.mark.parametrize("backlog", [0, 1, 3])
def test_one_more_than_the_backlog_stand_in_it(backlog: int) -> None:
    play = listening(str(backlog))
    knocks(play, *range(41000, 41000 + backlog + 3))
    found = [frames(admitted(play, number)) for number in range(backlog + 3)]
    acks = [3 * number + 3 for number in range(backlog + 3)]
    assert found[: backlog + 1] == [(ack, []) for ack in acks[: backlog + 1]]
    assert found[backlog + 1 :] == [(None, [ack]) for ack in acks[backlog + 1 :]]
    assert [one.waiting for one in admitted(play, backlog + 2).ignored] == [backlog + 1]


def test_the_first_data_after_an_accept_made_the_connection_of_an_ignored_ack() -> None:
    play = listening("0")
    knocks(play, 41000, 41001)
    play.now_ns += 5 * MS
    accepts(play, 41000)
    play.now_ns += 300 * MS
    data = says(play, 41001)
    play.frame("s>c", "A", 1, 6, sport=41001)
    accepts(play, 41001)
    assert frames(admitted(play, 1)) == (data, [6])


def test_data_that_came_again_without_an_answer_was_ignored_whatever_the_backlog() -> None:
    play = listening("what the program was given")
    knocks(play, 41000)
    first = says(play, 41000)
    play.now_ns += 210 * MS
    again = says(play, 41000)
    play.frame("s>c", "A", 1, 6, sport=41000)
    scene = scene_of(play)
    assert frames(scene.admissions.of[0]) == (again, [3, first])
    assert not scene.admissions.of[0].sure
    track = scene._all_tracks()[0]
    at_ns = next(p.arrived_ns for p in play.packets if p.frame == again)
    assert queued_ns(track, None, scene.records) == at_ns


@pytest.mark.parametrize("after_ms", [50, 199])
def test_data_whose_ack_may_only_have_been_late_was_not(after_ms: int) -> None:
    play = listening("16")
    knocks(play, 41000)
    says(play, 41000)
    play.now_ns += after_ms * MS
    says(play, 41000)
    play.frame("s>c", "A", 1, 6, sport=41000)
    assert frames(admitted(play, 0)) == (3, [])


def test_nor_was_data_that_the_wire_lost() -> None:
    play = listening("16")
    knocks(play, 41000)
    play.frame("c>s", "PA", 1, 1, 5, sport=41000, way="drop")
    play.now_ns += 210 * MS
    says(play, 41000)
    play.frame("s>c", "A", 1, 6, sport=41000)
    assert frames(admitted(play, 0)) == (3, [])


def test_nor_what_was_answered_by_an_ack_that_the_wire_lost() -> None:
    play = listening("16")
    knocks(play, 41000)
    says(play, 41000)
    play.frame("s>c", "A", 1, 6, sport=41000, way="drop")
    play.now_ns += 210 * MS
    says(play, 41000)
    play.frame("s>c", "A", 1, 6, sport=41000)
    assert frames(admitted(play, 0)) == (3, [])


def test_without_a_wire_the_copy_may_be_all_that_came() -> None:
    play = listening("16")
    play.wired = False
    knocks(play, 41000)
    says(play, 41000)
    play.now_ns += 210 * MS
    says(play, 41000)
    play.frame("s>c", "A", 1, 6, sport=41000)
    here, there = "192.0.2.1", "192.0.2.2"
    for packet in play.packets:
        packet.interface = "eth0"
        packet.src, packet.dst = (here, there) if packet.dport == 80 else (there, here)
    scene = scene_of(play)
    track = scene._all_tracks()[0]
    assert knocks_of(track, None, scene.records)[1] == []


def test_what_came_before_a_resent_synack_left_was_ignored() -> None:
    play = listening("16")
    knocks(play, 41000)
    play.now_ns += 1000 * MS
    play.frame("s>c", "SA", 0, 1, sport=41000, options=play._offer())
    ack = play.frame("c>s", "A", 1, 1, sport=41000)
    assert frames(admitted(play, 0)) == (ack, [3])


def test_a_frame_that_the_server_did_not_know_made_no_connection() -> None:
    play = listening("0")
    knocks(play, 41000, 41001)
    play.now_ns += 5 * MS
    accepts(play, 41000)
    play.now_ns += 90_000 * MS
    play.frame("c>s", "FA", 1, 1, sport=41001)
    play.frame("s>c", "R", 1, sport=41001)
    assert frames(admitted(play, 1)) == (None, [6])


def test_whom_nobody_was_seen_to_accept_and_who_was_spoken_to_is_not_in_the_queue() -> None:
    """A process that was not recorded took it."""
    play = listening("0")
    knocks(play, 41000)
    play.frame("s>c", "PA", 1, 1, 7, sport=41000)
    knocks(play, 41001)
    assert frames(admitted(play, 1)) == (7, [])


def test_what_came_in_though_it_was_full_shows_that_not_all_is_known() -> None:
    play = listening("0")
    knocks(play, 41000, 41001)
    says(play, 41001)
    play.frame("s>c", "A", 1, 6, sport=41001)
    scene = scene_of(play)
    admission = scene.admissions.of[1]
    assert admission.packet is not None
    assert not admission.sure
    queue = scene.admissions.queue_at(("127.0.0.1", 80))
    assert queue is not None
    assert queue.broken


def test_an_accept_that_may_just_have_made_room_leaves_it_open() -> None:
    play = listening("0")
    knocks(play, 41000)
    with play.call("server", "accept", 7, address="127.0.0.1:41000", new_inode=300, **LISTENER):
        knocks(play, 41001)
    admission = admitted(play, 1)
    assert frames(admission) == (6, [])
    assert not admission.sure


def test_an_accept_just_after_its_stamp_may_have_made_room_for_it() -> None:
    play = listening("0")
    knocks(play, 41000, 41001)
    accepts(play, 41000)
    admission = admitted(play, 1)
    assert frames(admission) == (6, [])
    assert not admission.sure


def test_the_kernels_word_settles_which_frame_it_was() -> None:
    play = listening("0")
    knocks(play, 41000, 41001)
    accepts(play, 41000)
    play.now_ns += 50 * MS
    data = says(play, 41001)
    play.frame("s>c", "A", 1, 6, sport=41001)
    tables = play.tables()
    made_ns = next(p.arrived_ns or 0 for p in play.packets if p.frame == data) + 30_000
    for connection, at_ns in ((0, play.packets[2].time_ns + 500), (1, made_ns)):
        tables.states.append(
            State(at_ns, "localhost", connection, "server", "SYN-RECEIVED", witness="kernel")
        )
    found = Scene(tables, play.raw).admissions.of
    assert (frames(found[0]), found[0].sure) == ((3, []), True)
    assert (frames(found[1]), found[1].sure) == ((data, [6]), True)


def test_each_family_has_its_own_listener() -> None:
    play = listening("0")
    other = {**LISTENER, "inode": 999, "local": "[::]:80", "family": "AF_INET6"}
    play.did("server", "listen", 0, args="16", **other)
    play.calls[0] = replace(play.calls[0], local="0.0.0.0:80")
    knocks(play, 41000, 41001)
    queues = scene_of(play).admissions
    of_four, of_six = queues.queue_at(("127.0.0.1", 80)), queues.queue_at(("::1", 80))
    assert of_four is not None
    assert of_four.backlog == 0
    assert of_six is None  # nobody came
    assert [one.local for one in queues.listens_at(("::1", 80))] == ["[::]:80"]
    assert frames(admitted(play, 1)) == (None, [6])


@pytest.mark.parametrize(
    ("asked", "most", "held"),
    [("4", "128", 4), ("500", "128", 128), ("-1", "128", 128), ("4", "", 4), ("?", "128", None)],
)
def test_a_backlog_is_what_its_host_allows(asked: str, most: str, held: int | None) -> None:
    sysctls = (("net.core.somaxconn", most),) if most else ()
    hosts = [Host("here", "6.1.0", sysctls), replace(Host("there", "6.1.0"), sysctls=())]
    assert backlog_of(asked, "here", hosts) == held

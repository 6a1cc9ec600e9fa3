"""A capture taken at one end, with the calls of that end: what can be said, and how surely."""

from __future__ import annotations

from dataclasses import replace

from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

HERE, THERE = "10.0.0.1", "10.0.0.2"


def moved(text: str | None) -> str | None:
    """An address of a play, where it would be on two machines."""
    if text is None:
        return None
    return text.replace("127.0.0.1", THERE if text.endswith(":80") else HERE)


def seen_by_the_client(play: Play, *also: str) -> Play:
    """The same on two machines, captured on the client's; its calls are known, and of `also`."""
    for packet in play.packets:
        for name, port in (("src", packet.sport), ("dst", packet.dport)):
            setattr(packet, name, THERE if port == 80 else HERE)
        packet.interface = "eth0"
    play.calls = [
        replace(
            call, host=call.actor, local=moved(call.local), peer=moved(call.peer),
            address=moved(call.address),
        )
        for call in play.calls if call.actor in ("client", *also)
    ]  # fmt: skip
    return play


def asked(thought_ms: int, *, round_trip_ms: int = 10) -> Play:
    """A connect over a round trip, a question, and an answer after a round trip and a thought."""
    play = Play()
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn()
        play.now_ns += round_trip_ms * MS
        play.synack()
        play.ack("c>s", 0)
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += (round_trip_ms + thought_ms) * MS
        play.data("s>c", 0, 50, 100)
    return seen_by_the_client(play)


def test_the_answer_is_split_by_the_round_trip_of_the_handshake() -> None:
    tables, rows = told(asked(30))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30), ("network", 10)]
    assert {row.certainty for row in rows if row.call == recv} == {"inferred"}
    assert "whose calls were not recorded" in of(rows, recv, "peer_app").text


def test_an_answer_within_a_round_trip_is_all_network() -> None:
    tables, rows = told(asked(0))
    assert causes(rows, number_of(tables, "recv")) == [("network", 10)]


def test_a_connect_is_network_and_only_inferred() -> None:
    tables, rows = told(asked(0))
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("network", 10)]
    assert of(rows, connect, "network").certainty == "inferred"


def test_a_syn_without_answer_may_have_been_lost_or_ignored() -> None:
    play = Play()
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn()
        play.now_ns += 1000 * MS
        play.syn()
        play.synack()
        play.ack("c>s", 0)
    tables, rows = told(seen_by_the_client(play))
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("syn_retry", 1000)]
    assert of(rows, connect, "syn_retry").certainty == "inferred"


def test_without_a_handshake_the_round_trip_is_not_known() -> None:
    play = Play()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += 40 * MS
        play.data("s>c", 0, 50, 100)
    tables, rows = told(seen_by_the_client(play))
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 40)]


def both_ends() -> Play:
    play = Play()
    play.handshake()
    with play.call("client", "recv", 50, size=4096):
        play.now_ns += 30 * MS
        with play.call("server", "send", 50, size=50):
            play.now_ns += 20 * MS
            play.data("s>c", 0, 50)
    return play


def test_calls_of_two_machines_say_when_the_peer_wrote_and_no_more() -> None:
    tables, rows = told(seen_by_the_client(both_ends(), "server"))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30), ("unknown", 20)]


def test_on_one_machine_a_capture_anywhere_is_at_both_ends() -> None:
    play = seen_by_the_client(both_ends(), "server")
    play.calls = [replace(call, host="here") for call in play.calls]
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30), ("scheduler", 20)]

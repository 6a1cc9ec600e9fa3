"""Captures of two machines, taken at the server's end: each ACK of the client is a way there and
back later than what it answers."""

from __future__ import annotations

from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.model.tables import TcpOptions
from tests.playbook import Play
from tests.waits_told import MS

RTT_MS = 40


def opened(*, window: int = 512, round_trip_ms: int = RTT_MS) -> Play:
    """After a handshake of which the client has heard all, as the server's end saw it."""
    play = Play(window=window)
    play.syn(), play.synack()
    play.now_ns += round_trip_ms * MS
    play.ack("c>s", 0)
    play.ack("s>c", 0)  # the first window that is scaled
    play.now_ns += round_trip_ms * MS
    return play


def apart(play: Play) -> Play:
    """Put its ends on two machines: no frame is at both ends at once."""
    for packet in play.packets:
        server_sent = packet.sport == 80
        packet.interface = "eth0"
        packet.src, packet.dst = "10.0.0.1", "10.0.0.2"
        if server_sent:
            packet.src, packet.dst = packet.dst, packet.src
    return play


def parts(play: Play) -> list[Part]:
    """The silences of its only connection."""
    tables = apart(play).tables()
    return silences_of(Scene(tables, play.raw), 0)


def causes(play: Play) -> list[tuple[str, int]]:
    """(cause, milliseconds) of each."""
    return [(part.cause, round(part.length_ns / MS)) for part in parts(play)]


def stamp(val: int, ecr: int) -> TcpOptions:
    """The timestamps option of a frame."""
    return TcpOptions(ts_val=val, ts_ecr=ecr)

"""The kernel's stamps and the frames of a wire, of the same sends: they agree on every one.

The kernel stamps a byte's leaving in the driver of the host's own link; the wire's frame is stamped
when it reaches the other end of that link, so never before, and some us behind. An ACK's arrival is
noted just before the wire hands it to the host, and the kernel stamps it once TCP has taken it in:
never before, and behind by what that takes. On a busy machine either may wait for a processor, or
for a program that holds the socket, so all but one are bounded by what would make the stamp another
frame's: half of the round trip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import state_programs as programs
from lab_process import run_netlab

from netlab.capture.files import read_raw
from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.ledger import ledger_mismatches
from netlab.correlate.stamps import stamp_notes
from netlab.explain.analysis import analyse
from netlab.lab.experiment import Lab
from netlab.model.call import OUTBOUND
from netlab.model.tables import Call, Direction, Packet, Role, Stamp, Tables

SIZES = [4093, 1, 1447, 1448, 1449, 30_011, 127]
BURST = 3
TOTAL = sum(SIZES) * (1 + BURST)
USUAL_NS = 500_000
MOMENTS = ("scheduled", "sent", "acked")


@dataclass
class Talk:
    """A conversation with stamps and packets, and how far apart the two may be."""

    tables: Tables
    most_ns: int

    def packet(self, frame: int) -> Packet:
        return next(p for p in self.tables.packets if p.frame == frame)

    def sends(self, direction: str) -> list[Call]:
        found = [c for c in self.tables.calls if c.op in OUTBOUND and c.direction == direction]
        return sorted(found, key=lambda call: call.start or 0)

    def first(self, direction: str, what: str) -> list[Stamp]:
        """Without those of segments that were sent again."""
        rows = [s for s in self.tables.stamps if (s.direction, s.what) == (direction, what)]
        found: list[Stamp] = []
        for row in rows:
            if not found or row.stop > found[-1].stop:  # type: ignore[operator]
                found.append(row)
        return found

    def frame_of(self, byte: int, direction: str, role: Role) -> int:
        """The one that the map names for a byte."""
        (frame,) = {
            s.frame
            for s in self.tables.spans
            if (s.role, s.direction) == (role, direction) and s.start <= byte < s.stop  # type: ignore[operator]
        }
        assert frame is not None
        return frame


WIRES = {
    "clean": ("delay 2ms", 2_000_000),
    "lossy": ("delay 30ms; loss 2% seed 1", 30_000_000),
    "reordered": ("delay 10ms; reorder c>s data 9 after 11; reorder s>c data 7 by 3", 10_000_000),
    "narrow": ("delay 20ms; mtu 900", 20_000_000),
}


@pytest.fixture(scope="module", params=WIRES)
def talk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    wire, delay_ns = WIRES[request.param]
    path = tmp_path_factory.mktemp("stamps") / "a.pcapng"
    # Where what was received leaves no room in its buffer, the kernel drops stamps.
    roomy = {host: {"net.ipv4.tcp_rmem": "4096 2000000 6291456"} for host in ("client", "server")}
    with Lab(path=path, wire=wire, sysctls=roomy, stamps=True, queues="off") as lab:
        server = lab.start("server", programs.echo_all, [programs.PORT])
        lab.wait_listening("server")
        client = lab.run(
            "client", programs.say_all, lab.address("server"), [programs.PORT], SIZES, BURST
        )
        lab.wait(server)
        assert lab.settle()
    assert client.value == server.value == TOTAL, client.stderr + server.stderr
    assert lab.recording.raw.losses == []
    assert ledger_mismatches(lab.recording.tables) == []
    return Talk(lab.recording.tables, max(delay_ns, 20_000_000))


@pytest.mark.parametrize("direction", list(Direction))
def test_the_stamps_speak_for_every_byte_and_end_where_sends_end(
    talk: Talk, direction: str
) -> None:
    sends = talk.sends(direction)
    stops = {send.stop for send in sends}
    for what in MOMENTS:
        rows = talk.first(direction, what)
        assert rows[0].start == 0
        assert all(a.stop == b.start for a, b in pairwise(rows))
        assert rows[-1].stop == TOTAL
        assert {row.stop for row in rows} <= stops
        assert all(row.call is not None for row in rows)
    scheduled, sent, acked = ({r.stop for r in talk.first(direction, w)} for w in MOMENTS)
    assert scheduled == sent >= acked  # segments that SACK told of side by side share an ACK's
    assert stamp_notes(talk.tables.stamps) == []


@pytest.mark.parametrize("direction", list(Direction))
def test_on_every_send_stamps_and_spans_agree(talk: Talk, direction: str) -> None:
    alone = 0
    for what, role in (("sent", Role.CARRIED), ("acked", Role.ACKED)):
        behind = []
        for send in talk.sends(direction):
            assert send.start is not None
            assert send.stop is not None
            row = next(r for r in talk.first(direction, what) if r.stop >= send.stop)  # type: ignore[operator]
            last = talk.packet(talk.frame_of(send.stop - 1, direction, role))
            if row.stop != send.stop:  # it waited with later sends, of which one took its mark over
                assert row.stop is not None
                marked = talk.packet(talk.frame_of(row.stop - 1, direction, role))
                when = (lambda p: p.time_ns) if what == "sent" else arrival_ns
                assert when(last) <= when(marked)
                last = marked
            else:
                alone += 1
            if what == "sent":
                assert row.time_ns >= send.entered_ns
                behind.append(last.time_ns - row.time_ns)
            else:
                behind.append(row.time_ns - arrival_ns(last))
        assert min(behind) > 0, what
        assert sorted(behind)[len(behind) // 2] < USUAL_NS, what
        assert sorted(behind)[-2] < talk.most_ns, what
    assert alone >= 2 * len(SIZES)  # those that waited for their echo, at least


def test_a_byte_is_scheduled_sent_and_acknowledged_in_this_order(talk: Talk) -> None:
    for direction in Direction:
        scheduled, sent, acked = (
            {row.stop: row.time_ns for row in talk.first(direction, what)} for what in MOMENTS
        )
        assert all(scheduled[stop] <= sent[stop] for stop in sent)
        assert all(sent[stop] < acked[stop] for stop in acked)


# -- chosen connections, and what is shown ---------------------------------------------------------


def test_only_chosen_connections_are_stamped(tmp_path: Path) -> None:
    ports = [programs.PORT, programs.PORT + 1]
    with Lab(path=tmp_path / "a.pcapng", stamps=[ports[1]]) as lab:
        server = lab.start("server", programs.echo_all, ports)
        lab.wait_listening("server", ports[1])
        client = lab.run("client", programs.say_all, lab.address("server"), ports, SIZES, 1)
        lab.wait(server)
        lab.settle()
    assert client.value == server.value, client.stderr + server.stderr
    tables = lab.recording.tables
    chosen = {c.connection for c in tables.connections if c.server_port == ports[1]}
    assert {(s.connection, s.direction) for s in tables.stamps} == {
        (number, direction) for number in chosen for direction in Direction
    }
    assert lab.recording.raw.losses == []
    assert lab.recording.raw.description.witnesses[-1].endswith("on TCP sockets of port 81")


def test_run_stamps_whom_it_is_told_to_and_follow_shows_it(tmp_path: Path) -> None:
    done = run_netlab(
        tmp_path, "run", "--clients", 2, "--size", 4093, "--stamps", "client-2", "--wire",
        "delay 5ms", "--quiet", "-o", "a.pcapng",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    raw = read_raw(tmp_path / "a.pcapng")
    assert raw.description.witnesses[-1].endswith("on TCP sockets of client-2")
    tables = analyse(raw)
    actors = {tables.calls[s.call - 1].actor for s in tables.stamps if s.call is not None}
    assert actors == {"client-2"}
    (connection,) = {s.connection for s in tables.stamps}
    shown = run_netlab(
        tmp_path, "follow", "a.pcapng", "--connection", f"{connection}", "--side", "client",
        "--byte", "4092",
    ).stdout  # fmt: skip
    steps = re.findall("[┬├┴] (\\w+)", shown)
    assert steps.index("scheduled") + 1 == steps.index("left")
    assert steps.index("left") + 1 == steps.index("carried")
    assert steps.index("acked") + 1 == steps.index("acknowledged")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--stamps", "clint"), "there is no program 'clint' to be stamped"),
        (("--stamps", "client-2"), "there is no program 'client-2' to be stamped"),
        (("--udp", "--stamps", "all"), "--stamps is about bytes of TCP"),
    ],
)
def test_whom_nobody_can_stamp(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = run_netlab(tmp_path, "run", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []

"""tshark's verdicts on the recording of a lab are netlab's, and what they have to do with spans.

One lab with a connection for each thing that a wire can do. tshark sees the frames as they left and
guesses; netlab saw the wire and the calls. Each rule below says where the two must agree, and by
what they differ where they do. Since stamps are those of departure, how long the way is decides
what tshark calls a fast retransmission: the last that the other end said must be 20 ms old at most.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import lab_case_programs as programs
import pytest
from lab_cases import MSS_BYTES
from tshark_verdicts import Judged, fields_of, judged_by_netlab, judged_by_tshark

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.lab.experiment import Lab
from netlab.model.tables import Packet, Role, Segment, Span, Tables

PIECE = 12 * MSS_BYTES
# A connection each: what the wire does with it, how much the client writes, how long the server
# waits before it reads.
CONNECTIONS = [
    ("", PIECE, 0),
    ("drop c>s conn 1 data 3", PIECE, 0),
    ("drop c>s conn 2 data 12", PIECE, 0),  # the last: a tail loss probe
    ("drop c>s conn 3 data 5 copy 1-2", PIECE, 0),
    ("loss conn 4 2% seed 1", 20 * PIECE, 0),
    ("reorder c>s conn 5 data 4 by 1", PIECE, 0),
    ("reorder c>s conn 6 data 4 by 3", PIECE, 0),
    ("reorder c>s conn 7 data 2 after 12", PIECE, 0),  # past ten others
    ("duplicate c>s conn 8 data 4", PIECE, 0),
    ("duplicate s>c conn 9 ack 3 times 3 by 1ms", PIECE, 0),
    ("delay s>c conn 10 any 2- by 100ms", PIECE, 0),  # sent again before its ACK is there
    ("cut conn 11 after c>s data 5 for 250ms", PIECE, 0),
    ("mtu conn 12 900 after data 3", PIECE, 0),
    ("drop conn 13 fin 1", PIECE, 0),
    ("corrupt c>s conn 14 data 6", PIECE, 0),
    ("", 8 * PIECE, 0.3),  # the window closes, is probed, and opens
    ("", 100, 1.2),  # idle: a keep-alive
]
WIRE = "; ".join(["delay 4ms", *(rule for rule, _, _ in CONNECTIONS if rule)])


class Seen(NamedTuple):
    """A recording as netlab and as tshark read it."""

    tables: Tables
    rows: list[dict[str, str]]
    there: dict[int, Judged]
    packets: dict[int, Packet]
    segments: dict[int, Segment]

    def frames(self, *roles: Role) -> set[int]:
        """The frames that netlab gives one of these roles."""
        return {span.frame for span in self.tables.spans if span.role in roles and span.frame}

    def called(self, *names: str) -> set[int]:
        """The frames to which tshark gives one of these verdicts."""
        return {frame for frame, said in self.there.items() if set(names) & set(said)}

    def with_payload(self, *, made: bool) -> set[int]:
        """Of a host, or made by the wire."""
        return {
            frame for frame, segment in self.segments.items()
            if segment.payload_len_bytes and self.packets[frame]._made == made
        }  # fmt: skip

    def acks(self, data: Segment) -> list[Packet]:
        """What acknowledges all the bytes of a segment, as it left."""
        return [
            self.packets[s.frame] for s in self.tables.segments
            if s.connection == data.connection and s.direction != data.direction
            and s.ack is not None and s.ack - 1 >= data.stop
        ]  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    path = tmp_path_factory.mktemp("lab") / "lab.pcapng"
    with Lab(path=path, wire=WIRE) as lab:
        pauses = [pause for _, _, pause in CONNECTIONS]
        server = lab.start("server", programs.take_in, pauses)
        lab.wait_listening("server", within_s=60)
        sizes = [size for _, size, _ in CONNECTIONS]
        client = lab.run("client", programs.bring, lab.address("server"), sizes)
        lab.wait(server)
        assert lab.settle()
        assert (client.status, server.status) == (0, 0), client.stderr + server.stderr
        assert [rule for rule, count in lab.fired if not count] == []
    tables = analyse(read_raw(path))
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    rows = fields_of(path)
    return Seen(
        tables, rows, judged_by_tshark(rows),
        {packet.frame: packet for packet in tables.packets},
        {segment.frame: segment for segment in tables.segments},
    )  # fmt: skip


def test_verdicts_are_tsharks(seen: Seen) -> None:
    assert judged_by_netlab(seen.tables.segments) == seen.there
    assert {name for said in seen.there.values() for name in said} >= {
        "retransmission", "duplicate_ack", "zero_window", "keep_alive", "keep_alive_ack",
    }  # fmt: skip


def test_streams_and_relative_numbers_are_tsharks(seen: Seen) -> None:
    streams = {row.connection: row.stream for row in seen.tables.connections}
    assert [
        [s.frame, streams[s.connection], s.seq, s.ack or 0, s.payload_len_bytes]
        for s in seen.tables.segments
    ] == [
        [int(row[field]) for field in
         ("frame.number", "tcp.stream", "tcp.seq", "tcp.ack", "tcp.len")]
        for row in seen.rows
    ]  # fmt: skip


def test_what_a_host_sent_again_is_what_tshark_takes_for_old(seen: Seen) -> None:
    """Old is all that lies behind the newest byte. Of a host that is a retransmission or, where it
    follows within a round trip, "out of order": in truth no host sends out of order."""
    old = seen.called("retransmission", "out_of_order")
    resent = seen.frames(Role.RESENT)
    assert resent
    assert old & seen.with_payload(made=False) == resent


def test_what_the_wire_made_is_old_to_tshark_and_nobody_s_to_netlab(seen: Seen) -> None:
    made = seen.with_payload(made=True)
    assert made
    assert made <= seen.called("retransmission", "out_of_order")
    assert not made & seen.frames(Role.CARRIED, Role.RESENT)


def test_what_left_after_its_ack_did_arrives_in_vain(seen: Seen) -> None:
    """Spurious is what an ACK covered that had left before: the bytes had arrived by then."""
    spurious = seen.called("spurious_retransmission")
    arrived = {frame for frame in spurious if seen.packets[frame].arrived_ns is not None}
    duplicates = seen.frames(Role.DUPLICATE)
    assert arrived
    assert arrived <= duplicates
    # Others that arrive in vain had left by then: no ACK of all their bytes was on its way.
    for frame in duplicates - spurious:
        left_ns = seen.packets[frame].time_ns
        assert all(ack.time_ns >= left_ns for ack in seen.acks(seen.segments[frame])), frame


def covers(span: Span, byte: int) -> bool:
    return span.start is not None and span.stop is not None and span.start <= byte < span.stop


def test_the_frame_that_an_ack_is_for_is_acked_by_the_first_that_arrives(seen: Seen) -> None:
    """tshark pairs a segment and the first ACK that left for just its end; netlab the first that
    came to the sender, which is another where that one was lost or overtaken."""
    acked: dict[tuple[int | None, str | None], list[Span]] = defaultdict(list)
    for span in seen.tables.spans:
        if span.role == Role.ACKED and span.frame:
            acked[seen.packets[span.frame].connection, span.direction].append(span)
    others = 0
    for frame, said in seen.there.items():
        data = seen.segments.get(said.get("acks_frame", 0))
        if data is None or not data.payload_len_bytes:
            continue
        came = [ack for ack in seen.acks(data) if ack.arrived_ns is not None]
        first = min(came, key=lambda ack: (ack.arrived_ns or 0, ack.frame))
        spans = acked[data.connection, data.direction]
        assert first.frame in [span.frame for span in spans if covers(span, data.stop - 1)], frame
        others += first.frame != frame
    assert others


def test_nothing_was_missed(seen: Seen) -> None:
    assert seen.called("lost_segment", "ack_lost_segment", "reused_ports") == set()

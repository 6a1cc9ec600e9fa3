"""A capture that the kernels read -> records of the tables, as the general path would make them.

For views of a few rows, for tests, and for JSON; bulk columns are made from the arrays elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netlab.correlate import kernels as k
from netlab.correlate.verdict_names import VERDICTS
from netlab.decode import kernels as d
from netlab.decode.numbers import link_name
from netlab.decode.packets import decode
from netlab.decode.transport import flags_text
from netlab.engine.flow_rows import STATES
from netlab.engine.layout import layout
from netlab.engine.whole import Whole
from netlab.model.tables import Direction, Fate, Packet, Segment

_ROW, _OUT = layout(d.ROW), layout(k.OUT)
_FATE = Fate.UNKNOWN.value


class Times:
    """The time of each row, looked up where it lies."""

    def __init__(self, whole: Whole) -> None:
        self._rows = whole.capture.records.rows

    def __getitem__(self, row: int) -> int:
        return int(self._rows.get(row, "time_ns"))


def packets(whole: Whole) -> Iterator[Packet]:
    """The rows of `packets`, in the file's order."""
    capture = whole.capture
    general = whole.packets_by_row() | read_alone(whole)
    for index, numbers in enumerate(capture.records.rows.rows(capture.count)):
        yield general[index] if index in general else packet_of(whole, index, numbers)


def packet_of(whole: Whole, index: int, numbers: tuple[int, ...]) -> Packet:
    """The packet in a row that a kernel read."""
    row = dict(zip(_ROW.names, numbers, strict=True))
    flow = whole.rows[row["flow"]]
    interface = whole.capture.raw.interfaces[row["interface"]]
    backward = row["marks"] & d.BACKWARD
    is_tcp = row["kind"] == d.TCP
    v6 = row["marks"] & d.IS_IPV6
    return Packet(
        whole.capture.number(index), row["time_ns"], None, _FATE, interface.name,
        link_name(interface.link), row["caplen_bytes"], row["origlen_bytes"],
        None if row["vlan"] == d.NO_VLAN else row["vlan"],
        6 if v6 else 4, flow.text(backward), flow.text(1 - backward), row["ttl"],
        None if v6 else row["ip_id"], row["ip_len_bytes"], None,
        "TCP" if is_tcp else "UDP", flow.ends[backward][1], flow.ends[1 - backward][1],
        flags_text(row["flags"]) if is_tcp else None, row["seq"] if is_tcp else None,
        row["ack"] if is_tcp else None, row["window"] if is_tcp else None,
        row["payload_off"], row["payload_len_bytes"],
        whole.connection_of[row["flow"]], _direction(flow.client == backward),
    )  # fmt: skip


def read_alone(whole: Whole, among: Sequence[int] | None = None) -> dict[int, Packet]:
    """Packets of no connection, and those with a fault to tell, by row; of all rows, or of some."""
    capture = whole.capture
    known = whole.packets_by_row()
    places, frames = [], []
    for index, frame in whole.frames(among):
        if index not in known:
            places.append(index)
            frames.append(frame)
    part = replace(capture.raw, frames=frames)
    found = {}
    rows = capture.records.rows.array(capture.count)[places]
    flows, marks = rows["flow"].tolist(), rows["marks"].tolist()
    for index, packet, flow, mark in zip(places, decode(part), flows, marks, strict=True):
        if flow >= 0:
            packet.connection = whole.connection_of[flow]
            packet.direction = _direction(whole.rows[flow].client == mark & d.BACKWARD)
        found[index] = packet
    return found


def segments(whole: Whole) -> Iterator[Segment]:
    """The rows of `segments`, in the file's order."""
    capture = whole.capture
    general = whole.segments_by_row()
    pairs = zip(
        capture.records.rows.rows(capture.count), capture.outs.rows(capture.count), strict=True
    )
    times = Times(whole)
    for index, (numbers, said) in enumerate(pairs):
        found = general.get(index) or segment_of(whole, index, numbers, said, times)
        if found is not None:
            yield found


def segment_of(
    whole: Whole, index: int, numbers: tuple[int, ...], said: tuple[int, ...], times: Times
) -> Segment | None:
    """The segment in a row, if there is one that a kernel followed."""
    row = dict(zip(_ROW.names, numbers, strict=True))
    if row["kind"] != d.TCP or whole.rows[row["flow"]].is_left:
        return None
    out = dict(zip(_OUT.names, said, strict=True))
    flow, found, length = whole.rows[row["flow"]], out["found"], row["payload_len_bytes"]
    syn, fin = bool(row["flags"] & k.SYN), bool(row["flags"] & k.FIN)
    start = out["seq"] + syn - 1
    if length == 0 and start < 0:
        start = 0
    segment = Segment(
        whole.capture.number(index), whole.connection_of[row["flow"]],
        _direction(flow.client == row["marks"] & d.BACKWARD), out["seq"], length + syn + fin,
        length, start, start + length, out["ack"] if found & k.ACK_KNOWN else None,
        row["window"] << (found >> k.SHIFT & 15) if found & k.WINDOW_KNOWN else None,
    )  # fmt: skip
    mine, other = divmod(found >> k.STATES_AT, k.STATES)
    segment.sender_state, segment.receiver_state = STATES[mine], STATES[other]
    if whole.capture.second is not None:
        whole.capture.second.fill(whole.capture, index, segment)
    if not found & k.JUDGED:
        return segment
    for bit, name in enumerate(VERDICTS):
        setattr(segment, name, bool(found >> bit & 1))
    if found & k.DUPLICATE_ACK:
        segment.duplicate_ack_num = out["number"]
        if out["rto_row"] >= 0:
            segment.duplicate_ack_frame = whole.capture.number(out["rto_row"])
    elif length:
        segment.bytes_in_flight = out["number"] or None
        segment.push_bytes = out["push_bytes"] or None
    if out["acks_row"] >= 0:
        segment.acks_frame = whole.capture.number(out["acks_row"])
        segment.ack_rtt_ns = row["time_ns"] - times[out["acks_row"]] or None
    if out["rto_row"] >= 0 and not found & k.DUPLICATE_ACK:
        segment.rto_ns = row["time_ns"] - times[out["rto_row"]] or None
        if segment.rto_ns:
            segment.rto_frame = whole.capture.number(out["rto_row"])
    return segment


def _direction(from_client: bool) -> Direction:
    return Direction.C2S if from_client else Direction.S2C

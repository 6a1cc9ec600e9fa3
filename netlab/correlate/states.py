"""What was sampled of sockets' states -> rows of `states` with connection and side.

The probe's samples belong to the socket of their call. One from outside (sock_diag) belongs to the
socket of recorded calls that had its inode and addresses then; where no call is known, to the
connection of its addresses. Ports are used again: then it is the last one that had begun when the
socket was first seen, and none where that cannot be told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from netlab.correlate.homes import Homes, Look
from netlab.correlate.kernel_states import states_from_events
from netlab.correlate.lives import Lives
from netlab.correlate.sockets import Sockets
from netlab.correlate.tcp_info import state_from_sample, states_from_call
from netlab.model.call import CallRecord
from netlab.model.kernel_event import KernelEvent
from netlab.model.sample import Sample, state_name
from netlab.model.tables import Connection, State


def states_of(
    records: Sequence[CallRecord],
    sockets: Sockets,
    samples: Sequence[Sample],
    connections: Iterable[Connection],
    events: Sequence[KernelEvent] = (),
) -> list[State]:
    """The rows in order of time."""
    rows: list[State] = []
    for record, socket in zip(records, sockets.by_call, strict=True):
        if record.tcp_info_before or record.tcp_info_after:  # of the socket called, not of the one
            connection = socket.connection if socket else None  # that accept returned
            side = socket.side if socket else None
            rows += states_from_call(record, connection, side)
    if samples or events:
        homes = Homes(Lives(sockets.all, records), connections)
        rows += _sampled(samples, homes)
        rows += states_from_events(events, homes)
    rows.sort(key=lambda row: row.time_ns)
    return rows


def _sampled(samples: Sequence[Sample], homes: Homes) -> list[State]:
    by_socket: dict[tuple[str, int, str, str], list[Sample]] = defaultdict(list)
    for sample in samples:  # a socket keeps its cookie, and gets its peer when it connects
        by_socket[sample.host, sample.cookie, sample.local, sample.peer].append(sample)
    rows = []
    for group in by_socket.values():
        group.sort(key=lambda sample: sample.time_ns)
        first = group[0]
        looks = [Look(one.time_ns, one.inode, state_name(one.state)) for one in group]
        home = homes.of(first.host, first.local, first.peer, looks)
        rows += [state_from_sample(sample, *home) for sample in group]
    return rows

"""A large capture that the engine read -> its connections, and its summary.

What takes a look at each packet by itself is not in it: checksums, frames that were captured twice,
the applications among the protocols. The summary says so. Nor which frames brought bytes again:
there are tshark's retransmissions, under that name.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.engine.sums import Sums
from netlab.engine.whole import Whole
from netlab.explain.troubles import (
    Trouble,
    failed_connections,
    is_refused,
    is_unanswered,
    of_the_capture,
    tsharks,
)
from netlab.model.tables import Connection
from netlab.show.views.connections import (
    ConnectionSummary,
    brought_all_once,
    connection_summary,
)
from netlab.show.views.recorded import InterfaceSummary, Ledger, secret_notes
from netlab.show.views.summary import Summary
from netlab.show.views.traffic import hierarchy, host_rows

_NOTE = (
    "a large capture, read in bulk: checksums, copies and what applications say were not looked at"
    " packet by packet"
)


def bulk_connections(rows: list[Connection]) -> tuple[ConnectionSummary, ...]:
    """The connections of a capture."""
    return tuple(connection_summary(row, [], 0 if brought_all_once(row) else None) for row in rows)


def bulk_summary(
    whole: Whole, path: str, *, busiest: int | None = None, most_hosts: int | None = None
) -> Summary:
    """What the capture at `path` holds; connections and hosts all, or those that moved most."""
    capture = whole.capture
    traffic = capture.traffic
    assert traffic is not None, "it was not counted"
    raw, seen = capture.raw, capture.records.interfaces()
    shown = whole.connections() if busiest is None else whole.busiest(busiest)
    hosts, hosts_more = traffic.hosts(most_hosts)
    return Summary(
        path=path, source="capture", title="", where="",
        start_ns=capture.records.began_ns,
        stop_ns=max((latest for frames, _, latest in seen if frames), default=None),
        frames=capture.count, frame_bytes=sum(size for _, size, _ in seen),
        calls=0, links=0, states=0, stamps=0,
        frames_without_connection=whole.frames_without_connection,
        protocols=hierarchy(traffic.stacks), hosts=host_rows(hosts), hosts_more=hosts_more,
        connections=bulk_connections(shown),
        connections_more=whole.connection_count - len(shown),
        interfaces=tuple(
            InterfaceSummary(one.name, frames, one.received, one.dropped)
            for one, (frames, _, _) in zip(raw.interfaces, seen, strict=True)
            if frames or one.received or one.dropped or len(raw.interfaces) == 1
        ),
        wire=None, witnesses=(), losses=(),
        ledger=Ledger(0, 0, 0, None, ()),
        notes=(*raw.description.notes, *secret_notes(raw), _NOTE),
        faults=tuple(raw.faults),
        troubles=tuple(sorted(_troubles(whole), key=lambda t: (-t.weight, -t.count))),
    )  # fmt: skip


def _troubles(whole: Whole) -> Iterator[Trouble]:
    yield from of_the_capture(whole.capture.raw)
    sums = whole.sums()
    others = [row for row in whole.general.tables.connections if row.protocol == "tcp"]
    reset = [row for row in others if row.close_kind == "rst"]
    refused = sum(map(is_refused, reset))
    for kind, count in (
        ("refused", sums.refused + refused),
        ("unanswered", sums.unanswered + sum(map(is_unanswered, others))),
        ("reset", sums.reset + len(reset) - refused),
    ):
        if count:
            yield failed_connections(kind, count)
    yield from tsharks({name: _verdicts(sums, others, name) for name in sums.verdicts})


def _verdicts(sums: Sums, others: list[Connection], name: str) -> int:
    """How many segments got a verdict, of both readers' connections."""
    return sums.verdicts[name] + sum(getattr(row, f"{name}_count") or 0 for row in others)

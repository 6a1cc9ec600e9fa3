"""Unix sockets: calls of one end <-> calls of the other, with no frames between.

Who is at the other end stands in `local_ends`; bytes of stream pairs are matched in
`local_streams`, messages in `local_messages`. Unix sockets lose nothing, so what was sent and not
read is still queued, or went with a close.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.local_ends import Ends
from netlab.correlate.local_join import LocalJoin
from netlab.correlate.local_messages import join_messages
from netlab.correlate.local_streams import stream_pair
from netlab.correlate.reasons import Reason
from netlab.correlate.sockets import Socket


def join_local(join: LocalJoin, sockets: Sequence[Socket]) -> None:
    """Match the calls of all Unix sockets; appends to the join's `connections`."""
    ends = Ends(sockets, join.calls)
    done: set[int] = set()
    for socket in sockets:
        if not socket.is_stream or socket.listens or id(socket) in done:
            continue
        other = ends.other(socket)
        done.update((id(socket), id(other)))
        if other is None and socket.accepted_by is None and not socket.calls:
            continue
        unknown = ends.why_alone(socket) if other is None else Reason.PEER_UNSURE
        if socket.accepted_by is not None:
            stream_pair(join, other, socket, unknown)
        else:
            stream_pair(join, socket, other, unknown)
    join_messages(join, [s for s in sockets if not s.is_stream], ends)

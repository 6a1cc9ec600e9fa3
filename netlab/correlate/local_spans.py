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
        if socket.accepted_by is not None:
            stream_pair(join, other, socket, _unknown(ends, socket))
        elif other is not None or socket.calls:
            stream_pair(join, socket, other, _unaccepted(ends, socket))
    join_messages(join, [s for s in sockets if not s.is_stream], ends)


def _unknown(ends: Ends, made: Socket) -> Reason:
    """Why the client of an accepted socket is not known."""
    one_of_ours = any(ends.may_belong(made, client) for client in ends.clients(made.listener))
    return Reason.PEER_UNSURE if one_of_ours else Reason.NO_PEER


def _unaccepted(ends: Ends, client: Socket) -> Reason:
    """Why the server of a client is not known."""
    listener = ends.listener(client)
    if listener is None:
        return Reason.NO_PEER
    if any(ends.may_belong(made, client) for made in listener.accepted):
        return Reason.PEER_UNSURE
    return Reason.STILL_QUEUED if listener.last_close is None else Reason.CLOSED_UNREAD

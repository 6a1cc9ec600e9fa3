"""What happens on the master's connections -> envelopes to workers, and how fast may it come.

Each message goes to the worker that the dispatcher chooses; connect, close and the watermarks to
the worker that has the session as a whole, where the rule gives it to one, else to the one that
`fixed` would choose. A worker whose line is full stops the reading of the connections whose
messages go there: their windows close, and it is the client that waits. They are read again as soon
as the line is empty. A dispatch function that raises is a callback that does: it is reported, and
that connection closed.

A client's FIN is passed behind its messages as a marker that the worker sends back, so that no
connection is closed while its answer is still being made.

Knows no forks and no signals. Read first: switchboard.py, dispatch.py, engine.py (Events).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial

from netlab.server.callbacks import Caller
from netlab.server.family.dispatch import CLOSE, DISCARD, FALL_BACK, NO_WORKER, Dispatcher
from netlab.server.family.engines import Engines
from netlab.server.messages.envelope import HEAD_BYTES, MESSAGE_LIMIT_BYTES, Kind, head_bytes
from netlab.server.messages.parcel import parcel_from, parcel_from_packet
from netlab.server.messages.switchboard import Station, Switchboard
from netlab.server.shared.counters import Counter
from netlab.server.shared.estate import Estate
from netlab.server.sockets.connection import Connection
from netlab.server.sockets.outgoing import BY_INPUT
from netlab.server.terms import Client, ClientInfo, Closed, CloseReason, DispatchKind, host_of

_RECEIVE = int(Kind.RECEIVE)
LONGEST_BYTES = MESSAGE_LIMIT_BYTES - HEAD_BYTES
_NOBODY_BUSY: dict[int, int] = {}
_RAISED = -5  # beside the numbers in dispatch.py: the user's function did
_HANDLED = int(Counter.REQUEST_COUNT)
_DISPATCHED = int(Counter.DISPATCH_COUNT)


class Dispatching:
    """The events of all engines of the master."""

    def __init__(
        self,
        switchboard: Switchboard,
        estate: Estate,
        row: memoryview,
        caller: Caller,
        report: Callable[[str], None],
        moved: Callable[[], None],
    ) -> None:
        self._switchboard = switchboard
        self._estate = estate
        options = estate.options
        self._row = row
        self._caller = caller
        self._callbacks = frozenset(caller.callbacks)
        self._moved = moved
        kind = options.dispatch
        self._dispatcher = Dispatcher(kind, options.workers, options.dispatch_func, report)
        self._fixed = Dispatcher(DispatchKind.FIXED, options.workers)
        self._for_session = self._dispatcher if kind.keeps_order else self._fixed
        self._of_packets = Dispatcher(
            DispatchKind.ADDRESS if kind.keeps_order else DispatchKind.ROUND, options.workers
        )
        self._by_load = kind is DispatchKind.IDLE
        self._by_session_alone = kind is DispatchKind.FIXED
        self._choices: dict[int, int] = {}  # of fixed, while the live workers are the same
        self._live: list[int] = []
        self._stations: dict[int, Station] = {}
        self._inodes: dict[int, int] = {}  # of the socket of a session: what a recording knows
        self._held: dict[str, dict[Connection, None]] = {}  # not read, by who is full
        self._markers: dict[str, list[Connection]] = {}  # sent to a worker, not come back
        self._engines: Engines

    def serve(self, engines: Engines) -> None:
        """The engines whose events these are; both are made for each other."""
        self._engines = engines

    # -- workers ---------------------------------------------------------------------------------

    def worker_serves(self, station: Station) -> None:
        """A worker takes its slot."""
        station.handled_before = station.row[_HANDLED]
        self._stations[station.number] = station
        self._set_live()
        self._release(station.name)

    def worker_leaves(self, station: Station) -> None:
        """It gets nothing new."""
        if self._stations.get(station.number) is station:
            del self._stations[station.number]
            self._set_live()

    def worker_gone(self, station: Station) -> None:
        """It is gone, and what it has not dealt with is lost."""
        self.worker_leaves(station)
        lost = station.sent - self._handled(station)
        if lost > 0:
            self._row[Counter.LOST_COUNT] += lost
        for connection in self._markers.pop(station.name, []):
            self._engines.run(connection.session, connection.answered)
        self._release(station.name)

    def resized(self, workers: int) -> None:
        """So many workers share the work."""
        for dispatcher in (self._dispatcher, self._fixed, self._of_packets):
            dispatcher.workers = workers
        self._choices.clear()

    def drained(self, station: Station) -> None:
        """What waited for a worker has been sent."""
        self._release(station.name)

    def idle_workers(self) -> int:
        """How many have nothing in hand."""
        return sum(s.sent <= self._handled(s) for s in self._stations.values())

    def worker_of(self, info: ClientInfo) -> int | None:
        """Who is asked for this session, where the rule says so for all of its messages."""
        if not (self._dispatcher.kind.keeps_order and self._live):
            return None
        host, uid = host_of(info.client), info.uid
        return self._dispatcher.choose(info.session, self._live, host=host, uid=uid)

    def marker(self, session: int, name: str) -> None:
        """A worker has dealt with all that a client sent before its FIN."""
        waiting = self._markers.get(name, [])
        for connection in waiting:
            if connection.session == session:
                waiting.remove(connection)
                self._engines.run(session, connection.answered)
                return

    # -- events ----------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self._moved()
        self._estate.admitted(connection.session, connection.entrance)
        with contextlib.suppress(OSError):  # gone already
            self._inodes[connection.session] = os.fstat(connection.descriptor).st_ino
        if "connect" in self._callbacks:
            self._tell(Kind.CONNECT, connection)

    def received(self, connection: Connection, message: bytes) -> None:
        session = connection.session
        if self._by_session_alone:
            number = self._choices.get(session, NO_WORKER)
            if number == NO_WORKER:
                number = self._chosen(self._dispatcher, connection, message)
                if number >= 0:
                    self._choices[session] = number
        else:
            number = self._chosen(self._dispatcher, connection, message)
        about = self._inodes.get(session, 0)
        envelope = head_bytes(_RECEIVE, 0, 0, session, about, 0) + message
        if number < 0:
            self._to_nobody(number, connection, envelope, about)
            return
        station = self._stations[number]
        self._row[_DISPATCHED] += 1
        if not self._switchboard.hand(station, envelope, about) and len(message) > LONGEST_BYTES:
            text = f"{len(message)} bytes are too many for a message between processes"
            self._engines.run(session, partial(connection.end, CloseReason.ERROR, text))
        limit = connection.options.input_limit
        if limit and station.line.queued_bytes > limit:
            self._hold(station.name, connection)

    def half_closed(self, connection: Connection, *, noted: bool = False) -> None:
        """`noted`: the connection was told that somebody has to answer; that is taken back."""
        names = [station.name for station in self._stations.values()]
        if self._dispatcher.kind.keeps_order or not names:
            names = [self._name_for(connection)]
        for name in names:
            self._markers.setdefault(name, []).append(connection)
            self._engines.run(connection.session, connection.dispatched)
            self._switchboard.to_name(name, head_bytes(
                Kind.HALF_CLOSE, 0, 0, connection.session, self._about(connection), 0
            ))  # fmt: skip
        if noted:
            self._engines.run(connection.session, connection.answered)

    def closed(self, connection: Connection, closed: Closed) -> None:
        session = connection.session
        if "close" in self._callbacks:
            self._tell(
                Kind.CLOSED,
                connection,
                parcel_from((closed.reason.value, closed.errno, closed.detail)),
            )
        for waiting in self._markers.values():
            if connection in waiting:
                waiting.remove(connection)
        for held in self._held.values():
            held.pop(connection, None)
        self._engines.drained_enough(connection)
        self._inodes.pop(session, None)
        self._choices.pop(session, None)

    def buffer_full(self, connection: Connection) -> None:
        if "buffer_full" in self._callbacks and self._has_watermark(connection):
            self._tell(Kind.BUFFER_FULL, connection)

    def buffer_empty(self, connection: Connection) -> None:
        self._engines.drained_enough(connection)
        if "buffer_empty" in self._callbacks and self._has_watermark(connection):
            self._tell(Kind.BUFFER_EMPTY, connection)

    def _has_watermark(self, connection: Connection) -> bool:
        """Else the one that the connection has is ours: see `without_limit`."""
        return self._estate.ports[connection.entrance].high_watermark > 0

    def packet(self, data: bytes, client: Client) -> None:
        if not self._live:
            return  # a datagram may be lost anywhere
        host = host_of(client.address) or str(client.address)
        number = self._of_packets.choose(0, self._live, host=host)
        station = self._stations[number]
        limit = self._estate.options.input_limit
        if limit and station.line.queued_bytes > limit:
            return
        self._row[_DISPATCHED] += 1
        envelope = head_bytes(Kind.PACKET, 0, 0, 0, 0, 0) + parcel_from_packet(client, data)
        self._switchboard.hand(station, envelope)

    # -- choosing --------------------------------------------------------------------------------

    def _chosen(self, dispatcher: Dispatcher, connection: Connection, message: bytes) -> int:
        try:
            return dispatcher.choose(
                connection.session,
                self._live,
                host=host_of(connection.address),
                uid=connection.uid,
                data=message,
                busy=self._busy() if self._by_load else _NOBODY_BUSY,
            )
        except MemoryError:
            raise
        except Exception as error:
            self._caller.report("dispatch_func", error, connection.session)
            return _RAISED

    def _busy(self) -> dict[int, int]:
        return {n: s.sent - self._handled(s) for n, s in self._stations.items()}

    def _handled(self, station: Station) -> int:
        handled: int = station.row[_HANDLED] - station.handled_before
        return handled

    def _name_for(self, connection: Connection) -> str:
        """The worker that has a session as a whole, or will have it when one is there."""
        number = self._chosen(self._for_session, connection, b"")
        if number < 0:
            number = self._fixed.choose(connection.session, range(self._fixed.workers))
        return f"worker-{number}"

    def _tell(self, kind: Kind, connection: Connection, payload: bytes = b"") -> None:
        about = self._about(connection)
        envelope = head_bytes(kind, 0, 0, connection.session, about, 0) + payload
        self._switchboard.to_name(self._name_for(connection), envelope, about)

    def _about(self, connection: Connection) -> int:
        return self._inodes.get(connection.session, 0)

    def _to_nobody(self, number: int, connection: Connection, envelope: bytes, about: int) -> None:
        """The dispatch function said so, or nobody is live: then it waits for who comes."""
        if number in (CLOSE, _RAISED):
            reason = CloseReason.LOCAL if number == CLOSE else CloseReason.CALLBACK
            self._engines.run(connection.session, partial(connection.end, reason))
        elif number != DISCARD:
            assert number in (NO_WORKER, FALL_BACK)
            name = self._name_for(connection)
            self._switchboard.to_name(name, envelope, about)
            self._hold(name, connection)

    # -- holding ---------------------------------------------------------------------------------

    def _hold(self, name: str, connection: Connection) -> None:
        held = self._held.setdefault(name, {})
        if connection not in held:
            held[connection] = None
            self._engines.run(connection.session, partial(connection.pause, BY_INPUT))

    def _release(self, name: str) -> None:
        for connection in self._held.pop(name, ()):
            self._engines.run(connection.session, partial(connection.resume, BY_INPUT))

    def _set_live(self) -> None:
        self._live = sorted(self._stations)
        self._choices.clear()

"""The hub's end of all lines: envelopes in from one process, out to another, tasks kept in view.

Every child has one line, to the hub; what two children say to each other passes here. A name
(worker-1) may have several processes for a while: one serves and gets what is new, others leave and
get only what is theirs, answers and results, told by the generation in an envelope's `number`.
What is for a name that nobody serves now (it died, the next one boots) waits. A task is in a task
worker's hands until its last result has passed; when that worker dies first, its giver is told.

It knows names and lines; what verbs on sessions mean, the hub says (`Hub`). Read first:
envelope.py.
"""

from __future__ import annotations

import select
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from netlab.server.channels import Channel, MessageTooLarge
from netlab.server.loop.reactor import Reactor
from netlab.server.messages.envelope import (
    Envelope,
    Kind,
    bytes_from_envelope,
    envelope_from_bytes,
)
from netlab.server.messages.line import Line, Waiting
from netlab.server.messages.messenger import FAILED, LAST, Refused, is_for_messenger
from netlab.server.messages.parcel import parcel_from
from netlab.server.terms import SendError

_BACK_TO_ASKER = frozenset({Kind.FINISH, Kind.TASK_LOST, Kind.ANSWER})
_SEND = int(Kind.SEND)
_WORK = frozenset({Kind.RECEIVE, Kind.PACKET})


class Hub(Protocol):
    """What the process that holds the switchboard does with what is its own affair."""

    def verb(self, message: bytes) -> None:
        """A verb on a session, for who owns the connection; the message is an envelope's bytes."""
        ...

    def deliver(self, envelope: Envelope) -> None:
        """An envelope to this process itself."""
        ...

    def gone(self, station: Station) -> None:
        """A process is gone, and all that it sent has been read."""
        ...

    def drained(self, station: Station) -> None:
        """What waited for a station is sent."""
        ...


class Station:
    """One process at the other end of a line."""

    __slots__ = ("about_to_go", "generation", "handled_before", "line", "name", "number", "row",
                 "sent", "tasks")  # fmt: skip

    def __init__(self, name: str, generation: int, row: memoryview) -> None:
        self.name = name
        self.number = int(name.rpartition("-")[2]) if "-" in name else 0
        self.generation = generation
        self.row = row  # of the shared counters: what it did
        self.sent = 0  # messages of connections that were handed to it
        self.handled_before = 0
        self.tasks: dict[tuple[str, int], None] = {}  # (giver, number) in its hands
        self.about_to_go = False
        self.line: Line


class Switchboard:
    """Routes; is the hub's own `Wire` too."""

    def __init__(
        self, reactor: Reactor, here: Collection[str], hub: Hub, report: Callable[[str], None]
    ) -> None:
        """`here` are the names that this process itself answers to."""
        self._reactor = reactor
        self._here = frozenset(here)
        self._hub = hub
        self._report = report
        self._stations: dict[tuple[str, int], Station] = {}
        self._serving: dict[str, Station] = {}
        self._names: set[str] = set()
        self._waiting: defaultdict[str, list[tuple[bytes, int]]] = defaultdict(list)
        self._waiting_tasks: list[bytes] = []
        self._heard: list[Envelope] | None = None  # while this process waits for an answer

    # -- who is there ----------------------------------------------------------------------------

    def plug(self, name: str, generation: int, channel: Channel, row: memoryview) -> Station:
        """A new process has its line; it serves when it is told to."""
        station = Station(name, generation, row)
        station.line = Line(
            channel,
            self._reactor,
            lambda messages: self._hear(messages),
            lambda: self._gone(station),
            lambda: self._hub.drained(station),
            lambda unsent: self._unsent(station, unsent),
        )
        self._stations[name, generation] = station
        self._names.add(name)
        return station

    def serve(self, name: str, generation: int) -> Station | None:
        """From now on it has the name, and gets what waited for it."""
        station = self._stations.get((name, generation))
        if station is None:
            return None  # gone already
        self._serving[name] = station
        for message, about in self._waiting.pop(name, []):
            send = self.hand if message[0] in _WORK else self.to_station
            send(station, message, about)
        if name.startswith("task"):
            tasks, self._waiting_tasks = self._waiting_tasks, []
            for message in tasks:
                self.route(message)
        return station

    def leave(self, name: str, generation: int) -> None:
        """Tell it, behind all that it was handed, that no more will come."""
        station = self._stations.get((name, generation))
        if station is not None and not station.about_to_go:
            station.about_to_go = True
            if self._serving.get(name) is station:
                del self._serving[name]
            self.to_station(station, bytes_from_envelope(Envelope(Kind.LEAVE, "", name)))

    def forget(self, name: str) -> None:
        """The name is nobody's any more."""
        self._names.discard(name)
        self._waiting.pop(name, None)

    def serving(self, name: str) -> Station | None:
        """Who has the name now."""
        return self._serving.get(name)

    def stations(self) -> Iterator[Station]:
        """Everybody with a line."""
        return iter(list(self._stations.values()))

    def let_go(self) -> None:
        """Close every line in a child that has them only because of the fork."""
        for station in self._stations.values():
            station.line.let_go()

    def close(self) -> None:
        """Close every line."""
        for station in self.stations():
            station.line.close()
        self._stations.clear()
        self._serving.clear()

    # -- what passes -----------------------------------------------------------------------------

    def to_station(self, station: Station, message: bytes, about: int = 0) -> bool:
        """Send to one process; False when the message is longer than can be sent."""
        try:
            station.line.send(message, about)
        except MessageTooLarge as error:
            self._report(f"a message for {station.name} is dropped: {error}")
            return False
        return True

    def hand(self, station: Station, message: bytes, about: int = 0) -> bool:
        """Send a message of a connection, and count it: it is in that process's hands now."""
        station.sent += 1
        return self.to_station(station, message, about)

    def _unsent(self, station: Station, unsent: Waiting) -> None:
        """It was gone already: what was for its name waits for who gets that next."""
        if self._serving.get(station.name) is station:
            del self._serving[station.name]
        for message, about in unsent:
            kind = message[0]
            if kind in _WORK:
                station.sent -= 1
            if kind == Kind.TASK:
                envelope = envelope_from_bytes(message)
                station.tasks.pop((envelope.source, envelope.number), None)
                self._give_task(envelope, message)
            elif not station.about_to_go and station.name in self._names:
                self.to_name(station.name, message, about)

    def to_name(self, name: str, message: bytes, about: int = 0) -> None:
        """Send to who has the name now, or will have it."""
        station = self._serving.get(name)
        if station is not None:
            self.to_station(station, message, about)
        else:
            self._waiting[name].append((message, about))

    def route(self, message: bytes) -> None:
        """Pass on what one of the processes, or this one, has sent."""
        if not message[8:12].strip(b"\0") and message[0] not in (Kind.TASK,):
            self._hub.verb(message)
            return
        envelope = envelope_from_bytes(message)
        kind, target = envelope.kind, envelope.target
        if kind == Kind.TASK:
            self._give_task(envelope, message)
            return
        if kind == Kind.FINISH and envelope.session == LAST:
            task_worker = self._serving_or_leaving(envelope)
            if task_worker is not None:
                task_worker.tasks.pop((target, envelope.number), None)
        if target in self._here:
            self._deliver(envelope)
        elif target in self._names:
            self._forward(envelope, message)
        elif kind == Kind.ASK:
            self._send_back(envelope, SendError.NO_SUCH_TARGET)
        else:
            self._report(f"{envelope.source} has a message for {target}, which does not exist")

    def _forward(self, envelope: Envelope, message: bytes) -> None:
        name = envelope.target
        if envelope.kind in _BACK_TO_ASKER:
            station = self._stations.get((name, (envelope.number >> 32) + 1))
            if station is not None:
                self.to_station(station, message, envelope.about)
                return
        self.to_name(name, message, envelope.about)

    def _serving_or_leaving(self, envelope: Envelope) -> Station | None:
        """The task worker that has this task in its hands."""
        key = envelope.target, envelope.number
        for station in self._stations.values():
            if station.name == envelope.source and key in station.tasks:
                return station
        return None

    def _give_task(self, envelope: Envelope, message: bytes) -> None:
        if envelope.target:
            station = self._serving.get(envelope.target)
        else:
            everybody = [s for s in self._serving.values() if s.name.startswith("task")]
            # Not its giver, who may be waiting for it, if there is anybody else.
            others = [s for s in everybody if s.name != envelope.source] or everybody
            station = min(others, key=lambda station: len(station.tasks), default=None)
        if station is None:
            if not envelope.target or envelope.target in self._names:
                self._waiting_tasks.append(message)
            else:
                self._tell_lost(envelope.source, envelope.number)
            return
        station.tasks[envelope.source, envelope.number] = None
        self.to_station(station, message)

    def _send_back(self, envelope: Envelope, error: SendError) -> None:
        self.post(
            Envelope(
                Kind.ANSWER, envelope.target, envelope.source, FAILED, 0, envelope.number,
                parcel_from(str(error)),
            )
        )  # fmt: skip

    def _tell_lost(self, giver: str, number: int) -> None:
        envelope = Envelope(Kind.TASK_LOST, "", giver, number=number)
        if giver in self._here:
            self._deliver(envelope)
        elif giver in self._names:
            self._forward(envelope, bytes_from_envelope(envelope))

    def _deliver(self, envelope: Envelope) -> None:
        if self._heard is not None and is_for_messenger(envelope.kind):
            self._heard.append(envelope)
        else:
            self._hub.deliver(envelope)

    def _hear(self, messages: list[bytes]) -> None:
        verb = self._hub.verb
        for message in messages:
            if message[0] == _SEND:  # nearly all are
                verb(message)
            else:
                self.route(message)

    def _gone(self, station: Station) -> None:
        del self._stations[station.name, station.generation]
        if self._serving.get(station.name) is station:
            del self._serving[station.name]
        for giver, number in station.tasks:
            self._tell_lost(giver, number)
        self._hub.gone(station)

    # -- this process's own wire -----------------------------------------------------------------

    def post(self, envelope: Envelope) -> None:
        """Send what this process has to say. Raises Refused."""
        target = envelope.target
        if target and target not in self._here and target not in self._names:
            raise Refused(SendError.NO_SUCH_TARGET)
        self.route(bytes_from_envelope(envelope))

    def listen(self, timeout_s: float) -> list[Envelope]:
        """Block until a line brings something for this process; all else is passed on meanwhile."""
        heard: list[Envelope] = []
        outer, self._heard = self._heard, heard  # an answer may need questions of its own
        try:
            waiting = select.poll()
            for station in self._stations.values():
                station.line.flush()
            lines = {s.line.channel.fileno(): s.line for s in self._stations.values()}
            if not lines:
                raise Refused(SendError.NO_SUCH_TARGET)
            for descriptor in lines:
                waiting.register(descriptor, select.POLLIN)
            for descriptor, events in waiting.poll(timeout_s * 1000):
                if not lines[descriptor].closed:
                    lines[descriptor].ready(events)
        finally:
            self._heard = outer
        return heard

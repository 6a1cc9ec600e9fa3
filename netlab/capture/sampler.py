"""Looks at the TCP sockets of hosts at a steady rate: sock_diag dumps -> samples.

A look that finds a socket as it was gives no sample, but once a second, to say that it is still
there: TCP_INFO counts milliseconds since this and that, which do not count as news. TIME-WAIT is
left out (the kernel keeps next to nothing of it), and so are sockets that are bound and no more.

Whoever owns the loop calls `poll` once `fileno()` is readable, and as often as they like: a look
takes as long as the kernel walks its table and waits for nobody. One that comes late finds how many
ticks were missed. A kernel that refuses is asked no more, and `refused` says so.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from functools import partial

from netlab.capture import sockdiag
from netlab.capture.sockdiag import SKMEMINFO, TCP_INFO, DiagRow, Ends
from netlab.capture.ticks import Ticks
from netlab.model.records import dataclass
from netlab.model.sample import TCP_STATES, Sample

_LEFT_OUT = ("TIME-WAIT", "CLOSED")
_STATES = sum(1 << number for number, name in enumerate(TCP_STATES) if name not in ("", *_LEFT_OUT))
_AGAIN_NS = 1_000_000_000
# tcpi_last_data_sent ... tcpi_last_ack_recv: milliseconds that pass without anything happening.
_AGES = slice(44, 60)
_MEMORY_BYTES = 4
_TCP, _WANTED = socket.IPPROTO_TCP, (TCP_INFO, SKMEMINFO)
Endpoint = tuple[str, int]  # address and port


@dataclass(slots=True)
class _Known:
    """What was last written of a socket, and the look that last saw it."""

    local: str
    peer: str
    news: tuple[object, ...] = ()
    written_ns: int = 0
    look: int = 0


@dataclass(slots=True)
class _Place:
    """A host, its netlink socket, and its sockets by cookie."""

    host: str
    netlink: socket.socket
    known: dict[int, _Known] = field(default_factory=dict)
    watched: dict[Ends, None] | None = None  # None: all


class Sampler:
    """The sockets of several hosts, each asked through a netlink socket of its own namespace.

    All of them, or, with `chosen`, those that were named to `watch`.
    """

    def __init__(
        self, hosts: Mapping[str, socket.socket], every_ns: int, *, chosen: bool = False
    ) -> None:
        self._places = [
            _Place(host, netlink, watched={} if chosen else None) for host, netlink in hosts.items()
        ]
        self._ticks = Ticks(every_ns)
        self.every_ns = every_ns
        self.looks = 0
        self.missed = 0  # ticks at which nobody looked
        self.refused = ""  # why it was given up

    def fileno(self) -> int:
        """Readable when it is time for another look."""
        return self._ticks.fileno()

    def watch(self, host: str, local: Endpoint, peer: Endpoint | None) -> None:
        """Look at this connection, or listener (no peer), too, for as long as it is there."""
        for place in self._places:
            if place.host == host and place.watched is not None:
                with suppress(ValueError):
                    place.watched[sockdiag.ends_of(local, peer)] = None

    def poll(self) -> list[Sample]:
        """What is new, if it is time."""
        ticks = self._ticks.take()
        if not ticks or self.refused:
            return []
        self.missed += ticks - 1
        return self.look()

    def look(self) -> list[Sample]:
        """What is new, now."""
        self.looks += 1
        found: list[Sample] = []
        try:
            for place in self._places:
                for ask in self._questions(place):
                    self._look_at(place, ask, found)
                place.known = {
                    cookie: known
                    for cookie, known in place.known.items()
                    if known.look == self.looks
                }
        except OSError as error:
            self.refused = os.strerror(error.errno or 0).lower()
        return found

    def _questions(self, place: _Place) -> Iterator[Callable[[], list[DiagRow]]]:
        """What to ask of a place, one after the other: each with a moment of its own."""
        ask, watched = place.netlink, place.watched
        if watched is None:
            for family in (socket.AF_INET, socket.AF_INET6):
                yield partial(sockdiag.dump, ask, family, _TCP, states=_STATES, wanted=_WANTED)
            return
        for ends in list(watched):
            yield partial(_one, ask, ends, watched)

    def _look_at(
        self, place: _Place, ask: Callable[[], list[DiagRow]], found: list[Sample]
    ) -> None:
        before_ns = time.time_ns()
        rows = ask()
        now_ns = time.time_ns()
        for row in rows:
            known = place.known.get(row.cookie)
            if known is None:
                known = _Known(_text(*row.local), _text(*row.peer))
                place.known[row.cookie] = known
            known.look = self.looks
            news = _news(row)
            if news == known.news and now_ns < known.written_ns + _AGAIN_NS:
                continue
            known.news, known.written_ns = news, now_ns
            found.append(_sample(place.host, row, known, now_ns, max(0, now_ns - before_ns)))

    def start(self) -> None:
        """The first look is due now, and the others from here on."""
        self._ticks.start()

    def looks_text(self) -> str:
        """How often it has looked, in words that go on with a sentence; empty before it did."""
        if self.refused:
            return f", given up after {self.looks:,} looks: {self.refused}"
        if not self.looks:
            return ""
        missed = f", {self.missed:,} missed: the recorder was busy" if self.missed else ""
        return f": {self.looks:,} looks{missed}"

    def stop(self) -> None:
        """Look no more: nobody can write what is seen."""
        self._ticks.stop()

    def close(self) -> None:
        """Tick no more; the netlink sockets are their owner's."""
        self._ticks.close()


def _one(netlink: socket.socket, ends: Ends, watched: dict[Ends, None]) -> list[DiagRow]:
    """The socket with these ends; it is watched no more when it is not there, or as good as."""
    row = sockdiag.lookup(netlink, _TCP, ends, wanted=_WANTED)
    if row is None or not (1 << row.state) & _STATES:
        del watched[ends]
        return []
    return [row]


def _news(row: DiagRow) -> tuple[object, ...]:
    """What makes a difference between two looks."""
    info = row.attributes.get(TCP_INFO, b"")
    return (
        row.state,
        row.rqueue,
        row.wqueue,
        row.inode,
        info[: _AGES.start],
        info[_AGES.stop :],
        row.attributes.get(SKMEMINFO),
    )


def _sample(host: str, row: DiagRow, known: _Known, time_ns: int, within_ns: int) -> Sample:
    memory = memoryview(row.attributes.get(SKMEMINFO, b""))
    whole = len(memory) // _MEMORY_BYTES * _MEMORY_BYTES
    return Sample(
        time_ns=time_ns,
        within_ns=within_ns,
        host=host,
        inode=row.inode,
        cookie=row.cookie,
        local=known.local,
        peer=known.peer,
        state=row.state,
        rqueue=row.rqueue,
        wqueue=row.wqueue,
        tcp_info=row.attributes.get(TCP_INFO),
        memory=tuple(memory[:whole].cast("I")),
    )


def _text(address: object, port: int) -> str:
    text = f"{address}"
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"

"""Events of the network, in every context -> those of the sockets that are watched.

A tracepoint names a socket by where the kernel keeps it (`sk`), and that place is used again; so a
socket is told from the next one at the same place by its states, and by its end. Which sockets are
watched is learnt late, with the first call on them: until then their events wait, for a few
seconds and in bounded number. In a lab every address is watched, and nothing has to wait.

What a packet without a socket (a segment for a closed port) is about is known where another event
named the same packet just before: the reset that answered it. What cannot be told is left out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import field, replace

from netlab.capture.kernel.tracepoints import Seen
from netlab.model.kernel_event import KernelEvent, Tracepoint
from netlab.model.records import dataclass

WAIT_NS = 5_000_000_000
_WAITING_OF_ONE = 64
_STRANGERS = 4_096  # sockets that nobody watches, perhaps yet: the busiest are kept
_PACKETS = 256
_LOOSE = 256
_NO_PORT = ":0"
_SAME_RUN_NS = 1_000_000  # two events about one packet: microseconds apart


@dataclass(slots=True)
class Life:
    """A socket of the kernel from its first event to its end."""

    sk: int
    host: str | None = None  # None: not known to be watched
    inode: int | None = None
    local: str | None = None  # as its events say
    peer: str | None = None
    told: str | None = None  # the local address as it is known from elsewhere
    state: str | None = None
    waiting: deque[KernelEvent] = field(default_factory=lambda: deque(maxlen=_WAITING_OF_ONE))


class Network:
    """`feed` it events in the order of time; `events` are the watched ones so far, to be taken."""

    def __init__(self, hosts: Mapping[str, str] | None = None) -> None:
        """`hosts`: the host of each address, where all of its traffic is watched."""
        self._hosts = dict(hosts or {})
        self._lives: dict[int, Life] = {}
        self._strangers: OrderedDict[int, None] = OrderedDict()  # least recently seen first
        # Of watched sockets, by local and peer and the other way round: the host.
        self._ends: dict[tuple[str, str], str] = {}
        self._ended: deque[tuple[int, tuple[str, str]]] = deque()  # those that are to go, and when
        self._expected: dict[tuple[str, str], str] = {}
        self._listening: dict[str, tuple[str, str]] = {}  # port -> (local, host)
        self._packets: OrderedDict[int, Seen] = OrderedDict()
        self._full: dict[int, Seen] = {}  # by thread: SOCK_RCVQUEUE_FULL names no socket
        self._loose: deque[KernelEvent] = deque(maxlen=_LOOSE)  # of ends that nobody watches yet
        self.events: list[KernelEvent] = []
        self._now_ns = 0

    def life(self, sk: int) -> Life:
        """The socket that is at this place now."""
        life = self._lives.get(sk)
        if life is None:
            life = self._lives[sk] = Life(sk)
            self._strangers[sk] = None
            if len(self._strangers) > _STRANGERS:
                oldest, _ = self._strangers.popitem(last=False)
                del self._lives[oldest]
        elif life.host is None:
            self._strangers.move_to_end(sk)
        return life

    def maybe_life(self, sk: int) -> Life | None:
        """The socket that is at this place, if any of its events was seen."""
        return self._lives.get(sk)

    def expect(self, host: str, local: str, peer: str) -> None:
        """A watched process has a connection with these ends already."""
        self._expected[local, peer] = host

    def watch(self, sk: int, host: str, inode: int | None) -> Life:
        """A call of a watched process was made on this socket: what waited for that is told.

        `host` may be empty: it is not known yet.
        """
        life = self.life(sk)
        if life.inode != inode and inode is not None:
            life.inode = inode
        if life.host is None and host:
            self._adopt(life, host)
        return life

    def _adopt(self, life: Life, host: str) -> None:
        life.host = host
        self._strangers.pop(life.sk, None)
        self._note_ends(life)
        if life.local is not None or (life.waiting and not _is_connecting(life.waiting[0])):
            self._tell_waiting(life, host)

    def _tell_waiting(self, life: Life, host: str) -> None:
        waiting, life.waiting = life.waiting, deque(maxlen=_WAITING_OF_ONE)
        self.events += [_completed(event, life, host) for event in waiting]

    def lost(self) -> None:
        """Events are missing: what stands at which place is not known any more."""
        self._lives.clear()
        self._strangers.clear()
        self._listening.clear()
        self._packets.clear()
        self._full.clear()
        self._loose.clear()

    def feed(self, seen: Seen) -> None:
        """Take one event in."""
        self._now_ns = seen.time_ns
        if seen.event.what == Tracepoint.RCVQUEUE_FULL:
            self._full[seen.tid] = seen
            return
        if seen.sk is not None:
            self._of_socket(seen, seen.sk)
        elif seen.event.what == Tracepoint.DROP:
            self._of_packet(seen)
        else:
            self._of_ends(seen)
        if seen.sk is None and seen.skb is not None and seen.event.what != Tracepoint.DROP:
            self._packets[seen.skb] = seen
            self._packets.move_to_end(seen.skb)
            if len(self._packets) > _PACKETS:
                self._packets.popitem(last=False)

    # --- events that name their socket

    def _of_socket(self, seen: Seen, sk: int) -> None:
        event = seen.event
        if seen.begins:
            self._end(sk)
        if seen.destroyed:
            self._end(sk)
            return
        life = self.life(sk)
        self._learn(life, seen)
        if life.host is None:
            host = self._host_of(life)
            if host is not None:
                self._adopt(life, host)
        if event.what == Tracepoint.DROP:
            self._full_before(seen, life)
        self._tell(life, event)

    def _learn(self, life: Life, seen: Seen) -> None:
        event = seen.event
        if event.what == Tracepoint.SET_STATE:
            life.state = event.state
        if event.local is not None and not event.local.endswith(_NO_PORT):
            life.local = event.local
        if event.peer is not None and not event.peer.endswith(_NO_PORT):
            life.peer = event.peer
        if life.host is not None:
            self._note_ends(life)
            if life.waiting and life.local is not None:
                self._tell_waiting(life, life.host)

    def _note_ends(self, life: Life) -> None:
        if life.local is None or life.host is None:
            return
        if life.state == "LISTEN":
            self._listening[_port(life.local)] = (life.local, life.host)
        elif life.peer is not None and self._ends.get(key := (life.local, life.peer)) != life.host:
            self._ends[key] = life.host
            self._ends[life.peer, life.local] = life.host
            self._tell_loose(key, life.host)

    def _host_of(self, life: Life) -> str | None:
        """The host of a socket that no call was seen on yet: by its address, or its listener."""
        if life.local is None:
            return None
        known = self._hosts.get(_address(life.local))
        if known is not None:
            return known
        if life.peer is not None and (life.local, life.peer) in self._expected:
            return self._expected.pop((life.local, life.peer))
        if life.state not in ("SYN-RECEIVED", "ESTABLISHED"):
            return None
        listener = self._listening.get(_port(life.local))
        if listener is None:
            return None
        bound = _address(listener[0])
        return listener[1] if bound in ("0.0.0.0", "::", _address(life.local)) else None

    def _tell(self, life: Life, event: KernelEvent) -> None:
        if life.host is None:
            if self._hosts and life.local is not None:
                return  # of another machine's network, so to speak
            while life.waiting and life.waiting[0].time_ns < event.time_ns - WAIT_NS:
                life.waiting.popleft()
            life.waiting.append(event)
            return
        if _is_connecting(event) and life.local is None:
            life.waiting.append(event)  # its port is chosen after this
        else:
            self.events.append(_completed(event, life, life.host))

    def _end(self, sk: int) -> None:
        life = self._lives.pop(sk, None)
        self._strangers.pop(sk, None)
        if life is not None and life.host is not None:
            self._tell_waiting(life, life.host)
            if life.local is not None and life.peer is not None:
                self._ended.append((self._now_ns, (life.local, life.peer)))
        while self._ended and self._ended[0][0] < self._now_ns - WAIT_NS:
            local, peer = self._ended.popleft()[1]
            self._ends.pop((local, peer), None)
            self._ends.pop((peer, local), None)
        if life is not None and life.state == "LISTEN" and life.local is not None:
            self._listening.pop(_port(life.local), None)

    # --- events that do not

    def _of_packet(self, seen: Seen) -> None:
        """A drop without a socket."""
        known = self._packets.pop(seen.skb or 0, None)
        if known is None or seen.time_ns - known.time_ns > _SAME_RUN_NS:
            return
        self._of_ends(
            seen._replace(event=replace(seen.event, local=known.event.local, peer=known.event.peer))
        )

    def _of_ends(self, seen: Seen) -> None:
        """An event without a socket, of which both ends are known: a reset."""
        local, peer = seen.event.local, seen.event.peer
        if local is None or peer is None:
            return
        host = self._hosts.get(_address(local)) or self._ends.get((local, peer))
        if host is not None:
            self.events.append(replace(seen.event, host=host))
        else:  # the first answer to a SYN comes before the port that it left from is told
            self._loose.append(seen.event)

    def _tell_loose(self, ends: tuple[str, str], host: str) -> None:
        """These ends are watched: what was seen of them a moment ago is told."""
        kept: list[KernelEvent] = []
        for event in self._loose:
            mine = event.local in ends and event.peer in ends
            (self.events if mine else kept).append(replace(event, host=host) if mine else event)
        self._loose = deque(kept, maxlen=_LOOSE)

    def _full_before(self, seen: Seen, life: Life) -> None:
        """The queue that was full a moment ago is the queue of the packet that is dropped now."""
        full = self._full.pop(seen.tid, None)
        if full is None or seen.time_ns - full.time_ns > _SAME_RUN_NS:
            return
        if seen.event.reason in ("SOCKET_RCVBUFF", "PROTO_MEM"):
            self._tell(life, full.event)


def _is_connecting(event: KernelEvent) -> bool:
    return event.local is not None and event.local.endswith(_NO_PORT)


def _completed(event: KernelEvent, life: Life, host: str) -> KernelEvent:
    """The event with what is known of its socket; written out, since there are many."""
    local = life.local if event.local is None or _is_connecting(event) else event.local
    return KernelEvent(
        event.time_ns, host, event.what, local or event.local or life.told, event.peer or life.peer,
        life.inode, event.state, event.old_state, event.reason, event.errno, event.length_bytes,
        event.snd_nxt, event.snd_una, event.snd_cwnd, event.ssthresh, event.srtt_ns,
        event.snd_wnd_bytes, event.rcv_wnd_bytes,
    )  # fmt: skip


def _port(text: str) -> str:
    return text.rpartition(":")[2]


def _address(text: str) -> str:
    return text.rpartition(":")[0].strip("[]").removeprefix("::ffff:")

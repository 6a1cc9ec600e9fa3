"""Conversations written down as they would be told: calls on both ends, frames between them.

    play = Play()
    play.handshake()
    with play.call("client", "send", 100):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    with play.call("server", "recv", 100, size=4096):
        pass
    tables = play.tables()

Every frame and every entry or return of a call is one microsecond after the last. Offsets are
stream offsets; what has no meaning for a test has a plain default.

With Play(wired=True) a wire is between the two: a frame arrives a third of a microsecond after it
left, unless it is told otherwise:

    lost = play.data("c>s", 0, 100, way="drop")    # or "hold" (it has no fate), "spoil"
    play.arrives(held)                             # now
    play.copy(frame)                               # made by the wire, arrives at once
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from netlab.correlate.join import correlate
from netlab.model.call import CallRecord, Inheritance, Ready
from netlab.model.frame import Interface
from netlab.model.recording import RawRecording
from netlab.model.seqnum import seq_add
from netlab.model.tables import Packet, Span, Tables, TcpOptions

FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}
NAMES = {1: "FIN", 2: "SYN", 4: "RST", 8: "PSH", 16: "ACK", 32: "URG"}
ADDRESS = {"client": "127.0.0.1:40000", "server": "127.0.0.1:80"}
INODE = {"client": 100, "server": 200, "listener": 201}
PID = {"client": 10, "server": 20}
STEP_NS = 1_000
FLIGHT_NS = 300


@dataclass
class Play:
    """One conversation between a client and a server on one machine, or several on other ports."""

    iss: int = 1_000
    irs: int = 9_000
    sack: bool = True
    wscale: int | None = 7
    window: int = 512  # unscaled, in every frame that does not say otherwise
    now_ns: int = 1_000_000_000
    frames_before: int = 0
    packets: list[Packet] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    forks: list[Inheritance] = field(default_factory=list)
    raw: RawRecording = field(default_factory=RawRecording)
    wired: bool = False

    def tick(self) -> int:
        self.now_ns += STEP_NS
        return self.now_ns

    # --- frames

    def frame(
        self,
        direction: str,
        flags: str,
        seq: int,
        ack: int | None = None,
        length: int = 0,
        *,
        window: int | None = None,
        options: TcpOptions | None = None,
        sport: int = 40000,
        dport: int = 80,
        way: str = "carry",
    ) -> int:
        """A TCP frame with relative numbers (SYN = 0); the frame's number is returned."""
        bits = sum(FLAGS[letter] for letter in flags)
        client, server = ("127.0.0.1", sport), ("127.0.0.1", dport)
        mine, theirs = (self.iss, self.irs) if direction == "c>s" else (self.irs, self.iss)
        src, dst = (client, server) if direction == "c>s" else (server, client)
        number = len(self.packets) + 1 + self.frames_before
        self.packets.append(
            Packet(
                number, self.tick(), None, "unknown", "lo", "Ethernet", 66 + length, 66 + length,
                None, 4, src[0], dst[0], 64, number, 52 + length, None, "TCP", src[1], dst[1],
                " ".join(name for bit, name in NAMES.items() if bits & bit),
                seq_add(mine, seq), seq_add(theirs, ack) if ack is not None else 0,
                self.window if window is None else window,
                66, length, _flags=bits, _options=options,
            )
        )  # fmt: skip
        return self._carry(number, way)

    # --- the wire

    def _carry(self, number: int, way: str) -> int:
        """Let the wire do with the newest frame what `way` says."""
        packet = self.packets[-1]
        if not self.wired:
            return number
        packet._wired = True
        if way == "drop":
            packet.fate = "dropped"
        elif way != "hold":
            packet.fate = "changed" if way == "spoil" else "delivered"
            packet._spoilt = way == "spoil"
            packet.arrived_ns = packet.time_ns + FLIGHT_NS
        return number

    def arrives(self, number: int) -> None:
        """A frame that was held arrives now."""
        packet = self.packets[number - 1 - self.frames_before]
        packet.fate, packet.arrived_ns = "delivered", self.tick()

    def copy(self, number: int, way: str = "carry") -> int:
        """The wire sends a frame a second time; the copy's number is returned."""
        original = self.packets[number - 1 - self.frames_before]
        copied = len(self.packets) + 1 + self.frames_before
        packet = replace(
            original, frame=copied, time_ns=self.tick(), arrived_ns=None, fate="unknown",
            interface="wire", _made=True, _copy_of=number, _spoilt=False,
        )  # fmt: skip
        self.packets.append(packet)
        return self._carry(copied, way)

    def syn(self, **more: Any) -> int:
        return self.frame("c>s", "S", 0, options=self._offer(), **more)

    def synack(self, **more: Any) -> int:
        return self.frame("s>c", "SA", 0, 1, options=self._offer(), **more)

    def handshake(self, *, calls: bool = True, capture: bool = True) -> None:
        """Both ends' calls up to accept, and the three frames."""
        if not calls:
            self.syn(), self.synack(), self.ack("c>s", 0)
            return
        with self.call("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None):
            pass
        with self.call("client", "connect", 0, address=ADDRESS["server"]):
            if capture:
                self.syn()
                self.synack()
                self.ack("c>s", 0)
        with self.accept():
            pass

    def accept(self) -> Any:
        return self.call(
            "server", "accept", 5, inode=INODE["listener"], fd=3, peer=None,
            address=ADDRESS["client"], new_inode=INODE["server"],
        )  # fmt: skip

    def data(self, direction: str, start: int, stop: int, ack: int = 0, **more: Any) -> int:
        """Bytes start..stop of the stream, acknowledging offset `ack` of the other."""
        return self.frame(direction, "PA", start + 1, ack + 1, stop - start, **more)

    def ack(self, direction: str, offset: int, at: int = 0, **more: Any) -> int:
        """A pure ACK of the other stream up to `offset`; the own stream stands at `at`."""
        return self.frame(direction, "A", at + 1, offset + 1, **more)

    def fin(self, direction: str, at: int, ack: int = 0, **more: Any) -> int:
        return self.frame(direction, "FA", at + 1, ack + 1, **more)

    def rst(self, direction: str, at: int, ack: int = 0, **more: Any) -> int:
        """A reset that a call sends, or that refuses a SYN."""
        return self.frame(direction, "RA", at + 1, ack + 1, **more)

    def answer_rst(self, direction: str, at: int) -> int:
        """A reset that answers a frame with ACK `at` (RFC 9293 3.10.7.1)."""
        return self.frame(direction, "R", at + 1)

    def sack_option(self, direction: str, *blocks: tuple[int, int]) -> TcpOptions:
        """A SACK option for stream offsets of the direction that the ACK acknowledges."""
        base = self.iss if direction == "c>s" else self.irs
        return TcpOptions(
            sack_blocks=tuple((seq_add(base, a + 1), seq_add(base, b + 1)) for a, b in blocks)
        )

    def _offer(self) -> TcpOptions:
        return TcpOptions(mss=1460, wscale=self.wscale, sack_permitted=self.sack)

    # --- datagrams

    def datagram(
        self,
        src: str,
        dst: str,
        length: int,
        *,
        interface: str = "lo",
        way: str = "carry",
        **more: Any,
    ) -> int:
        """A UDP frame between two addresses, IPv6 ones in brackets; its number is returned."""
        number = len(self.packets) + 1 + self.frames_before
        (a, sport), (b, dport) = src.rsplit(":", 1), dst.rsplit(":", 1)
        six = a.startswith("[")
        fields: dict[str, Any] = {
            "ip_version": 6 if six else 4, "src": a.strip("[]"), "dst": b.strip("[]"),
            "ip_id": None if six else number, "protocol": "UDP",
            "sport": int(sport), "dport": int(dport), "payload_len_bytes": length, **more,
        }  # fmt: skip
        self.packets.append(
            Packet(number, self.tick(), None, "unknown", interface, "Ethernet", 42, 42, **fields)
        )
        return self._carry(number, way)

    # --- calls

    @contextmanager
    def call(
        self, side: str, op: str, result: int | None = None, *, size: int | None = None, **more: Any
    ) -> Iterator[None]:
        """A call that lasts as long as the block; what happens in it happens inside the call."""
        entered = self.tick()
        order = len(self.calls) + 1
        place = len(self.calls)
        self.calls.append(None)  # type: ignore[arg-type]
        yield
        pid, actor = more.pop("pid", PID[side]), more.pop("actor", side)
        still_inside = more.pop("inside", False)
        fields: dict[str, Any] = {
            "family": "AF_INET", "kind": "SOCK_STREAM", "inode": INODE[side], "fd": 5,
            "local": ADDRESS[side], "peer": ADDRESS["server" if side == "client" else "client"],
            "args": "", "tid": pid, **more,
        }  # fmt: skip
        self.calls[place] = CallRecord(
            witness="probe", host="localhost", actor=actor, pid=pid, order=order, op=op,
            entered_ns=entered, returned_ns=None if still_inside else self.tick(),
            requested_bytes=size, result=result, **fields,
        )  # fmt: skip

    def did(self, side: str, op: str, result: int | None = None, **more: Any) -> int:
        """A call in which nothing else happened; its number, if calls do not overlap."""
        with self.call(side, op, result, **more):
            pass
        return len(self.calls)

    def wait(self, side: str, *ready: tuple[int, int], op: str = "epoll_wait", **more: Any) -> Any:
        """A wait that reports (inode, events)."""
        found = tuple(Ready(9, inode, events) for inode, events in ready)
        return self.call(
            side, op, len(ready), ready=found, inode=None, fd=4, local=None, peer=None,
            family=None, kind=None, **more,
        )  # fmt: skip

    def watch(self, side: str, inode: int, events: int, ctl: str = "EPOLL_CTL_ADD") -> None:
        """epoll_ctl on the descriptor that `wait` waits on."""
        self.did(
            side, "epoll_ctl", 0, ready=(Ready(9, inode, events),), inode=None, fd=4, local=None,
            peer=None, family=None, kind=None, args=f"{ctl}, 9",
        )  # fmt: skip

    def tables(self) -> Tables:
        self.raw.calls = list(self.calls)
        self.raw.inheritances = self.forks
        self.raw.interfaces = self.raw.interfaces or [Interface("lo", 1, 0)]
        return correlate(self.raw, self.packets)


def spans_of(tables: Tables, call: int, role: str | None = None) -> list[tuple[Any, ...]]:
    """(role, frame, start, stop) of a call's spans, or without the role when it is given."""
    mine = [span for span in tables.spans if span.call == call]
    if role is not None:
        return [(s.frame, s.start, s.stop) for s in mine if s.role == role]
    return [(str(s.role), s.frame, s.start, s.stop) for s in mine]


def frames_of(tables: Tables, call: int, role: str) -> list[int | None]:
    return [span.frame for span in tables.spans if span.call == call and span.role == role]


def number_of(tables: Tables, op: str, nth: int = 1, side: str | None = None) -> int:
    """The number of the nth call of this name (and actor)."""
    found = [c.call for c in tables.calls if c.op == op and side in (None, c.actor)]
    return found[nth - 1]


def by_role(tables: Tables, role: str) -> list[Span]:
    return [span for span in tables.spans if span.role == role]

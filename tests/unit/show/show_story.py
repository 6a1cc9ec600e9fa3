"""Hand-made recordings for the views: who called what when, which frames passed, and the links.

Times are microseconds after the start. Calls are told in order of entry, as the table wants them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netlab.explain.waits import waits
from netlab.model.call import INBOUND, OUTBOUND, POLLIN, CallRecord, Ready
from netlab.model.frame import Frame, Interface
from netlab.model.recording import Description, RawRecording
from netlab.model.tables import (
    Call,
    Connection,
    Direction,
    Packet,
    Role,
    Segment,
    Side,
    Span,
    Tables,
    TcpOptions,
    Unmatched,
)

START_NS = 1_763_938_740_123_456_789
C, S = Side.CLIENT, Side.SERVER


class Story:
    """Builds tables and raw material row by row."""

    def __init__(
        self,
        protocol: str = "tcp",
        client: tuple[str, int | None] = ("127.0.0.1", 40112),
        server: tuple[str, int | None] = ("127.0.0.1", 7777),
        interface: str = "lo",
    ) -> None:
        self.tables = Tables(_read_waits=lambda: waits(self.tables, self.raw))
        self.raw = RawRecording(
            interfaces=[Interface(interface, 1, 262144, received=0, dropped=0)],
            description=Description(
                "0.1.0", "netlab run echo", "finished", 1, witnesses=("packets", "probe")
            ),
        )
        self.interface = interface
        self.connection = Connection(
            0, None if protocol == "unix" else 0, protocol, *client, *server,
            first_ns=None, last_ns=None,
        )  # fmt: skip
        self.tables.connections.append(self.connection)

    def call(
        self, side: Side, op: str, at: float, end: float | None, *,
        size: int | None = None, result: int | None = None, errno: str | None = None,
        args: str = "", moved: tuple[int, int] | None = None, fd: int = 5, tid: int = 0,
        ready: tuple[Ready, ...] = (), connection: int | None = 0,
    ) -> int:  # fmt: skip
        """A call; `moved` is its stream range. Returns its number."""
        number = len(self.tables.calls) + 1
        pid = 4100 if side is C else 4200
        direction = side.outbound if op in OUTBOUND else side.inbound if op in INBOUND else None
        entered = START_NS + round(at * 1000)
        returned = None if end is None else START_NS + round(end * 1000)
        start, stop = moved or (None, None)
        known = connection is not None
        self.tables.calls.append(
            Call(
                number, "probe", "localhost", str(side), pid, tid or pid, fd, connection,
                side if known else None, op, args, entered, returned, None, size, result, errno,
                direction if known else None, start, stop, None, None, None, None, None,
            )
        )  # fmt: skip
        self.raw.calls.append(
            CallRecord(
                "probe", "localhost", str(side), pid, tid or pid, number, op, fd, args, entered,
                returned, requested_bytes=size, result=result, errno=errno, ready=ready,
            )
        )  # fmt: skip
        assert len(self.raw.calls) < 2 or self.raw.calls[-2].entered_ns <= entered
        return number

    def frame(
        self, direction: Direction, at: float, flags: str, seq: int = 0, ack: int | None = None,
        length: int = 0, *, window: int | None = 65536, **packet: Any,
    ) -> int:  # fmt: skip
        """A frame; with `flags` empty it is a UDP datagram. Returns its number."""
        c = self.connection
        number = len(self.tables.packets) + 1
        time_ns = START_NS + round(at * 1000)
        ends = [(c.client, c.client_port), (c.server, c.server_port)]
        if direction is Direction.S2C:
            ends.reverse()
        header = 52 if flags else 28
        row = Packet(
            number, time_ns, time_ns, "delivered", self.interface, "Ethernet",
            14 + header + length, 14 + header + length, ip_version=4,
            src=ends[0][0], dst=ends[1][0], sport=ends[0][1], dport=ends[1][1],
            protocol="TCP" if flags else "UDP", tcp_flags=flags or None,
            ip_len_bytes=header + length, payload_off=14 + header, payload_len_bytes=length,
            connection=0, direction=direction,
            _options=TcpOptions(ts_val=1, ts_ecr=1) if flags else None,
        )  # fmt: skip
        self.tables.packets.append(replace(row, **packet))
        if flags:
            start = max(seq - 1, 0)
            seg_len = length + ("SYN" in flags) + ("FIN" in flags)
            self.tables.segments.append(
                Segment(number, 0, direction, seq, seg_len, length, start, start + length, ack,
                        window)
            )  # fmt: skip
        ethertype = b"\x86\xdd" if ":" in c.client else b"\x08\x00"
        data = (bytes(12) + ethertype).ljust(row.caplen_bytes, b"\0")
        self.raw.frames.append(Frame(number, time_ns, 0, data, len(data)))
        c.first_ns = min(c.first_ns or time_ns, time_ns)
        c.last_ns = max(c.last_ns or time_ns, time_ns)
        if direction is Direction.C2S:
            c.client_packets += 1
        else:
            c.server_packets += 1
        return number

    def link(
        self, call: int, role: Role, frame: int | None, moved: tuple[int, int] | None = None,
        direction: Direction | None = None, peer_call: int | None = None,
    ) -> None:  # fmt: skip
        """A row of the map."""
        start, stop = moved or (None, None)
        if direction is None and frame is not None:
            direction = Direction(self.tables.packets[frame - 1].direction or "c>s")
        self.tables.spans.append(Span(call, frame, peer_call, direction, start, stop, role))

    def unmatched(self, reason: str, direction: Direction, start: int, stop: int) -> None:
        """A line of the byte ledger."""
        self.tables.unmatched.append(
            Unmatched(0, direction, start, stop, stop - start, "sent but not captured", reason)
        )


def fd_in(fd: int) -> tuple[Ready, ...]:
    """A poll's report: fd is readable."""
    return (Ready(fd, None, POLLIN),)


def echo() -> Story:
    """One connection on loopback: two messages of 100 bytes, the second after a long silence."""
    c2s, s2c = Direction.C2S, Direction.S2C
    s = Story()
    poll_args = "timeout=-1, maxevents=64"
    wait = s.call(
        S, "epoll_wait", 0, 171, args=poll_args, result=1, ready=fd_in(4), fd=3, connection=None
    )
    connect = s.call(C, "connect", 112, 168, args="127.0.0.1:7777", result=0)
    accept = s.call(S, "accept", 188, 199, result=6, fd=4)
    s.call(C, "setsockopt", 190, 191, args="SOL_TCP, TCP_NODELAY, 1", result=0)
    s.call(
        S, "epoll_wait", 205, 262, args=poll_args, result=1, ready=fd_in(6), fd=3, connection=None
    )
    send = s.call(C, "send", 231, 259, size=100, result=100, moved=(0, 100))
    recv = s.call(C, "recv", 262, 40_390, size=65536, result=100, moved=(0, 100))
    read = s.call(S, "recv", 268, 274, size=65536, result=100, moved=(0, 100), fd=6)
    s.call(S, "recv", 276, 278, size=65536, errno="EAGAIN", fd=6)
    back = s.call(S, "send", 40_301, 40_340, size=100, result=100, moved=(0, 100), fd=6)
    s.call(
        S,
        "epoll_wait",
        40_345,
        40_460,
        args=poll_args,
        result=1,
        ready=fd_in(6),
        fd=3,
        connection=None,
    )
    close = s.call(C, "close", 40_400, 40_421, result=0)
    end = s.call(S, "recv", 40_465, 40_468, size=65536, result=0, fd=6)
    last = s.call(S, "close", 40_471, 40_489, result=0, fd=6)
    s.call(S, "epoll_wait", 40_495, None, args=poll_args, fd=3, connection=None)
    syn = s.frame(c2s, 131, "SYN", 0, None, window=65495)
    synack = s.frame(s2c, 140, "SYN ACK", 0, 1, window=65483)
    third = s.frame(c2s, 150, "ACK", 1, 1)
    data = s.frame(c2s, 243, "PSH ACK", 1, 1, 100)
    ack = s.frame(s2c, 248, "ACK", 1, 101)
    answer = s.frame(s2c, 40_322, "PSH ACK", 1, 101, 100)
    answered = s.frame(c2s, 40_330, "ACK", 101, 101)
    fin = s.frame(c2s, 40_409, "FIN ACK", 101, 101)
    fin2 = s.frame(s2c, 40_478, "FIN ACK", 101, 102)
    s.frame(c2s, 40_483, "ACK", 102, 102)
    for call in (connect, accept):
        s.link(call, Role.SYN, syn)
        s.link(call, Role.SYNACK, synack)
        s.link(call, Role.HANDSHAKE_ACK, third)
    s.link(wait, Role.WAKEUP, third)
    s.link(send, Role.CARRIED, data, (0, 100))
    s.link(send, Role.ACKED, ack, (0, 100), c2s)
    s.link(read, Role.DELIVERED, data, (0, 100))
    s.link(back, Role.CARRIED, answer, (0, 100))
    s.link(back, Role.ACKED, answered, (0, 100), s2c)
    s.link(recv, Role.DELIVERED, answer, (0, 100))
    s.link(close, Role.FIN, fin)
    s.link(end, Role.FIN, fin)
    s.link(last, Role.FIN, fin2)
    c = s.connection
    c.client_bytes = c.server_bytes = 100
    c.handshake_ns = 19_000
    c.closed_by, c.close_kind, c.completeness = "client", "fin", 31
    c.client_state, c.server_state = "TIME-WAIT", "CLOSED"
    return s


def bulk() -> Story:
    """A megabyte in segments larger than any MTU, one of them resent; two server threads read."""
    c2s, s2c = Direction.C2S, Direction.S2C
    s = Story(client=("2001:db8::1", 40112), server=("2001:db8:ffff:ffff:ffff:ffff:ffff:1", 7777))
    send = s.call(C, "sendall", 0, 2100, size=983_040, result=983_040, moved=(0, 983_040))
    first = s.call(S, "recv", 10, 160, size=65536, result=65483, moved=(0, 65483), tid=4201)
    second = s.call(S, "recv", 12, 1500, size=16384, result=16384, moved=(65483, 81867), tid=4202)
    s.call(S, "recv", 170, None, size=65536, tid=4201)
    a = s.frame(c2s, 20, "ACK", 1, 1, 65483)
    b = s.frame(c2s, 30, "PSH ACK", 65484, 1, 65483, fate="dropped", arrived_ns=None)
    s.frame(s2c, 60, "ACK", 1, 65484)
    again = s.frame(c2s, 1400, "PSH ACK", 65484, 1, 65483)
    s.frame(s2c, 1450, "RST ACK", 1, 130967)
    s.link(send, Role.CARRIED, a, (0, 65483))
    s.link(send, Role.CARRIED, b, (65483, 130966))
    s.link(send, Role.RESENT, again, (65483, 130966))
    s.link(first, Role.DELIVERED, a, (0, 65483))
    s.link(second, Role.DELIVERED, again, (65483, 81867))
    s.unmatched("recording stopped at its limit", c2s, 130_966, 983_040)
    s.connection.client_bytes = 130_966
    s.connection.close_kind, s.connection.closed_by = "rst", "server"
    return s


def unix() -> Story:
    """A Unix stream pair: no frames, calls linked to calls."""
    c2s, s2c = Direction.C2S, Direction.S2C
    s = Story("unix", ("unix:", None), ("unix:/run/echo.sock", None))
    read = s.call(S, "recv", 0, 41, size=4096, result=23, moved=(0, 23))
    send = s.call(C, "send", 20, 28, size=23, result=23, moved=(0, 23))
    wait = s.call(C, "recv", 33, 75, size=4096, result=23, moved=(0, 23))
    back = s.call(S, "send", 55, 61, size=23, result=23, moved=(0, 23))
    s.call(C, "close", 80, 84, result=0)
    s.call(S, "recv", 85, 87, size=4096, result=0)
    s.link(send, Role.LOCAL, None, (0, 23), c2s, read)
    s.link(back, Role.LOCAL, None, (0, 23), s2c, wait)
    s.connection.client_bytes = s.connection.server_bytes = 23
    return s


def datagrams() -> Story:
    """Three UDP datagrams: one in fragments, one too large for the reader's buffer."""
    c2s = Direction.C2S
    s = Story("udp")
    one = s.call(C, "sendto", 0, 15, size=100, result=100, moved=(0, 100))
    s.call(S, "recvfrom", 20, 24, size=2048, result=100, moved=(0, 100))
    two = s.call(C, "sendto", 30, 60, size=3000, result=3000, moved=(100, 3100))
    s.call(S, "recvfrom", 70, 74, size=2048, result=2048, moved=(100, 3100), args="MSG_TRUNC")
    three = s.call(C, "sendto", 90, 99, size=0, result=0)
    s.call(C, "recvfrom", 101, 200_101, size=2048, errno="EAGAIN", args="timeout=0.2s elapsed")
    a = s.frame(c2s, 8, "", length=100)
    b = s.frame(c2s, 40, "", length=1472, fragment="0+1480 more")
    d = s.frame(c2s, 44, "", length=1520, fragment="1480+1528", payload_len_bytes=None)
    e = s.frame(c2s, 94, "", length=0)
    s.link(one, Role.CARRIED, a, (0, 100))
    for part in (b, d):
        s.link(two, Role.CARRIED, part, (100, 3100))
    s.link(three, Role.CARRIED, e)
    s.connection.client_bytes = 3100
    return s


def without_calls() -> Story:
    """The echo's frames as any other tool would have captured them."""
    s = echo()
    s.tables.calls.clear()
    s.tables.spans.clear()
    s.raw.calls.clear()
    s.raw.description = Description()
    return s

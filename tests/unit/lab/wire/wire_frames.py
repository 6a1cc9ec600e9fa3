"""Hosts at a wire, frames between them with right checksums, and a wire that a test can play."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from netlab.decode.checksums import PseudoHeader, checksum
from netlab.lab.wire.grammar import rules_from_text
from netlab.lab.wire.link import Wire
from netlab.lab.wire.outcomes import End, Lost, Made, Outcome, Sent

MS = 1_000_000
SECOND = 1_000_000_000
CLIENT, SERVER, OTHER = 0, 1, 2
ENDS = (
    End("client", bytes.fromhex("020000000001"), ("10.7.0.1", "fd07::1"), False),
    End("server", bytes.fromhex("020000000002"), ("10.7.0.2", "fd07::2"), True),
    End("client-2", bytes.fromhex("020000000003"), ("10.7.0.3", "fd07::3"), False),
)
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


def ethernet(payload: bytes, source: int, to: int, ethertype: int, tag: bytes = b"") -> bytes:
    return ENDS[to].mac + ENDS[source].mac + tag + ethertype.to_bytes(2, "big") + payload


def ip(
    payload: bytes,
    protocol: int,
    source: int = CLIENT,
    to: int = SERVER,
    *,
    version: int = 4,
    dont_fragment: bool = True,
    place: int = 0,
    options: bytes = b"",
    extensions: bytes = b"",
    tag: bytes = b"",
) -> bytes:
    """A frame; `protocol` is that of the payload, `extensions` must name it themselves."""
    src, dst = (ip_address(ENDS[end].addresses[version == 6]).packed for end in (source, to))
    if version == 6:
        head = b"\x60\0\0\0" + (len(extensions) + len(payload)).to_bytes(2, "big")
        head += bytes((0 if extensions else protocol, 64)) + src + dst + extensions
        return ethernet(head + payload, source, to, 0x86DD, tag)
    size = 20 + len(options)
    head = bytes((0x40 | size // 4, 0)) + (size + len(payload)).to_bytes(2, "big") + b"\x12\x34"
    head += (0x4000 * dont_fragment | place).to_bytes(2, "big") + bytes((64, protocol))
    total = checksum(head + b"\0\0" + src + dst + options).to_bytes(2, "big")
    return ethernet(head + total + src + dst + options + payload, source, to, 0x0800, tag)


def summed(segment: bytes, place: int, source: int, to: int, protocol: int, version: int) -> bytes:
    src, dst = (ip_address(ENDS[end].addresses[version == 6]).packed for end in (source, to))
    pseudo = PseudoHeader(src, dst, protocol).packed(len(segment))
    total = checksum(pseudo + segment).to_bytes(2, "big")
    return segment[:place] + total + segment[place + 2 :]


def tcp(
    flags: str,
    seq: int = 0,
    ack: int = 0,
    payload: bytes = b"",
    source: int = CLIENT,
    to: int = SERVER,
    *,
    sport: int = 40000,
    dport: int = 80,
    version: int = 4,
    **more: object,
) -> bytes:
    bits = sum(FLAGS[letter] for letter in flags)
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    head += (seq & 0xFFFF_FFFF).to_bytes(4, "big") + (ack & 0xFFFF_FFFF).to_bytes(4, "big")
    head += bytes((0x50, bits)) + b"\x02\0\0\0\0\0"
    segment = summed(head + payload, 16, source, to, TCP, version)
    return ip(segment, TCP, source, to, version=version, **more)


def udp(
    payload: bytes = b"",
    source: int = CLIENT,
    to: int = SERVER,
    *,
    sport: int = 5000,
    dport: int = 53,
    version: int = 4,
    **more: object,
) -> bytes:
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    head += (8 + len(payload)).to_bytes(2, "big") + b"\0\0"
    segment = summed(head + payload, 6, source, to, UDP, version)
    return ip(segment, UDP, source, to, version=version, **more)


@dataclass
class Played:
    """A wire, and what came out of it. Frames leave a microsecond apart, unless told."""

    wire: Wire
    now_ns: int = 1_000 * SECOND
    packets: int = 0
    sent: dict[int, Sent] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    order: list[int] = field(default_factory=list)  # packets as they arrived
    left_ns: dict[int, int] = field(default_factory=dict)

    def leave(self, frame: bytes, source: int = CLIENT, after_ns: int = 1_000) -> int:
        """The packet's number."""
        self.now_ns += after_ns
        self.packets += 1
        self.left_ns[self.packets] = self.now_ns
        self.wire.take(self.packets, frame, source, self.now_ns)
        self._take_in(self.wire.due(self.now_ns))
        return self.packets

    def until_end(self) -> Played:
        while (next_ns := self.wire.next_ns()) is not None:
            self.now_ns = max(self.now_ns, next_ns)
            self._take_in(self.wire.due(self.now_ns))
        return self

    def _take_in(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Lost):
                assert outcome.packet not in self.sent.keys() | self.lost.keys()
                self.lost[outcome.packet] = outcome.rule
            elif isinstance(outcome, Sent):
                assert outcome.packet not in self.sent.keys() | self.lost.keys()
                assert outcome.due_ns <= self.now_ns
                self.sent[outcome.packet] = outcome
                self.order.append(outcome.packet)
            else:
                self.made.append(outcome)

    def took_ns(self, packet: int) -> int:
        return self.sent[packet].due_ns - self.left_ns[packet]

    def fired(self) -> dict[str, int]:
        return {str(rule): count for rule, count in self.wire.report()}


def play(rules: str, ends: int = 2) -> Played:
    return Played(Wire(rules_from_text(rules), ENDS[:ends]))


@dataclass
class Conversation:
    """One TCP connection through a wire, in stream offsets."""

    played: Played
    iss: int = 1_000
    irs: int = 77_000
    sport: int = 40000
    version: int = 4
    client: int = CLIENT

    def _leave(self, way: str, flags: str, seq: int, ack: int, payload: bytes = b"") -> int:
        ends = (self.client, SERVER) if way == "c>s" else (SERVER, self.client)
        ports = (self.sport, 80) if way == "c>s" else (80, self.sport)
        mine, theirs = (self.iss, self.irs) if way == "c>s" else (self.irs, self.iss)
        frame = tcp(
            flags, mine + seq, theirs + ack if "A" in flags else 0, payload, *ends,
            sport=ports[0], dport=ports[1], version=self.version,
        )  # fmt: skip
        return self.played.leave(frame, ends[0])

    def syn(self) -> int:
        return self._leave("c>s", "S", 0, 0)

    def synack(self) -> int:
        return self._leave("s>c", "SA", 0, 1)

    def data(self, way: str, start: int, stop: int, flags: str = "PA") -> int:
        payload = bytes(offset % 251 for offset in range(start, stop))
        return self._leave(way, flags, start + 1, 1, payload)

    def ack(self, way: str, of: int = 0, at: int = 0) -> int:
        return self._leave(way, "A", at + 1, of + 1)

    def fin(self, way: str, at: int) -> int:
        return self._leave(way, "FA", at + 1, 1)

    def handshake(self) -> Conversation:
        self.syn(), self.synack(), self.ack("c>s")
        return self


def segments(
    conversation: Conversation, count: int, way: str = "c>s", size: int = 100
) -> list[int]:
    """So many data frames of 100 bytes, in order; their packets."""
    return [conversation.data(way, at * size, (at + 1) * size) for at in range(count)]

"""Small recordings with a wire between two hosts: real frames, and what became of each.

    story = WireStory()
    story.handshake()
    lost = story.tcp("client", "PA", 1, 1, b"x" * 100, dropped="drop c>s data 1")
    story.tcp("client", "PA", 1, 1, b"x" * 100, rule="delay 20ms")
    raw = story.raw()

Times grow by a millisecond a frame; a frame arrives 20 ms after it left unless it is told
otherwise. Sequence numbers are relative, checksums right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sample_recordings import T0_NS, checksum

from netlab.capture.recording import LiveRecording
from netlab.model.call import CallRecord
from netlab.model.frame import Frame, Interface
from netlab.model.recording import Description, RawRecording
from netlab.model.wire import Arrival

MS = 1_000_000
HOSTS = ("client", "server")
INTERFACES = [Interface(name, 1, 65_535) for name in (*HOSTS, "wire")]
DESCRIPTION = Description(netlab_version="0.1.0", title="a wire", notes=("a note",))
MACS = {"client": b"\x02\0\0\0\0\x01", "server": b"\x02\0\0\0\0\x02"}
ADDRESSES = {"client": bytes((10, 1, 2, 1)), "server": bytes((10, 1, 2, 2))}
PORTS = {"client": 40_000, "server": 8_000}
ISS = {"client": 1_000, "server": 5_000}
_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}


def ethernet(sender: str, protocol: int, transport: bytes, place: int, ip_id: int) -> bytes:
    """An IPv4 frame of a host to the other; the transport's checksum goes to `place`."""
    other = HOSTS[sender == "client"]
    addresses = ADDRESSES[sender] + ADDRESSES[other]
    pseudo = addresses + bytes((0, protocol)) + len(transport).to_bytes(2, "big")
    if protocol == 1:
        pseudo = b""
    total = checksum(pseudo + transport)
    transport = transport[:place] + total + transport[place + 2 :]
    ip = b"\x45\0" + (20 + len(transport)).to_bytes(2, "big") + ip_id.to_bytes(2, "big")
    ip += b"\x40\0\x40" + bytes((protocol,))
    ip += checksum(ip + b"\0\0" + addresses) + addresses
    return MACS[other] + MACS[sender] + b"\x08\0" + ip + transport


def tcp_frame(
    sender: str, flags: str, seq: int, ack: int, payload: bytes = b"", ip_id: int = 1
) -> bytes:
    """A TCP frame with relative numbers."""
    other = HOSTS[sender == "client"]
    bits = sum(_FLAGS[letter] for letter in flags)
    head = b"".join(
        (
            PORTS[sender].to_bytes(2, "big"), PORTS[other].to_bytes(2, "big"),
            (ISS[sender] + seq).to_bytes(4, "big"),
            (ISS[other] + ack if "A" in flags else 0).to_bytes(4, "big"),
            bytes((0x50, bits)), b"\x01\xff", b"\0\0\0\0",
        )
    )  # fmt: skip
    return ethernet(sender, 6, head + payload, 16, ip_id)


def udp_frame(sender: str, payload: bytes, ip_id: int = 1) -> bytes:
    """A UDP frame."""
    other = HOSTS[sender == "client"]
    length = (8 + len(payload)).to_bytes(2, "big")
    head = PORTS[sender].to_bytes(2, "big") + PORTS[other].to_bytes(2, "big") + length + b"\0\0"
    return ethernet(sender, 17, head + payload, 6, ip_id)


def flip(frame: bytes, at: int) -> bytes:
    """The frame with one byte inverted."""
    return frame[:at] + bytes((frame[at] ^ 0xFF,)) + frame[at + 1 :]


@dataclass
class WireStory:
    """What hosts sent and a wire did, in order."""

    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)  # as a wire gives them
    arrivals: list[Arrival] = field(default_factory=list)
    now_ns: int = T0_NS

    def send(
        self,
        sender: str,
        data: bytes,
        *,
        rule: str = "",
        dropped: str | None = None,
        delay_ns: int | None = 20 * MS,
        late_ns: int = 13_000,
        changed: bytes | None = None,
    ) -> int:
        """A frame of a host (or the wire), and its fate; delay None: it has none. Its number."""
        self.now_ns += MS
        packet = len(self.frames) + 1
        interface = [one.name for one in INTERFACES].index(sender)
        self.frames.append((packet, interface, self.now_ns, data))
        if dropped is not None:
            self.arrivals.append(Arrival(packet, "dropped", rule=dropped))
        elif delay_ns is not None:
            fate = "delivered" if changed is None else "changed"
            self.arrivals.append(
                Arrival(packet, fate, self.now_ns + delay_ns, late_ns, rule, changed)
            )
        return packet

    def tcp(
        self, sender: str, flags: str, seq: int, ack: int, payload: bytes = b"", **way: object
    ) -> int:
        frame = tcp_frame(sender, flags, seq, ack, payload, len(self.frames) + 1)
        return self.send(sender, frame, **way)  # type: ignore[arg-type]

    def handshake(self) -> None:
        self.tcp("client", "S", 0, 0)
        self.now_ns += 20 * MS
        self.tcp("server", "SA", 0, 1)
        self.now_ns += 20 * MS
        self.tcp("client", "A", 1, 1)

    def copy(self, packet: int, **way: object) -> int:
        """The wire sends a frame again."""
        return self.send("wire", self.frames[packet - 1][3], **way)  # type: ignore[arg-type]

    def raw(self, form: str = "finished") -> RawRecording:
        frames = [
            Frame(number, time_ns, interface, data, len(data), packet=packet)
            for number, (packet, interface, time_ns, data) in enumerate(self.frames, 1)
        ]
        description = Description(netlab_version="0.1.0", form=form, file_version=1)
        return RawRecording(frames, list(INTERFACES), arrivals=self.arrivals,
                            description=description)  # fmt: skip

    def write_live(self, path: Path) -> None:
        """As a recorder does while the wire runs."""
        recording = LiveRecording.create(path, description=DESCRIPTION, interfaces=INTERFACES)
        middle = len(self.frames) // 2
        seen = {frame[0] for frame in self.frames[:middle]}
        recording.wire_frames(self.frames[:middle])
        recording.arrivals([one for one in self.arrivals if one.packet in seen])
        recording.wire_frames(self.frames[middle:])
        recording.arrivals([one for one in self.arrivals if one.packet not in seen])
        recording.close()


def lossy() -> WireStory:
    """A request and its answer over a wire that delays, drops, corrupts, duplicates and dies."""
    story = WireStory()
    story.handshake()
    story.tcp("client", "PA", 1, 1, b"r" * 100, rule="delay 20ms")
    story.now_ns += 20 * MS
    story.tcp("server", "A", 1, 101)
    story.tcp("server", "PA", 1, 101, b"a" * 500, dropped="drop s>c data 1")
    second = story.tcp("server", "PA", 501, 101, b"b" * 500, late_ns=1_300_000)
    story.copy(second, rule="duplicate s>c data 2", delay_ns=21 * MS)
    spoilt = tcp_frame("server", "PA", 1, 101, b"a" * 500, 90)
    story.send("server", spoilt, rule="corrupt s>c data 3", changed=flip(spoilt, 100))
    story.tcp("server", "PA", 1, 101, b"a" * 500)
    story.now_ns += 20 * MS
    story.tcp("client", "A", 101, 1001)
    story.tcp("client", "FA", 101, 1001, delay_ns=None)
    return story


def _call(
    actor: str, op: str, entered_us: int, returned_us: int, order: int, **more: object
) -> CallRecord:
    ends = {"client": "10.1.2.1:40000", "server": "10.1.2.2:8000"}
    other = HOSTS[actor == "client"]
    fields: dict[str, object] = {
        "fd": 5, "inode": 100 + HOSTS.index(actor), "family": "AF_INET", "kind": "SOCK_STREAM",
        "local": ends[actor], "peer": ends[other], "args": "", **more,
    }  # fmt: skip
    pid = 71 + HOSTS.index(actor)
    return CallRecord(
        witness="probe", host=actor, actor=actor, pid=pid, tid=pid, order=order, op=op,
        entered_ns=T0_NS + entered_us * 1000, returned_ns=T0_NS + returned_us * 1000,
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def lossy_calls() -> list[CallRecord]:
    """The calls of both ends of `lossy`, in order of entry."""
    listener = {"inode": 150, "fd": 3, "peer": None}
    return [
        _call("server", "listen", 100, 110, 1, result=0, **listener),
        _call("server", "accept", 200, 63_080, 2, result=5, new_inode=101,
              address="10.1.2.1:40000", **listener),
        _call("client", "connect", 950, 42_060, 1, result=0, address="10.1.2.2:8000"),
        _call("client", "send", 43_940, 44_020, 2, result=100, requested_bytes=100),
        _call("client", "recv", 44_300, 90_050, 3, result=1000, requested_bytes=4096),
        _call("server", "recv", 63_200, 64_070, 3, result=100, requested_bytes=4096),
        _call("server", "send", 65_900, 67_020, 4, result=1000, requested_bytes=1000),
        _call("client", "close", 91_960, 92_030, 4, result=0),
    ]  # fmt: skip


def lossy_recording() -> RawRecording:
    """`lossy` with the calls of both ends, as its finished file gives it."""
    raw = lossy().raw()
    raw.calls = lossy_calls()
    return raw

"""The packet witness: frames of one interface, through a ring that the kernel shares with us.

Turns the blocks of an AF_PACKET TPACKET_V3 ring into `RingFrame`s. Knows nothing of what the frames
hold, nor of files. Read first: man 7 packet, Documentation/networking/packet_mmap.rst; the numbers
are those of linux/if_packet.h.

What the kernel does, and what follows:

- A packet socket made with a protocol takes frames from that moment, from every interface, before
  any filter is attached or bind has named one. So it is made with protocol 0, which takes nothing;
  filter, ring and options are set, and bind, last, sets interface and protocol in one step.
- On loopback each frame passes twice, once leaving and once arriving. We take only the arrival
  (PACKET_IGNORE_OUTGOING; before Linux 4.20 a filter on the packet type does the same).
- The tap sits before the receiver's IP layer, so a frame's stamp is never later than anything the
  receiver did with it, and the sender's call was entered before. SO_TIMESTAMPNS moves the stamp
  further forward, to the moment when the frame is queued to the receiving side. Measured on 6.18:
  UDP gets that stamp; TCP on loopback does not (its frames still hold TCP's own departure time in
  that field, and the tap reads the clock instead). Stamps of two CPUs may stand in the ring out
  of order by microseconds.
- A block goes to the reader when full or when its time is up, `retire_ms` after it was opened and
  at most twice that: the block that is open when traffic stops comes late (see `drain`).
- tp_drops counts what found the ring full. Both counters start again at 0 when they are read.
"""

from __future__ import annotations

import array
import errno
import mmap
import os
import select
import socket
import struct
import sys
import time
from fcntl import ioctl

from netlab.capture.bpf import SNAPLEN_BYTES, Filter, accept_all, without_outgoing
from netlab.model.errors import PrivilegeError, UsageError
from netlab.model.frame import (
    CHECKSUM_NOT_READY,
    CHECKSUM_VALID,
    DIRECTION_IN,
    DIRECTION_OUT,
    TCP_SEGMENTATION_OFFLOAD,
)
from netlab.model.records import dataclass

SOL_PACKET = 263  # linux/socket.h
PACKET_RX_RING = 5  # linux/if_packet.h, as all PACKET_ and TP_ below
PACKET_STATISTICS = 6
PACKET_VERSION = 10
PACKET_IGNORE_OUTGOING = 23  # Linux 4.20
TPACKET_V3 = 2
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
SO_TIMESTAMPNS = 35  # asm-generic/socket.h, SO_TIMESTAMPNS_OLD
ETH_P_ALL = 0x0003  # linux/if_ether.h
ETH_P_8021Q = 0x8100
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h
SIOCGIFFLAGS = 0x8913  # linux/sockios.h
IFF_LOOPBACK = 0x8  # linux/if.h

TP_STATUS_KERNEL = 0
TP_STATUS_USER = 1 << 0
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
TP_STATUS_CSUM_VALID = 1 << 7
TP_STATUS_GSO_TCP = 1 << 8  # Linux 6.2; older kernels leave it 0

BLOCK_BYTES = 1 << 20  # four times the longest frame that is taken
BLOCKS = 64  # 0.7 s of 300,000 packets/s of 200 bytes
RETIRE_MS = 50  # a block is given up after this: 3.2 s of frames that come one by one
_FRAME_BYTES = 2048  # V3 packs frames of any size into a block; this must only divide it
_DRAIN_LIMIT_S = 2.0  # what a retire timer on a starved machine may be late

# struct tpacket_block_desc: version, offset_to_priv, then block_status, num_pkts,
# offset_to_first_pkt, blk_len. Native mode ("@"), so that each number is one load or store.
_BLOCK = struct.Struct("@8xIIII")
_STATUS = struct.Struct("@I")
_STATUS_OFFSET = 8
# struct tpacket3_hdr: tp_next_offset, tp_sec, tp_nsec, tp_snaplen, tp_len, tp_status, tp_mac, (32
# bytes), and of struct sockaddr_ll, which follows at 48: sll_pkttype.
_FRAME = struct.Struct("@IIIIIIH32xB")
_VLAN = struct.Struct("@IH")  # tp_vlan_tci, tp_vlan_tpid
_VLAN_OFFSET = 32
_VLAN_TAG = struct.Struct("!HH")

_MARKED = TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID | TP_STATUS_GSO_TCP
_MARKS = {
    not_ready | valid | gso: (
        (CHECKSUM_NOT_READY if not_ready else 0)
        | (CHECKSUM_VALID if valid else 0)
        | (TCP_SEGMENTATION_OFFLOAD if gso else 0)
    )
    for not_ready in (0, TP_STATUS_CSUMNOTREADY)
    for valid in (0, TP_STATUS_CSUM_VALID)
    for gso in (0, TP_STATUS_GSO_TCP)
}
# By sll_pkttype (3 bits): host, broadcast, multicast and otherhost come in, 4 goes out.
_DIRECTIONS = (DIRECTION_IN,) * 4 + (DIRECTION_OUT,) + (0,) * 3


# One frame as the ring gave it: time_ns, data (from the Ethernet header on, VLAN tag put back),
# origlen_bytes, epb_flags (direction, CHECKSUM_NOT_READY, TCP_SEGMENTATION_OFFLOAD, ...). A plain
# tuple: one with names takes twice the time to make, and the garbage collector goes on visiting it.
RingFrame = tuple[int, bytes, int, int]


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """Frames that passed the filter since the ring was opened, and those of them it lost."""

    received: int  # includes the dropped ones
    dropped: int


class PacketRing:
    """An open ring. `fileno()` is readable when a block is ready."""

    def __init__(self, sock: socket.socket, block_bytes: int, blocks: int, retire_ms: int) -> None:
        self.socket = sock
        self.retire_ms = retire_ms
        self._block_bytes = block_bytes
        self.blocks = blocks
        self._map = mmap.mmap(sock.fileno(), block_bytes * blocks)
        self._next = 0  # block that the kernel fills, or will fill, next
        self._taken = 0  # frames read so far
        self._received = 0
        self._dropped = 0

    @classmethod
    def open(
        cls,
        interface: str,
        *,
        block_bytes: int = BLOCK_BYTES,
        blocks: int = BLOCKS,
        retire_ms: int = RETIRE_MS,
        filter: Filter | None = None,
    ) -> PacketRing:
        """A ring on `interface` of this network namespace, taking frames from now on.

        `filter` defaults to every frame, 256 KiB of it. Raises PrivilegeError without CAP_NET_RAW,
        UsageError when there is no such Ethernet interface or no memory for the ring.
        """
        try:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise PrivilegeError("no right to capture packets", grant_hint()) from error
        try:
            _configure(sock, interface, filter or accept_all(SNAPLEN_BYTES))
            _make_ring(sock, block_bytes, blocks, retire_ms)
            ring = cls(sock, block_bytes, blocks, retire_ms)
            sock.bind((interface, ETH_P_ALL))
            _demand_ethernet(sock, interface)
        except BaseException:
            sock.close()
            raise
        return ring

    @classmethod
    def from_socket(
        cls,
        sock: socket.socket,
        *,
        block_bytes: int = BLOCK_BYTES,
        blocks: int = BLOCKS,
        retire_ms: int = RETIRE_MS,
    ) -> PacketRing:
        """The ring of a socket that another process opened with these same sizes and passed on.

        The kernel does not tell the sizes; OSError (EINVAL) when they are not the socket's. Only
        one process may read the ring, and its statistics.
        """
        return cls(sock, block_bytes, blocks, retire_ms)

    def set_filter(self, program: Filter) -> None:
        """Take other frames from now on."""
        _filter(self.socket, self.socket.getsockname()[0], program)

    def fileno(self) -> int:
        """The socket's descriptor, for poll and select."""
        return self.socket.fileno()

    def read(self) -> list[RingFrame]:
        """The frames of the next block that is ready; none when there is none. Never blocks.

        One block at a time, so that its frames are still in the processor's cache when they are
        written: many at once cost a third more each, just when the reader is behind.
        """
        start = self._next * self._block_bytes
        status, count, first, length = _BLOCK.unpack_from(self._map, start)
        if not status & TP_STATUS_USER:
            # An interface that goes down leaves ENETDOWN on the socket, and poll would report it
            # for ever; reading the error clears it. The ring works on when the interface is back.
            self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return []
        # One copy of the whole block: the kernel has it back before we look at a single frame.
        # The status is written by one aligned store, after the copy in program order. x86 keeps
        # that order; elsewhere the interpreter's own work between the two is all there is.
        block = self._map[start : start + length]
        _STATUS.pack_into(self._map, start + _STATUS_OFFSET, TP_STATUS_KERNEL)
        self._next = (self._next + 1) % self.blocks
        self._taken += count
        return _unpack_block(block, first, count)

    def drain(self) -> list[RingFrame]:
        """What is still in the ring: call it once the traffic of interest has stopped.

        Reads for one retire time-out (frames may still be under way between two CPUs), then until
        as many frames are read as the kernel had counted into the ring by then. Traffic of others
        that goes on meanwhile does not keep it from ending.
        """
        frames: list[RingFrame] = []
        self._read_until(frames, time.monotonic() + self.retire_ms / 1000, None)
        counted = self.statistics()
        target = counted.received - counted.dropped
        self._read_until(frames, time.monotonic() + _DRAIN_LIMIT_S, target)
        return frames

    def _read_until(self, frames: list[RingFrame], until_s: float, target: int | None) -> None:
        """Collect frames up to a moment, or until `target` frames have been taken in all."""
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        while target is None or self._taken < target:
            left_ms = (until_s - time.monotonic()) * 1000
            if (target is not None or left_ms > 0) and (more := self.read()):
                frames += more
            elif left_ms <= 0:
                return
            else:
                poller.poll(min(left_ms, self.retire_ms))

    def statistics(self) -> RingStatistics:
        """The kernel's counters, added up since the ring was opened."""
        # struct tpacket_stats_v3: tp_packets (with the dropped ones), tp_drops, tp_freeze_q_cnt
        counters = self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        received, dropped, _ = struct.unpack("@III", counters)
        self._received += received
        self._dropped += dropped
        return RingStatistics(self._received, self._dropped)

    def close(self) -> None:
        """Give the ring back; what was not read is lost."""
        self._map.close()
        self.socket.close()

    def __enter__(self) -> PacketRing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def grant_hint() -> str:
    """What gives this Python the right to capture, as a command."""
    python = os.path.realpath(sys.executable)
    return f"run as root, or grant it with: sudo setcap cap_net_raw+ep {python}"


def _unpack_block(block: bytes, first: int, count: int) -> list[RingFrame]:
    """The `count` frames of a block. The hot loop: about a microsecond a frame."""
    unpack = _FRAME.unpack_from
    marks, directions = _MARKS, _DIRECTIONS
    frames: list[RingFrame] = []
    append = frames.append
    at = first
    for _ in range(count):
        step, sec, nsec, caplen, origlen, status, mac, kind = unpack(block, at)
        start = at + mac
        data = block[start : start + caplen]
        if status & TP_STATUS_VLAN_VALID:
            data = _with_tag(data, block, at, status)
            origlen += 4
        flags = marks[status & _MARKED] | directions[kind]
        append((sec * 1_000_000_000 + nsec, data, origlen, flags))
        at += step
    return frames


def _with_tag(data: bytes, block: bytes, at: int, status: int) -> bytes:
    """The frame with the VLAN tag that the kernel took off, behind both addresses."""
    tci, tpid = _VLAN.unpack_from(block, at + _VLAN_OFFSET)
    if not status & TP_STATUS_VLAN_TPID_VALID:
        tpid = ETH_P_8021Q
    return data[:12] + _VLAN_TAG.pack(tpid, tci & 0xFFFF) + data[12:]


def _configure(sock: socket.socket, interface: str, program: Filter) -> None:
    """Everything that must hold before the first frame: version, direction, stamps, filter."""
    sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    _filter(sock, interface, program)


def _filter(sock: socket.socket, interface: str, program: Filter) -> None:
    """Let the kernel run `program`; on loopback each frame is to be seen once."""
    if _is_loopback(sock, interface):
        try:
            sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
            program = without_outgoing(program)
    attach(sock, program)


def attach(sock: socket.socket, program: Filter) -> None:
    """Let the kernel run `program` on each frame of the socket."""
    # struct sock_fprog points at the instructions: `code` must live until the call is done.
    code = array.array("B", b"".join(struct.pack("@HBBI", *line) for line in program))
    address, _ = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), address))


def _make_ring(sock: socket.socket, block_bytes: int, blocks: int, retire_ms: int) -> None:
    # struct tpacket_req3: block size, blocks, frame size, frames, retire time-out in ms, size of
    # private data, features
    frames = block_bytes * blocks // _FRAME_BYTES
    request = struct.pack("@7I", block_bytes, blocks, _FRAME_BYTES, frames, retire_ms, 0, 0)
    try:
        sock.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise UsageError(
            f"no memory for a packet ring of {block_bytes * blocks >> 20} MiB", "free some memory"
        ) from error


def _is_loopback(sock: socket.socket, interface: str) -> bool:
    """Whether the interface is a loopback; UsageError when there is none of that name."""
    try:
        answer = ioctl(sock, SIOCGIFFLAGS, struct.pack("@16s24x", interface.encode()[:15]))
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.EADDRNOTAVAIL, errno.EINVAL):
            raise
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise UsageError(f"no network interface {interface}", f"there is {names}") from error
    (flags,) = struct.unpack_from("@H", answer, 16)
    return bool(flags & IFF_LOOPBACK)


def _demand_ethernet(sock: socket.socket, interface: str) -> None:
    """Frames are written as Ethernet, so they must be: tunnels often have no link header at all."""
    hardware = sock.getsockname()[3]
    if hardware not in (ARPHRD_ETHER, ARPHRD_LOOPBACK):
        raise UsageError(
            f"{interface} is not an Ethernet interface (hardware type {hardware})",
            "capture on the interface below it, or on lo",
        )

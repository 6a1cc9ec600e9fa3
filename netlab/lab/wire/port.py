"""One end of the wire: a packet socket on the veth end that leads to a host.

Turns what the host sends into frames with their departure, and sends frames to the host. Knows
nothing of rules, nor of where a frame goes. Read first: man 7 packet, packet_mmap.rst, and
`capture.ring` for the order in which such a socket is made.

Facts that shape it:

- Frames come through a TPACKET_V2 ring: each is there at once (V3 hands over whole blocks, when
  they are full or their time is up: a delay that a wire must not have), its queue is as long as we
  ask (SO_RCVBUF is cut at net.core.rmem_max, and SO_RCVBUFFORCE is not for an ordinary user, not
  even in a namespace of their own), and reading it takes no system call: a frame's whole way took
  9 us of a processor, 12 us with recvmsg.
- The stamp is the kernel's, taken in the sender's own system call, when the frame was queued to us
  (SO_TIMESTAMPNS: else the clock is read later, when it is copied into the ring).
- send() runs the receiving host's protocol layers before it returns. ENOBUFS says that the host
  does not take the frame: its queue (net.core.netdev_max_backlog) is full, or its interface is
  down. Of the latter we learn only with PACKET_QDISC_BYPASS: the queueing discipline of an
  interface without carrier swallows frames and reports success.
- With checksum offload on, a frame would arrive without its checksum, and be discarded by the
  receiver without a word; with segmentation offload on it is longer than the link allows.
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct

from netlab.capture.bpf import SNAPLEN_BYTES, accept_all, without_outgoing
from netlab.capture.ring import (
    ETH_P_8021Q,
    ETH_P_ALL,
    PACKET_IGNORE_OUTGOING,
    PACKET_RX_RING,
    PACKET_STATISTICS,
    PACKET_VERSION,
    SO_TIMESTAMPNS,
    SOL_PACKET,
    TP_STATUS_CSUMNOTREADY,
    TP_STATUS_GSO_TCP,
    TP_STATUS_KERNEL,
    TP_STATUS_USER,
    TP_STATUS_VLAN_TPID_VALID,
    TP_STATUS_VLAN_VALID,
    attach,
    grant_hint,
)
from netlab.lab.network.offloads import has_link
from netlab.model.errors import PrivilegeError, UsageError

TPACKET_V2 = 1  # linux/if_packet.h
PACKET_QDISC_BYPASS = 20
TP_STATUS_LOSING = 1 << 2  # frames were lost since the statistics were last read

QUEUE_FRAMES = 8192  # 0.2 s of 500 Mbit/s in full-size frames
ETHERNET_BYTES = 14
_TAG_BYTES = 4
_BLOCK_BYTES = 1 << 16
_HEADROOM_BYTES = 128  # of a slot: tpacket2_hdr, sockaddr_ll, alignment
# struct tpacket2_hdr: tp_status, tp_len, tp_snaplen, tp_mac, (tp_net,) tp_sec, tp_nsec
_SLOT = struct.Struct("@IIIH2xII")
# The same without tp_snaplen, and, where the frame begins, its destination. tp_mac is MAC_AT for
# Ethernet: header and sockaddr_ll, 52 bytes, aligned with 16 more to 16, less 14.
MAC_AT = 66
QUICK_SLOT = struct.Struct(f"@II4xH2xII{MAC_AT - 24}x6s")
_TAG_OFFSET = 24  # tp_vlan_tci, tp_vlan_tpid
_TAG = struct.Struct("@HH")
_TAG_ON_WIRE = struct.Struct("!HH")
ODD = (
    TP_STATUS_LOSING | TP_STATUS_CSUMNOTREADY | TP_STATUS_GSO_TCP | TP_STATUS_VLAN_VALID
)  # what most frames are not
_DOWN = "its interface is down"
_NOT_TAKEN = {
    errno.ENOBUFS: "its queue is full",
    errno.EAGAIN: "its queue is full",
    errno.ENETDOWN: _DOWN,
    errno.ENXIO: _DOWN,
    errno.ENODEV: _DOWN,
    errno.EMSGSIZE: "longer than its link allows",
}

# A frame as it left the host: left_ns, data, and what is wrong with it (empty: nothing).
Left = tuple[int, bytes, str]


class Port:
    """The wire's end at one host. `fileno()` is readable when `take()` has something.

    The ring, its statuses and where reading stands in it are public for the hot path, which takes
    frames without a method call (`carriers.Plain`).
    """

    def __init__(
        self, sock: socket.socket, interface: str, mtu_bytes: int, slots: int, slot_bytes: int
    ) -> None:
        self._sock = sock
        self._interface = interface
        self.quick_send = sock.send  # raises OSError: ask `why_not_taken`
        self.most_bytes = mtu_bytes + ETHERNET_BYTES
        self.ring = mmap.mmap(sock.fileno(), slots * slot_bytes)
        self.frames = memoryview(self.ring)
        self.statuses = self.frames.cast("I")  # one store each, and the quickest
        self.slot_bytes = slot_bytes
        self.end = slots * slot_bytes
        self.at = 0  # the slot that the kernel fills, or will fill, next
        self.losing = False  # `losses()` has something

    @classmethod
    def open(cls, interface: str, mtu_bytes: int = 1500, queue_frames: int = QUEUE_FRAMES) -> Port:
        """Take the frames that come in by `interface` of this namespace, from now on.

        Raises PrivilegeError without CAP_NET_RAW, UsageError without such an interface or memory.
        """
        slot_bytes = 2048
        while slot_bytes < mtu_bytes + ETHERNET_BYTES + _TAG_BYTES + _HEADROOM_BYTES:
            slot_bytes *= 2
        per_block = max(1, _BLOCK_BYTES // slot_bytes)
        slots = -(-queue_frames // per_block) * per_block
        try:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError as error:
            raise PrivilegeError("no right to carry packets", grant_hint()) from error
        try:
            _only_incoming(sock)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
            _make_ring(sock, slots, slot_bytes, per_block * slot_bytes)
            sock.setblocking(False)
            port = cls(sock, interface, mtu_bytes, slots, slot_bytes)
            sock.bind((interface, ETH_P_ALL))
        except OSError as error:
            sock.close()
            if error.errno != errno.ENODEV:
                raise
            raise UsageError(f"no network interface {interface}", "name one that is there") from (
                error
            )
        except BaseException:
            sock.close()
            raise
        return port

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._sock.fileno()

    def take(self) -> Left | None:
        """The next frame that the host sent; None when there is none. Never blocks."""
        at, view = self.at, self.ring
        status, length, caplen, mac, sec, nsec = _SLOT.unpack_from(view, at)
        if not status & TP_STATUS_USER:
            return None
        start = at + mac
        data = view[start : start + caplen]
        fault = ""
        if status & ODD or length > self.most_bytes:
            data, fault = self._odd(data, status, length, at)
        # The slot is the kernel's again. x86 keeps the order of the copy and this one aligned
        # store; elsewhere the interpreter's own work between the two is all there is.
        self.statuses[at >> 2] = TP_STATUS_KERNEL
        at += self.slot_bytes
        self.at = at if at < self.end else 0
        return sec * 1_000_000_000 + nsec, data, fault

    def send(self, frame: bytes) -> str:
        """Send a frame to the host; why that did not work, empty when it did."""
        try:
            self._sock.send(frame)
        except OSError as error:
            return self.why_not_taken(error)
        return ""

    def why_not_taken(self, error: OSError) -> str:
        """What an error of sending says of the host; one that says nothing of it is raised."""
        reason = _NOT_TAKEN.get(error.errno or 0)
        if reason is None:
            raise error
        return reason if self._is_running() else _DOWN

    def _is_running(self) -> bool:
        """Whether the host's interface is up."""
        try:
            return has_link(self._sock, self._interface)
        except OSError:  # it is gone
            return False

    def clear_error(self) -> None:
        """An interface that goes down leaves an error that select would report for ever."""
        self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def losses(self) -> int:
        """How many frames of the host found no room in our queue since this was last asked."""
        self.losing = False
        # struct tpacket_stats: tp_packets, tp_drops
        counters = self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("@II", counters)[1])

    def close(self) -> None:
        """Give the socket back; frames that were not taken are lost."""
        self.statuses.release()
        self.frames.release()
        self.ring.close()
        self._sock.close()

    def _odd(self, data: bytes, status: int, length: int, at: int) -> tuple[bytes, str]:
        """A frame that is not like most: with its VLAN tag put back, and what is wrong with it."""
        self.losing = self.losing or bool(status & TP_STATUS_LOSING)
        most_bytes = self.most_bytes
        if status & TP_STATUS_VLAN_VALID:
            tci, tpid = _TAG.unpack_from(self.ring, at + _TAG_OFFSET)
            if not status & TP_STATUS_VLAN_TPID_VALID:
                tpid = ETH_P_8021Q
            data = data[:12] + _TAG_ON_WIRE.pack(tpid, tci) + data[12:]
        elif int.from_bytes(data[12:14], "big") == ETH_P_8021Q:
            most_bytes += _TAG_BYTES
        if status & TP_STATUS_CSUMNOTREADY:
            return data, "its checksum was left to a device: checksum offload is on"
        if status & TP_STATUS_GSO_TCP or length > most_bytes:
            return data, f"{length} bytes are longer than the link allows: is TSO or GSO on?"
        return data, ""


def _only_incoming(sock: socket.socket) -> None:
    """What we send must not come back to us."""
    try:
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        attach(sock, without_outgoing(accept_all(SNAPLEN_BYTES)))


def _make_ring(sock: socket.socket, slots: int, slot_bytes: int, block_bytes: int) -> None:
    # struct tpacket_req: block size, blocks, frame size, frames
    request = struct.pack("@4I", block_bytes, slots * slot_bytes // block_bytes, slot_bytes, slots)
    try:
        sock.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        size_mib = slots * slot_bytes >> 20
        raise UsageError(
            f"no memory for a queue of {size_mib} MiB for each host", "free some memory"
        ) from error

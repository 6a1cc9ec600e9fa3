"""struct tcp_info of a call record -> rows of `states`.

The struct grows with every kernel and older ones give less: a field is read only when its bytes are
there (include/uapi/linux/tcp.h; man 7 tcp). Times in it are microseconds. Knows no packets.
"""

from __future__ import annotations

import struct

from netlab.model.call import CallRecord
from netlab.model.tables import Side, State

STATES = (
    "", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
    "CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING", "SYN-RECEIVED",
)  # fmt: skip
INFINITE_SSTHRESH = 0x7FFFFFFF
_US = 1_000

_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_RTO, _RTT, _SSTHRESH, _CWND, _NOTSENT = 8, 68, 76, 80, 144
_BUSY, _RWND_LIMITED, _SNDBUF_LIMITED, _SND_WND, _RCV_WND = 168, 176, 184, 228, 232


def _u32(info: bytes, off: int) -> int | None:
    return int(_U32.unpack_from(info, off)[0]) if len(info) >= off + 4 else None


def _ns(info: bytes, off: int, packed: struct.Struct = _U32) -> int | None:
    if len(info) < off + packed.size:
        return None
    return int(packed.unpack_from(info, off)[0]) * _US


def state_from_info(
    info: bytes,
    time_ns: int,
    host: str,
    connection: int | None,
    side: Side | None,
    inq_bytes: int | None,
    outq_bytes: int | None,
) -> State:
    """One sample; what this kernel's struct does not hold is None."""
    number = info[0] if info else 0
    ssthresh = _u32(info, _SSTHRESH)
    return State(
        time_ns,
        host,
        connection,
        side,
        (STATES[number] if number < len(STATES) else "") or "unknown",
        snd_cwnd=_u32(info, _CWND),
        ssthresh=None if ssthresh is None or ssthresh >= INFINITE_SSTHRESH else ssthresh,
        srtt_ns=_ns(info, _RTT) or None,  # 0: no round trip measured yet
        rto_ns=_ns(info, _RTO),
        snd_wnd_bytes=_u32(info, _SND_WND),
        rcv_wnd_bytes=_u32(info, _RCV_WND),
        inq_bytes=inq_bytes,
        outq_bytes=outq_bytes,
        notsent_bytes=_u32(info, _NOTSENT),
        busy_ns=_ns(info, _BUSY, _U64),
        rwnd_limited_ns=_ns(info, _RWND_LIMITED, _U64),
        sndbuf_limited_ns=_ns(info, _SNDBUF_LIMITED, _U64),
    )


def states_from_call(record: CallRecord, connection: int | None, side: Side | None) -> list[State]:
    """The samples taken before and after a call."""
    found = []
    if record.tcp_info_before:
        found.append(
            state_from_info(record.tcp_info_before, record.entered_ns, record.host, connection,
                            side, record.inq_before_bytes, record.outq_before_bytes)
        )  # fmt: skip
    if record.tcp_info_after and record.returned_ns is not None:
        found.append(
            state_from_info(record.tcp_info_after, record.returned_ns, record.host, connection,
                            side, record.inq_after_bytes, record.outq_after_bytes)
        )  # fmt: skip
    return found

"""struct tcp_info and what the kernel says beside it -> rows of `states`.

The struct grows with every kernel and older ones give less: a field is read only when its bytes are
there (include/uapi/linux/tcp.h; man 7 tcp). Times in it are microseconds. Knows no packets.

A SYN and a FIN take a sequence number, and the kernel's queues are differences of such numbers. So
one is taken out of what is to be sent while it is not acknowledged, and out of what is to be read
once the peer's FIN has come; SIOCINQ has done the latter itself, SIOCOUTQ and sock_diag have not.
"""

from __future__ import annotations

import struct

from netlab.model.call import CallRecord
from netlab.model.sample import Sample, state_name
from netlab.model.tables import Side, State

INFINITE_SSTHRESH = 0x7FFFFFFF
_CA_STATES = ("open", "disorder", "cwr", "recovery", "loss")
# An unacknowledged SYN or FIN of ours is in the queue; the peer's FIN is, until it was read.
_SENDING_ONE = frozenset(("SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "CLOSING", "LAST-ACK"))
_FIN_TO_SEND = frozenset(("FIN-WAIT-1", "CLOSING", "LAST-ACK"))
_FIN_TO_READ = frozenset(("CLOSE-WAIT", "LAST-ACK", "CLOSING"))
_UNANSWERED = "SYN-SENT"  # the peer has announced no window yet
_SOCK_DIAG = "sock_diag"
_US = 1_000

_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_STATE, _CA_STATE = 0, 1
_RTO, _RTT, _SSTHRESH, _CWND, _NOTSENT = 8, 68, 76, 80, 144
_BUSY, _RWND_LIMITED, _SNDBUF_LIMITED, _SND_WND, _RCV_WND = 168, 176, 184, 228, 232
# SK_MEMINFO_* (linux/sock_diag.h)
_RMEM_ALLOC, _RCVBUF, _SNDBUF, _WMEM_QUEUED, _DROPS = 0, 1, 3, 5, 8


def _u32(info: bytes, off: int) -> int | None:
    return int(_U32.unpack_from(info, off)[0]) if len(info) >= off + 4 else None


def _ns(info: bytes, off: int, packed: struct.Struct = _U32) -> int | None:
    if len(info) < off + packed.size:
        return None
    return int(packed.unpack_from(info, off)[0]) * _US


def _without(count: int | None, one: bool) -> int | None:
    return count if count is None or not one else max(0, count - 1)


def state_from_info(
    info: bytes,
    time_ns: int,
    host: str,
    connection: int | None,
    side: Side | None,
    inq_bytes: int | None,
    outq_bytes: int | None,
    local: str | None = None,
    peer: str | None = None,
    witness: str = "probe",
    memory: tuple[int, ...] = (),
    state: int | None = None,
) -> State:
    """One sample; what this kernel's struct does not hold is None. `state`: where known beside it.

    `inq_bytes` and `outq_bytes` as SIOCINQ and SIOCOUTQ gave them.
    """
    if state is None:
        state = info[_STATE] if info else 0
    name = state_name(state)
    if name == "LISTEN":  # what the struct has of its connections-to-be is where they will begin
        return State(time_ns, host, connection, side, name, witness=witness, local=local)
    ssthresh = _u32(info, _SSTHRESH)
    number = info[_CA_STATE] if len(info) > _CA_STATE else len(_CA_STATES)
    return State(
        time_ns,
        host,
        connection,
        side,
        name,
        _u32(info, _CWND),
        None if ssthresh is None or ssthresh >= INFINITE_SSTHRESH else ssthresh,
        _ns(info, _RTT) or None,  # 0: no round trip measured yet
        _ns(info, _RTO),
        None if name == _UNANSWERED else _u32(info, _SND_WND),
        _u32(info, _RCV_WND),
        inq_bytes,
        _without(outq_bytes, name in _SENDING_ONE),
        _without(_u32(info, _NOTSENT), name in _FIN_TO_SEND),
        _ns(info, _BUSY, _U64),
        _ns(info, _RWND_LIMITED, _U64),
        _ns(info, _SNDBUF_LIMITED, _U64),
        witness,
        local,
        peer,
        _CA_STATES[number] if number < len(_CA_STATES) else None,
        None,
        None,
        _of(memory, _RMEM_ALLOC),
        _of(memory, _RCVBUF),
        _of(memory, _WMEM_QUEUED),
        _of(memory, _SNDBUF),
        _of(memory, _DROPS),
    )


def state_from_sample(sample: Sample, connection: int | None, side: Side | None) -> State:
    """One look from outside."""
    name = state_name(sample.state)
    if sample.tcp_info is not None and name != "LISTEN":
        inq_bytes = _without(sample.rqueue, name in _FIN_TO_READ)
        return state_from_info(
            sample.tcp_info, sample.time_ns, sample.host, connection, side, inq_bytes,
            sample.wqueue, sample.local, sample.peer, _SOCK_DIAG, sample.memory, sample.state,
        )  # fmt: skip
    listens, memory = name == "LISTEN", sample.memory
    return State(
        sample.time_ns,
        sample.host,
        connection,
        side,
        name,
        witness=_SOCK_DIAG,
        local=sample.local,
        peer=None if listens else sample.peer,
        accept_queue=sample.rqueue if listens else None,
        backlog=sample.wqueue if listens else None,
        rmem_alloc_bytes=_of(memory, _RMEM_ALLOC),
        rcvbuf_bytes=_of(memory, _RCVBUF),
        wmem_queued_bytes=_of(memory, _WMEM_QUEUED),
        sndbuf_bytes=_of(memory, _SNDBUF),
        drops=_of(memory, _DROPS),
    )


def _of(memory: tuple[int, ...], place: int) -> int | None:
    return memory[place] if place < len(memory) else None


def states_from_call(record: CallRecord, connection: int | None, side: Side | None) -> list[State]:
    """The samples taken before and after a call."""
    found = []
    ends = record.local, record.peer
    if record.tcp_info_before:
        found.append(
            state_from_info(record.tcp_info_before, record.entered_ns, record.host, connection,
                            side, record.inq_before_bytes, record.outq_before_bytes, *ends)
        )  # fmt: skip
    if record.tcp_info_after and record.returned_ns is not None:
        found.append(
            state_from_info(record.tcp_info_after, record.returned_ns, record.host, connection,
                            side, record.inq_after_bytes, record.outq_after_bytes, *ends)
        )  # fmt: skip
    return found

"""What the kernel reported of a socket or a packet in passing, by one of its tracepoints."""

from __future__ import annotations

from enum import StrEnum

from netlab.model.records import dataclass


class Tracepoint(StrEnum):
    """The events that are kept, by the kernel's names."""

    SET_STATE = "inet_sock_set_state"
    PROBE = "tcp_probe"  # a segment has come in: the numbers are those before it is looked at
    RETRANSMIT = "tcp_retransmit_skb"
    RETRANSMIT_SYNACK = "tcp_retransmit_synack"
    SEND_RESET = "tcp_send_reset"
    RECEIVE_RESET = "tcp_receive_reset"
    DROP = "kfree_skb"
    RCVQUEUE_FULL = "sock_rcvqueue_full"


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """One event. None means: this event, or this kernel, does not say.

    `local` and `peer` are the addresses of the socket that it is about, as in a CallRecord; of a
    packet without a socket those of the end that it came to. `inode` names the socket where a call
    on it was seen.
    """

    time_ns: int
    host: str
    what: str  # a Tracepoint
    local: str | None = None
    peer: str | None = None
    inode: int | None = None
    state: str | None = None  # as RFC 9293 spells it; of SET_STATE the new one
    old_state: str | None = None
    reason: str | None = None  # of a drop or a reset, as the kernel names it
    errno: str | None = None  # of a retransmission that failed
    length_bytes: int | None = None  # PROBE: payload of the segment that has come in
    snd_nxt: int | None = None  # PROBE: 32-bit sequence numbers as on the wire
    snd_una: int | None = None
    snd_cwnd: int | None = None  # segments
    ssthresh: int | None = None  # segments; None: infinite
    srtt_ns: int | None = None
    snd_wnd_bytes: int | None = None
    rcv_wnd_bytes: int | None = None

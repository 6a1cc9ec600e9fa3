"""What a kernel said of one TCP socket at one moment, asked from outside (sock_diag)."""

from __future__ import annotations

from netlab.model.records import dataclass

# By the kernel's number (net/tcp_states.h), as RFC 9293 spells them. 12 is a SYN-RECEIVED, too: a
# request that has no socket yet; the kernel's TIME-WAIT may have been FIN-WAIT-2 at its end.
TCP_STATES = (
    "", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
    "CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING", "SYN-RECEIVED",
)  # fmt: skip


def state_name(number: int) -> str:
    """A state by the kernel's number; `unknown` for one that it may learn some day."""
    return (TCP_STATES[number] if 0 <= number < len(TCP_STATES) else "") or "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one socket; the numbers are the kernel's, nothing is taken out of them.

    `cookie` names the socket for as long as the kernel has it; `inode` as well, as in a CallRecord,
    but it is 0 before accept() and once no process holds it. The kernel wrote this down at most
    `within_ns` before `time_ns`. `peer` of a listener is `0.0.0.0:0` or `[::]:0`.
    """

    time_ns: int  # when the answer was here
    within_ns: int
    host: str
    inode: int
    cookie: int  # as a signed number
    local: str  # 127.0.0.1:80, [::1]:80
    peer: str
    state: int  # net/tcp_states.h
    rqueue: int  # not read yet, a FIN counted; of a listener: connections that wait for accept()
    wqueue: int  # not acknowledged yet, SYN and FIN counted; of a listener: the backlog
    tcp_info: bytes | None = None  # struct tcp_info; None: not a whole socket (SYN-RECEIVED)
    memory: tuple[int, ...] = ()  # SK_MEMINFO_*, in the order of linux/sock_diag.h

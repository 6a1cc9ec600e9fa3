"""The causes of waiting: their names, what each means, what to change, and where that is written.

A cause is a row of `MECHANISMS`. The condition under which it is named, and the evidence cited, are
in the rule that names it: `held` (why a sender's stack kept bytes), `recovery` (why they were sent
again), and the stories of single calls.

`autocork`: Linux holds what is written while an earlier packet of the socket has not been freed by
queue or device (tcp_should_autocork), up to the size of that, until the first of them is. A veth or
a loopback frees a packet as it takes it out of the queue, which is where its frame is stamped; what
has no queue of its own (100,000 writes into a plain veth: TCPAutoCorking of /proc/net/netstat 0)
never does it, a token bucket in front of a host's link does. `handing` tells from timestamps what
TCP held from what lay in that queue; the latter is `wire_queue`, as is what TCP leaves unsent while
enough lies there (tcp_small_queue_check). Where the capture was not taken at the sender, or without
timestamps, what it cost stays `unknown`.

`datagram_too_big` is to datagrams what `path_mtu` is to segments: TCP sends what did not fit again
in smaller pieces, UDP sends nothing again, so a program waits for it until its own time is up.

Where the advice depends on the way (a pipe's room) or on what a time-out ended, see `advice`.

`other_event` is what an event loop waits for beside its sockets; `readiness` names it only where no
socket or pipe of the recording is among what was reported. A shutdown of its own side, made by
another thread, is one as well (`own_end`), and so is a call of its own program up to which it had
nothing to report (`room_anew`).
"""

from __future__ import annotations

from enum import StrEnum

from netlab.model.records import dataclass


class Cause(StrEnum):
    """The names in `waits.cause`."""

    COPY = "copy"
    PEER_APP = "peer_app"
    NETWORK = "network"
    NAGLE = "nagle"
    CORK = "cork"
    AUTOCORK = "autocork"
    DELAYED_ACK = "delayed_ack"
    CWND = "cwnd"
    PEER_WINDOW = "peer_window"
    SEND_BUFFER = "send_buffer"
    RTO = "rto"
    FAST_RETRANSMIT = "fast_retransmit"
    TAIL_LOSS_PROBE = "tail_loss_probe"
    PATH_MTU = "path_mtu"
    DATAGRAM_TOO_BIG = "datagram_too_big"
    HEAD_OF_LINE = "head_of_line"
    SYN_RETRY = "syn_retry"
    ACCEPT_QUEUE = "accept_queue"
    BACKLOG_FULL = "backlog_full"
    NO_CLIENT = "no_client"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SCHEDULER = "scheduler"
    TIMER = "timer"
    LINGER = "linger"
    KEEPALIVE = "keepalive"
    USER_TIMEOUT = "user_timeout"
    SIGNAL = "signal"
    OTHER_EVENT = "other_event"
    WINDOW_PROBE = "window_probe"
    PACING = "pacing"
    WIRE_QUEUE = "wire_queue"
    LEFT_UNREAD = "left_unread"
    WITNESS = "witness"
    UNKNOWN = "unknown"


class Certainty(StrEnum):
    """How a cause is known."""

    OBSERVED = "observed"  # the recording shows it
    INFERRED = "inferred"  # a rule says so, and what it assumes is not in the recording
    UNKNOWN = "unknown"


# Time in which a call does not wait: the kernel works, or the tracer does.
BUSY = frozenset({Cause.COPY, Cause.WITNESS})


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A cause in words: what it is, what to change (empty: nothing), where that is written."""

    says: str
    advice: str
    source: str


MECHANISMS: dict[Cause, Mechanism] = {
    Cause.COPY: Mechanism("the kernel worked", "", "man 7 socket"),
    Cause.PEER_APP: Mechanism(
        "the peer's program had not sent",
        "Look at what the peer's program did before that call.",
        "RFC 9293 3.9.1",
    ),
    Cause.NETWORK: Mechanism(
        "on the wire", "Fewer round trips: send more before waiting.", "RFC 9293 3.8"
    ),
    Cause.NAGLE: Mechanism(
        "Nagle's algorithm held a small segment",
        "Set TCP_NODELAY, or write header and body in one call.",
        "RFC 896; RFC 9293 3.7.4; tcp_nagle_check in Linux",
    ),
    Cause.CORK: Mechanism(
        "TCP_CORK or MSG_MORE held a small segment",
        "Take the cork out (TCP_CORK 0), or leave MSG_MORE out, with the last write of a message.",
        "man 7 tcp",
    ),
    Cause.AUTOCORK: Mechanism(
        "autocorking held what was written while earlier bytes lay in the host's own queue",
        "Write a message in one call; net.ipv4.tcp_autocorking=0 sends each write for itself, but"
        " behind what is in that queue.",
        "net.ipv4.tcp_autocorking in ip-sysctl of Linux; tcp_should_autocork",
    ),
    Cause.DELAYED_ACK: Mechanism(
        "the receiver sat on its ACK",
        "Set TCP_NODELAY at the sender, or write header and body in one call.",
        "RFC 9293 3.8.6.3; RFC 5681 4.2",
    ),
    Cause.CWND: Mechanism(
        "the congestion window was full",
        "Keep the connection in use, so that its window has grown before it matters.",
        "RFC 5681 3.1",
    ),
    Cause.PEER_WINDOW: Mechanism(
        "the peer's window was closed, because its program did not read",
        "Let the peer's program read sooner, or give it a larger SO_RCVBUF.",
        "RFC 9293 3.8.6",
    ),
    Cause.SEND_BUFFER: Mechanism(
        "the send buffer was full",
        "Let its reader read sooner, or make more room: a larger SO_SNDBUF where a socket is"
        " written, F_SETPIPE_SZ of a pipe, a larger queue of messages.",
        "man 7 socket; man 7 pipe; man 7 mq_overview; man 7 tcp (tcp_wmem)",
    ),
    Cause.RTO: Mechanism(
        "a lost segment was sent again by the retransmission timer",
        "Find out where segments are lost.",
        "RFC 6298",
    ),
    Cause.FAST_RETRANSMIT: Mechanism(
        "a lost segment was sent again after ACKs had shown the gap",
        "Find out where segments are lost.",
        "RFC 8985; RFC 6675",
    ),
    Cause.TAIL_LOSS_PROBE: Mechanism(
        "a segment was lost with nothing sent behind it, until the loss probe timer",
        "Find out where segments are lost.",
        "RFC 8985 7",
    ),
    Cause.PATH_MTU: Mechanism(
        "segments were too big for the path, until they were sent again in smaller pieces",
        "Let ICMP (fragmentation needed, packet too big) through, so that path MTU discovery works;"
        " or clamp the MSS on the way (TCPMSS --clamp-mss-to-pmtu), set TCP_MAXSEG, or look for"
        " the size with net.ipv4.tcp_mtu_probing=1.",
        "RFC 1191; RFC 8201; RFC 2923 2.1; RFC 4821",
    ),
    Cause.DATAGRAM_TOO_BIG: Mechanism(
        "a datagram was too big for the path, and nobody sends one again",
        "Send smaller datagrams, and let ICMP (fragmentation needed, packet too big) through: once"
        " it came, IP_MTU of a connected socket says what fits, and the kernel cuts what is larger"
        " into fragments, or fails it with EMSGSIZE where IP_MTU_DISCOVER (IPV6_MTU_DISCOVER) is"
        " IP_PMTUDISC_DO.",
        "RFC 8085 3.2; man 7 ip; man 7 udp",
    ),
    Cause.HEAD_OF_LINE: Mechanism(
        "later bytes were here, an earlier gap was not filled",
        "Find out where segments are lost; independent messages do better on several connections.",
        "RFC 9293 3.4",
    ),
    Cause.SYN_RETRY: Mechanism(
        "a segment of the handshake was lost and sent again",
        "Find out where the handshake is lost: a firewall, a full queue, a route.",
        "RFC 6298 2; tcp_syn_linear_timeouts in Linux",
    ),
    Cause.ACCEPT_QUEUE: Mechanism(
        "the connection stood in the accept queue, nobody called accept",
        "Let the server call accept sooner, or in more threads or processes.",
        "man 2 listen",
    ),
    Cause.BACKLOG_FULL: Mechanism(
        "the listener's queue was full, so it let the client wait",
        "Call accept sooner, or listen with a larger backlog (and net.core.somaxconn).",
        "man 2 listen; man 7 unix; tcp_conn_request and unix_stream_connect in Linux",
    ),
    Cause.NO_CLIENT: Mechanism("there was no client to accept", "", "man 2 accept"),
    Cause.REFUSED: Mechanism(
        "until it was refused", "Start the server first, or correct the port.", "RFC 9293 3.10.7.1"
    ),
    Cause.UNREACHABLE: Mechanism(
        "until an error said that there is no way",
        "Correct the address or the route.",
        "RFC 1122 4.2.3.9",
    ),
    Cause.SCHEDULER: Mechanism(
        "nothing was to be waited for, and its thread did not run",
        "The machine is busy: fewer runnable threads, or more processors.",
        "man 7 sched",
    ),
    Cause.TIMER: Mechanism("until its time was up", "", "man 2 poll; man 7 socket (SO_RCVTIMEO)"),
    Cause.LINGER: Mechanism(
        "SO_LINGER made close wait for the peer's ACK",
        "Leave SO_LINGER out, and use shutdown and recv to know that all was read.",
        "man 7 socket",
    ),
    Cause.KEEPALIVE: Mechanism(
        "until keep-alive probes had found the peer dead",
        "Shorter TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, or a time-out of the program's own.",
        "RFC 9293 3.8.4; man 7 tcp",
    ),
    Cause.USER_TIMEOUT: Mechanism(
        "until TCP_USER_TIMEOUT gave up", "Find out why the peer was silent.", "RFC 5482"
    ),
    Cause.SIGNAL: Mechanism("until a signal interrupted it", "", "man 7 signal"),
    Cause.OTHER_EVENT: Mechanism(
        "until a descriptor was ready that is no socket (a timer's, ...), or its own program acted",
        "",
        "man 2 poll; man 2 eventfd; man 2 signalfd",
    ),
    Cause.WINDOW_PROBE: Mechanism(
        "the peer's window was open but smaller than a segment, until the probe timer",
        "Let the peer's program read more at a time, or give it a larger SO_RCVBUF.",
        "RFC 9293 3.8.6.1; tcp_write_wakeup in Linux",
    ),
    Cause.PACING: Mechanism(
        "the sender spread its segments out (pacing)",
        "Another congestion control or a higher SO_MAX_PACING_RATE.",
        "tcp_pacing_check in Linux",
    ),
    Cause.WIRE_QUEUE: Mechanism(
        "in the queue of the wire, whose rate is limited, or in that of its sender's own link",
        "Send less at once, or use a faster line.",
        "the rules of the wire; man 8 tc; tcp_small_queue_check in Linux",
    ),
    Cause.LEFT_UNREAD: Mechanism(
        "bytes lay here unread, and EPOLLET tells only of what is new",
        "Read until EAGAIN before waiting again, or leave EPOLLET out.",
        "man 7 epoll",
    ),
    Cause.WITNESS: Mechanism("stopped by the tracer", "Use the probe or the kernel witness.", ""),
    Cause.UNKNOWN: Mechanism("for a reason that the recording does not show", "", ""),
}

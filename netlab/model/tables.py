"""The nine tables: what a recording is once it has been decoded, correlated and explained.

One record class a table; its fields, in order, are the columns, and their types the schema. A field
whose name begins with an underscore belongs to no table: it is what a later stage needs of the row.
Times are nanoseconds since the epoch, ranges are half-open stream offsets, None is null.
Other programs build on these names: changing one changes the interface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields
from enum import Enum, StrEnum, auto
from typing import Any, get_args, get_type_hints

from netlab.model.records import dataclass, quickly_made
from netlab.model.wire import Arrival


class Direction(StrEnum):
    """Which way bytes travel."""

    C2S = "c>s"
    S2C = "s>c"

    reverse: Direction
    sender: Side
    receiver: Side


class Side(StrEnum):
    """An end of a connection. The client is the sender of the first SYN or datagram."""

    CLIENT = "client"
    SERVER = "server"

    outbound: Direction
    inbound: Direction


# Plain attributes: a property that names members takes ten times as long, for each row of a table.
Direction.C2S.reverse, Direction.S2C.reverse = Direction.S2C, Direction.C2S
Direction.C2S.sender, Direction.S2C.sender = Side.CLIENT, Side.SERVER
Direction.C2S.receiver, Direction.S2C.receiver = Side.SERVER, Side.CLIENT
Side.CLIENT.outbound, Side.SERVER.outbound = Direction.C2S, Direction.S2C
Side.CLIENT.inbound, Side.SERVER.inbound = Direction.S2C, Direction.C2S


class Role(StrEnum):
    """How a call and a frame (or another call) belong together."""

    CARRIED = "carried"  # first frame that holds these bytes
    RESENT = "resent"  # a later frame with any of them
    ACKED = "acked"  # the ACK that advanced over them
    DELIVERED = "delivered"  # the copy that the receiver's end accepted
    RELEASED = "released"  # the frame that filled the gap before them
    DUPLICATE = "duplicate"  # a copy that brought nothing new
    ACK_SENT = "ack_sent"  # a pure ACK that left inside a recv
    SYN = "syn"
    SYNACK = "synack"
    HANDSHAKE_ACK = "handshake_ack"
    FIN = "fin"
    RST = "rst"
    WINDOW = "window"  # first announced the space a recv freed
    WAKEUP = "wakeup"  # made a descriptor ready that a poll reported
    ICMP = "icmp"
    LOCAL = "local"  # call to call: Unix sockets, pipes, queues


class Fate(StrEnum):
    """What became of a frame on its way."""

    DELIVERED = "delivered"
    DROPPED = "dropped"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What a segment is to its sender and to the network: netlab's own, beside tshark's."""

    NEW_DATA = "new_data"
    RTO = "rto"  # sent again by the retransmission timer, or in the recovery that it began
    FAST_RETRANSMIT = "fast_retransmit"  # sent again since ACKs told of a loss
    TAIL_LOSS_PROBE = "tail_loss_probe"  # RFC 8985 section 7
    SPURIOUS = "spurious"  # sent again for whatever reason, and the receiver had it
    REORDERED = "reordered"  # sent in order, overtaken on the way
    DUPLICATED_BY_CAPTURE = "duplicated_by_capture"  # one packet, seen twice
    DUPLICATED_BY_NETWORK = "duplicated_by_network"  # one packet, come twice
    KEEP_ALIVE = "keep_alive"
    ZERO_WINDOW_PROBE = "zero_window_probe"


@quickly_made
@dataclass(slots=True, frozen=True)
class TcpOptions:
    """The options of one TCP header that netlab uses; None where absent (RFC 9293, 7323, 2018)."""

    mss: int | None = None
    wscale: int | None = None
    sack_permitted: bool = False
    ts_val: int | None = None
    ts_ecr: int | None = None
    sack_blocks: tuple[tuple[int, int], ...] = ()  # 32-bit sequence numbers as on the wire
    odd: bool = False  # one had a wrong length and was passed over, or was MPTCP's (RFC 8684)
    has_cookie: bool = False  # of Fast Open, not only the wish for one (RFC 7413 4.1.1)


Piece = tuple[int, int, int]  # where it begins and ends in the frame, and the protocol in it
Ends = tuple[str, int, str, int]  # source, source port, destination, destination port


@quickly_made
@dataclass(slots=True, frozen=True)
class Icmp:
    """The head of an ICMP or ICMPv6 message: its numbers, and what they are called."""

    type: int
    code: int
    name: str  # "fragmentation needed", "port unreachable", ...
    mtu_bytes: int | None = None  # that it names, as what is too big does


@dataclass(slots=True)
class Packet:
    """A captured frame, once. Not frozen: `correlate` fills connection and direction."""

    frame: int
    time_ns: int
    arrived_ns: int | None
    fate: str
    interface: str
    link: str  # what the link layer is: Ethernet, Linux cooked, Raw IP, ...
    caplen_bytes: int
    origlen_bytes: int
    vlan: int | None = None
    ip_version: int | None = None
    src: str | None = None
    dst: str | None = None
    ttl: int | None = None
    ip_id: int | None = None  # IPv4 identification, or the IPv6 fragment header's
    ip_len_bytes: int | None = None  # header and payload, as the IP header declares
    fragment: str | None = None  # "offset+length more" of a fragment in bytes, e.g. "0+1480 more"
    protocol: str | None = None  # innermost that was decoded: TCP, UDP, ICMP, ARP, ...
    sport: int | None = None
    dport: int | None = None
    tcp_flags: str | None = None  # names in wire order: "SYN ACK", "PSH ACK", "FIN ACK"
    seg_seq: int | None = None
    seg_ack: int | None = None
    seg_wnd_raw: int | None = None
    payload_off: int | None = None  # of the transport's payload, from the start of the frame; null
    # in a frame that completed a fragmented packet, whose payload is in several
    payload_len_bytes: int | None = None  # as the headers declare; captured may be less
    connection: int | None = None
    direction: str | None = None
    fault_layer: str | None = None  # first layer that could not be read
    fault_off: int | None = None  # where in the frame
    fault_need: int | None = None  # bytes it needed
    fault_have: int | None = None  # bytes there were
    fault_limited_by: str | None = None  # snaplen, ip total length, ...
    _options: TcpOptions | None = None
    _flags: int = 0  # TCP flags as a number
    _offload: int = 0  # epb_flags
    _fragment_off: int = 0  # bytes
    _fragment_more: bool = False
    _piece: Piece | None = None  # what a fragment brings, None where nothing can be made of it
    _parts: tuple[int, ...] = ()  # the frames whose fragments this one completed, by offset
    _whole_in: int | None = None  # the frame that completed the packet of which this is a fragment
    _whole: bytes | None = None  # the transport's payload of a packet that was put together
    _carriers: tuple[Ends, ...] = ()  # the UDP ends of the tunnels it came through
    _quoted: Packet | None = None  # what an ICMP error quotes
    _icmp: Icmp | None = None
    _icmp_text: str = ""  # what that says, for people: "fragmentation needed, MTU 900"
    _port_unreachable: bool = False  # an ICMP error that says: nobody listens there
    _depth: int = 0  # how many packets it is in
    _ip_protocol: int | None = None  # the transport's number, the same in every fragment
    _wired: bool = False  # a wire carried it: seen at its sender's end, it need not have arrived
    _made: bool = False  # by the wire: no host sent it
    _copy_of: int | None = None  # the frame that it is the wire's copy of, or a fragment
    _whole_ns: int | None = None  # the wire cut it: when the last of its fragments arrived
    _spoilt: bool = False  # the wire changed it, and its receiver's kernel did not take it for it
    _to: str | None = None  # the host it was for; None: several, or not known
    _arrival: Arrival | None = None  # all that the wire noted of it


class Doubt(Enum):
    """What is open of a segment that has no verdict, where its sender's kernel may tell."""

    WHETHER = auto()  # it may have been sent again, or be late, or be one packet seen twice
    WHY = auto()  # it was sent again, and by what is not known
    TIMER_OR_PROBE = auto()  # the retransmission timer sent it again, or it is a tail loss probe


@quickly_made
@dataclass(slots=True, frozen=True)
class Again:
    """How a segment was sent again, of which its verdict alone does not tell all."""

    by: Verdict | None = None  # of one in vain: what sent it; None: it is not known
    timeout_frame: int | None = None  # it left in the recovery that this frame's time-out began
    in_vain: str = ""  # how its receiver said that it had it, for people
    doubt: Doubt | None = None  # of one without a verdict


@dataclass(slots=True)
class Segment:
    """A TCP segment in its connection. seq and ack are relative, unwrapped: seq = offset + 1."""

    frame: int
    connection: int
    direction: str
    seq: int
    seg_len: int
    payload_len_bytes: int
    start: int
    stop: int
    ack: int | None
    seg_wnd_bytes: int | None  # None: scale not known
    retransmission: bool | None = None
    fast_retransmission: bool | None = None
    spurious_retransmission: bool | None = None
    out_of_order: bool | None = None
    lost_segment: bool | None = None
    ack_lost_segment: bool | None = None
    duplicate_ack: bool | None = None
    zero_window: bool | None = None
    zero_window_probe: bool | None = None
    zero_window_probe_ack: bool | None = None
    window_full: bool | None = None
    window_update: bool | None = None
    keep_alive: bool | None = None
    keep_alive_ack: bool | None = None
    reused_ports: bool | None = None
    tfo_syn: bool | None = None
    tfo_ack: bool | None = None
    tfo_ignored: bool | None = None
    duplicate_ack_num: int | None = None
    duplicate_ack_frame: int | None = None  # the ACK that it repeats
    acks_frame: int | None = None
    ack_rtt_ns: int | None = None
    rto_ns: int | None = None
    rto_frame: int | None = None  # from which rto_ns counts
    bytes_in_flight: int | None = None
    push_bytes: int | None = None  # tshark's push_bytes_sent: payload since the last PSH
    sender_state: str | None = None  # RFC 9293: the state in which it left its sender
    receiver_state: str | None = None  # and the other end's once it had come; None: it did not
    verdict: str | None = None  # a Verdict; None with a reason: not certain
    verdict_reason: str | None = None
    verdict_frames: tuple[int, ...] | None = None  # the evidence
    _again: Again | None = None


@dataclass(slots=True)
class Connection:
    """A TCP connection, a UDP conversation, or a Unix socket pair, pipe, queue or ring in use."""

    connection: int
    stream: int | None  # tshark's tcp.stream or udp.stream
    protocol: str  # tcp, udp, unix, pipe, mq, ring
    client: str
    client_port: int | None
    server: str
    server_port: int | None
    first_ns: int | None
    last_ns: int | None
    client_packets: int = 0  # sent by the client
    server_packets: int = 0
    client_bytes: int = 0  # payload bytes of the stream that the client sent, each byte once
    server_bytes: int = 0
    handshake_ns: int | None = None  # first SYN to the ACK that completed
    initial_rtt_ns: int | None = None  # tshark's: last SYN to the first ACK that is none
    client_mss: int | None = None
    server_mss: int | None = None
    client_wscale: int | None = None
    server_wscale: int | None = None
    client_sack: bool | None = None
    server_sack: bool | None = None
    client_timestamps: bool | None = None
    server_timestamps: bool | None = None
    retransmission_count: int | None = None
    fast_retransmission_count: int | None = None
    spurious_retransmission_count: int | None = None
    out_of_order_count: int | None = None
    lost_segment_count: int | None = None
    ack_lost_segment_count: int | None = None
    duplicate_ack_count: int | None = None
    zero_window_count: int | None = None
    zero_window_probe_count: int | None = None
    zero_window_probe_ack_count: int | None = None
    window_full_count: int | None = None
    window_update_count: int | None = None
    keep_alive_count: int | None = None
    keep_alive_ack_count: int | None = None
    reused_ports_count: int | None = None
    tfo_syn_count: int | None = None
    tfo_ack_count: int | None = None
    tfo_ignored_count: int | None = None
    completeness: int | None = None  # tshark's tcp.completeness bits at the end
    client_state: str | None = None  # RFC 9293 state as far as the packets show it
    server_state: str | None = None
    closed_by: str | None = None  # client, server, both
    close_kind: str | None = None  # fin, rst, half-close, open; null: not known, frames were lost
    handshake_kind: str | None = (
        None  # full, half, fast_open, simultaneous, refused, unanswered ...
    )
    conn_state: str | None = None  # Zeek's
    history: str | None = None  # Zeek's
    idle_max_ns: int | None = None  # between two frames
    new_data_frames: int | None = None  # by netlab's own verdict
    rto_frames: int | None = None
    fast_retransmit_frames: int | None = None
    tail_loss_probe_frames: int | None = None
    spurious_frames: int | None = None
    reordered_frames: int | None = None
    duplicated_by_capture_frames: int | None = None
    duplicated_by_network_frames: int | None = None
    keep_alive_frames: int | None = None
    zero_window_probe_frames: int | None = None
    unsure_frames: int | None = None  # without a verdict, and the reason says what is missing
    client_stream_bytes: int | None = None  # as long as frames and ACKs show
    client_missed_bytes: int | None = None  # of its stream: acknowledged, and not captured
    client_rtt_min_ns: int | None = (
        None  # from what it sent to its ACK, none of what was sent twice
    )
    client_rtt_mean_ns: int | None = None
    client_rtt_smoothed_ns: int | None = None  # RFC 6298, at the end
    client_rtt_variation_ns: int | None = None
    client_ts_rtt_min_ns: int | None = None  # from a timestamp that it sent to its echo
    client_ts_rtt_mean_ns: int | None = None
    client_flight_max_bytes: int | None = None  # that it had out
    client_window_min_bytes: int | None = None  # that it let the other send, after the handshake
    client_window_max_bytes: int | None = None
    client_window_edge: int | None = None  # offset of the other's stream up to which it did
    client_throughput_bytes_per_s: int | None = (
        None  # payload, copies too, from its first to its last ACK
    )
    client_goodput_bytes_per_s: int | None = None  # each byte once
    client_limited_by: str | None = None  # application, peer_window, own_buffer, loss, unknown
    client_limited_reason: str | None = None
    server_stream_bytes: int | None = None
    server_missed_bytes: int | None = None
    server_rtt_min_ns: int | None = None
    server_rtt_mean_ns: int | None = None
    server_rtt_smoothed_ns: int | None = None
    server_rtt_variation_ns: int | None = None
    server_ts_rtt_min_ns: int | None = None
    server_ts_rtt_mean_ns: int | None = None
    server_flight_max_bytes: int | None = None
    server_window_min_bytes: int | None = None
    server_window_max_bytes: int | None = None
    server_window_edge: int | None = None
    server_throughput_bytes_per_s: int | None = None
    server_goodput_bytes_per_s: int | None = None
    server_limited_by: str | None = None
    server_limited_reason: str | None = None


@dataclass(slots=True)
class Call:
    """A call on a socket, pipe, queue or ring. `call` is 1-based in order of entry.

    `args` are as strace would print them, without descriptor and data. Those of select, poll and
    epoll_wait end with what the call reported, descriptors and events: `ready=[6:IN, 7:IN|HUP]`.
    """

    call: int
    witness: str
    host: str
    actor: str
    pid: int
    tid: int
    fd: int | None
    connection: int | None
    side: str | None
    op: str
    args: str
    entered_ns: int
    returned_ns: int | None
    returned_by_ns: int | None
    requested_bytes: int | None
    result: int | None
    errno: str | None
    direction: str | None
    start: int | None
    stop: int | None
    inq_before_bytes: int | None
    outq_before_bytes: int | None
    inq_after_bytes: int | None
    outq_after_bytes: int | None
    code: str | None
    about: int | None = None  # connection that a message between processes is about
    _messages: tuple[int, ...] = ()  # bytes of each, where `result` counts messages
    _roleless: bool = False  # on a pair, pipe, queue or ring: no side is a client or a server


@quickly_made
@dataclass(slots=True, frozen=True)
class Span:
    """One link between a call and a frame, or between two calls: the map."""

    call: int
    frame: int | None
    peer_call: int | None
    direction: str | None
    start: int | None
    stop: int | None
    role: str


@dataclass(slots=True, frozen=True)
class Wait:
    """An interval of a call with its cause."""

    call: int
    start_ns: int
    stop_ns: int
    cause: str
    certainty: str  # observed, inferred, unknown
    frames: tuple[int, ...]
    calls: tuple[int, ...]
    text: str


@dataclass(slots=True, frozen=True)
class State:
    """A sample of one socket's kernel state; what the kernel did not say is None.

    Taken around a call by the probe; at a steady rate from outside (sock_diag): then a row stands
    where something changed, and once a second; or told by the kernel's tracepoints: each change of
    state, and what each segment met that came in. Bytes are the stream's: SYN and FIN, which
    the kernel counts as one each, are taken out.
    """

    time_ns: int
    host: str
    connection: int | None
    side: str | None
    state: str
    snd_cwnd: int | None = None  # segments
    ssthresh: int | None = None  # segments
    srtt_ns: int | None = None
    rto_ns: int | None = None
    snd_wnd_bytes: int | None = None
    rcv_wnd_bytes: int | None = None
    inq_bytes: int | None = None
    outq_bytes: int | None = None
    notsent_bytes: int | None = None
    busy_ns: int | None = None
    rwnd_limited_ns: int | None = None
    sndbuf_limited_ns: int | None = None
    witness: str = "probe"  # probe, sock_diag, kernel
    local: str | None = None  # 127.0.0.1:80
    peer: str | None = None
    ca_state: str | None = None  # of congestion control: open, disorder, cwr, recovery, loss
    accept_queue: int | None = None  # of a listener: connections that wait for accept()
    backlog: int | None = None  # of a listener: how many may
    rmem_alloc_bytes: int | None = None  # memory of what was received, against rcvbuf_bytes
    rcvbuf_bytes: int | None = None
    wmem_queued_bytes: int | None = None  # memory of what is to be sent, against sndbuf_bytes
    sndbuf_bytes: int | None = None
    drops: int | None = None  # segments that the socket had no room for


@dataclass(slots=True, frozen=True)
class Stamp:
    """When bytes left or were acknowledged by the kernel's own stamp, where it was asked for.

    The kernel stamps the last byte of a send: `call` is the one that wrote it. All bytes before
    `stop` had passed by then, and for those from `start` on this stamp is the first that says so.
    """

    call: int | None
    connection: int | None
    direction: str | None
    what: str  # scheduled, sent, acked
    time_ns: int
    start: int | None
    stop: int | None


@dataclass(slots=True, frozen=True)
class Message:
    """What one side's application said at once: a request, a record, a query.

    Of a UDP conversation the range counts the payloads of the sender's datagrams one behind the
    other. Text was captured: nothing in it is harmless.
    """

    message: int  # 1-based, by the frame with which it could first be read
    connection: int
    direction: str
    protocol: str  # HTTP/1.1, TLS, DNS, ...
    start: int
    stop: int
    frames: tuple[int, ...]  # that brought its bytes first
    first_ns: int
    last_ns: int  # when the last of them was captured
    text: str
    fault: str | None  # what could not be read, and why
    calls: tuple[int, ...]  # of sender and receiver that moved any of its bytes
    _said: object = None  # what decode made of it, with its fields
    _whole: int = 0  # the frame with which all of it could be read


@dataclass(slots=True, frozen=True)
class Unmatched:
    """A line of the byte ledger: bytes of a call or a stream that found no partner."""

    connection: int | None
    direction: str | None
    start: int | None
    stop: int | None
    bytes: int
    what: str  # "sent but not captured", "carried but not read", ...
    reason: str
    call: int | None = None  # None: bytes of the stream that no call claimed


@dataclass(slots=True, frozen=True)
class EndState:
    """A change of an end's state (RFC 9293), shown by a frame that it sent or that came to it."""

    connection: int
    side: Side
    frame: int
    arrived: bool  # with the frame's arrival; else when it left
    state: str  # SYN-SENT, ESTABLISHED, ...


@dataclass(slots=True, frozen=True)
class FrameNote:
    """What the kernel of a host reported of one frame, by a tracepoint."""

    frame: int
    host: str
    what: str  # a Tracepoint
    reason: str | None = None  # of a drop or a reset, as the kernel names it


WaitReader = Callable[[], list[Wait]]
MessageReader = Callable[[int | None], list[Message]]  # of one connection, or of all
_NUMBERED_MOST = 5_000  # packets: in more, the messages of one connection are read by themselves


@dataclass(slots=True)
class Tables:
    """A recording, read: the nine tables and the ledger of what did not match."""

    packets: list[Packet] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    unmatched: list[Unmatched] = field(default_factory=list)
    notes: list[FrameNote] = field(default_factory=list)
    end_states: list[EndState] = field(default_factory=list)  # of TCP, by connection, in order
    is_part: bool = False  # of a capture: messages have no numbers, which count all of them
    # Waits and messages are made when they are first asked for: not every view needs them.
    _read_waits: WaitReader | None = field(default=None, repr=False)
    _waits: list[Wait] | None = field(default=None, repr=False)
    _read_messages: MessageReader | None = field(default=None, repr=False)
    _messages: list[Message] | None = field(default=None, repr=False)

    @property
    def waits(self) -> list[Wait]:
        """What calls waited for, a row an interval, in order of calls and of time."""
        if self._waits is None:
            self._waits = [] if self._read_waits is None else self._read_waits()
        return self._waits

    @property
    def messages(self) -> list[Message]:
        """What the applications said, a row a message, in the order in which it could be read."""
        if self._messages is None:
            self._messages = [] if self._read_messages is None else self._read_messages(None)
        return self._messages

    def messages_of(self, connection: int) -> list[Message]:
        """Those of one connection: in a large capture without their numbers, which take long."""
        if self.is_part or (self._messages is None and len(self.packets) > _NUMBERED_MOST):
            return [] if self._read_messages is None else self._read_messages(connection)
        return [message for message in self.messages if message.connection == connection]


RECORDS: dict[str, type[Any]] = {
    "packets": Packet,
    "segments": Segment,
    "connections": Connection,
    "calls": Call,
    "spans": Span,
    "waits": Wait,
    "states": State,
    "stamps": Stamp,
    "messages": Message,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and type: int, str, bool, or list (of int)."""

    name: str
    type: str
    nullable: bool


def columns(table: str) -> list[Column]:
    """The schema of a table, in order. Raises KeyError for a name that is not one of them."""
    record = RECORDS[table]
    hints = get_type_hints(record)
    found = []
    for item in fields(record):
        if item.name.startswith("_"):
            continue
        hint = hints[item.name]
        choices = [a for a in get_args(hint) if a is not type(None)]
        nullable = type(None) in get_args(hint)
        base = choices[0] if nullable else hint
        name = "list" if get_args(base) else base.__name__
        found.append(Column(item.name, name, nullable))
    return found

"""Cases with a known cause: what both sides do, what the wire does, and what the target waits for.

Truth is by construction: a program that sleeps, a wire that delays or loses, a buffer, an option.
`truth` says which causes the target call's waiting time must have, and `allowed` which others may
stand beside (a flight over a wire that delays, a thread that did not run on a busy machine).
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.cause_case import LISTEN, MSG_MORE, SEGMENT, Case, case
from tests.bench.cause_queue_cases import datagrams, links, own_queues

CLIENT_RECV = ("client", "recv", -1)
SERVER_RECV = ("server", "recv", -1)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _programs()
    yield from _wires()
    yield from _small_segments()
    yield from own_queues()
    yield from links()
    yield from datagrams()
    yield from _windows()
    yield from _buffers()
    yield from _losses()
    yield from _handshakes()
    yield from _waits_that_fail()
    yield from _ends()
    yield from _other_way()
    yield from _together()


def _programs() -> Iterator[Case]:
    for ms in (30, 90, 270):
        yield case(
            f"server thinks {ms} ms",
            [["connect"], ["send", 101], ["recv"], ["close"]],
            [*LISTEN, ["recv"], ["sleep", ms], ["send", 67], ["drain"], ["close"]],
            CLIENT_RECV, "peer_app", ms,
        )  # fmt: skip
        yield case(
            f"client thinks {ms} ms",
            [["connect"], ["sleep", ms], ["send", 101], ["recv"], ["close"]],
            [*LISTEN, ["recv"], ["send", 67], ["drain"], ["close"]],
            ("server", "recv", 1), "peer_app", ms - 10, ipv6=ms == 90,
        )  # fmt: skip
    yield case(
        "server thinks 60 ms over 20 ms",
        [["connect"], ["send", 101], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["sleep", 60], ["send", 67], ["drain"], ["close"]],
        CLIENT_RECV, "peer_app network", 100, "delay 20ms", "",
        each={"peer_app": 60, "network": 40},
    )  # fmt: skip
    for ms in (40, 160):
        yield case(
            f"poll, server thinks {ms} ms",
            [["connect"], ["send", 101], ["poll"], ["recv"], ["close"]],
            [*LISTEN, ["recv"], ["sleep", ms], ["send", 67], ["drain"], ["close"]],
            ("client", "poll", 1), "peer_app", ms,
        )  # fmt: skip
        yield case(
            f"poll times out after {ms} ms",
            [["connect"], ["poll", ms], ["send", 1], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "poll", 1), "timer", ms - 2,
        )  # fmt: skip
        yield case(
            f"SO_RCVTIMEO of {ms} ms",
            [["connect"], ["receive_timeout", ms], ["recv"], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "recv", 1), "timer", ms - 5,
        )  # fmt: skip
        yield case(
            f"end of stream after {ms} ms",
            [["connect"], ["recv"], ["close"]],
            [*LISTEN, ["sleep", ms], ["close"]],
            ("client", "recv", 1), "peer_app", ms - 10, allowed="network accept_queue",
        )  # fmt: skip
    yield case(
        "reset by unread data after 50 ms",
        [["connect"], ["send", 101], ["recv"], ["close"]],
        [*LISTEN, ["sleep", 50], ["close"]],
        ("client", "recv", 1), "peer_app", 40, allowed="network accept_queue",
    )  # fmt: skip


def _wires() -> Iterator[Case]:
    for ms in (10, 40, 150):
        yield case(
            f"echo over {ms} ms",
            [["connect"], ["ping", 3], ["close"]],
            [*LISTEN, ["pong", 3], ["drain"], ["close"]],
            CLIENT_RECV, "network", 2 * ms, f"delay {ms}ms", "", ipv6=ms == 40,
        )  # fmt: skip
        yield case(
            f"server waits for a client {ms} ms away",
            [["connect"], ["ping", 3], ["close"]],
            [*LISTEN, ["pong", 3], ["drain"], ["close"]],
            ("server", "recv", 3), "network", 2 * ms, f"delay {ms}ms", "",
        )  # fmt: skip
        yield case(
            f"connect over {ms} ms",
            [["connect"], ["send", 1], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "connect", 1), "network", 2 * ms, f"delay {ms}ms", "",
        )  # fmt: skip
    for kbit in (100, 300):
        ms = SEGMENT * 8 / kbit
        yield case(
            f"one segment at {kbit} kbit/s",
            [["connect"], ["send", SEGMENT], ["recv"], ["close"]],
            [*LISTEN, ["whole", SEGMENT], ["send", 1], ["drain"], ["close"]],
            ("server", "recv", 1), "wire_queue", ms * 0.7, f"rate c>s {kbit}kbit",
            "network peer_app",
        )  # fmt: skip


def _small_segments() -> Iterator[Case]:
    for rounds in (4, 9):
        yield case(
            f"Nagle against delayed ACK after {rounds} rounds",
            [["connect"], ["ping", rounds], ["send", 64], ["send", 65], ["recv"], ["close"]],
            [*LISTEN, ["pong", rounds], ["read", 129], ["send", 3], ["drain"], ["close"]],
            CLIENT_RECV, "delayed_ack nagle", 35, allowed="network peer_app",
            each={"delayed_ack": 35},
        )  # fmt: skip
        yield case(
            f"Nagle against delayed ACK, server's view, {rounds} rounds",
            [["connect"], ["ping", rounds], ["send", 64], ["send", 65], ["recv"], ["close"]],
            [*LISTEN, ["pong", rounds], ["read", 129], ["send", 3], ["drain"], ["close"]],
            ("server", "recv", rounds + 2), "delayed_ack nagle", 35, ipv6=rounds == 9,
            each={"delayed_ack": 35},
        )  # fmt: skip
    yield case(
        "Nagle over 30 ms",
        [["connect"], ["send", 64], ["send", 65], ["recv"], ["close"]],
        [*LISTEN, ["read", 129], ["send", 3], ["drain"], ["close"]],
        ("server", "recv", 2), "nagle", 27, "delay 30ms",
    )  # fmt: skip
    for ms in (25, 75, 150):
        yield case(
            f"cork for {ms} ms",
            [["connect"], ["set", "cork", 1], ["send", 101], ["sleep", ms], ["set", "cork", 0],
             ["recv"], ["close"]],
            [*LISTEN, ["recv"], ["send", 3], ["drain"], ["close"]],
            ("server", "recv", 1), "cork", ms - 5,
        )  # fmt: skip
    yield case(
        "MSG_MORE until the next write",
        [["connect"], ["send", 101, MSG_MORE], ["sleep", 90], ["send", 3], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["send", 3], ["drain"], ["close"]],
        ("server", "recv", 1), "cork", 80,
    )  # fmt: skip


def _windows() -> Iterator[Case]:
    # Who does not read has no larger window to tell of: its stack waits with the ACKs (Linux sends
    # them at once only where the window stays as it is, __tcp_ack_snd_check).
    kept = "network cwnd rto send_buffer delayed_ack"
    for ms in (60, 200):
        yield case(
            f"reader sleeps {ms} ms, small buffer",
            [["connect"], ["send", 400_003], ["shut"], ["drain"], ["close"]],
            [["listen", 16, "rcvbuf", 20_000], ["accept"], ["sleep", ms], ["drain"], ["close"]],
            ("client", "sendall", 1), "peer_window", ms * 0.8, "", kept,
        )  # fmt: skip
        yield case(
            f"buffers of 100 kB, reader sleeps {ms} ms",
            [["connect"], ["set", "sndbuf", 50_000], ["send", 900_001], ["shut"], ["drain"],
             ["close"]],
            [["listen", 16, "rcvbuf", 50_000], ["accept"], ["sleep", ms], ["drain"], ["close"]],
            ("client", "sendall", 1), "peer_window", ms * 0.8, "", kept,
        )  # fmt: skip
    for ms in (20, 60):
        yield case(
            f"40 segments over {ms} ms",
            [["connect"], ["send", 40 * SEGMENT], ["recv"], ["close"]],
            [*LISTEN, ["whole", 40 * SEGMENT], ["send", 1], ["drain"], ["close"]],
            ("server", "recv", 1), "cwnd network", 2 * ms, f"delay {ms}ms",
            "peer_app send_buffer",
        )  # fmt: skip


def _buffers() -> Iterator[Case]:
    """A buffer too small for the path, and a window with room for less than a segment."""
    for ms in (15, 45):
        yield case(
            f"small send buffer over {ms} ms",
            [["connect"], ["set", "sndbuf", 2048], ["send", 400_009], ["shut"], ["drain"],
             ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "sendall", 1), "send_buffer cwnd", 8 * ms, f"delay {ms}ms",
            "network delayed_ack", ipv6=ms == 45, each={"send_buffer": 2 * ms},
        )  # fmt: skip
        yield case(
            f"server's small send buffer over {ms} ms",
            [["connect"], ["drain"], ["close"]],
            [*LISTEN, ["set", "sndbuf", 2048], ["send", 400_009], ["shut"], ["drain"], ["close"]],
            ("server", "sendall", 1), "send_buffer cwnd", 8 * ms, f"delay {ms}ms",
            "network delayed_ack", each={"send_buffer": 2 * ms},
        )  # fmt: skip
    # 700 bytes of window are left, which the probe timer fills.
    for ms in (700, 1100):
        yield case(
            f"window smaller than a segment, reader sleeps {ms} ms",
            [["connect"], ["set", "sndbuf", 30_000], ["leave", 700], ["send", 700_013], ["shut"],
             ["drain"], ["close"]],
            [["listen", 16, "rcvbuf", 20_000], ["accept"], ["sleep", ms], ["drain"], ["close"]],
            ("client", "sendall", -1), "window_probe peer_window", ms * 0.5, "",
            "network cwnd send_buffer delayed_ack", each={"window_probe": 180},
            least_window=SEGMENT,
        )  # fmt: skip
    yield case(
        "client's window smaller than a segment",
        [["socket"], ["set", "rcvbuf", 20_000], ["connect"], ["sleep", 900], ["drain"], ["close"]],
        [*LISTEN, ["set", "sndbuf", 30_000], ["leave", 700], ["send", 700_013], ["shut"],
         ["drain"], ["close"]],
        ("server", "sendall", -1), "window_probe peer_window", 450, "",
        "network cwnd send_buffer delayed_ack", each={"window_probe": 180},
        least_window=SEGMENT,
    )  # fmt: skip


def _losses() -> Iterator[Case]:
    for ms in (1, 30):
        yield case(
            f"lost tail over {ms} ms",
            [["connect"], ["ping", 2], ["send", 100], ["recv"], ["close"]],
            [*LISTEN, ["pong", 2], ["recv"], ["send", 3], ["drain"], ["close"]],
            CLIENT_RECV, "tail_loss_probe", 190, f"delay {ms}ms; drop c>s data 3",
        )  # fmt: skip
        yield case(
            f"lost answer over {ms} ms",
            [["connect"], ["ping", 2], ["send", 100], ["recv"], ["close"]],
            [*LISTEN, ["pong", 2], ["recv"], ["send", 3], ["drain"], ["close"]],
            CLIENT_RECV, "tail_loss_probe", 190, f"delay {ms}ms; drop s>c data 3", ipv6=ms == 30,
        )  # fmt: skip
        yield case(
            f"tail lost twice over {ms} ms",
            [["connect"], ["ping", 2], ["send", 100], ["recv"], ["close"]],
            [*LISTEN, ["pong", 2], ["recv"], ["send", 3], ["drain"], ["close"]],
            CLIENT_RECV, "tail_loss_probe rto", 400,
            f"delay {ms}ms; drop c>s data 3 copy 1-2",
            each={"tail_loss_probe": 190, "rto": 190},
        )  # fmt: skip
        yield case(
            f"third of ten lost over {2 + ms} ms",
            [["connect"], ["send", 10 * SEGMENT], ["recv"], ["close"]],
            [*LISTEN, ["whole", 10 * SEGMENT], ["send", 1], ["drain"], ["close"]],
            ("server", "recv", 1), "head_of_line network fast_retransmit", 0.5 * ms,
            f"delay {2 + ms}ms; drop c>s data 3", "peer_app",
        )  # fmt: skip
    # Flights of 10, 20 and 20, room for all of it in both buffers, and ten behind what is lost.
    yield case(
        "bulk of 50 segments, one of the third flight lost",
        [["connect"], ["set", "sndbuf", 200_000], ["send", 50 * SEGMENT], ["recv"], ["close"]],
        [*LISTEN, ["whole", 50 * SEGMENT], ["send", 1], ["drain"], ["close"]],
        ("server", "recv", 1), "cwnd network fast_retransmit head_of_line", 120,
        "delay 20ms; drop c>s data 40", "peer_app", each={"cwnd": 40, "head_of_line": 20},
    )  # fmt: skip
    yield case(
        "lost tail without SACK",
        [["connect"], ["ping", 2], ["send", 100], ["recv"], ["close"]],
        [*LISTEN, ["pong", 2], ["recv"], ["send", 3], ["drain"], ["close"]],
        CLIENT_RECV, "rto", 190, "delay 5ms; drop c>s data 3",
        sysctls={"client": {"net.ipv4.tcp_sack": "0"}, "server": {"net.ipv4.tcp_sack": "0"}},
    )  # fmt: skip


def _handshakes() -> Iterator[Case]:
    for wire, name in (("drop c>s syn 1", "SYN"), ("drop s>c synack 1", "SYN-ACK")):
        for ms in (0, 20):
            yield case(
                f"lost {name}, delay {ms} ms",
                [["connect"], ["send", 1], ["close"]],
                [*LISTEN, ["drain"], ["close"]],
                ("client", "connect", 1), "syn_retry", 950, f"delay {ms + 1}ms; {wire}",
            )  # fmt: skip
    yield case(
        "two SYNs lost",
        [["connect"], ["send", 1], ["close"]],
        [*LISTEN, ["drain"], ["close"]],
        ("client", "connect", 1), "syn_retry", 1900, "drop c>s syn 1-2",
    )  # fmt: skip
    for ms in (1200, 1900):
        yield case(
            f"nobody accepts until {ms} ms",
            [["connect"], ["send", 11], ["recv"], ["close"]],
            [["listen"], ["sleep", ms], ["accept"], ["recv"], ["send", 3], ["drain"], ["close"]],
            ("client", "recv", 1), "accept_queue", 50, ipv6=ms == 1900,
        )  # fmt: skip
    for ms in (50, 220):
        yield case(
            f"no client for {ms} ms",
            [["sleep", ms], ["connect"], ["send", 11], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("server", "accept", 1), "no_client", ms,
        )  # fmt: skip
    # Half a second goes by on a machine with a load of three until the client has started: who
    # accepts sooner than it connects has no full queue.
    yield case(
        "backlog of 0 overflows",
        [["socket"], ["connect"], ["socket"], ["connect"], ["close"]],
        [["listen", 0], ["sleep", 2500], ["accept"], ["accept"], ["drain"], ["close"]],
        ("client", "connect", 2), "backlog_full", 900,
    )  # fmt: skip
    for ms in (20, 80):
        yield case(
            f"refused over {ms} ms",
            [["connect", 9], ["close"], ["connect"], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "connect", 1), "refused", 2 * ms, f"delay {ms}ms",
        )  # fmt: skip


def _waits_that_fail() -> Iterator[Case]:
    """The program waits in poll, for what ends in failure: a connect that goes on, or a peer."""
    for ms in (30, 90):
        yield case(
            f"refused over {ms} ms, in poll",
            [["begin", 9], ["room"], ["close"], ["connect"], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "poll", 1), "refused", 2 * ms - 1, f"delay {ms}ms",
        )  # fmt: skip
    yield case(
        "lost SYN, in poll",
        [["begin"], ["room"], ["send", 1], ["close"]],
        [*LISTEN, ["drain"], ["close"]],
        ("client", "poll", 1), "syn_retry", 950, "drop c>s syn 1", ipv6=True,
    )  # fmt: skip
    yield case(
        "keep-alive finds a dead peer, in poll",
        [["connect"], ["set", "keepalive", 1], ["set", "keepidle", 1], ["set", "keepintvl", 1],
         ["set", "keepcnt", 2], ["send", 1], ["poll"], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["sleep", 6000], ["close"]],
        ("client", "poll", 1), "keepalive", 2500, "cut at 300ms for 9s", "network peer_app",
    )  # fmt: skip
    yield case(
        "user timeout of 700 ms, in poll",
        [["connect"], ["send", 1], ["recv"], ["set", "user_timeout", 700],
         ["sleep", 400], ["send", 1], ["poll"], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["send", 1], ["sleep", 2000], ["close"]],
        ("client", "poll", 1), "user_timeout", 600, "cut at 300ms for 9s", "network peer_app",
    )  # fmt: skip


def _ends() -> Iterator[Case]:
    for ms in (20, 60):
        yield case(
            f"linger over {ms} ms",
            [["connect"], ["linger", 5], ["send", 5000], ["close"]],
            [*LISTEN, ["drain"], ["close"]],
            ("client", "close", 1), "linger", 2 * ms - 5, f"delay {ms}ms",
        )  # fmt: skip
    yield case(
        "keep-alive finds a dead peer",
        [["connect"], ["set", "keepalive", 1], ["set", "keepidle", 1], ["set", "keepintvl", 1],
         ["set", "keepcnt", 2], ["send", 1], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["sleep", 6000], ["close"]],
        ("client", "recv", 1), "keepalive", 2500, "cut at 300ms for 9s",
        "network peer_app",
    )  # fmt: skip
    yield case(
        "user timeout of 700 ms",
        [["connect"], ["send", 1], ["recv"], ["set", "user_timeout", 700],
         ["sleep", 400], ["send", 1], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["send", 1], ["sleep", 2000], ["close"]],
        ("client", "recv", 2), "user_timeout", 600, "cut at 300ms for 9s",
        "network peer_app",
    )  # fmt: skip


def _other_way() -> Iterator[Case]:
    """The same mechanisms with the server as the one that sends."""
    for ms in (70, 190):
        yield case(
            f"client sleeps {ms} ms, server sends",
            [["socket"], ["set", "rcvbuf", 30_000], ["connect"], ["sleep", ms], ["drain"],
             ["close"]],
            [*LISTEN, ["send", 600_007], ["shut"], ["drain"], ["close"]],
            ("server", "sendall", 1), "peer_window", ms * 0.8, "", "network cwnd send_buffer",
        )  # fmt: skip
        yield case(
            f"server corks for {ms} ms",
            [["connect"], ["recv"], ["close"]],
            [*LISTEN, ["set", "cork", 1], ["send", 101], ["sleep", ms], ["set", "cork", 0],
             ["drain"], ["close"]],
            ("client", "recv", 1), "cork", ms - 5, allowed="network accept_queue",
            ipv6=ms == 190,
        )  # fmt: skip
    for rounds in (5, 8):
        yield case(
            f"server writes head and body, {rounds} rounds",
            [["connect"], ["ping", rounds], ["send", 12], ["recv", 64], ["recv"], ["close"]],
            [*LISTEN, ["pong", rounds], ["recv"], ["send", 64], ["send", 65], ["drain"], ["close"]],
            CLIENT_RECV, "delayed_ack nagle", 35, each={"delayed_ack": 35},
        )  # fmt: skip
    for ms in (15, 45):
        yield case(
            f"third of ten lost on the way back over {ms} ms",
            [["connect"], ["send", 3], ["whole", 10 * SEGMENT], ["close"]],
            [*LISTEN, ["recv"], ["send", 10 * SEGMENT], ["drain"], ["close"]],
            CLIENT_RECV, "head_of_line network fast_retransmit", 3 * ms,
            f"delay {ms}ms; drop s>c data 3", "peer_app",
        )  # fmt: skip
        yield case(
            f"20 segments back over {ms} ms",
            [["connect"], ["send", 3], ["whole", 20 * SEGMENT], ["close"]],
            [*LISTEN, ["recv"], ["send", 20 * SEGMENT], ["drain"], ["close"]],
            CLIENT_RECV, "cwnd network", 3 * ms, f"delay {ms}ms", "peer_app send_buffer",
            ipv6=ms == 45,
        )  # fmt: skip


def _together() -> Iterator[Case]:
    """Several causes in one wait, and the rarer ones."""
    for ms in (40, 120):
        yield case(
            f"server thinks {ms} ms and its answer is lost",
            [["connect"], ["ping", 2], ["send", 100], ["recv"], ["close"]],
            [*LISTEN, ["pong", 2], ["recv"], ["sleep", ms], ["send", 3], ["drain"], ["close"]],
            CLIENT_RECV, "peer_app tail_loss_probe", ms + 190, "drop s>c data 3",
            each={"peer_app": ms, "tail_loss_probe": 190},
        )  # fmt: skip
        yield case(
            f"MSG_WAITALL over two writes {ms} ms apart",
            [["connect"], ["set", "nodelay", 1], ["send", 100], ["sleep", ms], ["send", 100],
             ["recv"], ["close"]],
            [*LISTEN, ["whole", 200], ["send", 3], ["drain"], ["close"]],
            ("server", "recv", 1), "peer_app", ms - 5,
        )  # fmt: skip
        yield case(
            f"SO_RCVLOWAT over two writes {ms} ms apart",
            [["connect"], ["set", "nodelay", 1], ["sleep", 20], ["send", 100], ["sleep", ms],
             ["send", 100], ["recv"], ["close"]],
            [*LISTEN, ["set", "rcvlowat", 200], ["recv"], ["set", "rcvlowat", 1], ["send", 3],
             ["drain"], ["close"]],
            ("server", "recv", 1), "peer_app", ms - 10,
        )  # fmt: skip
        yield case(
            f"third of ten {ms} ms late",
            [["connect"], ["send", 10 * SEGMENT], ["recv"], ["close"]],
            [*LISTEN, ["whole", 10 * SEGMENT], ["send", 1], ["drain"], ["close"]],
            ("server", "recv", 1), "head_of_line network fast_retransmit", 1,
            f"delay 20ms; delay c>s data 3 by {ms}ms", "peer_app",
        )  # fmt: skip
    for kbyte in (40, 160):
        yield case(
            f"paced at {kbyte} kB/s",
            [["connect"], ["set", "pacing", kbyte * 1000], ["send", 20 * SEGMENT], ["recv"],
             ["close"]],
            [*LISTEN, ["whole", 20 * SEGMENT], ["send", 1], ["drain"], ["close"]],
            ("server", "recv", 1), "pacing", 30, "", "network peer_app cwnd",
        )  # fmt: skip
    # The edge told of all 301 bytes, of which 100 were read: only what comes later ends the wait.
    for ms in (60, 220):
        yield case(
            f"201 bytes left unread under EPOLLET for {ms} ms",
            [["connect"], ["send", 301], ["sleep", ms], ["send", 3], ["recv"], ["close"]],
            [*LISTEN, ["edges"], ["wait"], ["recv", 100], ["wait"], ["read", 204], ["send", 3],
             ["drain"], ["close"]],
            ("server", "epoll_wait", 2), "left_unread", ms - 10, allowed="", ipv6=ms == 220,
        )  # fmt: skip
    yield case(
        "lost FIN",
        [["connect"], ["send", 3], ["recv"], ["close"]],
        [*LISTEN, ["recv"], ["close"]],
        CLIENT_RECV, "tail_loss_probe rto", 190, "drop s>c fin 1", "network peer_app",
    )  # fmt: skip
    yield case(
        "20 segments at 2 Mbit/s",
        [["connect"], ["send", 20 * SEGMENT], ["recv"], ["close"]],
        [*LISTEN, ["whole", 20 * SEGMENT], ["send", 1], ["drain"], ["close"]],
        ("server", "recv", 1), "wire_queue cwnd", 80, "delay 5ms; rate c>s 2mbit",
        "network peer_app",
    )  # fmt: skip
    yield case(
        "Nagle over 30 ms with a lost first write",
        [["connect"], ["ping", 2], ["send", 64], ["send", 65], ["recv"], ["close"]],
        [*LISTEN, ["pong", 2], ["read", 129], ["send", 3], ["drain"], ["close"]],
        ("server", "recv", 3), "tail_loss_probe", 250, "delay 30ms; drop c>s data 3",
        "network fast_retransmit head_of_line nagle",
    )  # fmt: skip
    yield case(
        "refused over 50 ms, IPv6",
        [["connect", 9], ["close"], ["connect"], ["close"]],
        [*LISTEN, ["drain"], ["close"]],
        ("client", "connect", 1), "refused", 95, "delay 50ms", ipv6=True,
    )  # fmt: skip
    yield case(
        "lost SYN, IPv6",
        [["connect"], ["send", 1], ["close"]],
        [*LISTEN, ["drain"], ["close"]],
        ("client", "connect", 1), "syn_retry", 950, "drop c>s syn 1", ipv6=True,
    )  # fmt: skip

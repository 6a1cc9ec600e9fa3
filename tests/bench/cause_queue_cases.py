"""Cases with a known cause in which a link is slow, the host's own or one further on, or narrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.bench.cause_case import LISTEN, SEGMENT, Case, Steps, case

FRAME = SEGMENT + 66  # with the headers of Ethernet, IPv4 and TCP with timestamps
HEADERS = FRAME - SEGMENT
PAUSE_MS = 4


def own_queues() -> Iterator[Case]:
    """A small write behind two segments, of which the host's own link has sent the first."""
    for kbit, small, ipv6 in ((50, 101, False), (100, 1201, True), (200, 301, False)):
        ms = FRAME * 8 / kbit
        own_ms = (small + HEADERS) * 8 / kbit
        each = {"autocork": ms / 2, "wire_queue": own_ms - PAUSE_MS / 2}  # a busy machine is late
        truth = "autocork wire_queue"
        yield _behind("client", kbit, small, ipv6, truth, "autocorked", each=each)
        yield _behind("server", kbit, small, not ipv6, truth, "autocorked", each=each)
        yield _behind(
            "client", kbit, small, ipv6, "wire_queue", "behind others, without autocorking",
            sysctls={"client": {"net.ipv4.tcp_autocorking": "0"}},
        )  # fmt: skip
    yield case(
        "100 bytes behind 200 of a socket with Nagle, at 20 kbit/s",
        [["connect"], ["sleep", 100], ["send", SEGMENT], ["sleep", PAUSE_MS], ["send", 200],
         ["sleep", PAUSE_MS], ["send", 100], ["recv"], ["close"]],
        [*LISTEN, ["whole", SEGMENT + 300], ["send", 1], ["drain"], ["close"]],
        ("server", "recv", 1), "nagle", 150, "delay 40ms", "network peer_app wire_queue",
        link_rates={"client": 20_000},
    )  # fmt: skip


def links() -> Iterator[Case]:
    """A link on the way that is slow, with all that is in flight before it, or that is narrow."""
    for kbit, ipv6 in ((500, False), (250, True)):
        yield case(
            f"reads of a burst at {kbit} kbit/s",
            [["connect"], ["send", 10 * SEGMENT], ["recv"], ["close"]],
            [*LISTEN, *([["read", SEGMENT - 20 * ipv6]] * 8), ["whole", 2 * SEGMENT + 160 * ipv6],
             ["send", 1], ["drain"], ["close"]],
            ("server", "recv", 5), "wire_queue", FRAME * 8 / kbit * 0.7,
            f"delay 150ms; rate c>s {kbit}kbit", ipv6=ipv6,
        )  # fmt: skip
    yield case(
        "send of more than stands before 4 Mbit/s",
        [["connect"], ["set", "sndbuf", 60_000], ["send", 200 * SEGMENT], ["recv"], ["close"]],
        [*LISTEN, ["whole", 200 * SEGMENT], ["send", 1], ["drain"], ["close"]],
        ("client", "sendall", 1), "wire_queue", 300, "delay 5ms; rate c>s 4mbit",
        "network send_buffer cwnd",
        each={"wire_queue": 300},
    )  # fmt: skip
    yield case(
        "a segment for which a link is too narrow, without ICMP",
        [["connect"], ["send", SEGMENT], ["recv"], ["close"]],
        [*LISTEN, ["whole", SEGMENT], ["send", 1], ["drain"], ["close"]],
        ("server", "recv", 1), "path_mtu", 600, "mtu 1200 without icmp", "network peer_app",
        sysctls={
            "client": {
                "net.ipv4.tcp_mtu_probing": "1", "net.ipv4.tcp_retries1": "1",
                "net.ipv4.tcp_base_mss": "1024",
            }
        },
    )  # fmt: skip


def datagrams() -> Iterator[Case]:
    """A datagram that a narrow link drops without a word: who asked asks again, for less."""
    for size, mtu, ms, ipv6 in ((1200, 1000, 200, False), (1400, 1300, 350, True)):
        yield case(
            f"a datagram of {size} bytes over an MTU of {mtu}, asked again after {ms} ms",
            [["datagrams"], ["receive_timeout", ms], ["send", size], ["recv"], ["send", 101],
             ["recv"], ["close"]],
            [["bind"], ["answer_first"], ["recv"], ["send", 67], ["close"]],
            ("server", "recv", -1), "datagram_too_big", ms, f"mtu {mtu} without icmp",
            "network peer_app", ipv6=ipv6,
        )  # fmt: skip


def _behind(
    writer: str, kbit: int, small: int, ipv6: bool, truth: str, how: str, **more: Any
) -> Case:
    """The small write is made PAUSE_MS after the first segment has left, for which the bucket is
    full, and while the other side reads.

    The second takes `ms`; the wire is slow enough that neither the ACK of the first nor a loss
    probe lets the small write go.
    """
    ms = FRAME * 8 / kbit
    segments = 2 * (SEGMENT - 20 if ipv6 else SEGMENT)
    writes: Steps = [["set", "nodelay", 1], ["sleep", ms + 30], ["send", segments],
                     ["sleep", PAUSE_MS], ["send", small], ["recv"]]  # fmt: skip
    reads: Steps = [["whole", segments + small], ["send", 1], ["drain"]]
    by_client = writer == "client"
    return case(
        f"{small} bytes {how} at {kbit} kbit/s, {writer}",
        [["connect"], *(writes if by_client else reads), ["close"]],
        [*LISTEN, *(reads if by_client else writes), ["close"]],
        ("server" if by_client else "client", "recv", 1), truth, ms / 2, f"delay {ms:.0f}ms",
        "network peer_app", link_rates={writer: kbit * 1000}, ipv6=ipv6, **more,
    )  # fmt: skip

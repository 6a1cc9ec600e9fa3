"""A frame that was sent again -> whether the one before it was too big for the path, and who said.

A link on the way takes no more than its MTU. Who meets it tells the sender by ICMP, and TCP sends
the same bytes at once, in smaller pieces (RFC 1191 6.4); where nobody tells, only timers send
again, at the same size: a black hole (RFC 2923 2.1). The wire of the lab notes which rule dropped a
frame; elsewhere an ICMP message is needed to know.
Read first: RFC 1191, RFC 8201, tcp_v4_mtu_reduced and tcp_simple_retransmit in Linux.
"""

from __future__ import annotations

import re

from netlab.correlate.again import LEAST_TIMER_NS
from netlab.correlate.arrivals import arrival_ns
from netlab.explain.path import Path
from netlab.explain.sender import Resend, Sender
from netlab.model.records import dataclass
from netlab.model.tables import Fate, Packet

_RULE = re.compile(r"\bmtu (?:[cs]>[cs] )?(?:conn \d+ )?(\d+)\b")
_MOST_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class TooBig:
    """A frame that did not fit, and how that is known."""

    frame: int
    size_bytes: int  # its IP packet
    mtu_bytes: int
    rule: str  # of the wire that dropped it; empty: it was no wire of the lab
    told_by: int | None  # the ICMP message after which its bytes were sent again

    @property
    def words(self) -> str:
        """`frame 25 of 1,500 bytes did not pass the wire (mtu 1400)`."""
        return f"frame {self.frame} of {self.size_bytes:,} bytes did not pass {self._where}"

    @property
    def which(self) -> str:
        """`frame 25 of 1,500 bytes, which did not pass the wire (mtu 1400)`."""
        return f"frame {self.frame} of {self.size_bytes:,} bytes, which did not pass {self._where}"

    @property
    def _where(self) -> str:
        return f"the wire ({self.rule})" if self.rule else f"a link of {self.mtu_bytes:,} bytes"

    @property
    def frames(self) -> tuple[int, ...]:
        return (self.frame, self.told_by) if self.told_by is not None else (self.frame,)


def mtu_rule(packet: Packet) -> tuple[int, str] | None:
    """The MTU in bytes that had the wire drop this frame, and its rule; None: it was not that."""
    if packet.fate != Fate.DROPPED or packet._arrival is None:
        return None
    found = _RULE.search(packet._arrival.rule)
    return (int(found[1]), packet._arrival.rule) if found is not None else None


def told_mtu(packet: Packet) -> int | None:
    """The MTU in bytes that an ICMP message names; None: it is no such message."""
    if packet._icmp is None or packet._quoted is None:
        return None
    return packet._icmp.mtu_bytes


def too_big(path: Path, resend: Resend, before: Packet | None) -> TooBig | None:
    """Whether what is sent again had been too big; `before`: the frame with these bytes before."""
    if before is None or before.ip_len_bytes is None:
        return None
    told = _told(path, resend, before.time_ns)
    told_by = told.frame if told is not None else None
    rule = mtu_rule(before)
    if rule is not None:
        return TooBig(before.frame, before.ip_len_bytes, *rule, told_by)
    mtu_bytes = told_mtu(told) if told is not None else None
    if mtu_bytes is None or before._wired or before.ip_len_bytes <= mtu_bytes:
        return None
    return TooBig(before.frame, before.ip_len_bytes, mtu_bytes, "", told_by)


def before_it(sender: Sender, resend: Resend) -> Packet | None:
    """The last frame before a resend that had carried its first byte, else some of its bytes.

    Pieces that are cut anew may begin in one that was lost and end in one that came.
    """
    found: Packet | None = None
    for row in sender.departures_back_from(resend.time_ns - 1):
        if row.segment.start <= resend.start < row.segment.stop:
            return row.packet
        if found is None and resend.start < row.segment.start < resend.stop:
            found = row.packet
    return found


def _told(path: Path, resend: Resend, since_ns: int) -> Packet | None:
    """The last ICMP message about its connection that came before a resend and after `since_ns`.

    All that was too big counts as lost then, and leaves as ACKs make way, before any timer.
    """
    packets = path.scene.packets
    for number in range(resend.frame - 1, resend.frame - 1 - _MOST_LOOKED_AT, -1):
        packet = packets.get(number)
        if packet is None or packet.connection != path.connection or told_mtu(packet) is None:
            continue
        came_ns = arrival_ns(packet)
        if since_ns <= came_ns <= resend.time_ns < came_ns + LEAST_TIMER_NS:
            return packet
    return None


def sent_again(path: Path, sender: Sender) -> dict[int, TooBig]:
    """The frames that carried again what had been too big, and what that was."""
    dropped = any(mtu_rule(row.packet) is not None for row in sender.departed)
    found: dict[int, TooBig] = {}
    for resend in sender.resends:
        before = before_it(sender, resend)
        if not dropped and (before is None or _told(path, resend, before.time_ns) is None):
            continue
        big = too_big(path, resend, before)
        if big is not None:
            found[resend.frame] = big
    return found

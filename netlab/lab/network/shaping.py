"""Lets a link send no more than so many bits a second: a token bucket before it, without `tc`.

What comes faster waits in the host's own queue, before its frames are seen and stamped by anybody:
there the kernel counts a socket's bytes as not gone yet. Read man 8 tc-tbf, man 7 rtnetlink.
"""

from __future__ import annotations

import socket
import struct

from netlab.lab.network.rtnetlink import CREATE, REPLACE, Rtnetlink, attribute, number, text

_RTM_NEWQDISC = 36
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_ROOT = (0xFFFF << 16) | 0xFFFF  # TC_H_ROOT: major and minor number
_ETHERNET = 1  # TC_LINKLAYER_ETHERNET: the kernel wants no table of times for the rate
_LONGEST_FRAME_BYTES = 1514  # a bucket that holds no more lets one frame go at a time
_LIMIT_BYTES = 1 << 20  # of the queue; TCP keeps to much less by itself


def limit_rate(interface: str, bits_per_s: int) -> None:
    """Put a token bucket of one frame in front of an interface. Raises OSError, ENOENT where the
    kernel has none (CONFIG_NET_SCH_TBF)."""
    rate = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, 0)  # struct tc_ratespec
    peak = bytes(len(rate))
    limits = struct.pack("=III", _LIMIT_BYTES, 0, 0)  # limit; buffer and mtu are given by BURST
    options = (
        attribute(_TBF_PARMS, rate + peak + limits)
        + attribute(_TBF_RATE64, struct.pack("=Q", bits_per_s // 8))
        + number(_TBF_BURST, _LONGEST_FRAME_BYTES)
    )
    index = socket.if_nametoindex(interface)
    with Rtnetlink() as netlink:
        netlink.ask(
            _RTM_NEWQDISC,
            CREATE | REPLACE,
            struct.pack("=BxHiIII", 0, 0, index, 0, _ROOT, 0)  # struct tcmsg
            + text(_TCA_KIND, "tbf")
            + attribute(_TCA_OPTIONS, options),
        )

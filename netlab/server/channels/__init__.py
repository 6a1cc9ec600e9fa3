"""Channels between the processes of a server: seven ways to carry the same messages.

`make_pair` makes both ends before a fork; an end is passed on to a process that exists already by
its `handover()` and `channel_from`. Read first: channels/channel.py.
"""

from __future__ import annotations

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.channels.channel import Channel as Channel
from netlab.server.channels.channel import ChannelClosed as ChannelClosed
from netlab.server.channels.channel import MessageTooLarge as MessageTooLarge
from netlab.server.channels.pipe import pipe_end, pipe_pair
from netlab.server.channels.posix_mq import posix_mq_end, posix_mq_pair
from netlab.server.channels.ring import ring_end, ring_pair
from netlab.server.channels.sysv_mq import sysv_mq_end, sysv_mq_pair
from netlab.server.channels.unix import unix_end, unix_pair

KINDS = ("seqpacket", "dgram", "stream", "pipe", "posix_mq", "sysv_mq", "ring")
_UNIX = frozenset(KINDS[:3])


def make_pair(kind: str, probe: Probe) -> tuple[Channel, Channel]:
    """Both ends of a new channel. Raises UsageError for a kind that is not known or not to be had,
    OSError when the kernel refuses."""
    if kind in _UNIX:
        return unix_pair(kind, probe)
    if kind == "pipe":
        return pipe_pair(probe)
    if kind == "posix_mq":
        return posix_mq_pair(probe)
    if kind == "sysv_mq":
        return sysv_mq_pair(probe)
    if kind == "ring":
        return ring_pair(probe)
    raise UsageError(f"ipc={kind!r} is not known", f"one of {', '.join(KINDS)}")


def channel_from(description: str, fds: tuple[int, ...], probe: Probe) -> Channel:
    """The end of a channel that another process handed over; its descriptors are taken over."""
    kind = description.partition(" ")[0]
    if kind in _UNIX:
        return unix_end(kind, fds, probe)
    if kind == "pipe":
        return pipe_end(fds, probe)
    if kind == "posix_mq":
        return posix_mq_end(description, fds, probe)
    if kind == "sysv_mq":
        return sysv_mq_end(description, fds, probe)
    if kind == "ring":
        return ring_end(description, fds, probe)
    raise UsageError(f"ipc={kind!r} is not known", f"one of {', '.join(KINDS)}")

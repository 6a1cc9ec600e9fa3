"""A reader that takes a few bytes at a time: why the window does not open by a few bytes."""

from __future__ import annotations

import time

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import nth, window
from netlab.studies.parts import US
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SEGMENT = 1448  # MSS 1460 less 12 bytes of timestamps


def server(probe: Probe, p: Params) -> int:
    """Reads little, often."""
    sock = accepted(probe, rcvbuf=p.rcvbuf)
    got = 0
    while data := sock.recv(p.bite):
        got += len(data)
        time.sleep(500 * US / 1e9)
    sock.close()
    return got


def client(probe: Probe, p: Params) -> None:
    """Sends more than the buffer holds."""
    sock = connected(probe)
    sock.sendall(b"n" * p.size)
    sock.close()


def least_opening(evidence: Evidence) -> int | None:
    """The least by which the window's right edge moved on, where a segment had no room."""
    found, edge = [], None
    for _, segment in evidence.frames("s>c"):
        if segment.ack is None or segment.seg_wnd_bytes is None:
            continue
        now = segment.ack + segment.seg_wnd_bytes
        if edge is not None and now > edge and edge - segment.ack < SEGMENT:
            found.append(now - edge)
        edge = max(edge or 0, now)
    return min(found, default=None)


def full_segments(p: Params) -> int:
    """The fewest frames that can carry it."""
    return -(-p.size // SEGMENT)


def seen(evidence: Evidence) -> str:
    """What the recording shows."""
    reads = len(evidence.calls("recv", host="server"))
    frames = len(evidence.frames("c>s", data=True))
    return f"{reads:,} calls of recv() emptied the buffer, {frames} frames filled it."


def moment(evidence: Evidence) -> list[Window]:
    """From the closing of the window to its opening: the reads between, and the segment."""
    frames = evidence.frames("s>c")
    shut = nth([one for one in frames if one[1].zero_window], 0)
    opened = nth([one for one in frames if one[1].window_update], 0)
    if shut is None or opened is None:
        return []
    data = evidence.frames("c>s", data=True)
    return window(shut, nth([one for one in data if one[0].time_ns > opened.time_ns], 0))


STUDY = Study(
    name="silly-window",
    topic=Topic.BUFFERS,
    question="The server reads {bite} at a time. Does the client send {bite} at a time?",
    setup="The server's SO_RCVBUF is {rcvbuf}; its program reads {bite}, pauses for half a "
    "millisecond, and so on. The client sends {size}.",
    prediction="No. If every small read opened the window by as much, each opening would be "
    "filled by a tiny segment: the silly window syndrome. So a receiver whose window is closed "
    "opens it only when a whole segment (or half of its buffer) is free, and a sender does not "
    "fill a sliver of window as long as more is on its way.",
    parameters=(
        Parameter("bite", Kind.SIZE, 100, 20, 700, "that the server reads at a time"),
        Parameter("rcvbuf", Kind.SIZE, 8 << 10, 4096, 16 << 10, "SO_RCVBUF of the server"),
        Parameter("size", Kind.SIZE, 64 << 10, 48 << 10, 256 << 10, "that is sent"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("the least that a window without room opened by", Kind.SIZE, lambda p: SEGMENT,
               least_opening, "RFC 9293 3.8.6.2.2; __tcp_select_window() of Linux",
               more=SEGMENT, otherwise=lambda p: p.bite, because="memory is free again by "
               "whole frames: what was short of a segment, and one more, are less than two"),
        Expect("frames with data", Kind.COUNT, full_segments,
               lambda e: len(e.frames("c>s", data=True)),
               "RFC 9293 3.8.6.2.1: a sender waits for room for a whole segment",
               more=full_segments, otherwise=lambda p: p.size // p.bite,
               because="what a window left over goes alone when the probe timer fires"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: p.size,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    seen=seen,
    next="`netlab study zero-window`.",
    moment=moment,
)  # fmt: skip

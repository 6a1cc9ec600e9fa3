"""A capture and logs of strace that were taken elsewhere -> one recording, finished.

Each log is put on the clock of the frames if it is not on it already; then calls and frames are
joined as those of any recording. What it did, and what it could not tell, is said in lines for the
user and in the recording's description.
Does not know how frames and calls are joined (`correlate`), nor what strace prints (`capture`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import netlab
from netlab.capture.files import read_raw
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.ownership import open_private
from netlab.capture.recording import make_spool_folder, number_frames
from netlab.capture.strace.by_hand import COMMAND, Log, find_logs, read_log
from netlab.correlate.causality import Ways
from netlab.correlate.clock_evidence import Clocks
from netlab.correlate.flows import flows_from_packets
from netlab.correlate.join import correlate, correlate_sockets
from netlab.correlate.missing import has_gaps, missing_frames
from netlab.correlate.segments import Track, track_from_flow
from netlab.correlate.sockets import Socket
from netlab.decode.packets import decode
from netlab.lab.finish import Finished, finish_tables
from netlab.lab.join_clock import Setting, clock_line, set_clock
from netlab.model.call import CallRecord, is_moving
from netlab.model.errors import BadRecording, UsageError
from netlab.model.frame import departure
from netlab.model.recording import Description, Host, RawRecording
from netlab.model.tables import Packet, Tables

HOST = "localhost"
_KEEP_BYTES = 1 << 16  # of each call's content, while joining
_FIRST_BYTES = 64  # of it, in the recording: enough to check it again
_MOST_NAMED = 8
_MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class JoinOrder:
    """What is to be joined, and how."""

    capture: Path
    logs: tuple[Path, ...]
    actors: tuple[str, ...] = ()  # of the logs, in their order
    hosts: tuple[str, ...] = ()  # where they were taken; those without a name on one machine
    offset_ns: int | None = None  # to add to the calls' times; None: find out
    title: str = ""
    journal_limit: int = JOURNAL_LIMIT


@dataclass(slots=True)
class Joined:
    """A joined recording, and what there is to say of it."""

    raw: RawRecording
    tables: Tables
    clocks: list[str]  # a line for each log
    sockets: Counter[str]  # TCP sockets by how they got their connection
    ambiguous: list[str]  # a line for each socket that may be the end of several connections
    notes: list[str]


def join_files(order: JoinOrder) -> Joined:
    """Read and join; nothing is written yet. Raises BadRecording, UsageError."""
    raw = _capture(order.capture)
    packets = _packets(raw, order.capture)
    flows = flows_from_packets(packets)
    tracks = [track_from_flow(flow) for flow in flows if flow.protocol == "tcp"]
    ways = Ways()
    settings = []
    for log in _logs(order, raw):
        settings.append(set_clock(log, raw, tracks, ways, order.offset_ns))
        raw.calls += settings[-1].log.calls
        raw.inheritances += settings[-1].log.inheritances
        raw.losses += settings[-1].log.losses
    raw.calls.sort(key=lambda r: (r.entered_ns, r.host, r.pid, r.tid, r.order))
    number_frames(raw, journal_limit=order.journal_limit)
    packets = decode(raw)
    tables, sockets, tracks = correlate_sockets(raw, packets)
    clocks = [_clock_line(one, raw, sockets, tracks, ways, order) for one in settings]
    ambiguous = [_ambiguous(socket, raw.calls, tables) for socket in sockets if socket.fits]
    notes = _notes(raw, settings)
    raw.description = _description(order, settings, [*clocks, *ambiguous[:_MOST_NOTES], *notes])
    raw.faults = []
    raw, tables = _without_content(raw, tables)
    return Joined(raw, tables, clocks, _kinds(sockets, raw.calls), ambiguous, notes)


def write_joined(joined: Joined, path: Path, order: JoinOrder) -> Finished:
    """Write it; a file that is there already stays as it is if that fails.

    Raises UsageError when it cannot be written there, BadRecording when not to its end.
    """
    make_spool_folder(path).rmdir()  # it refuses what another recording left there
    found = os.path.lexists(path)
    fd = open_private(path, keep=True)
    try:
        return finish_tables(path, joined.raw, joined.tables, journal_limit=order.journal_limit)
    except BaseException:
        if not found:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


# --- what goes in


def _capture(path: Path) -> RawRecording:
    raw = read_raw(path)
    if raw.calls or raw.description.netlab_version:
        raise UsageError(
            f"{path} is a recording of netlab, with calls of its own",
            "name the capture of tcpdump, or write the packets alone: netlab export FILE --plain",
        )
    if not raw.frames:
        raise BadRecording(f"{path} holds no packet", "nothing was captured: was the filter right?")
    if (strange := max(one.link for one in raw.interfaces)) > 0xFFFF:
        raise BadRecording(
            f"pcapng has no link type {strange}", "the capture's header may be damaged"
        )
    raw.frames.sort(key=departure)
    return raw


def _packets(raw: RawRecording, path: Path) -> list[Packet]:
    packets = decode(raw)
    if not any(packet.ip_version for packet in packets):
        kinds = ", ".join(sorted({packet.link for packet in packets}))
        raise BadRecording(
            f"{path} holds no IP packet", f"its frames are {kinds}: no socket call belongs to them"
        )
    return packets


def _logs(order: JoinOrder, raw: RawRecording) -> list[Log]:
    found = find_logs(order.logs)
    for names, option in ((order.actors, "--actor"), (order.hosts, "--host")):
        if len(names) > len(found):
            what = "log" if len(found) == 1 else "logs"
            raise UsageError(
                f"{len(names)} names for {len(found)} {what}", f"say {option} once for each log"
            )
    logs = []
    taken: set[str] = set()
    for place, paths in enumerate(found):
        actor = order.actors[place] if place < len(order.actors) else _actor(paths, taken)
        taken.add(actor)
        host = order.hosts[place] if place < len(order.hosts) else HOST
        log = read_log(paths, host, actor, keep_bytes=_KEEP_BYTES)
        if not log.calls:
            raise BadRecording(
                f"{log.name} holds no call on a socket",
                f"was the right process traced, with its children (-f)? `{COMMAND}`",
            )
        logs.append(_rounded(log, _resolution_ns(raw)))
    return logs


def _actor(paths: Sequence[Path], taken: set[str]) -> str:
    """The name of a log: of its file, without what says that it is one."""
    name = paths[0].name.partition(".")[0] or paths[0].name
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found


def _resolution_ns(raw: RawRecording) -> int:
    return 1000 if all(frame.time_ns % 1000 == 0 for frame in raw.frames) else 1


def _rounded(log: Log, frames_ns: int) -> Log:
    """The log with times that compare with those of frames, whichever of them are cut to 1 us.

    What is cut off a time makes it earlier: of a frame the call must be cut, too, and where the
    call's is cut, it may have returned later by as much.
    """
    if log.resolution_ns == frames_ns:
        return log

    def rounded(call: CallRecord) -> CallRecord:
        by = call.returned_ns if call.returned_by_ns is None else call.returned_by_ns
        if frames_ns > log.resolution_ns:
            return replace(call, entered_ns=call.entered_ns - call.entered_ns % frames_ns)
        return replace(call, returned_by_ns=None if by is None else by + log.resolution_ns - 1)

    return replace(log, calls=[rounded(call) for call in log.calls])


# --- what comes out


def _without_content(raw: RawRecording, tables: Tables) -> tuple[RawRecording, Tables]:
    """The same with the first bytes only of what calls moved, if they say all that is needed."""
    if all(call.data is None or len(call.data) <= _FIRST_BYTES for call in raw.calls):
        return raw, tables
    shorter = replace(
        raw,
        calls=[
            call if call.data is None else replace(call, data=call.data[:_FIRST_BYTES])
            for call in raw.calls
        ],
    )
    again = correlate(shorter, decode(shorter))
    if _places(again) == _places(tables):
        return shorter, again
    return raw, tables


def _places(tables: Tables) -> list[tuple[object, ...]]:
    return [(call.connection, call.side, call.start, call.stop) for call in tables.calls]


def _clock_line(
    setting: Setting,
    raw: RawRecording,
    sockets: Sequence[Socket],
    tracks: Sequence[Track],
    ways: Ways,
    order: JoinOrder,
) -> str:
    """What is known of a log's clock now that its sockets have connections."""
    mine = {id(call) for call in setting.log.calls}
    of_log = [s for s in sockets if s.calls and id(raw.calls[s.calls[0] - 1]) in mine]
    clocks = Clocks(
        of_log, tracks, raw.calls, ways,
        whole=not has_gaps(raw), ring_lost=missing_frames(raw) is not None,
    )  # fmt: skip
    return clock_line(setting, clocks.matched(), order.offset_ns)


def _ambiguous(socket: Socket, calls: list[CallRecord], tables: Tables) -> str:
    """`p connect #12 (fd 5, 10.0.0.1:80): connections 3 and 4 fit`."""
    number = next(iter(socket.connects), socket.accepted_by or socket.calls[0])
    call = calls[number - 1]
    fd = call.result if socket.accepted_by == number else call.fd
    ends = " ".join(filter(None, (socket.local, socket.peer and f"to {socket.peer}")))
    fits = [str(connection) for connection, _ in socket.fits[:_MOST_NAMED]]
    more = len(socket.fits) - len(fits)
    named = ", ".join(fits) + (f" and {more} more" if more > 0 else "")
    what = "connections" if len(socket.fits) > 1 else "connection"
    verb = "fit" if len(socket.fits) > 1 else "fits, as does another socket"
    return (
        f"{call.actor} {call.op} #{number} (fd {fd}{', ' if ends else ''}{ends}): "
        f"{what} {named} {verb}: given none"
    )


def _kinds(sockets: Sequence[Socket], calls: list[CallRecord]) -> Counter[str]:
    found: Counter[str] = Counter()
    for socket in sockets:
        if not socket.is_stream or socket.is_local or socket.listens or not socket.calls:
            continue
        moved = any(is_moving(calls[n - 1]) and calls[n - 1].result for n in socket.calls)
        if not moved and not socket.connects and socket.accepted_by is None:
            continue
        local, peer = socket.local_endpoint, socket.peer_endpoint
        if socket.connection is None:
            found["ambiguous" if socket.fits or socket.twins else "without frames"] += 1
        elif local is None or peer is None or not local[1]:
            found["by their calls"] += 1
        else:
            found["by address"] += 1
    return found


def _notes(raw: RawRecording, settings: Sequence[Setting]) -> list[str]:
    notes = [f"the capture: {fault}" for fault in raw.faults]
    for one in settings:
        for fault, times in list(Counter(one.log.faults).items())[:_MOST_NOTES]:
            often = f" ({times} times)" if times > 1 else ""
            notes.append(f"{one.log.name}: {fault}{often}")
    return notes


def _description(
    order: JoinOrder, settings: Sequence[Setting], notes: Sequence[str]
) -> Description:
    logs = ", ".join(one.log.name for one in settings)
    hosts = [call.host for one in settings for call in one.log.calls[:1]]
    return Description(
        netlab_version=netlab.__version__,
        title=order.title,
        hosts=tuple(Host(name, "", ()) for name in dict.fromkeys(hosts)),
        witnesses=(
            f"packets: the capture {order.capture.name}, taken by hand",
            f"calls: strace, by hand: {logs}",
        ),
        notes=tuple(notes),
    )

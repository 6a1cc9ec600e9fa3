"""All the raw material of one recording: what the witnesses handed in, nothing derived."""

from __future__ import annotations

from dataclasses import field

from netlab.model.call import CallRecord, Inheritance
from netlab.model.clock import ClockPair
from netlab.model.frame import WIRE, Frame, Interface
from netlab.model.kernel_event import KernelEvent
from netlab.model.records import dataclass
from netlab.model.sample import Sample
from netlab.model.stamp import StampRecord
from netlab.model.wire import Arrival


@dataclass(frozen=True, slots=True)
class Loss:
    """Something a witness did not see: `witness` lost `count` of `what` because of `reason`."""

    witness: str  # packets, probe, strace, kernel, stamps
    what: str  # frames, calls, stamps, events; bytes: moved without a call that could be seen
    count: int | None  # None: not known how many
    reason: str  # ring full, spool limit, disk full, ...
    actor: str = ""
    since_ns: int | None = None
    pid: int | None = None  # of the one process that it concerns, where that is known


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the recording: where it stands and how its kernel was set."""

    name: str
    kernel: str  # uname release
    sysctls: tuple[tuple[str, str], ...] = ()  # net.* names and values as read back


@dataclass(frozen=True, slots=True)
class Description:
    """What a recording says of itself. Empty for captures from elsewhere."""

    netlab_version: str = ""
    title: str = ""  # `netlab run echo --messages 3`
    form: str = ""  # live, finished, or empty for a file that netlab did not write
    file_version: int = 0
    hosts: tuple[Host, ...] = ()
    witnesses: tuple[str, ...] = ()  # in words: who watched, what it cost
    notes: tuple[str, ...] = ()  # things to know, a sentence each


@dataclass(slots=True)
class RawRecording:
    """A recording as read from a file: frames by number, calls in order of entry."""

    frames: list[Frame] = field(default_factory=list)
    interfaces: list[Interface] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    inheritances: list[Inheritance] = field(default_factory=list)
    stamps: list[StampRecord] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)  # where a wire was between the hosts
    kernel_events: list[KernelEvent] = field(default_factory=list)
    clock_pairs: list[ClockPair] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    description: Description = field(default_factory=Description)
    secrets: list[str] = field(default_factory=list)  # keys in the file, in words: none is used
    faults: list[str] = field(default_factory=list)  # damage met on reading, a line each
    cut_short: bool = False  # by damage or in mid-recording: there may have been more

    @property
    def wired(self) -> bool:
        """Whether a wire between hosts carried the frames, and noted what became of them."""
        named = any(one.name == WIRE for one in self.interfaces)
        return bool(self.arrivals) or (named and bool(self.description.form))

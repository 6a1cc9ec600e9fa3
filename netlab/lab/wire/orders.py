"""What the lab says to its wire, and what the wire answers: objects <-> control messages.

To the wire: `Orders` once, with the spool folder's descriptor, `COUNT` whenever it is asked how
many frames are on their way, then `stop(within_ms)`. From it: `counted`, the answer; `ready` once
all its sockets take frames; `failed` instead of that or at any time later (an error, as
`model.errors` puts it into messages; the wire is over then); `fault` when what it is given to carry
shows that the lab is not set up as it must be (an error too; the wire goes on); and `stopped` with
a `Report`. Read `server.messages.control` for how messages travel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from netlab.lab.wire.journal_writer import LIMIT_BYTES
from netlab.server.messages.control import Message


@dataclass(frozen=True, slots=True)
class Side:
    """A host as the wire is joined to it; its place in `Orders.sides` is its number."""

    name: str
    interface: str  # the wire's own end of the veth pair
    mac: str  # of the host's end: 02:00:00:00:00:01
    addresses: tuple[str, ...]  # of the host, as text
    is_server: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """All that a wire must know."""

    sides: tuple[Side, ...]
    rules: str = ""  # in the language of `grammar`; empty: the wire carries everything at once
    mtu_bytes: int = 1500
    spool_limit_bytes: int = LIMIT_BYTES

    def as_message(self) -> Message:
        """For `orders_from`; goes with the descriptor of the spool folder."""
        return {"do": "begin", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Report:
    """What a wire did, from its first frame to its last.

    Frames lost and frames not recorded are in the spool as well, where its reader turns them into
    losses of the recording; here they are for whoever stops the wire.
    """

    frames: int  # that hosts sent
    frame_bytes: int
    made: int  # frames that the wire itself made
    left: int  # still on their way when it stopped: no fate is known
    fired: tuple[tuple[str, int], ...]  # each rule as written, and how often it did something
    vain: tuple[tuple[str, int], ...]  # rules for which frames waited in vain, and how many
    refused: tuple[tuple[str, int], ...]  # why frames were not taken by a host, and how many
    lost: int  # found no room in the wire's own receive queues
    unrecorded: int  # frames and arrivals that found no room in the spool

    def as_message(self) -> Message:
        """For `report_from`."""
        return {"event": "stopped", **asdict(self)}


COUNT: Message = {"do": "count"}


def counted(frames: int, on_their_way: int) -> Message:
    """So many frames have come from hosts, and so many are on their way, copies included."""
    return {"event": "counted", "frames": frames, "on_their_way": on_their_way}


def stop(within_ms: int) -> Message:
    """Carry what is on its way, for so long at the most, then report and end."""
    return {"do": "stop", "within_ms": within_ms}


def orders_from(message: Message) -> Orders:
    """What `Orders.as_message` described."""
    sides = tuple(
        Side(**{**side, "addresses": tuple(side["addresses"])}) for side in message["sides"]
    )
    return Orders(
        sides, message["rules"], int(message["mtu_bytes"]), int(message["spool_limit_bytes"])
    )


def report_from(message: Message) -> Report:
    """What `Report.as_message` described."""
    facts = {name: value for name, value in message.items() if name != "event"}
    for name in ("fired", "vain", "refused"):
        facts[name] = tuple((text, count) for text, count in facts[name])
    return Report(**facts)

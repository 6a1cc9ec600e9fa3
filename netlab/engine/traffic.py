"""How many frames and bytes of each protocol passed, and between whom: counted piece by piece.

What a row says is counted by its numbers; the frames that no kernel reads are read by the general
path, those of no connection at once, the others when all are there: fragments make sense together.
The names are those of `decode.stacks`, and a test compares the counts on every capture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netlab.decode import kernels as d
from netlab.decode.numbers import LINK_COOKED, LINK_COOKED_2, LINK_ETHERNET, link_name
from netlab.decode.packets import decode
from netlab.decode.stacks import VLAN, Stack, stacks
from netlab.engine.flow_rows import flow_rows
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording

if TYPE_CHECKING:
    from netlab.engine.capture import Flows
    from netlab.engine.records import Records

# Where IP begins where no tag stands before it.
_IP_AT = {LINK_ETHERNET: 14, LINK_COOKED: 16, LINK_COOKED_2: 20}
_TAG_BYTES = 4
_DENSE = 1 << 20  # so many sums are made by their number; of more, those that occur are sought

Amounts = list[int]  # frames, bytes on the wire
Pair = tuple[str | None, str | None]  # source, destination


class Traffic:
    """The counts of one capture."""

    def __init__(self) -> None:
        self._kinds: dict[int, Amounts] = {}  # by interface, place of IP, version, transport
        self._ways: dict[int, Amounts] = {}  # by flow, and which of its ends sent
        self.stacks: dict[Stack, Amounts] = {}
        self.between: dict[Pair, Amounts] = {}

    def add_rows(self, records: Records, first: int, last: int) -> None:
        """Count rows first..last-1, whose bytes are still in the piece."""
        if records.machine.name == "native":
            others = self._add_array(records.rows.array(last)[first:last])
        else:
            others = self._add_each(records.rows.items[first:last])
        if others:
            links = [Interface("", link, 0) for link in records.links_so_far]
            self.add_frames([records.frame(first + index) for index in others], links)

    def add_frames(self, frames: Iterable[Frame], interfaces: Sequence[Interface]) -> None:
        """Count frames as the general path reads them."""
        raw = RawRecording(
            frames=sorted(frames, key=lambda frame: frame.number), interfaces=list(interfaces)
        )
        packets = decode(raw)
        for stack, packet in zip(stacks(raw, packets), packets, strict=True):
            _add(self.stacks, stack, 1, packet.origlen_bytes)
            _add(self.between, (packet.src, packet.dst), 1, packet.origlen_bytes)

    def finish(self, found: Flows, interfaces: Sequence[Interface]) -> None:
        """Name what was counted by number."""
        for code, (frames, amount) in self._kinds.items():
            _add(self.stacks, _stack(code, interfaces), frames, amount)
        if not self._ways:
            return
        for row in flow_rows(found):
            for backward in (0, 1):
                sums = self._ways.get(2 * row.index + backward)
                if sums is not None:
                    pair = row.text(backward), row.text(1 - backward)
                    _add(self.between, pair, *sums)
        self._kinds, self._ways = {}, {}

    def _add_array(self, rows: Any) -> list[int]:
        """The same of a NumPy array; gives back which rows the kernels did not read."""
        import numpy as np

        read = ((rows["kind"] == d.TCP) | (rows["kind"] == d.UDP)) & (rows["flow"] >= 0)
        usual = rows[read]
        lengths = usual["origlen_bytes"].astype(np.int64)
        kinds = _code(
            usual["interface"].astype(np.int64), usual["ip_off"].astype(np.int64),
            (usual["marks"] & d.IS_IPV6 != 0).astype(np.int64),
            (usual["kind"] == d.UDP).astype(np.int64),
        )  # fmt: skip
        _sum(self._kinds, kinds, lengths)
        backward = (usual["marks"] & d.BACKWARD != 0).astype(np.int64)
        _sum(self._ways, 2 * usual["flow"].astype(np.int64) + backward, lengths)
        others: list[int] = np.flatnonzero(~read & (rows["kind"] != d.ASIDE)).tolist()
        return others

    def _add_each(self, rows: Sequence[Any]) -> list[int]:
        others = []
        for index, row in enumerate(rows):
            if row.kind not in (d.TCP, d.UDP) or row.flow < 0:
                if row.kind != d.ASIDE:
                    others.append(index)
                continue
            is_ipv6, is_udp = row.marks & d.IS_IPV6 != 0, row.kind == d.UDP
            code = _code(row.interface, row.ip_off, int(is_ipv6), int(is_udp))
            _add(self._kinds, code, 1, row.origlen_bytes)
            way = 2 * row.flow + (row.marks & d.BACKWARD != 0)
            _add(self._ways, way, 1, row.origlen_bytes)
        return others


def _code(interface: Any, ip_off: Any, is_ipv6: Any, is_udp: Any) -> Any:
    return ((interface * 256 + ip_off) * 2 + is_ipv6) * 2 + is_udp


def _stack(code: int, interfaces: Sequence[Interface]) -> Stack:
    code, is_udp = divmod(code, 2)
    code, is_ipv6 = divmod(code, 2)
    index, ip_off = divmod(code, 256)
    link = interfaces[index].link
    tags = (ip_off - _IP_AT.get(link, ip_off)) // _TAG_BYTES
    network = "IPv6" if is_ipv6 else "IPv4"
    return (link_name(link), *[VLAN] * tags, network, "UDP" if is_udp else "TCP")


def _sum(into: dict[int, Amounts], keys: Any, lengths: Any) -> None:
    """Add up frames and bytes of equal keys."""
    import numpy as np

    if not len(keys):
        return
    most = int(keys.max()) + 1
    if most <= _DENSE:
        frames = np.bincount(keys, minlength=most)
        amounts = np.bincount(keys, weights=lengths, minlength=most)  # exact below 2**53
        found = np.flatnonzero(frames)
        triples = zip(found.tolist(), frames[found].tolist(), amounts[found].tolist(), strict=True)
    else:
        found, places = np.unique(keys, return_inverse=True)
        frames = np.bincount(places)
        amounts = np.bincount(places, weights=lengths)
        triples = zip(found.tolist(), frames.tolist(), amounts.tolist(), strict=True)
    for key, count, amount in triples:
        _add(into, key, count, int(amount))


def _add(into: dict[Any, Amounts], key: Any, frames: int, amount: int) -> None:
    sums = into.get(key)
    if sums is None:
        into[key] = [frames, amount]
    else:
        sums[0] += frames
        sums[1] += amount

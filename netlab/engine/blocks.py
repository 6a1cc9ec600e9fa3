"""Blocks of a pcapng file that no kernel reads, as the capture room reads them."""

from __future__ import annotations

from collections.abc import Callable

from netlab.capture.pcapng_file import PcapngFile
from netlab.capture.pcapng_reader import InterfaceDescription


class Blocks(PcapngFile):
    """Reads blocks; each packet is handed on: time, interface, place in the piece, lengths."""

    def __init__(self, name: str, add: Callable[[int, int, int, int, int], None]) -> None:
        super().__init__(name)
        self._hand_on = add

    def begin(self, number: int, time_ns: int) -> None:
        """So many frames there were, the last of this time."""
        self._number, self._time_ns = number, time_ns

    @property
    def number(self) -> int:
        return self._number

    @property
    def order(self) -> str:
        return self._order

    @property
    def section(self) -> tuple[int, list[InterfaceDescription]]:
        return self._first, self._described

    @property
    def holds_more(self) -> bool:
        """Whether netlab wrote the file: calls and all that."""
        raw = self._raw
        return bool(
            raw.description.form or raw.description.netlab_version or raw.calls or raw.losses
            or raw.arrivals or raw.samples or raw.kernel_events or raw.clock_pairs
            or raw.stamps or raw.inheritances or raw.description.witnesses
        )  # fmt: skip

    def _add(
        self, index: int, begin: int, end: int, origlen: int, flags: int, packet: int | None
    ) -> None:
        self._hand_on(self._time_ns, index, begin, end - begin, origlen)

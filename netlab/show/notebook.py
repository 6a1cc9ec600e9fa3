"""A recording for people who write Python: nine Polars frames, and objects that show themselves.

    >>> import netlab
    >>> rec = netlab.read(path)
    >>> rec
    Recording('echo.pcapng', 10 packets, 15 calls, 1 connection)
    >>> rec.calls.filter(rec.calls["op"] == "send")["result"].to_list()
    [100, 100]
    >>> rec.connection(0).client
    '127.0.0.1:40112'
    >>> rec.call(6).op
    'send'
    >>> rec.packet(rec.packets["frame"][0]).flags
    'SYN'

In a notebook, with `rich.print` and by `.show()` a recording shows its summary, a connection its
ladder, a call its links, a packet its fields. At a plain prompt each answers with one line, which
is also what a log gets. Frames are made when first asked for; the examples above run as a test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netlab.model.recording import RawRecording
from netlab.model.tables import Call as CallRow
from netlab.model.tables import Connection as ConnectionRow
from netlab.model.tables import Packet as PacketRow
from netlab.model.tables import Tables, Unmatched
from netlab.show import choose
from netlab.show.format import address, count
from netlab.show.terminal.lines import NARROW, WIDE, Line, emit, text_of, width_of

if TYPE_CHECKING:
    import polars as pl
    from rich.text import Text


def read(path: str | Path) -> Recording:
    """Read a recording or capture. Raises BadRecording when it is neither."""
    from netlab.capture.files import read_raw
    from netlab.explain.analysis import analyse

    raw = read_raw(path)
    return Recording(analyse(raw), raw, str(path))


class _Shown(ABC):
    """Something that shows itself in a terminal and in a notebook; nothing captured is obeyed."""

    @abstractmethod
    def _lines(self, width: int) -> Sequence[Line]:
        """The lines that fit a terminal of so many columns."""

    def show(self) -> None:
        """Print what this is, as wide as the terminal allows; plainly where there is none."""
        emit(self._lines(width_of(None)))

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text("\n", no_wrap=True).join(text_of(line) for line in self._lines(NARROW))

    def _repr_html_(self) -> str:
        from io import StringIO

        from rich.console import Console

        page = Console(file=StringIO(), record=True, width=2 * WIDE, highlight=False)
        for line in self._lines(NARROW):
            page.print(text_of(line), soft_wrap=True)
        # rich escapes the text; the frame around it holds none.
        return page.export_html(
            inline_styles=True,
            code_format='<pre style="line-height:1.2;font-family:monospace">{code}</pre>',
        )


class Recording(_Shown):
    """A recording, read: `.packets .segments .connections .calls .spans .waits .states
    .stamps .messages`."""

    def __init__(self, tables: Tables, raw: RawRecording, path: str) -> None:
        self.tables = tables
        self.raw = raw
        self.path = path
        self._frames: dict[str, pl.DataFrame] = {}

    @property
    def packets(self) -> pl.DataFrame:
        """Captured frames."""
        return self._frame("packets")

    @property
    def segments(self) -> pl.DataFrame:
        """TCP segments in their connections."""
        return self._frame("segments")

    @property
    def connections(self) -> pl.DataFrame:
        """TCP connections, UDP conversations, Unix sockets in use."""
        return self._frame("connections")

    @property
    def calls(self) -> pl.DataFrame:
        """Socket calls."""
        return self._frame("calls")

    @property
    def spans(self) -> pl.DataFrame:
        """The map: links between calls and frames."""
        return self._frame("spans")

    @property
    def waits(self) -> pl.DataFrame:
        """Intervals of calls with their causes."""
        return self._frame("waits")

    @property
    def states(self) -> pl.DataFrame:
        """Samples of sockets' kernel state."""
        return self._frame("states")

    @property
    def stamps(self) -> pl.DataFrame:
        """When the kernel sent bytes and saw them acknowledged, where it was asked to stamp."""
        return self._frame("stamps")

    @property
    def messages(self) -> pl.DataFrame:
        """What the applications said."""
        return self._frame("messages")

    @property
    def unmatched(self) -> list[Unmatched]:
        """The lines of the byte ledger that did not close."""
        return list(self.tables.unmatched)

    def connection(self, number: int | str) -> Connection:
        """The connection with this number, or tshark's `tcp.0`. Raises UsageError."""
        return Connection(choose.connection(self.tables, str(number)), self)

    def call(self, number: int) -> Call:
        """The call with this number. Raises UsageError."""
        return Call(choose.call(self.tables, number), self)

    def packet(self, frame: int) -> Packet:
        """The packet with this frame number. Raises UsageError."""
        return Packet(choose.packet(self.tables, frame), self)

    def _frame(self, table: str) -> pl.DataFrame:
        if table not in self._frames:
            from netlab.show.frames import frame

            self._frames[table] = frame(self.tables, table)
        return self._frames[table]

    def _lines(self, width: int) -> Sequence[Line]:
        from netlab.show.terminal.summary import summary_lines
        from netlab.show.views.summary import summary

        return summary_lines(summary(self.tables, self.raw, self.path), width)

    def __repr__(self) -> str:
        tables = self.tables
        return (
            f"Recording({Path(self.path).name!r}, {count(len(tables.packets), 'packet')},"
            f" {count(len(tables.calls), 'call')},"
            f" {count(len(tables.connections), 'connection')})"
        )


class Connection(_Shown):
    """A connection of a recording; shows its ladder. `row` holds all its columns."""

    def __init__(self, row: ConnectionRow, recording: Recording) -> None:
        self.row = row
        self.recording = recording
        self.number = row.connection
        self.client = address(row.client, row.client_port)
        self.server = address(row.server, row.server_port)

    @property
    def calls(self) -> list[Call]:
        """Its calls, in order of entry."""
        found = self.recording.tables.calls
        return [Call(row, self.recording) for row in found if row.connection == self.number]

    @property
    def packets(self) -> list[Packet]:
        """Its packets, in order."""
        found = self.recording.tables.packets
        return [Packet(row, self.recording) for row in found if row.connection == self.number]

    def _lines(self, width: int) -> Sequence[Line]:
        from netlab.show.terminal.ladder import DEFAULT_LIMIT, ladder_lines
        from netlab.show.views.ladder import ladder, limited

        whole = ladder(self.recording.tables, self.recording.raw, self.row)
        return ladder_lines(limited(whole, DEFAULT_LIMIT), width)

    def __repr__(self) -> str:
        return f"Connection({self.number}, {self.row.protocol}, {self.client!r}, {self.server!r})"


class Call(_Shown):
    """A socket call; shows its line and its frames. `row` holds all its columns."""

    def __init__(self, row: CallRow, recording: Recording) -> None:
        self.row = row
        self.recording = recording
        self.number = row.call
        self.op = row.op

    @property
    def frames(self) -> list[int]:
        """The frames that belong to it, in order."""
        spans = self.recording.tables.spans
        return sorted({s.frame for s in spans if s.call == self.number and s.frame is not None})

    def _lines(self, width: int) -> Sequence[Line]:
        from netlab.show.terminal.call import call_lines

        return call_lines(self.recording.tables, self.row)

    def __repr__(self) -> str:
        return f"Call(#{self.number}, {self.row.actor!r}, {self.op!r}, result={self.row.result})"


class Packet(_Shown):
    """A captured packet; shows its fields and bytes. `row` holds all its columns."""

    def __init__(self, row: PacketRow, recording: Recording) -> None:
        self.row = row
        self.recording = recording
        self.frame = row.frame
        self.flags = row.tcp_flags

    def _lines(self, width: int) -> Sequence[Line]:
        from netlab.show.terminal.packets import packet_lines
        from netlab.show.views.packets import packet_view

        view = packet_view(self.recording.tables, self.recording.raw, self.row, deep=False)
        return packet_lines(view, width, None)

    def __repr__(self) -> str:
        return f"Packet({self.frame}, {self.row.protocol!r}, {self.row.caplen_bytes} bytes)"

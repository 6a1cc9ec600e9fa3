"""The parts that both forms of a recording have: how it begins, and notes on packed calls.

Turns a description and interfaces into blocks. Knows nothing of files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from netlab import __version__
from netlab.capture import journal, pcapng
from netlab.capture.local import FILE_VERSION, description_block
from netlab.model.call import CallRecord
from netlab.model.frame import Interface
from netlab.model.recording import Description

JOURNAL_LIMIT = 100_000  # calls that Wireshark lists one by one
_LONGEST_TEXT = 20_000  # characters
_NS = 1_000_000_000


def preamble(description: Description, interfaces: Sequence[Interface], form: str) -> bytes:
    """What every recording begins with: the section, its interfaces, the description."""
    return b"".join(
        (
            section(f"netlab recording, version {FILE_VERSION}, {form}"),
            *interface_blocks(interfaces),
            description_block(description),
        )
    )


def section(comment: str = "") -> bytes:
    """A section header that says who wrote the file, and where."""
    system = os.uname()
    items = [pcapng.text_option(pcapng.COMMENT, comment)] if comment else []
    items += [
        pcapng.text_option(pcapng.SHB_HARDWARE, system.machine),
        pcapng.text_option(pcapng.SHB_OS, f"{system.sysname} {system.release}"),
        pcapng.text_option(pcapng.SHB_USERAPPL, f"netlab {__version__}"),
    ]
    return pcapng.section_header(items)


def interface_blocks(interfaces: Sequence[Interface]) -> Iterator[bytes]:
    """A description block each, all with one snap length, as tcpdump wants it (0: no limit)."""
    snaplens = [interface.snaplen_bytes for interface in interfaces]
    snaplen = 0 if 0 in snaplens else max(snaplens, default=0)
    system = os.uname()
    for interface in interfaces:
        items = [
            pcapng.text_option(pcapng.IF_NAME, interface.name),
            pcapng.text_option(pcapng.IF_OS, f"{system.sysname} {system.release}"),
        ]
        yield pcapng.interface_description(interface.link, snaplen, items)


def fits_journal(call: CallRecord) -> bool:
    """Whether a call may have an entry of its own: one with an absurd argument is packed."""
    texts = (call.args, call.code, call.local, call.peer, call.address, call.actor, call.host)
    return sum(map(len, filter(None, texts))) + 24 * len(call.ready) <= _LONGEST_TEXT


def second_of(call: CallRecord) -> int:
    """The second in which Wireshark would show a call: packed calls are counted by it."""
    return journal.shown_ns(call) // _NS


def packed_note(time_ns: int, count: int) -> bytes:
    """The journal block that stands for a second of packed calls."""
    text = f"netlab: {count:,} {'call' if count == 1 else 'calls'} in this second, packed"
    return pcapng.block(pcapng.JOURNAL_EXPORT, journal.note(time_ns, text))

"""What the engine links by itself is what LLVM's linker makes of it; the rest is left to LLVM."""

from __future__ import annotations

import ctypes
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from netlab.engine import objects
from netlab.engine.compiled import entries, entry_addresses, function_of
from netlab.engine.linked import maybe_link
from netlab.engine.objects import Code, Objects

ABSOLUTE_64 = 1


@pytest.fixture(scope="module")
def code() -> Code:
    from netlab.engine.compiled import _sources

    entry_addresses()  # compiles, if nobody has
    found = Objects(_sources()).maybe_read()
    assert found is not None
    return found


def scanned(addresses: dict[str, int]) -> int:
    """The result of a kernel: where a scan of a capture of one packet of 7 bytes stops."""
    from netlab.decode import kernels
    from netlab.engine.native import NativeTable

    packet = struct.pack("<IIII", 1, 2, 7, 7) + bytes(7)
    piece = ctypes.create_string_buffer(packet, len(packet))
    scans, links = NativeTable(kernels.SCAN, 1), NativeTable(kernels.LINK, 1)
    scans.put(0, header_bytes=16)
    links.put(0, unit_ns=1, longest_bytes=99)
    rows = NativeTable(kernels.ROW, 1)
    scan = function_of(addresses["scan_pcap"], len(entries(second=False)["scan_pcap"]))
    stopped: int = scan(
        ctypes.addressof(piece), 0, len(packet), 0, scans.address, links.address, rows.address, 1
    )
    assert rows.get(0, "time_ns") == 1_000_000_002
    return stopped


def test_linked_code_runs(code: Code) -> None:
    found = maybe_link(code, 0)
    assert found is not None, "this processor's objects are not linked here"
    assert scanned(found[0]) == 23


def test_the_second_verdicts_are_linked_as_well() -> None:
    from netlab.engine.compiled import _sources

    entry_addresses(second=True)
    found = Objects(_sources(second=True)).maybe_read()
    assert found is not None
    linked = maybe_link(found, 0)
    assert linked is not None, "this processor's objects are not linked here"
    assert linked[0].keys() == entries(second=True).keys()


def test_llvm_links_the_same(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "maybe_link", lambda *_: None)
    addresses, keep = objects.load(code)
    assert scanned(addresses) == 23
    assert keep is not None


def test_reading_compiled_code_imports_neither_llvm_nor_numpy(tmp_path: Path) -> None:
    import subprocess

    entry_addresses()
    program = (
        "import sys; from netlab.engine.native import Native; Native();"
        "sys.exit(any(name in sys.modules for name in ('llvmlite', 'numba', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_object_with_other_relocations_is_left_to_llvm(code: Code) -> None:
    """Each byte of the first relocation's kind, changed."""
    name, (symbol, data) = next(iter(code.items()))
    at = data.index(struct.pack("<I", ABSOLUTE_64), relocations_at(data) + 8)
    other = data[:at] + struct.pack("<I", 2) + data[at + 4 :]
    assert maybe_link({name: (symbol, data)}, 0) is not None
    assert maybe_link({name: (symbol, other)}, 0) is None


def relocations_at(data: bytes) -> int:
    """Where the first table of relocations begins."""
    head: tuple[Any, ...] = struct.unpack_from("<16sHHIQQQIHHHHHH", data)
    for number in range(head[12]):
        section = struct.unpack_from("<IIQQQQIIQQ", data, head[6] + 64 * number)
        if section[1] == 4:
            return int(section[4])
    raise AssertionError("no relocations")


def test_what_is_no_object_is_left_to_llvm(code: Code) -> None:
    name, (symbol, data) = next(iter(code.items()))
    assert maybe_link({name: ("another", data)}, 0) is None
    for cut in range(64):
        assert maybe_link({name: (symbol, data[:cut])}, 0) is None
    aarch64 = data[:18] + struct.pack("<H", 183) + data[20:]
    assert maybe_link({name: (symbol, aarch64)}, 0) is None

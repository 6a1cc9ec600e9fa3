"""Object files of the kernels -> entries in memory: what a linker does, as far as they need it.

LLVM's own linker comes with the whole of LLVM, and importing that takes as long as reading a third
of a million packets. Kernels call nothing but each other, and what LLVM makes of a loop that fills
or copies; they refer to little but their constants: their only relocation is an absolute address
(R_X86_64_64). An object that has any other is not for
this, and LLVM loads it. Read first: man 5 elf, the System V ABI's AMD64 supplement 4.4.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Mapping
from typing import Any

_IDENT = b"\x7fELF\x02\x01\x01"  # of 64 bits, little-endian
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA = 1, 2, 4
_ALLOC = 2
_ABSOLUTE_64 = 1
_NOWHERE = 0  # the section of a symbol that is in another file
_OF_LIBC = (b"memset", b"memcpy", b"memmove")
_UNWINDING = b".eh_frame\0"  # nothing is thrown
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")


class _Unfit(Exception):
    """An object file with more in it than is linked here."""


def maybe_link(
    code: Mapping[str, tuple[str, bytes]], outside: int
) -> tuple[dict[str, int], Any] | None:
    """The address of each entry, and what must be kept as long as they are used.

    `outside` is the address of whatever else is in none of the files. None where LLVM has to do it.
    """
    try:
        parts = [_Object(data) for _, data in code.values()]
        size = sum(part.size_bytes for part in parts)
        memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        found, at = {}, 0
        for (name, (symbol, _)), part in zip(code.items(), parts, strict=True):
            found[name] = begin + part.place(memory, at, begin, outside, symbol)
            at += part.size_bytes
    except (_Unfit, struct.error):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(
        ctypes.c_void_p(begin), ctypes.c_size_t(len(memory)), mmap.PROT_READ | mmap.PROT_EXEC
    ):
        return None  # perhaps LLVM finds a way
    return found, memory


class _Object:
    """An object file: the sections that a program has in memory, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        ident, kind, machine, *_ = head = _HEADER.unpack_from(data)
        if not ident.startswith(_IDENT) or (kind, machine) != (_RELOCATABLE, _X86_64):
            raise _Unfit
        at, count, names = head[6], head[12], head[13]
        sections = [_SECTION.unpack_from(data, at + 64 * number) for number in range(count)]
        self._sections = sections
        self._places: dict[int, int] = {}  # of each section that is loaded
        self.size_bytes = 0
        for number, section in enumerate(sections):
            name_at = sections[names][4] + section[0]
            if not section[2] & _ALLOC or data.startswith(_UNWINDING, name_at):
                continue
            if section[1] != _PROGBITS:
                raise _Unfit
            self.size_bytes += -self.size_bytes % max(section[8], 1)
            self._places[number] = self.size_bytes
            self.size_bytes += section[5]
        self.size_bytes += -self.size_bytes % 64
        (table,) = (one for one in sections if one[1] == _SYMTAB)
        self._symbols = list(_SYMBOL.iter_unpack(data[table[4] : table[4] + table[5]]))
        self._names = sections[table[6]][4]

    def place(self, memory: mmap.mmap, at: int, begin: int, outside: int, entry: str) -> int:
        """Copy it to a place in memory that begins at an address; where its entry lies."""
        for number, place in self._places.items():
            section = self._sections[number]
            memory[at + place : at + place + section[5]] = self._data[
                section[4] : section[4] + section[5]
            ]
        for section in self._sections:
            if section[1] == _RELA and section[7] in self._places:
                self._relocate(memory, section, at, begin, outside)
        wanted = entry.encode() + b"\0"
        for symbol in self._symbols:
            if symbol[3] in self._places and self._data.startswith(wanted, self._names + symbol[0]):
                return int(at + self._places[symbol[3]] + symbol[4])
        raise _Unfit

    def _name(self, symbol: int) -> bytes:
        at = self._names + self._symbols[symbol][0]
        return self._data[at : self._data.index(b"\0", at)]

    def _relocate(
        self, memory: mmap.mmap, section: tuple[int, ...], at: int, begin: int, outside: int
    ) -> None:
        target = at + self._places[section[7]]
        table = self._data[section[4] : section[4] + section[5]]
        for place, what, addend in _RELOCATION.iter_unpack(table):
            if what & 0xFFFFFFFF != _ABSOLUTE_64:
                raise _Unfit
            _, _, _, home, value, _ = self._symbols[what >> 32]
            if home in self._places:
                address = begin + at + self._places[home] + value + addend
            elif home == _NOWHERE:
                address = _libc_address(self._name(what >> 32)) or outside
            else:
                raise _Unfit
            struct.pack_into("<Q", memory, target + place, address)


def _libc_address(name: bytes) -> int:
    """Where a function is that compiled loops may call; 0: it is none of them."""
    if name not in _OF_LIBC:
        return 0
    return ctypes.cast(getattr(ctypes.CDLL(None), name.decode()), ctypes.c_void_p).value or 0

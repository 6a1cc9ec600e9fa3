"""Object code kept between processes: one private file for each source, processor and compiler.

Machine code is trusted like the program itself, so the folder must belong to the user and be closed
to all others, and what is read must be whole. A file is written beside its place and renamed:
processes that compile at the same time do not meet. Read first: the XDG base directory
specification, llvmlite's "binding" documentation.
"""

from __future__ import annotations

import ctypes
import os
import stat
from _blake2 import blake2b  # what hashlib gives, without OpenSSL
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from netlab.engine.linked import maybe_link

_MAGIC = b"netlab objects 2\n"
_DIGEST_BYTES = 32
# What compiled code names of numba's runtime: to raise and to count references. Kernels do neither.
_NEVER_CALLED = (
    "NRT_Free", "NRT_MemInfo_call_dtor", "NRT_incref", "NRT_decref", "numba_do_raise",
    "numba_gil_ensure", "numba_gil_release", "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
)  # fmt: skip

_CHANGING = ("cpu MHz", "clock")  # lines of /proc/cpuinfo that are not the same every time

Code = dict[str, tuple[str, bytes]]  # of each entry its symbol and its object file


class Objects:
    """The cache's file for these sources on this machine. Raises ImportError without llvmlite."""

    def __init__(self, sources: Sequence[str]) -> None:
        versions = [_version(name) for name in ("llvmlite", "numba", "numpy")]
        said = "\0".join([*sources, processor(), *versions])
        self.folder = cache_folder()
        self._path = f"{self.folder}/{blake2b(said.encode(), digest_size=16).hexdigest()}.objects"

    def maybe_read(self) -> Code | None:
        """What is kept; None where that is nothing, or nothing to be trusted."""
        try:
            if not _is_private(self.folder):
                return None
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with open(handle, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return None
            data = file.read()
        begin = len(_MAGIC) + _DIGEST_BYTES
        body = data[begin:]
        if data[:begin] != _MAGIC + blake2b(body, digest_size=_DIGEST_BYTES).digest():
            return None
        head, _, rest = body.partition(b"\n")
        code: Code = {}
        for line in head.decode().split("\0"):
            name, symbol, size = line.split(" ")
            code[name], rest = (symbol, rest[: int(size)]), rest[int(size) :]
        return code

    def keep(self, made: Mapping[str, Any]) -> str | None:
        """Keep what numba compiled; what was in the way, if it could not be."""
        try:
            code = {
                name: (entry.native_name, bytes(entry._library._get_compiled_object()))
                for name, entry in made.items()
            }
        except AttributeError:
            return "this numba gives no object code away"
        try:
            _make_folder(self.folder)
            if not _is_private(self.folder):
                return f"{self.folder} is not the user's alone (chmod 700)"
            self._write(code)
        except OSError as error:
            return f"{self.folder}: {error.strerror}"
        return None

    def _write(self, code: Code) -> None:
        import tempfile

        head = "\0".join(f"{name} {symbol} {len(data)}" for name, (symbol, data) in code.items())
        body = head.encode() + b"\n" + b"".join(data for _, data in code.values())
        handle, name = tempfile.mkstemp(dir=self.folder)
        try:
            with open(handle, "wb") as file:
                file.write(_MAGIC + blake2b(body, digest_size=_DIGEST_BYTES).digest() + body)
            os.rename(name, self._path)
        except OSError:
            os.unlink(name)
            raise


def processor() -> str:
    """What machine code depends on: the processor's name and what it can do."""
    known = os.uname().machine
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line == "\n":  # the next is as the first
                break
            if not line.startswith(_CHANGING):
                known += line
    return known


def cache_folder() -> str:
    """`netlab` in the user's cache: $XDG_CACHE_HOME, else ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    root = named if named.startswith("/") else os.path.expanduser("~/.cache")
    return f"{root}/netlab/engine"


def _make_folder(folder: str) -> None:
    """A private one, in folders that are as others are."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)


def load(code: Code) -> tuple[dict[str, int], Any]:
    """The address of each entry, and what must be kept as long as they are used."""
    trap = ctypes.CFUNCTYPE(None)(_trap)
    address = ctypes.cast(trap, ctypes.c_void_p).value or 0
    linked = maybe_link(code, address)
    if linked is not None:
        return linked[0], (linked[1], trap)
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for symbol in _NEVER_CALLED:  # the names are the whole process's: numba may be at work in it
        if llvm.address_of_symbol(symbol) is None:
            llvm.add_symbol(symbol, address)
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault")
    linker = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    for _, data in code.values():
        linker.add_object_file(llvm.ObjectFileRef.from_data(data))
    linker.finalize_object()
    found = {name: linker.get_function_address(symbol) for name, (symbol, _) in code.items()}
    return found, (linker, trap)


def _trap() -> None:
    os.abort()  # a kernel that raises is our bug


def _is_private(folder: str) -> bool:
    found = os.lstat(folder)
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & 0o077
    )  # fmt: skip


def _version(package: str) -> str:
    """Of an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"no {package}", name=package)
    prefix = f"{package}-"
    for entry in os.listdir(os.path.dirname(os.path.dirname(spec.origin))):
        if entry.startswith(prefix) and entry.endswith(".dist-info"):
            return entry
    from importlib.metadata import version

    return version(package)

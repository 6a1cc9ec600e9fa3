"""Object code is kept for its sources alone, privately, and read only where nothing is amiss."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netlab.capture.at_hand import AtHand
from netlab.engine.choose import forced_kind, maybe_read
from netlab.engine.objects import Objects
from netlab.model.errors import UsageError

SOURCES = ["def f(): return 1\n"]


class Library:
    def _get_compiled_object(self) -> bytes:
        return b"\x7fELF and more"


class Entry:
    """As numba gives one: a name for the linker, and a library that gives its code away."""

    native_name = "cfunc.f"
    _library = Library()


CODE = {"f": ("cfunc.f", b"\x7fELF and more")}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "netlab" / "engine"


def kept(cache: Path) -> Path:
    assert Objects(SOURCES).keep({"f": Entry()}) is None
    (path,) = cache.iterdir()
    return path


def test_what_is_kept_is_read(cache: Path) -> None:
    assert Objects(SOURCES).maybe_read() is None
    path = kept(cache)
    assert Objects(SOURCES).maybe_read() == CODE
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_other_sources_have_other_code(cache: Path) -> None:
    kept(cache)
    assert Objects(["def f(): return 2\n"]).maybe_read() is None


def test_damaged_code_is_not_read(cache: Path) -> None:
    path = kept(cache)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:-1] + b"X", b"", whole[:20]):
        path.write_bytes(damaged)
        assert Objects(SOURCES).maybe_read() is None
    path.write_bytes(whole)
    assert Objects(SOURCES).maybe_read() == CODE


def test_a_folder_or_file_that_others_may_write_is_not_trusted(cache: Path) -> None:
    path = kept(cache)
    cache.chmod(0o750)
    assert Objects(SOURCES).maybe_read() is None
    assert "is not the user's alone" in str(Objects(SOURCES).keep({"f": Entry()}))
    cache.chmod(0o700)
    path.chmod(0o620)
    assert Objects(SOURCES).maybe_read() is None


def test_a_cache_that_would_not_be_loaded_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a size for which compiling is not worth it, and loading is."""
    import shutil

    from netlab.engine import compiled
    from netlab.engine.objects import cache_folder

    compiled.entry_addresses()  # they are made once and kept, as everywhere in the tests
    folder = tmp_path / "netlab" / "engine"
    shutil.copytree(cache_folder(), folder)
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = capture_of(tmp_path / "a.pcap", 5)
    machines = []
    for mode in (0o700, 0o755, 0o700):
        folder.chmod(mode)
        assert compiled.is_cached() == (mode == 0o700)
        whole = maybe_read(AtHand(path), keep=False)
        assert whole is not None
        assert whole.capture.count == 5
        machines.append(whole.machine.name)
    assert machines == ["native", "plain", "native"]
    for one in folder.iterdir():
        one.write_bytes(one.read_bytes()[:-1])
    assert not compiled.is_cached()


def capture_of(path: Path, frames: int) -> Path:
    """So many large frames, most of each a hole."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for _ in range(frames):
            file.write(struct.pack("<IIII", 1, 2, 262_144, 262_144))
            file.truncate(file.seek(262_144, os.SEEK_CUR))
    return path


def test_a_link_is_not_followed(cache: Path, tmp_path: Path) -> None:
    path = kept(cache)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert Objects(SOURCES).maybe_read() is None


def test_a_cache_that_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert Objects(SOURCES).maybe_read() is None
    assert "Not a directory" in str(Objects(SOURCES).keep({"f": Entry()}))


def test_a_numba_that_gives_no_code_away_is_said(cache: Path) -> None:
    class Other:
        native_name = "f"

    assert Objects(SOURCES).keep({"f": Other()}) == "this numba gives no object code away"
    assert Objects(SOURCES).maybe_read() is None


def test_processes_that_compile_at_once_do_not_meet(cache: Path) -> None:
    children = []
    for _ in range(7):
        pid = os.fork()
        if pid == 0:
            done = all(
                Objects(SOURCES).keep({"f": Entry()}) is None
                and Objects(SOURCES).maybe_read() == CODE
                for _ in range(23)
            )
            os._exit(0 if done else 1)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 7
    assert len(list(cache.iterdir())) == 1


def test_an_engine_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETLAB_ENGINE", "steam")
    with pytest.raises(UsageError, match="steam"):
        forced_kind()


def test_without_numba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    path = capture_of(tmp_path / "a.pcap", 101)
    hidden: dict[str, Any] = {"llvmlite": None, "llvmlite.binding": None, "numba": None}
    for name in hidden:
        monkeypatch.setitem(sys.modules, name, None)
    whole = maybe_read(AtHand(path), keep=False)
    assert whole is not None
    assert (whole.machine.name, whole.capture.count) == ("plain", 101)
    assert "there is no llvmlite" in capsys.readouterr().err
    monkeypatch.setenv("NETLAB_ENGINE", "native")
    with pytest.raises(UsageError, match="there is no llvmlite"):
        maybe_read(AtHand(path), keep=False)


NUMBA_GOES_ON = """
import numba
from netlab.engine import objects
from netlab.engine.native import Native

@numba.njit
def first(n):
    return 1 // n

assert first(1) == 1
objects.maybe_link = lambda code, address: None  # as with object files of an older numba
Native()

@numba.njit
def later(n):
    return [1 // n]

try:
    later(0)
except ZeroDivisionError:
    print("raised", later(1))
"""


def test_numba_in_the_same_process_keeps_its_runtime() -> None:
    """LLVM's names are the process's: with ours for numba's, what numba linked next aborted."""
    done = subprocess.run(
        [sys.executable, "-c", NUMBA_GOES_ON], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "raised [1]\n"), done.stderr

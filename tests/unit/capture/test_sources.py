"""Captures of any size: read, mapped, or put into a temporary file; always the same frames."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_files import write_sample

from netlab.capture import sources
from netlab.capture.files import read_raw
from netlab.capture.sources import Spool, content_of
from netlab.model.errors import BadRecording


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "a.pcapng")


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "HELD_BYTES", 100)


@pytest.mark.usefixtures("small_room")
def test_a_large_file_is_mapped_and_reads_the_same(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content_of(sample, "a").data()
    assert not isinstance(data, bytes)
    assert data[:] == sample.read_bytes()
    mapped = read_raw(sample)
    monkeypatch.setattr(sources, "HELD_BYTES", 1 << 20)
    assert mapped == read_raw(sample)
    assert isinstance(content_of(sample, "a").data(), bytes)


@pytest.mark.usefixtures("small_room")
def test_a_large_compressed_file_and_standard_input_lie_in_a_file_without_a_name(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "temporary"
    private.mkdir()
    monkeypatch.setenv("TMPDIR", str(private))
    compressed = tmp_path / "a.gz"
    compressed.write_bytes(gzip.compress(sample.read_bytes()))
    plain = read_raw(sample)
    assert read_raw(compressed).frames == plain.frames
    with sample.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert read_raw("-").frames == plain.frames
    assert list(private.iterdir()) == []


@pytest.mark.usefixtures("small_room")
def test_the_temporary_file_is_its_owners_alone() -> None:
    with Spool("x") as spool:
        spool.add(b"a" * 101)
        assert spool._file is not None
        status = os.fstat(spool._file.fileno())
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_nlink == 0


@given(
    pieces=st.lists(
        st.one_of(st.binary(max_size=200), st.integers(0, 9000).map(bytes)), max_size=9
    ),
    room=st.integers(1, 300),
)
def test_a_spool_gives_what_it_took(pieces: list[bytes], room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "HELD_BYTES", room)
        with Spool("x") as spool:
            for piece in pieces:
                spool.add(piece)
            found = spool.content().data()
    assert spool.size == len(b"".join(pieces))
    assert found[:] == b"".join(pieces)


def test_zeros_take_no_room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "HELD_BYTES", 1 << 20)
    with Spool("x") as spool:
        for _ in range(40):
            spool.add(bytes(1 << 20))
        content = spool.content()
    assert content.data()[-1:] == b"\0"
    handle = content.open()
    assert os.fstat(handle).st_blocks * 512 < 1 << 20
    os.close(handle)


@pytest.mark.usefixtures("small_room")
def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: memoryview) -> int:
            raise OSError(errno.ENOSPC, "")

        def close(self) -> None:
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with Spool("what a.gz holds") as spool, pytest.raises(BadRecording) as caught:
        spool.add(b"a" * 101)
    assert "what a.gz holds" in caught.value.message
    assert "TMPDIR" in caught.value.hint


def test_a_fifo_is_read_like_a_pipe(sample: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    child = os.fork()
    if not child:
        fifo.write_bytes(sample.read_bytes())
        os._exit(0)
    found = read_raw(fifo)
    os.waitpid(child, 0)
    assert found.frames == read_raw(sample).frames

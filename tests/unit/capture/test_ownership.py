"""Files and folders that hold secrets: whose they may be, and that nobody leads us elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from netlab.capture.ownership import (
    give_folder,
    make_private_folder,
    open_private,
    remove_folder,
)
from netlab.model.errors import UsageError

STRANGER, CALLER = 65534, 1000


@pytest.fixture(autouse=True)
def not_under_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SUDO_GID", raising=False)


def owned(path: Path, uid: int) -> Path:
    path.write_bytes(b"theirs")
    os.chown(path, uid, uid)
    return path


@pytest.mark.root
@pytest.mark.parametrize("sudo_uid", [None, str(CALLER)])
def test_a_file_that_a_stranger_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo_uid: str | None
) -> None:
    """The stranger may hold it open, and would read the recording."""
    if sudo_uid is not None:
        monkeypatch.setenv("SUDO_UID", sudo_uid)
    path = owned(tmp_path / "a.pcapng", STRANGER)
    with pytest.raises(UsageError, match=f"it is user {STRANGER}'s") as caught:
        open_private(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"theirs"
    assert path.stat().st_uid == STRANGER


@pytest.mark.root
@pytest.mark.parametrize("uid", [0, CALLER])
def test_under_sudo_a_file_of_roots_or_the_callers_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    monkeypatch.setenv("SUDO_UID", str(CALLER))
    path = owned(tmp_path / "a.pcapng", uid)
    os.close(open_private(path))
    found = path.stat()
    assert (found.st_uid, found.st_size, stat.S_IMODE(found.st_mode)) == (CALLER, 0, 0o600)


def test_ones_own_file_is_used_again(tmp_path: Path) -> None:
    path = owned(tmp_path / "a.pcapng", os.geteuid())
    os.close(open_private(path))
    assert path.read_bytes() == b""


def test_a_link_to_a_folder_is_not_given_away(tmp_path: Path) -> None:
    folder = tmp_path / "precious"
    folder.mkdir(mode=0o711)
    (tmp_path / "a.spools").symlink_to(folder)
    with pytest.raises(UsageError, match=r"a\.spools"):
        give_folder(tmp_path / "a.spools", os.geteuid(), os.getegid())


@pytest.mark.root
def test_only_a_folder_of_ones_own_is_given_away(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make_private_folder(ours)
    theirs.mkdir()
    os.chown(theirs, STRANGER, STRANGER)
    give_folder(ours, CALLER, CALLER)
    assert (ours.stat().st_uid, stat.S_IMODE(ours.stat().st_mode)) == (CALLER, 0o700)
    with pytest.raises(UsageError, match="another user put it there"):
        give_folder(theirs, CALLER, CALLER)
    assert theirs.stat().st_uid == STRANGER


def test_a_folder_goes_with_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "a.spools"
    make_private_folder(folder)
    (folder / "1.spool").write_bytes(b"x")
    (folder / "link").symlink_to("/etc/hostname")
    remove_folder(folder)
    remove_folder(folder)  # gone already
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_a_folders_place_stays_and_so_does_its_target(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"kept")
    (tmp_path / "a.spools").symlink_to("precious")
    remove_folder(tmp_path / "a.spools")
    assert (tmp_path / "a.spools" / "file").read_bytes() == b"kept"


def test_a_folder_swapped_while_it_is_removed_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious, folder = tmp_path / "precious", tmp_path / "a.spools"
    precious.mkdir()
    (precious / "file").write_bytes(b"kept")
    make_private_folder(folder)
    (folder / "1.spool").write_bytes(b"x")
    listdir = os.listdir

    def swap_and_list(place: int | str | Path) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        folder.rename(tmp_path / "moved away")
        folder.symlink_to(precious)
        return listdir(place)

    monkeypatch.setattr(os, "listdir", swap_and_list)
    remove_folder(folder)
    assert (precious / "file").read_bytes() == b"kept"
    assert list((tmp_path / "moved away").iterdir()) == []


def test_what_is_not_netlabs_in_a_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a.spools"
    make_private_folder(folder)
    (folder / "1.spool").write_bytes(b"x")
    (folder / "somebodys").mkdir()
    remove_folder(folder)
    assert [item.name for item in folder.iterdir()] == ["somebodys"]

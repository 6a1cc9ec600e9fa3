"""Opens the files that netlab writes: private, the caller's own, never through a symbolic link.

Captures hold secrets, and netlab may run as root in a folder that others can write to. Errors are
one line with what to do. Knows nothing of what is written. Read man 2 open (O_NOFOLLOW) first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from netlab.model.errors import BadRecording, UsageError

_MODE = 0o600
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ADVICE = {
    errno.ELOOP: "it is a symbolic link, and netlab writes through none: name the file itself",
    errno.EISDIR: "it is a folder: name a file in it",
    errno.ENXIO: "it is not a regular file: name another",
    errno.ENOENT: "its folder does not exist: create it or name another",
    errno.ENOTDIR: "its folder is not a folder: name another",
    errno.EACCES: "you may not write there: name a file in a folder of your own with -o FILE",
    errno.EPERM: "you may not write there: name a file in a folder of your own with -o FILE",
    errno.EROFS: "the file system is read-only: name a file elsewhere with -o FILE",
    errno.ENOSPC: "the disk is full: free some space or write elsewhere with -o FILE",
    errno.EDQUOT: "your disk quota is used up: free some space or write elsewhere with -o FILE",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def caller() -> tuple[int, int] | None:
    """The uid and gid that files must belong to when netlab runs under sudo, else None."""
    if os.geteuid() != 0:
        return None
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if not (uid.isascii() and uid.isdigit()):
        return None
    return int(uid), int(gid) if gid.isascii() and gid.isdigit() else -1


def cannot_write(path: Path | str, error: OSError) -> UsageError:
    """The one-line error for a file that cannot be opened for writing."""
    advice = _ADVICE.get(error.errno or 0, f"{os.strerror(error.errno or 0)}: name another file")
    return UsageError(f"cannot write {path}", advice)


def open_private(path: Path | str, *, fresh: bool = False, keep: bool = False) -> int:
    """A descriptor to write an empty regular file, 0600 and the caller's, locked while it is open.

    `fresh`: the file must not have existed. `keep`: it need not be empty. One that another user
    made stays theirs, and they may hold it open: it is refused. Raises UsageError. The lock is a
    POSIX one: it ends with this process, whatever its children hold.
    """
    try:
        fd, made = _open(path, fresh)
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        _check(os.fstat(fd), path, made)
        _lock(fd, path)
        os.fchmod(fd, _MODE)
        if (owner := caller()) is not None:
            os.fchown(fd, *owner)
        if not keep:
            os.ftruncate(fd, 0)
    except OSError as error:
        os.close(fd)
        raise cannot_write(path, error) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open(path: Path | str, fresh: bool) -> tuple[int, bool]:
    """A descriptor, and whether the file was made by this very call: nobody else has it open."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE), True
    except FileExistsError:
        if fresh:
            raise
        return os.open(path, flags), False


def _check(found: os.stat_result, path: Path | str, made: bool) -> None:
    """Raise UsageError unless the file is one to write secrets to."""
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"cannot write {path}", _ADVICE[errno.ENXIO])
    # A file that we made is ours even where a file system (NFS, FAT) gives it another owner.
    if not made and not _is_ours(found):
        raise UsageError(
            f"cannot write {path}", f"it is user {found.st_uid}'s: delete it or name another file"
        )
    if found.st_nlink != 1:
        raise UsageError(
            f"cannot write {path}", "the file has another name (a hard link): delete it first"
        )


def _is_ours(found: os.stat_result) -> bool:
    """Whether it belongs to this process or to the caller."""
    owner = caller()
    return found.st_uid == os.geteuid() or (owner is not None and found.st_uid == owner[0])


def _lock(fd: int, path: Path | str) -> None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise in_use(path) from None
    except OSError:
        return  # a file system without locks: nothing to be asked of it


def in_use(path: Path | str) -> UsageError:
    """The one-line error for a file that another netlab is writing."""
    return UsageError(
        f"{path} is being recorded by another netlab", "stop that one or name another file"
    )


def being_recorded(path: Path | str) -> bool:
    """Whether a netlab process is writing this file now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def make_private_folder(path: Path) -> None:
    """Make a folder 0700 that belongs to the caller. Raises OSError, UsageError."""
    os.mkdir(path, 0o700)
    if (owner := caller()) is not None:
        give_folder(path, *owner)


def give_folder(path: Path, uid: int, gid: int) -> None:
    """Hand a folder of netlab's own to a user. Raises UsageError.

    Whoever may write beside it can have put something else in its place: it must be a folder, no
    symbolic link, and ours until now.
    """
    try:
        fd = os.open(path, _FOLDER)
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        if not _is_ours(os.fstat(fd)):
            raise UsageError(f"cannot write {path}", "another user put it there: delete it first")
        os.fchown(fd, uid, gid)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        os.close(fd)


def remove_folder(path: Path) -> None:
    """Delete a folder of netlab's own with the files in it; one that is a symbolic link stays.

    By descriptor: whoever may write beside it cannot lead the deletion elsewhere. What is not
    netlab's (a folder in it) stays.
    """
    try:
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fd = os.open(path.name, _FOLDER, dir_fd=parent)
        try:
            for name in os.listdir(fd):
                with suppress(OSError):
                    os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)
        os.rmdir(path.name, dir_fd=parent)
    except OSError:
        return  # a link, gone already, or not empty
    finally:
        os.close(parent)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte; raises OSError with some of them written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_all_at(fd: int, data: bytes, at: int) -> None:
    """Write every byte from offset `at` on, whatever the descriptor's own place; raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """A descriptor whose file takes the place of `path` when the block ends well.

    Until then it stands beside `path` as NAME.finishing. Whatever goes wrong, `path` stays as it
    was and nothing is left beside it. Raises UsageError when it cannot be opened and BadRecording
    when it cannot be written to its end.
    """
    temporary = path.with_name(path.name + ".finishing")
    with suppress(OSError):
        os.unlink(temporary)  # of a netlab that was killed while it wrote
    fd = open_private(temporary, fresh=True)
    try:
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            advice = _ADVICE.get(error.errno or 0, os.strerror(error.errno or 0))
            raise BadRecording(
                f"cannot write {path} to its end", f"{advice}; what was there is unchanged"
            ) from None
        raise


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A private file that is at `path` when the block ends well; until then it stands beside.

    For what can be made again, so nothing waits for the disk. Whatever goes wrong, `path` stays as
    it was, or absent, and nothing is left beside it. Raises UsageError as `open_private` does, and
    OSError when it cannot be written to its end.
    """
    older = open_private(path, keep=True) if os.path.lexists(path) else None
    try:
        temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")
        try:
            fd, _ = _open(temporary, fresh=True)
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            with open(fd, "wb") as out:
                if (owner := caller()) is not None:
                    os.fchown(fd, *owner)
                yield out
            os.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    finally:
        if older is not None:
            os.close(older)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""The files of one folder as answers to requests: a request's target in, status and file out.

Never a file outside the folder, whatever the target or a symbolic link says; never one whose name
begins with a dot (.git, .ssh). Names are escaped in listings. Knows no sockets and no protocol.
"""

from __future__ import annotations

import html
import mimetypes
import os
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from netlab.model.errors import UsageError

MOST_LISTED = 1000
_INDEX = "index.html"
_PLAIN = "text/plain; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """A response: its body is `length` bytes of the file `path` from `offset`, or `body`."""

    status: int
    content_type: str = ""
    body: bytes = b""
    path: Path | None = None
    offset: int = 0
    length: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    head_only: bool = False


def text_answer(status: int, text: str) -> Answer:
    """A few words."""
    body = text.encode("utf-8", "replace")
    return Answer(status, _PLAIN, body, length=len(body))


class Folder:
    """What may be asked for."""

    def __init__(self, root: Path) -> None:
        """Raises UsageError where there is no such folder."""
        self._root = root.resolve()
        if not self._root.is_dir():
            raise UsageError(f"{root} is no folder", "name one whose files may be read by all")

    def answer(self, target: str) -> Answer:
        """What a GET of this target gives; a target is a path, or a whole URL (RFC 9112 3.2)."""
        asked = _path_in(target)
        path = self._maybe_path(asked)
        try:
            if path is None:
                return text_answer(404, "there is no such file\n")
            if path.is_dir():
                return self._folder(path, has_slash=asked.endswith("/"))
            if not path.is_file():
                return text_answer(404, "there is no such file\n")
            return self._file(path)
        except PermissionError:
            return text_answer(403, "this file may not be read\n")
        except OSError:  # gone meanwhile, or a name longer than the file system allows
            return text_answer(404, "there is no such file\n")

    def _maybe_path(self, asked: str) -> Path | None:
        """The file that is meant, with every link followed; None where we do not look."""
        if not asked:
            return None
        parts = unquote_to_bytes(asked).split(b"/")
        names = [os.fsdecode(part) for part in parts if part]
        if any(name.startswith(".") or "\0" in name for name in names):
            return None
        try:
            path = self._root.joinpath(*names).resolve()
        except (OSError, RuntimeError):  # links in a circle
            return None
        inside = path.is_relative_to(self._root)
        hidden = inside and any(p.startswith(".") for p in path.relative_to(self._root).parts)
        return path if inside and not hidden else None

    def _file(self, path: Path) -> Answer:
        if not os.access(path, os.R_OK):
            raise PermissionError
        found = path.stat()
        kind, encoding = mimetypes.guess_type(path.name)
        if kind is None or encoding is not None:
            kind = "application/octet-stream"
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        modified = ("Last-Modified", formatdate(found.st_mtime, usegmt=True))
        headers = [modified, ("Accept-Ranges", "bytes")]
        return Answer(200, kind, path=path, length=found.st_size, headers=headers)

    def _folder(self, path: Path, *, has_slash: bool) -> Answer:
        if not has_slash:  # else the links of the listing would lead elsewhere
            answer = text_answer(301, "it is a folder\n")
            # Made from what was found, not from what was asked: "//host" would be another server.
            place = quote(os.fsencode(path.relative_to(self._root)))
            answer.headers.append(("Location", f"/{place}/"))
            return answer
        index = path / _INDEX
        if index.is_file() and index.resolve().is_relative_to(self._root):
            return self._file(index.resolve())
        return self._listing(path)

    def _listing(self, path: Path) -> Answer:
        with os.scandir(path) as entries:
            names = sorted(
                entry.name + ("/" if os.path.isdir(entry.path) else "")
                for entry in entries
                if not entry.name.startswith(".")
            )
        title = "/" if path == self._root else f"/{path.relative_to(self._root)}/"
        items = "".join(f"<li>{_link(name)}</li>\n" for name in names[:MOST_LISTED])
        more = len(names) - MOST_LISTED
        rest = f"<p>and {more} more</p>\n" if more > 0 else ""
        body = (
            '<!DOCTYPE html>\n<meta charset="utf-8">\n'
            f"<title>{_escaped(title)}</title>\n<h1>{_escaped(title)}</h1>\n"
            f"<ul>\n{items}</ul>\n{rest}"
        ).encode()
        return Answer(200, "text/html; charset=utf-8", body, length=len(body))


def _path_in(target: str) -> str:
    """The path of a request's target, "" where it has none (`*` is for OPTIONS)."""
    text = target.partition("?")[0]
    if text.startswith("/"):
        return text
    _, scheme_end, rest = text.partition("://")
    return "/" + rest.partition("/")[2] if scheme_end else ""


def _link(name: str) -> str:
    # "./": a name such as "javascript:x" must not be read as a scheme.
    return f'<a href="./{quote(os.fsencode(name))}">{_escaped(name)}</a>'


def _escaped(name: str) -> str:
    """A file's name as HTML; bytes that are no UTF-8 as replacement characters."""
    return html.escape(os.fsencode(name).decode("utf-8", "replace"))

"""The http handler's folder, framing and ranges, without sockets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.model.errors import UsageError
from netlab.server.handlers import http
from netlab.server.handlers.http_files import Folder
from netlab.server.handlers.http_head import MOST_HEAD_BYTES, head_length
from netlab.server.handlers.websocket import head_or_frame_length


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file, a folder, a hidden file, and ways out of it."""
    root = tmp_path / "root"
    (root / "below").mkdir(parents=True)
    (root / "a.txt").write_text("hello")
    (root / "below" / "b.html").write_text("<p>b")
    (root / ".secret").write_text("hidden")
    (tmp_path / "outside.txt").write_text("outside")
    (root / "link").symlink_to(tmp_path / "outside.txt")
    (root / "way out").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    (root / "inner link").symlink_to(root / "a.txt")
    (root / "to secret").symlink_to(root / ".secret")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a.txt", "a.txt"),
        ("/a.txt?query=/..", "a.txt"),
        ("/below/b.html", "below/b.html"),
        ("//below///b.html", "below/b.html"),
        ("/%61.txt", "a.txt"),
        ("/inner%20link", "a.txt"),
        ("http://anybody/a.txt", "a.txt"),
        ("http://anybody/below/b.html?x=http://y/", "below/b.html"),
    ],
)
def test_files_are_found(root: Path, target: str, path: str) -> None:
    answer = Folder(root).answer(target)
    assert (answer.status, answer.path) == (200, root / path)
    assert answer.length == (root / path).stat().st_size


@pytest.mark.parametrize(
    "target",
    [
        "/../outside.txt", "/%2e%2e/outside.txt", "/below/../../outside.txt", "/..%2foutside.txt",
        "/link", "/way%20out/outside.txt", "/.secret", "/to%20secret", "/below/.", "/circle",
        "/pipe", "/a.txt/more", "/a.txt%00", "/" + "x" * 5000, "/nothing", "*", "http:", "",
        "/%ff", "/\xe4",
    ],
)  # fmt: skip
def test_nothing_else_is(root: Path, target: str) -> None:
    answer = Folder(root).answer(target)
    assert answer.path is None
    assert answer.status == 404
    assert b"outside" not in answer.body


def test_a_folder_is_listed_and_hidden_files_are_not(root: Path) -> None:
    answer = Folder(root).answer("/")
    assert answer.status == 200
    assert b'<a href="./a.txt">a.txt</a>' in answer.body
    assert b'<a href="./below/">below/</a>' in answer.body
    assert b"secret</a>" in answer.body  # the link's name is no secret
    assert b".secret" not in answer.body


def test_names_are_escaped_in_listings(root: Path) -> None:
    os.close(os.open(os.fsencode(root) + b"/\xff\x1b", os.O_CREAT))
    (root / "<script>alert(1)<").touch()
    (root / 'a"b&c').touch()
    (root / "javascript:alert(1)").touch()
    body = Folder(root).answer("/").body
    assert b"<script>" not in body
    assert b"&lt;script&gt;" in body
    assert b'href="./a%22b%26c"' in body
    assert b'href="./javascript%3Aalert%281%29"' in body
    assert b'href="./%FF%1B"' in body
    body.decode("utf-8")


def test_a_folder_without_its_slash_is_sent_to_it(root: Path) -> None:
    answer = Folder(root).answer("/below")
    assert (answer.status, answer.headers) == (301, [("Location", "/below/")])
    elsewhere = Folder(root).answer("//below")  # would be the host `below`
    assert elsewhere.headers == [("Location", "/below/")]


def test_an_index_stands_for_its_folder(root: Path) -> None:
    (root / "below" / "index.html").write_text("index")
    assert Folder(root).answer("/below/").path == root / "below" / "index.html"
    (root / "index.html").symlink_to(root.parent / "outside.txt")
    assert Folder(root).answer("/").path is None


def test_types_are_told(root: Path) -> None:
    folder = Folder(root)
    (root / "x.tar.gz").touch()
    (root / "noname").touch()
    kinds = {
        name: folder.answer(f"/{name}").content_type for name in ("a.txt", "x.tar.gz", "noname")
    }
    assert kinds == {
        "a.txt": "text/plain; charset=utf-8",
        "x.tar.gz": "application/octet-stream",
        "noname": "application/octet-stream",
    }


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        Folder(tmp_path / "nothing")


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("head", [HEAD, HEAD.replace(b"\r\n", b"\n"), b"\n\n", b"X\r\n\r\n"])
def test_a_head_ends_at_its_empty_line(head: bytes) -> None:
    for length in range(1, len(head)):
        assert head_length(memoryview(head[:length])) == 0
    for tail in (b"", b"G", b"\r\n\r\n", HEAD):
        assert head_length(memoryview(head + tail)) == len(head)


def test_a_head_without_end_is_cut() -> None:
    assert head_length(memoryview(b"x" * (MOST_HEAD_BYTES - 1))) == 0
    assert head_length(memoryview(b"x" * MOST_HEAD_BYTES)) == MOST_HEAD_BYTES


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_has_the_length_it_says(length: int, masked: bool) -> None:
    mask = 0x80 if masked else 0
    if length < 126:
        head = bytes([0x82, mask | length])
    elif length < 1 << 16:
        head = bytes([0x82, mask | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([0x82, mask | 127]) + length.to_bytes(8, "big")
    for shorter in range(1, len(head)):
        assert head_or_frame_length(memoryview(head[:shorter])) == 0
    whole = len(head) + (4 if masked else 0) + length
    assert head_or_frame_length(memoryview(head)) == whole
    assert head_or_frame_length(memoryview(head + b"and more")) == whole
    assert head_or_frame_length(memoryview(HEAD)) == len(HEAD)


@pytest.mark.parametrize(
    ("wanted", "status", "span"),
    [
        ("bytes=0-0", 206, (0, 1)),
        ("bytes=1-3", 206, (1, 3)),
        ("bytes=2-", 206, (2, 3)),
        ("bytes=-2", 206, (3, 2)),
        ("bytes=-99", 206, (0, 5)),
        ("bytes=4-99", 206, (4, 1)),
        ("bytes=5-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-1", 200, (0, 5)),
        ("bytes=-", 200, (0, 5)),
        ("bytes=0-1,3-4", 200, (0, 5)),
        ("lines=1-2", 200, (0, 5)),
    ],
)
def test_ranges(root: Path, wanted: str, status: int, span: tuple[int, int] | None) -> None:
    answer = http.part_of(Folder(root).answer("/a.txt"), wanted)
    assert answer.status == status
    if span is not None:
        assert (answer.offset, answer.length) == span
    if status == 206:
        assert span is not None
        last = span[0] + span[1] - 1
        assert ("Content-Range", f"bytes {span[0]}-{last}/5") in answer.headers

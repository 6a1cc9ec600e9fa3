"""Where lines go: colours as wished, a pager for what is longer than the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.show.terminal import screen
from netlab.show.terminal.lines import LEAST, NARROW, WIDE, emit, width_of
from netlab.show.terminal.screen import Colour, Pager, ReaderLeft

LINES = [[(f"line {number}", "bold red")] for number in range(23)]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    yield
    screen.wish(colour=Colour.AUTO, pager=True)
    screen.before_writing(None)


@pytest.mark.parametrize(
    ("wish", "environ", "coloured"),
    [
        (Colour.AUTO, {}, False),
        (Colour.ALWAYS, {}, True),
        (Colour.ALWAYS, {"NO_COLOR": "1"}, True),
        (Colour.AUTO, {"FORCE_COLOR": "1"}, True),
        (Colour.AUTO, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (Colour.NEVER, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colours(
    wish: Colour, environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    screen.wish(colour=wish)
    emit(LINES[:1])
    text = capsys.readouterr().out
    assert ("\x1b[" in text) == coloured
    assert "line 0" in text


@pytest.mark.parametrize(
    ("columns", "width"), [("40", LEAST), ("60", 60), ("97", 97), ("300", WIDE), ("", NARROW)]
)
def test_width(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert width_of(None) == width


def test_a_pager_gets_what_is_longer_than_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    pager = Pager([sys.executable, "-c", _COPY, str(out)], rows=8)
    for number in range(7):
        pager.write(f"line {number}\n")
    assert not out.exists()  # it may be all that there is
    pager.write("line 7\n")
    pager.close()
    assert out.read_text() == "".join(f"line {number}\n" for number in range(8))
    assert capsys.readouterr().out == ""


_COPY = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"


def test_what_fits_needs_no_pager(capsys: pytest.CaptureFixture[str]) -> None:
    pager = Pager(["/nonexistent/pager"], rows=8)
    for number in range(7):
        pager.write(f"line {number}\n")
    pager.close()
    assert capsys.readouterr().out.count("\n") == 7


def test_without_the_pager_all_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pager = Pager(["/nonexistent/pager"], rows=3)
    for number in range(11):
        pager.write(f"line {number}\n")
    pager.close()
    assert capsys.readouterr().out.splitlines() == [f"line {number}" for number in range(11)]


def test_who_leaves_the_pager_ends_the_view() -> None:
    pager = Pager([sys.executable, "-c", "pass"], rows=2)
    with pytest.raises(ReaderLeft):
        pager.write("a line that nobody wants to read any more\n" * 500_000)
    pager.close()


def test_the_bar_is_gone_before_anything_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    called = []
    screen.before_writing(lambda: called.append(capsys.readouterr().out))
    screen.write("a")
    screen.write("b")
    assert called == [""]
    assert capsys.readouterr().out == "ab"


def on_a_terminal(
    rows: int, *argv: str, pager: str | None = None, term: str = "xterm"
) -> str:  # fmt: skip
    """What `netlab` writes to a terminal of 80 columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    environ |= {"TERM": term} | ({} if pager is None else {"NETLAB_PAGER": pager})
    process = subprocess.Popen(
        [sys.executable, "-m", "netlab", *argv],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE, env=environ,
    )  # fmt: skip
    os.close(slave)
    found = b""
    while True:
        try:
            piece = os.read(master, 65_536)
        except OSError:  # EIO: nobody holds the other end any more
            break
        if not piece:
            break
        found += piece
    _, complaints = process.communicate()
    os.close(master)
    assert process.returncode == 0, complaints
    return found.decode().replace("\r\n", "\n")


def test_on_a_terminal_a_long_view_goes_to_the_pager(captures_dir: Path) -> None:
    path = str(captures_dir / "files" / "wikipedia.pcap")
    pager = f"{sys.executable} -c \"import sys; print('PAGED', len(sys.stdin.readlines()))\""
    short = on_a_terminal(100, "inspect", path, pager=pager)
    assert "PAGED" not in short
    assert "\x1b[" in short
    paged = on_a_terminal(8, "inspect", path, pager=pager)
    lines = len(short.splitlines())
    assert paged.strip() == f"PAGED {lines}"
    for argv in (["--no-pager"], ["--no-pager", "--color", "never"]):
        plain = on_a_terminal(8, "inspect", path, *argv, pager=pager)
        assert "PAGED" not in plain
        assert ("\x1b[" in plain) == (len(argv) == 1)
        assert len(plain.splitlines()) == lines

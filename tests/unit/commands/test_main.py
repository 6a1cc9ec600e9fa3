"""The command line itself: verbs found lazily, errors on one line, the right exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from netlab import __version__
from netlab.commands import main, verbs
from netlab.model.errors import BadRecording, CheckFailed, NetlabError, PrivilegeError, UsageError


def test_help_names_every_verb_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in verbs.COMMANDS:
        assert f"  {verb} " in text
    program = (
        "import sys; from netlab.commands.main import run; run(['--help'])\n"
        "print([m for m in sys.modules if m.startswith('netlab.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = done.stderr
    assert "netlab.commands.main" in loaded
    assert not any(f"netlab.commands.{name}'" in loaded for name, _ in verbs.COMMANDS.values()
                   if name != "main")  # fmt: skip


@pytest.mark.parametrize("verb", verbs.COMMANDS)
def test_each_verb_exists_and_explains_itself(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([verb, "--help"]) == 0
    assert f"Usage: netlab {verb}" in capsys.readouterr().out


def test_without_a_verb_the_help_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert main.run([]) == 2
    assert capsys.readouterr() == ("", text)


# What a module that is imported may meet: Ctrl-C at that very moment.
INTERRUPTED_IN = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
_, module, *words = sys.argv
sys.argv[:] = ["netlab", *words]
from netlab.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module",
    [
        "netlab.commands.main",
        "netlab.commands.verbs",
        "click",
        "netlab.commands.run",
        "netlab.lab.session",
    ],
)
def test_interrupted_while_it_is_imported(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN, module, "run", "-o", "a.pcapng"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "netlab: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_named_netlab_does_not_stand_in_for_it(tmp_path: Path) -> None:
    """As above a clone: the folder that Python runs in comes first on its path."""
    (tmp_path / "netlab").mkdir()
    program = "import netlab; print(netlab.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{__version__}\n", "")


def test_the_summary_of_a_file_needs_no_click(captures_dir: Path) -> None:
    path = captures_dir / "files" / "ssh-dups.pcap"
    program = (
        f"import sys; sys.argv[1:] = ['inspect', {str(path)!r}]\n"
        "from netlab.__main__ import main\n"
        "try: main()\n"
        "finally: print('click' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "False\n")
    parsed = subprocess.run(
        [sys.executable, "-m", "netlab", "inspect", "--no-pager", path],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == parsed.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["nonsense"], ["inspect"], ["inspect", "a", "b"], ["--foo"]])
def test_a_wrong_word_is_one_line_that_names_the_help(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("netlab: ")
    assert err.endswith("--help\n")


@pytest.mark.parametrize(
    ("argv", "what"),
    [(["run", "--size", "abc"], "whole number"), (["run", "--think", "abc"], "number")],
)
def test_what_is_no_number_is_told_in_plain_words(
    argv: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(argv) == 2
    assert f"'abc' is not a valid {what}: see netlab run --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailed("m", "do"), 1),
        (UsageError("m", "do"), 2),
        (PrivilegeError("m", "do"), 3),
        (BadRecording("m", "do"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(verbs.cli, "main", fail)
    assert main.run([]) == code
    said = capsys.readouterr().err
    assert said == (
        "netlab: m: do\n" if isinstance(error, NetlabError) else "netlab: interrupted\n"
    )


def test_any_other_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(verbs, "cli", broken)
    with pytest.raises(ZeroDivisionError):
        main.run([])


def test_a_reader_that_leaves_is_no_error(captures_dir: Path) -> None:
    path = captures_dir / "files" / "ssh-dups.pcap"
    netlab = subprocess.Popen(
        [sys.executable, "-m", "netlab", "export", str(path), "--table", "packets"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert netlab.stdout is not None
    assert netlab.stderr is not None
    netlab.stdout.read(10)
    netlab.stdout.close()
    assert netlab.stderr.read() == b""
    netlab.stderr.close()
    assert netlab.wait() == 0

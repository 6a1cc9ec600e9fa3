"""What README.md shows of the recordings under captures/ is what the commands print.

With `--update-golden` the samples are replaced. Read `test_captures` first.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ECHO = "captures/echo/echo.pcapng"
HOSTS = "captures/hosts/hosts.pcapng"
LADDER_LINES = 31  # head and first message, there and back
LADDER = re.compile(r"(?<=```\n) +ms  client .*?(?=```\n)", re.DOTALL)
# An indented command on the echo recording, and the indented lines that follow it.
COMMAND = re.compile(rf"^    \$ ([^\n]*{ECHO}[^\n]*)\n((?:    [^\n]+\n|\n(?=    ))*)", re.MULTILINE)


def output(command: str) -> str:
    """What a shell in the clone prints; `netlab` is the one under test."""
    netlab = f"netlab() {{ '{sys.executable}' -m netlab \"$@\"; }}\n"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", netlab + command],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())


def test_its_samples_are_true(request: pytest.FixtureRequest) -> None:
    text = README.read_text(encoding="utf-8")
    ladder = output(f"netlab inspect {HOSTS} --connection 0").splitlines(keepends=True)
    while "ms  client" not in ladder[0]:  # how it was opened is left out
        ladder.pop(0)
    new, ladders = LADDER.subn("".join(ladder[:LADDER_LINES]), text)
    new = COMMAND.sub(lambda found: f"    $ {found[1]}\n{indented(output(found[1]))}", new)
    if request.config.getoption("--update-golden"):
        README.write_text(new, encoding="utf-8")
        return
    assert (ladders, [match[1].split()[0] for match in COMMAND.finditer(text)]) == (
        1, ["tshark", "netlab"],
    )  # fmt: skip
    assert text == new

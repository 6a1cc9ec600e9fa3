"""How to call this netlab as root: what the advice `sudo ...` has to name.

sudo looks for programs in a path of its own (secure_path of man 5 sudoers), where an install in a
virtual environment is not.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys

# Debian's /etc/sudoers.
_SUDO_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def as_root(arguments: str, *, program: str | None = None, path: str = _SUDO_PATH) -> str:
    """The shell's words for `netlab ARGUMENTS` as root: `netlab`, or where it lies.

    `program`: the file that runs now, by default that of this process.
    """
    return f"sudo {word(program=program, path=path)} {arguments}"


def word(*, program: str | None = None, path: str = _SUDO_PATH) -> str:
    """The same without sudo and arguments."""
    program = sys.argv[0] if program is None else program
    if os.path.basename(program) != "netlab" or not os.path.isfile(program):
        return f"{shlex.quote(sys.executable)} -m netlab"
    program = os.path.abspath(program)
    found = shutil.which("netlab", path=path)
    if found is not None and os.path.samefile(found, program):
        return "netlab"
    return shlex.quote(program)

"""The command `netlab`, also as `python -m netlab`. Ctrl-C while the rest is imported ends it.

Imports next to nothing before that is settled: in an import a KeyboardInterrupt would be a
traceback, or, raised where Python ignores exceptions, nothing at all.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as typing has it, which would have to be imported
if TYPE_CHECKING:
    from typing import NoReturn

_INTERRUPTED = 128 + signal.SIGINT


def main() -> NoReturn:
    """Run the command line of this process, and exit with its code."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not under nohup
    if handled:
        signal.signal(signal.SIGINT, _leave)
    from netlab.commands.main import main as run_verb

    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_verb()


def _leave(number: int, frame: object) -> NoReturn:
    """Nothing has been begun yet that would have to be ended in order."""
    try:
        os.write(2, b"netlab: interrupted\n")
    finally:
        os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()

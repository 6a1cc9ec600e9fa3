"""`netlab`: runs what was typed, and turns netlab's own errors into one line and an exit code.

What `verbs` does with the words is imported when they need it: `netlab inspect FILE` does not.
"""

from __future__ import annotations

import gc
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from netlab.commands import streams
from netlab.model.errors import NetlabError

if TYPE_CHECKING:
    from collections.abc import Callable


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    gc.disable()  # in what is imported there is none; `verbs` knows who lives on
    streams.settle()
    code = run(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: there is nothing to interrupt
    gc.freeze()  # the process ends: nobody need look for garbage among a recording's many rows
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Run the command line; return the exit code (0 done, 1 check failed, 2 usage, 3 privilege,
    4 bad recording, 128 + the signal's number: interrupted)."""
    try:
        result = _run(argv)
    except NetlabError as error:
        complain(str(error))
        return error.exit_code
    except MemoryError:  # where a limit forbids more; the system's own end is a signal
        complain("there is no more memory: give it more, or a part of the file (editcap -r)")
        return 1
    except KeyboardInterrupt as stop:
        complain("interrupted")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    return result if isinstance(result, int) else 0


def _run(argv: list[str]) -> Any:
    if len(argv) == 2 and argv[0] == "inspect" and not argv[1].startswith("-"):
        # Most often asked, and nothing to parse: importing click takes as long as starting Python,
        # a tenth of what 2 million packets take.
        from netlab.commands.inspect.asked import Asked
        from netlab.commands.inspect.look import look

        return to_a_reader(lambda: look(Asked(argv[1])))
    from netlab.commands import verbs

    return verbs.call(argv)


def to_a_reader(work: Callable[[], Any]) -> Any:
    """What the work gives. A reader of our output that leaves (head, less) is no error: there is
    nothing more to say, and nobody to say it to."""
    try:
        result = work()
        sys.stdout.flush()
    except BrokenPipeError:
        streams.silence_output()
        return 0
    return result


def note(text: str) -> None:
    """Something to know about what was done, on stderr."""
    complain(f"note: {text}")


def complain(text: str) -> None:
    """One line on stderr."""
    from netlab.show.escape import printable

    try:
        sys.stderr.write(f"netlab: {printable(text)}\n")
        sys.stderr.flush()
    except OSError:  # a full disk: it is the exit code that tells
        streams.silence_complaints()

"""Damaged captures through all of netlab, for as long as wanted: python tests/fuzz/fuzz.py -m 10

Prints what went wrong, once for each place, and keeps the input that shows it in --keep. Each
process has a limit of memory, each input one of time; --guided lets atheris choose the inputs by
what code they reach. The same seed damages the same captures in the same way.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).resolve().parent)]
CAPTURES = Path(os.environ.get("NETLAB_CAPTURES", ROOT.parent / "shared" / "captures"))
MOST_SECONDS = 10  # of processor time for one input, of at most some 60 kB
MOST_MEMORY_BYTES = 2 << 30


class TooSlow(BaseException):
    """An input takes longer than any may; not an Exception, so that nothing swallows it."""


def main() -> int:
    """Run the fuzzer; gives how many places failed."""
    options = _options()
    keep = Path(options.keep)
    keep.mkdir(parents=True, exist_ok=True)
    if options.guided:
        guided(options, keep)
    ended = time.monotonic() + options.minutes * 60
    seen: Counter[str] = Counter()
    inputs, part = 0, 0
    while time.monotonic() < ended:
        part += 1
        reports = multiprocessing.get_context("fork").SimpleQueue()
        child = multiprocessing.get_context("fork").Process(
            target=_work, args=(f"{options.seed}/{part}", options.captures, keep, ended, reports)
        )
        child.start()
        while child.is_alive() or not reports.empty():
            if reports.empty():
                child.join(0.2)
                continue
            place, text, kept, done = reports.get()
            inputs += done
            if place:
                seen[place] += 1
                if seen[place] == 1:
                    print(f"{place}\n{text}input: {kept}\n", flush=True)
        if child.exitcode:
            print(f"a process ended with {child.exitcode}: seed {options.seed}/{part}; its input: "
                  f"{keep / 'current.bin'}", flush=True)  # fmt: skip
            seen[f"exit {child.exitcode}"] += 1
    print(f"{inputs:,} inputs, {len(seen)} places failed")
    for place, count in seen.most_common():
        print(f"{count:8,} {place}")
    return min(len(seen), 100)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--minutes", type=float, default=10)
    parser.add_argument("-s", "--seed", default="1")
    parser.add_argument("--keep", default=str(Path(tempfile.gettempdir()) / "netlab-fuzz"))
    parser.add_argument("--captures", type=Path, default=CAPTURES / "files")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    return parser.parse_args()


def _work(seed: str, captures: Path, keep: Path, ended: float, reports: object) -> None:
    """Look at some hundreds of inputs: a process is replaced before it has grown."""
    from looks import look_at
    from mutants import Mutants, samples_of

    _bound()
    machine = engine()
    mutants, random = Mutants(seed, samples_of(captures, ROOT / "captures")), Random(seed)
    path = keep / "current.bin"
    done, until = 0, time.monotonic() + 60
    while time.monotonic() < min(ended, until):
        data = mutants.next()
        path.write_bytes(data)
        done += 1
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            look_at(path, random, machine)
        except BaseException as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            reports.put((*_kept(error, data, keep), 0))  # type: ignore[attr-defined]
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    reports.put(("", "", "", done))  # type: ignore[attr-defined]


def engine() -> Any:
    """The compiled kernels, which nobody keeps from reading past the end; else the plain ones."""
    try:
        from netlab.engine.native import Native

        return Native()
    except ImportError:
        from netlab.engine.plain import Plain

        return Plain()


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise TooSlow

    signal.signal(signal.SIGPROF, late)


def _kept(error: BaseException, data: bytes, keep: Path) -> tuple[str, str, str]:
    """Where it failed, the trace, and where the input is kept."""
    trace = traceback.extract_tb(error.__traceback__)
    ours = [one for one in trace if "/netlab/" in one.filename] or list(trace)
    last = ours[-1]
    place = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {last.name}"
    kept = keep / f"{hashlib.sha256(place.encode()).hexdigest()[:12]}.bin"
    if not kept.exists():
        kept.write_bytes(data)
    text = "".join(traceback.format_exception(error)[-8:])
    return place, text, str(kept)


def guided(options: argparse.Namespace, keep: Path) -> NoReturn:
    """Let atheris look for inputs that reach new code; ends at the first failure."""
    import atheris

    with atheris.instrument_imports(include=["netlab"]):
        import looks

    from mutants import Mutants, samples_of

    corpus = keep / "corpus"
    corpus.mkdir(exist_ok=True)
    mutants = Mutants(options.seed, samples_of(options.captures, ROOT / "captures"))
    for _ in range(300):
        data = mutants.next()[:8192]
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    path, machine = keep / f"guided-{os.getpid()}.bin", engine()

    def one(data: bytes) -> None:
        path.write_bytes(data)
        looks.look_at(path, Random(len(data)), machine)

    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_total_time={int(options.minutes * 60)}", "-max_len=8192",
         f"-timeout={MOST_SECONDS}", f"-artifact_prefix={keep}/guided-"], one,
    )  # fmt: skip
    atheris.Fuzz()
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())

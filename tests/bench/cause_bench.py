"""Runs the cases with a known cause and scores what `waits` says of them.

    python -m tests.bench.cause_bench [--witness strace] [--keep FOLDER [--again]] [WORD ...]

A case is right when nine tenths of the target's waiting time have a cause of its truth, that which
may stand beside it left out, and when the true causes have what they must have at the least: all
together, and each where the case says so. It is wrong-but-observed when a cause
that is neither true nor allowed is marked `observed` for more than a twentieth of it. A case on
whose recording the injected wait is not there (a busy machine did something else) is run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.lab.experiment import Lab
from netlab.model.call import WAITING
from netlab.model.errors import CheckFailed
from netlab.model.recording import RawRecording
from netlab.model.tables import Call, Tables, Wait
from tests.bench import cause_programs
from tests.bench.cause_case import Case
from tests.bench.cause_cases import cases

MS = 1_000_000
BUSY = frozenset({"copy", "witness"})
LATE = frozenset({"scheduler"})
ATTEMPTS = 3


@dataclass
class Score:
    """What came of one case."""

    case: Case
    happened: bool = False
    waited_ns: int = 0
    by_cause: dict[str, int] = field(default_factory=dict)
    observed: dict[str, int] = field(default_factory=dict)

    @property
    def true_ns(self) -> int:
        return sum(ns for cause, ns in self.by_cause.items() if cause in self.case.truth)

    @property
    def neutral_ns(self) -> int:
        """What may stand beside the truth."""
        beside = self.case.allowed | LATE | BUSY
        return sum(
            ns for cause, ns in self.by_cause.items()
            if cause in beside and cause not in self.case.truth
        )  # fmt: skip

    @property
    def scored_ns(self) -> int:
        return self.waited_ns - self.neutral_ns

    @property
    def share(self) -> float:
        return self.true_ns / self.scored_ns if self.scored_ns else 0.0

    @property
    def enough(self) -> bool:
        """Whether the true causes have the time that they have by construction."""
        whole = self.true_ns >= 0.9 * self.case.least_ms * MS
        return whole and all(
            self.by_cause.get(cause, 0) >= 0.9 * ms * MS for cause, ms in self.case.each.items()
        )

    @property
    def right(self) -> bool:
        return self.happened and self.share >= 0.9 and self.enough

    @property
    def wrong_observed(self) -> list[str]:
        fine = self.case.truth | self.case.allowed | LATE | BUSY
        return [
            cause for cause, ns in self.observed.items()
            if cause not in fine and ns > max(self.waited_ns // 20, 3 * MS)
        ]  # fmt: skip

    @property
    def unknown_ns(self) -> int:
        return self.by_cause.get("unknown", 0)


def record(
    case: Case, path: Path, witness: str, *, stamps: bool = False
) -> tuple[RawRecording, Tables]:
    """Run a case in a lab; `stamps`: the kernel says of each write when it was queued and left."""
    options = {} if witness == "probe" else {"witness": witness}
    with Lab(path=path, wire=case.wire, sysctls=case.sysctls, tcp_info=case.tcp_info,
             link_rates=case.link_rates, stamps=stamps, **options) as lab:  # fmt: skip
        address = lab.address("server", ipv6=case.ipv6)

        def program(steps: list[list[object]]) -> tuple[object, ...]:
            text = json.dumps(steps)
            if witness == "probe":
                return cause_programs.play, text, address
            return ([sys.executable, str(Path(cause_programs.__file__)), text, address],)

        server = lab.start("server", *program(case.server))
        lab.wait_listening("server", within_s=60)
        client = lab.run("client", *program(case.client))
        lab.wait(server, client)
        lab.settle(within_s=1)
    return lab.recording.raw, lab.recording.tables


def target_of(case: Case, tables: Tables) -> Call | None:
    side, op, nth = case.target
    names = {op, "sendto"} if op == "sendall" else {op, f"{op}from", f"{op}4"}
    found = [
        c for c in tables.calls if c.actor == side and c.op in names and c.connection is not None
    ]
    if op in WAITING:
        found = [c for c in tables.calls if c.actor == side and c.op == op]
    if op in ("recv", "accept", "connect", "sendall"):
        found = found or [c for c in tables.calls if c.actor == side and c.op in names]
    place = nth - 1 if nth > 0 else nth
    try:
        return found[place]
    except IndexError:
        return None


def score(case: Case, tables: Tables) -> Score:
    found = Score(case)
    target = target_of(case, tables)
    if target is None or target.returned_ns is None:
        return found
    by_cause: dict[str, int] = defaultdict(int)
    observed: dict[str, int] = defaultdict(int)
    for wait in _of(target, tables.waits):
        ns = wait.stop_ns - wait.start_ns
        by_cause[wait.cause] += ns
        if wait.certainty == "observed":
            observed[wait.cause] += ns
    found.by_cause, found.observed = dict(by_cause), dict(observed)
    found.waited_ns = target.returned_ns - target.entered_ns
    windows = (segment.seg_wnd_bytes or 0 for segment in tables.segments)
    small = not case.least_window or any(0 < size < case.least_window for size in windows)
    found.happened = found.waited_ns >= case.least_ms * MS and small
    return found


def _of(call: Call, rows: list[Wait]) -> list[Wait]:
    return [wait for wait in rows if wait.call == call.call]


def run(case: Case, folder: Path, witness: str, *, again: bool = False) -> Score:
    """Until it happened, three times at most; `again`: as it was recorded before."""
    result = Score(case)
    for attempt in range(ATTEMPTS):
        name = "".join(c if c.isalnum() else "-" for c in case.name)
        path = folder / f"{name}-{witness}-{attempt}.pcapng"
        if again and not path.exists():
            break
        try:
            tables = analyse(read_raw(path)) if again else record(case, path, witness)[1]
        except CheckFailed as error:  # a side hung: the case did not happen
            print(f"{case.name}: {error}", flush=True)
            continue
        result = score(case, tables)
        if result.happened:
            break
    return result


def line_of(one: Score) -> str:
    causes = sorted(one.by_cause.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{cause} {ns / MS:.0f}" for cause, ns in causes if ns > MS)
    verdict = "right" if one.right else "WRONG" if one.happened else "did not happen"
    flag = f"  OBSERVED {', '.join(one.wrong_observed)}" if one.wrong_observed else ""
    return f"{one.case.name[:44]:44} {verdict:6} {one.share:5.0%}  {shown}{flag}"


def total_lines(scores: list[Score]) -> list[str]:
    there = [one for one in scores if one.happened]
    scored = sum(one.scored_ns for one in there) or 1
    true = sum(one.true_ns for one in there)
    unknown = sum(one.unknown_ns for one in there)
    right = sum(one.right for one in there)
    wrong = sum(bool(one.wrong_observed) for one in there)
    return [
        f"cases                       {len(there)} of {len(scores)} happened",
        f"time given to the truth     {true / scored:.1%}",
        f"cases fully right           {right} ({right / max(len(there), 1):.1%})",
        f"wrong and marked observed   {wrong}",
        f"unknown                     {unknown / max(sum(o.waited_ns for o in there), 1):.2%}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--witness", default="probe")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", action="store_true", help="score what was kept")
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.keep or Path(made)
        folder.mkdir(exist_ok=True)
        scores = []
        for case in cases():
            if asked.words and not any(word in case.name for word in asked.words):
                continue
            scores.append(run(case, folder, asked.witness, again=asked.again))
            print(line_of(scores[-1]), flush=True)
        print(*total_lines(scores), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

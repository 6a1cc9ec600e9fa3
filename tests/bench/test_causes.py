"""The causes that `waits` names, on conversations whose cause is known; prints the README's table.

.ci/test -m bench -s tests/bench/test_causes.py
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.cause_bench import line_of, run, total_lines
from tests.bench.cause_cases import cases

# Share of the waiting time that has its true cause, share of the cases that are right.
TARGETS = {"probe": (0.97, 0.95), "strace": (0.90, 0.85)}
MOST_UNKNOWN = 0.02


@pytest.mark.bench
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("witness", TARGETS)
def test_the_true_causes_are_named(witness: str, tmp_path: Path) -> None:
    scores = []
    for case in cases():
        scores.append(run(case, tmp_path, witness))
        print(line_of(scores[-1]), flush=True)
    print(*total_lines(scores), sep="\n")
    happened = [one for one in scores if one.happened]
    time_share, case_share = TARGETS[witness]
    assert len(happened) >= 80
    scored = sum(one.scored_ns for one in happened)
    assert sum(one.true_ns for one in happened) >= time_share * scored
    assert sum(one.right for one in happened) >= case_share * len(happened)
    assert [one.case.name for one in happened if one.wrong_observed] == []
    waited = sum(one.waited_ns for one in happened)
    assert sum(one.unknown_ns for one in happened) <= MOST_UNKNOWN * waited

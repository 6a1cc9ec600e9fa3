"""Each study at both ends of each of its parameters: does what it predicts hold there?

    .ci/test -m slow tests/live/test_study_ends.py
    .ci/test -m slow tests/live/test_study_ends.py -k nagle-

One parameter at a time, the others as they are by themselves; one that is swept takes that value
alone. What a parameter's range allows, the study has to predict.
"""

from __future__ import annotations

import pytest

from netlab.studies import page
from netlab.studies.catalogue import catalogue, find
from netlab.studies.runner import carry_out

WITHIN_S = 90  # a minute for a program, and the lab around it


def ends() -> list[tuple[str, str]]:
    """(study, what is set) for all ends that are no defaults."""
    found = []
    for study in catalogue().values():
        for one in study.parameters:
            swept = study.sweep is not None and study.sweep.parameter == one.name
            for value in sorted({one.least, one.most}):
                if swept or value != one.default:
                    found.append((study.name, f"{one.name}={study.typed(one.name, value)}"))
    return found


@pytest.mark.slow
@pytest.mark.timeout(WITHIN_S)
@pytest.mark.parametrize(("name", "setting"), ends(), ids=lambda text: text)
def test_it_holds_at_the_end_of_a_range(name: str, setting: str) -> None:
    parameter, _, value = setting.partition("=")
    given = {parameter: value}
    study = find(name).alone(given)
    if study.lacks():
        print(f"- {name}: left out: {study.lacks()}")
        return
    assert page.failures(carry_out(study, study.params(given))) == ""

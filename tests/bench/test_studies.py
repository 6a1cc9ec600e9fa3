"""Every study, twenty times: does it hold each time?

    .ci/test -m bench -s tests/bench/test_studies.py

Study by study; what was seen is kept in pytest's cache with what netlab's code was, so a run that
was broken off goes on where it was. NETLAB_STUDY_TIMES: another number than 20.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import netlab
from netlab.model.errors import CheckFailed
from netlab.studies import page
from netlab.studies.catalogue import catalogue
from netlab.studies.runner import carry_out

TIMES = int(os.environ.get("NETLAB_STUDY_TIMES", "20"))

pytestmark = pytest.mark.bench


def code_hash() -> str:
    """Of all of netlab's code: other code has to show it anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(netlab.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


HASH = code_hash()


@pytest.mark.parametrize("name", catalogue())
@pytest.mark.timeout(60 * TIMES)
def test_it_holds_every_time(name: str, request: pytest.FixtureRequest) -> None:
    cache = request.config.cache
    assert cache is not None
    key = f"netlab/studies/{HASH}/{name}"
    seen: list[str] = cache.get(key, [])
    study = catalogue()[name]
    if study.lacks():
        print(f"- {name}: left out: {study.lacks()}")
        return
    while len(seen) < TIMES:
        try:
            outcome = carry_out(study, study.params({}))
            seen.append(page.failures(outcome))
        except CheckFailed as error:
            seen.append(f"{error}")
        cache.set(key, seen)
    failures = [text for text in seen if text]
    print(f"\n{name}: {len(seen) - len(failures)} of {len(seen)}", *failures, sep="\n  ")
    assert failures == []

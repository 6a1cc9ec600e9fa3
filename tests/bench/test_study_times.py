"""How long the catalogue takes, study by study, as an ordinary user.

    .ci/test -m bench -s tests/bench/test_study_times.py

A page of a course is to be there while one waits for it: each study within 20 s, all of them
within 15 minutes on two cores. Run by root, they are carried out by a user without privilege.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live.lab_process import ORDINARY_USER, ROOT

from netlab.studies.catalogue import catalogue

EACH_S = 20.0
ALL_S = 15 * 60.0
LINE = re.compile(r"^([✓✗]) ([a-z0-9-]+) +(\d+\.\d) s", re.MULTILINE)
LEFT_OUT = re.compile(r"^- ([a-z0-9-]+) +left out: ", re.MULTILINE)

pytestmark = pytest.mark.bench


@pytest.mark.timeout(2 * ALL_S)
def test_each_study_is_soon_over_and_so_are_all(tmp_path: Path) -> None:
    begun_s = time.monotonic()
    done = subprocess.run(
        [*(ORDINARY_USER if os.geteuid() == 0 else ()),
         sys.executable, "-m", "netlab", "study", "--all"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )  # fmt: skip
    took_s = time.monotonic() - begun_s
    print(f"\n{done.stdout}{done.stderr}")
    times = {name: float(each_s) for _, name, each_s in LINE.findall(done.stdout)}
    slowest = sorted(times, key=lambda name: -times[name])
    print(f"{took_s:.0f} s for {len(times)} studies")
    print(*(f"  {times[name]:5.1f} s  {name}" for name in slowest[:10]), sep="\n")
    assert set(times) | set(LEFT_OUT.findall(done.stdout)) == set(catalogue())
    assert {name: each_s for name, each_s in times.items() if each_s > EACH_S} == {}
    assert took_s <= ALL_S

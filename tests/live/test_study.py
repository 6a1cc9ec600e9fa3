"""`netlab study`, as people run it: real sockets on hosts of their own, as any user."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.correlate.ledger import ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.studies.catalogue import catalogue
from netlab.studies.claims import Verdict, judged
from netlab.studies.runner import expectations

WITHIN_S = 120
ROOT = Path(__file__).resolve().parents[2]
QUICK = (
    "nagle-delayed-ack", "refused", "unread-data", "datagram-boundaries", "sticky-packets",
    "silent-host", "poll-timeout",
)  # fmt: skip


def study(
    folder: Path, *words: str, said: str = "", within_s: float = WITHIN_S
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netlab", "study", *words], cwd=folder, input=said, text=True,
        capture_output=True, timeout=within_s, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_study_holds_and_its_recording_is_whole(name: str, tmp_path: Path) -> None:
    done = study(tmp_path, name, "-o", "r.pcapng")
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    one = catalogue()[name]
    lines = done.stdout.splitlines()
    runs = len(one.sweep.values) if one.sweep else 1
    marks = runs * len(expectations(one, one.params({}))) + 1
    assert sum(line.startswith("✓ ") for line in lines) == marks
    raw = read_raw(tmp_path / "r.pcapng")
    assert raw.faults == []
    assert ledger_mismatches(analyse(raw)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in catalogue() if name not in QUICK])
def test_every_other_study_holds(name: str, tmp_path: Path) -> None:
    test_a_study_holds_and_its_recording_is_whole(name, tmp_path)


def test_a_parameter_changes_the_experiment(tmp_path: Path) -> None:
    """With TCP_NODELAY nothing is held, and so why need not find what held it."""
    done = study(tmp_path, "nagle-delayed-ack", "--set", "nodelay=1")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert sum(line.startswith("✓ ") for line in lines) == 3
    assert not any("netlab why" in line for line in lines)


def test_a_study_of_ones_own(tmp_path: Path) -> None:
    assert study(tmp_path, "new", "my-own").returncode == 0
    done = study(tmp_path, "./my_own.py", "--predict", said="25ms\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "you said  25.0 ms, it was " in done.stdout
    file = tmp_path / "my_own.py"
    file.write_text(
        file.read_text().replace("lambda p: p.rtt, answer", "lambda p: 2 * p.rtt, answer")
    )
    done = study(tmp_path, "./my_own.py")
    assert done.returncode == 1
    assert "✗ 1 of 2 predictions hold" in done.stdout
    again = study(tmp_path, "new", "my-own")
    assert (again.returncode, again.stderr) == (
        2,
        "netlab: my_own.py is there already: choose another name\n",
    )


def test_one_that_breaks_is_told_in_a_line(tmp_path: Path) -> None:
    assert study(tmp_path, "new", "broken").returncode == 0
    file = tmp_path / "broken.py"
    file.write_text(
        file.read_text().replace("    sock.recv(1000)\n", "    raise ValueError('no')\n", 1)
    )
    done = study(tmp_path, "./broken.py")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == "netlab: the client of broken ended with 1: ValueError: no"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing-like-it",), "there is no study 'nothing-like-it'"),
        (("./none.py",), "there is no file none.py"),
        (("refused", "--set", "rtt"), "--set rtt sets nothing"),
        (("refused", "--set", "rtt=x"), "'x' is not what is wanted"),
        (("--predict",), "options are about one study"),
        (("new",), "a study needs a name of its own"),
        (("refused", "refused"), "one study at a time"),
        (("--claims", "--all"), "--claims goes with no other option"),
        (("--claims", "settimeout"), "settimeout tests no statement"),
    ],
)
def test_what_cannot_be_done(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = study(tmp_path, *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_what_a_study_lacks_is_said(tmp_path: Path) -> None:
    assert study(tmp_path, "new", "lacking").returncode == 0
    file = tmp_path / "lacking.py"
    file.write_text(
        file.read_text().replace("STUDY = Study(", 'STUDY = Study(lacks=lambda: "a second moon",')
    )
    done = study(tmp_path, "./lacking.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "- lacking  left out: a second moon"


def test_statements_are_judged_by_what_was_measured(tmp_path: Path) -> None:
    done = study(tmp_path, "--claims", "datagram-boundaries")
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    topic, held, false, rest, blank, count = done.stdout.splitlines()
    assert topic == "UDP and IP"
    assert held.startswith("✓ held   UDP keeps message boundaries  ")
    assert false.startswith("✗ false  What recv() leaves of a datagram comes with the  ")
    assert false.endswith("  datagram-boundaries")
    assert (rest, blank) == ("         next recv()", "")
    assert count == "2 statements: 1 held, 1 false"


def test_a_statement_is_open_where_its_study_does_not_hold_itself() -> None:
    one = catalogue()["datagram-boundaries"]
    wrong = replace(one.expects[0], predicted=lambda p: "something else")
    for broken, why in (
        (replace(one, expects=(wrong,)), "a prediction of its study did not hold"),
        (replace(one, lacks=lambda: "UDP"), "left out: UDP"),
    ):
        found = list(judged(broken, lambda text: None))
        assert [(each.verdict, each.why) for each in found] == [(Verdict.UNTESTED, why)] * 2


@pytest.mark.slow
def test_every_statement_is_tested(tmp_path: Path) -> None:
    done = study(tmp_path, "--claims", within_s=20 * WITHIN_S)
    assert done.returncode == 0, done.stdout
    claims = [claim for one in catalogue().values() for claim in one.claims]
    assert f"{len(claims)} statements: " in done.stdout
    assert "not tested" not in done.stdout


def test_the_catalogue_is_listed(tmp_path: Path) -> None:
    done = study(tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in catalogue())

"""`netlab study`, as people run it: real sockets on hosts of their own, as any user."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.commands import study as command_of_study
from netlab.correlate.ledger import ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.model.errors import CheckFailed
from netlab.studies.catalogue import catalogue
from netlab.studies.claims import Verdict, judged
from netlab.studies.runner import expectations, settings

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
    runs = settings(one, one.params({}), False)
    marks = sum(len(expectations(one, p)) for p in runs) + 1
    assert sum(line.startswith("✓ ") for line in lines) == marks
    raw = read_raw(tmp_path / "r.pcapng")
    assert raw.faults == []
    assert ledger_mismatches(analyse(raw)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in catalogue() if name not in QUICK])
def test_every_other_study_holds(name: str, tmp_path: Path) -> None:
    test_a_study_holds_and_its_recording_is_whole(name, tmp_path)


def test_a_parameter_changes_the_experiment(tmp_path: Path) -> None:
    """With TCP_NODELAY nothing is held, and neither an ACK nor why has to say what held it."""
    done = study(tmp_path, "nagle-delayed-ack", "--set", "nodelay=1")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("✓ 2 of 2 predictions hold") for line in lines)
    assert not any("netlab why" in line for line in lines)


def test_a_study_of_ones_own(tmp_path: Path) -> None:
    assert study(tmp_path, "new", "my-own").returncode == 0
    done = study(tmp_path, "./my_own.py", "--predict", said="25ms\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "you said  25.0 ms, it was " in done.stdout
    assert "; the study takes " in " ".join(done.stdout.split())
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


def test_a_study_of_ones_own_has_a_name_of_its_own(tmp_path: Path) -> None:
    done = study(tmp_path, "new", "nagle")
    assert done.returncode == 2
    assert done.stderr.startswith("netlab: there is a study nagle already: ")
    assert not [*tmp_path.iterdir()]


def test_a_swept_parameter_that_is_set_is_the_only_run(tmp_path: Path) -> None:
    done = study(tmp_path, "cwnd-curve", "--set", "rounds=2", "--set", "rtt=60ms")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rounds=2 (of slow start" in done.stdout
    assert "\n✓ the congestion window, in segments" in done.stdout
    assert "✓ 2 of 2 predictions hold" in done.stdout
    assert "rounds=1" not in done.stdout


def test_a_guess_of_a_sweep_names_its_value(tmp_path: Path) -> None:
    done = study(tmp_path, "window-scale", "--predict", said="2\n")
    assert done.returncode == 0, done.stdout + done.stderr
    asked = "Your prediction with rcvbuf=204800, a whole number\nthe scale in the SYN-ACK"
    assert asked in done.stdout
    assert "✓ you said  2, it was 2 (rcvbuf=204800)" in done.stdout


def test_a_number_is_asked_for(tmp_path: Path) -> None:
    done = study(tmp_path, "refused", "--predict", said="1ms\n")
    assert (
        "Your prediction, a time such as 20ms (s, ms, us, ns)\nconnect() fails after" in done.stdout
    )
    assert "✗ you said  1.0 ms, it was " in done.stdout
    assert done.returncode == 0, done.stdout


def test_what_raises_in_a_study_of_ones_own_is_told(tmp_path: Path) -> None:
    assert study(tmp_path, "new", "raises").returncode == 0
    file = tmp_path / "raises.py"
    text = file.read_text()
    wrong = text.replace('lambda e: e.returned["server"]', 'lambda e: e.returned["srv"]')
    file.write_text(wrong)
    line = wrong[: wrong.index('["srv"]')].count("\n") + 1
    done = study(tmp_path, "./raises.py")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"    KeyError: 'srv' (raises.py:{line})" in done.stdout.splitlines()
    assert "✗ 1 of 2 predictions hold" in done.stdout


def test_many_runs_have_labelled_columns(tmp_path: Path) -> None:
    done = study(tmp_path, "refused", "--repeat", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "a   the answer to the SYN: predicted RST ACK"
    assert next(line for line in lines if line.startswith(" run")).split() == [
        "run", "a", "b", "c", "d",
    ]  # fmt: skip
    assert lines[-1] == "2 of 2 times all predictions held"


def test_stories_go_on_where_one_did_not_come_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What breaks, and what raises, is a line; the next one is carried out, and kept."""
    refused = catalogue()["refused"]

    def breaks(stage: object) -> None:
        raise CheckFailed("it did not come about", "at all")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "captures").mkdir()
    broken = replace(refused, name="broken", experiment=breaks)
    raising = replace(refused, name="raising", seen=lambda e: e.returned["nobody"])
    assert command_of_study._regenerate([broken, raising, refused]) == 1
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "✗ broken: it did not come about: at all"
    assert second.startswith("✗ raising: seen: KeyError: 'nobody' (test_study.py:")
    assert third == "✓ refused: a new recording"
    assert [path.name for path in (tmp_path / "captures").iterdir()] == ["refused"]


def test_one_that_breaks_is_told_in_a_line(tmp_path: Path) -> None:
    assert study(tmp_path, "new", "broken").returncode == 0
    file = tmp_path / "broken.py"
    file.write_text(
        file.read_text().replace("    sock.recv(1000)\n", "    raise ValueError('no')\n", 1)
    )
    done = study(tmp_path, "./broken.py")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    number = 1 + file.read_text().splitlines().index("    raise ValueError('no')")
    said = f"ValueError: no (broken.py:{number})"
    assert line == f"netlab: the client of broken ended with 1: {said}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing-like-it",), "there is no study 'nothing-like-it'"),
        (("./none.py",), "there is no file none.py"),
        (("refused", "--set", "rtt"), "--set rtt sets nothing"),
        (("refused", "--set", "rtt=x"), "rtt: 'x' is no time: write a time such as 20ms"),
        (("--predict",), "options are about one study"),
        (("new",), "a study needs a name of its own"),
        (("refused", "refused"), "one study at a time"),
        (("accept-queue", "--all"), "accept-queue is one study, and --all is every one"),
        (("--all", "--predict"), "--set, --predict and --output are about one study"),
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
    topic, held, false, rest, blank, count, *legend = done.stdout.splitlines()
    assert topic == "UDP and IP"
    assert held.startswith("✓ held   UDP keeps message boundaries  ")
    assert false.startswith("✗ false  What recv() leaves of a datagram comes with the  ")
    assert false.endswith("  datagram-boundaries")
    assert (rest, blank) == ("         next recv()", "")
    assert count == "2 statements: 1 held, 1 false"
    assert " ".join(legend).startswith("✓ held: as it is said; ✗ false: not so here")


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

"""What came of a study: also where a function of its own raises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from traceback import format_exception

import pytest
from made_studies import MS, evidence, outcome, study, text, time

from netlab.model.errors import CheckFailed, UsageError
from netlab.server.plain import PlainProbe
from netlab.studies import page
from netlab.studies.catalogue import catalogue, find
from netlab.studies.claims import Verdict, _judged
from netlab.studies.on_host import run_program
from netlab.studies.quantity import Kind
from netlab.studies.raised import reason
from netlab.studies.runner import _play, asked, carry_out, checked, settings
from netlab.studies.stage import Stage
from netlab.studies.study import Claim, Expect, Params

SWEPT = [one for one in catalogue().values() if one.sweep is not None]


def broken(word: object) -> int:
    raise KeyError("took")


@pytest.mark.parametrize("one", SWEPT, ids=[one.name for one in SWEPT])
def test_a_swept_parameter_that_was_typed_is_the_only_one(one: object) -> None:
    found = find(one.name)  # type: ignore[attr-defined]
    sweep = found.sweep
    assert sweep is not None
    parameter = next(each for each in found.parameters if each.name == sweep.parameter)
    given = {sweep.parameter: found.typed(sweep.parameter, parameter.most)}
    alone = found.alone(given)
    p = alone.params(given)
    assert [run[sweep.parameter] for run in settings(alone, p, False)] == [parameter.most]
    # ... and another one that was typed leaves the sweep.
    assert found.alone({}).sweep is sweep
    values = [run[sweep.parameter] for run in settings(found, found.params({}), True)]
    assert values == list(sweep.full or sweep.values)


def test_the_page_names_what_is_swept_and_no_default() -> None:
    curve = find("cwnd-curve")
    assert "rounds=1, 2, 4 (of slow" in text(page.before_lines(curve, curve.params({}), 80))
    full = text(page.before_lines(curve, curve.params({}), 80, full=True))
    assert "rounds=1, 2, 3, 4 (of slow" in full
    alone = curve.alone({"rounds": "2"})
    assert "rounds=2 (of slow" in text(page.before_lines(alone, alone.params({"rounds": "2"}), 80))


def test_a_text_names_what_is_swept() -> None:
    rto = replace(find("rto-rtt"), question="How with {rtt}?")
    assert "How with 1ms, 50ms, 100ms, 350ms?" in text(page.before_lines(rto, rto.params({}), 80))


def test_an_expectation_that_raises_was_not_seen() -> None:
    good = time(40 * MS, 41 * MS, more=4 * MS)
    bad = Expect("it broke", Kind.TIME, lambda p: 40 * MS, broken, "nowhere")
    run = outcome(good, bad).runs[0]
    assert [check.holds for check in run.checks] == [True, False]
    line = broken.__code__.co_firstlineno + 1
    why = f"KeyError: 'took' (test_study_checked.py:{line})"
    assert (run.checks[1].measured, run.checks[1].why) == (None, why)
    lines = text(page.measured_lines(outcome(good, bad), 80)).splitlines()
    assert f"    {why}" in lines
    assert any(line.startswith("✗ it broke") and line.endswith("not seen") for line in lines)
    assert page.failures(outcome(good, bad)) == f"it broke: {why}"


@pytest.mark.parametrize("part", ["predicted", "measured"])
def test_so_is_one_that_gives_neither_a_number_nor_a_word(part: str) -> None:
    wrong = replace(time(40 * MS, 40 * MS), **{part: lambda _: [40 * MS]})
    (check,) = outcome(wrong).runs[0].checks
    assert not check.holds
    assert check.why.startswith(f"TypeError: {part} gave a list, and wants a number or a word (")
    assert "✗ it took" in text(page.measured_lines(outcome(wrong), 60))


@pytest.mark.parametrize("part", ["predicted", "less", "more"])
def test_so_is_one_whose_prediction_raises(part: str) -> None:
    wrong = replace(time(40 * MS, 40 * MS), **{part: broken})
    (check,) = outcome(wrong).runs[0].checks
    assert not check.holds
    assert check.why.startswith("KeyError: 'took' (test_study_checked.py:")
    assert "✗ it took" in text(page.measured_lines(outcome(wrong), 60))


def test_a_cause_that_raises_is_one_of_them() -> None:
    run = outcome(time(1, 1), cause=broken).runs[0]
    assert [check.holds for check in run.checks] == [True, False]
    assert run.checks[1].why.startswith("KeyError")


@pytest.mark.parametrize("part", ["seen", "moment", "table", "curves"])
def test_what_cannot_be_told_is_said(part: str) -> None:
    done = outcome(time(1, 1), **{part: broken})
    assert not done.holds
    assert page.failures(done).startswith(f"{part}: KeyError: 'took' (test_study_checked.py:")
    shown = text(page.after_lines(done, 80, colours=False))
    assert f"✗  not told, {part}: KeyError: 'took' (test_study_checked.py:" in shown
    assert "✗ 1 of 1 predictions hold" in shown


@pytest.mark.parametrize("part", ["wire", "sysctls"])
def test_a_set_up_that_raises_is_told_in_a_line(part: str, tmp_path: Path) -> None:
    one = study(time(1, 1), **{part: broken})
    with pytest.raises(CheckFailed, match=rf"the {part} of .*: KeyError: 'took' \(test_study_ch"):
        carry_out(one, one.params({}), path=tmp_path / "r.pcapng")


def test_an_experiment_that_raises_is_told_in_a_line() -> None:
    """And what netlab raises in it keeps its traceback."""

    def experiment(stage: Stage) -> None:
        stage.run({}["client"], broken)

    def calls(stage: Stage) -> None:
        Params({}).nothing  # noqa: B018

    stage = Stage(study(time(1, 1), experiment=experiment), Params({}), lab=None)  # type: ignore[arg-type]
    with pytest.raises(
        CheckFailed, match=r"the experiment of .*: KeyError: 'client' \(test_study_ch"
    ):
        _play(stage.study, stage)
    stage = Stage(study(time(1, 1), experiment=calls), Params({}), lab=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        _play(stage.study, stage)


def test_a_claim_that_raises_is_open() -> None:
    done = outcome(time(1, 1), claims=(Claim("It is so", broken),))
    (found,) = _judged(done)
    assert found.verdict is Verdict.UNTESTED
    assert found.why.startswith("KeyError: 'took'")


def test_the_place_is_in_the_file_of_the_study() -> None:
    """What netlab's own function raised is told with where the study called it."""

    def asks(words: str) -> object:
        return Params({}).nothing

    with pytest.raises(AttributeError) as failure:
        asks("")
    line = asks.__code__.co_firstlineno + 1
    assert reason(failure.value, asks) == f"AttributeError: nothing (test_study_checked.py:{line})"


def test_a_number_is_asked_for_where_there_is_one() -> None:
    for one in catalogue().values():
        kind = one.expects[asked(one)].kind
        assert kind is not Kind.WORD or all(each.kind is Kind.WORD for each in one.expects)
    assert find("three-way-handshake").expects[asked(find("three-way-handshake"))].what == (
        "connect() takes a round trip"
    )
    assert asked(find("linger-zero")) == 0


def test_what_holds_is_all_of_it() -> None:
    done = outcome(time(1, 1))
    assert done.holds
    assert page.failures(done) == ""
    assert checked(done.study, evidence()).holds


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x = 1\ny = nobody\n", "NameError: name 'nobody' is not defined (wrong_name.py:2)"),
        ("x = 1\n\ny = (\n", "SyntaxError: '(' was never closed (wrong_syntax.py:3)"),
    ],
)
def test_a_file_that_cannot_be_imported_says_where(body: str, said: str, tmp_path: Path) -> None:
    name = "wrong_name" if "nobody" in body else "wrong_syntax"
    path = tmp_path / f"{name}.py"
    path.write_text(body)
    with pytest.raises(UsageError) as raised:
        find(str(path))
    assert raised.value.hint == said


def program(probe: PlainProbe, p: object) -> float:
    return 1 / 0


def test_a_program_that_raises_says_last_where() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run_program(PlainProbe(), __name__, "program", {})
    line = program.__code__.co_firstlineno + 1
    last = "".join(format_exception(raised.value)).splitlines()[-1]
    assert last == f"ZeroDivisionError: division by zero (test_study_checked.py:{line})"

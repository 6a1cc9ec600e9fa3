"""Every study of the catalogue is well made, without carrying it out."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from netlab import studies
from netlab.lab.wire.grammar import rules_from_text
from netlab.model.errors import UsageError
from netlab.show.terminal.lines import plain
from netlab.studies import page
from netlab.studies.catalogue import catalogue, find, lines
from netlab.studies.quantity import Kind, shown, typed, value_from_text
from netlab.studies.study import Params, Study, Topic

STUDIES = list(catalogue().values())
SETTING = re.compile(r"(?:netlab study ([a-z0-9-]+) )?--set (\w+=[a-z0-9.]*[a-z0-9])")
every_study = pytest.mark.parametrize("study", STUDIES, ids=[study.name for study in STUDIES])


def settings(study: Study) -> list[Params]:
    """The defaults, and each parameter at both ends of its range."""
    defaults = study.params({})
    found = [defaults]
    for one in study.parameters:
        found += [Params({**defaults, one.name: value}) for value in (one.least, one.most)]
    return found


@every_study
def test_its_parts_fit(study: Study) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", study.name)
    assert study.expects
    for p in settings(study):
        if study.wire(p):
            rules_from_text(study.wire(p))
        for host, values in study.sysctls(p).items():
            assert host in study.hosts
            assert all(name.startswith("net.") for name in values)
        for expect in study.expects:
            predicted = expect.predicted(p)
            assert isinstance(predicted, str) == (expect.kind is Kind.WORD)
            less, more = expect.room(p)
            assert (less == more == 0) or expect.because, (
                f"{expect.what}: where does the room come from?"
            )
            assert expect.holds(p, predicted)
            assert not expect.holds(p, None)
            if isinstance(predicted, int):
                assert not expect.holds(p, predicted + more + 1)
                assert not expect.holds(p, predicted - less - 1)


@every_study
@pytest.mark.parametrize("width", [60, 80, 120])
def test_its_page_fits(study: Study, width: int) -> None:
    for p in settings(study):
        for line in page.before_lines(study, p, width):
            assert len(plain(line)) <= width
            assert "{" not in plain(line)


@pytest.mark.parametrize("width", [60, 80])
def test_the_list_names_all(width: int) -> None:
    listed = [plain(line) for line in page.list_lines(catalogue(), lines(), width)]
    assert max(map(len, listed)) <= width
    for study in STUDIES:
        assert sum(line.startswith(f"  {study.name} ") for line in listed) == 1


def test_the_list_is_a_line_each_and_a_course() -> None:
    """Of 80 columns; a topic begins with what the rest of it needs."""
    listed = [plain(line) for line in page.list_lines(catalogue(), lines(), 80)]
    topics = list(Topic)
    assert len(listed) == len(STUDIES) + 2 * len(topics) - 1
    assert not any("…" in line for line in listed)
    names = list(catalogue())
    for first, then in (
        ("three-way-handshake", "syn-options"), ("accept-queue", "abort-on-overflow"),
        ("nagle", "nagle-delayed-ack"), ("delayed-ack", "nagle-delayed-ack"),
        ("rto-backoff", "rto-rtt"), ("slow-start", "cwnd-reno"), ("blocking", "every-call"),
    ):  # fmt: skip
        assert names.index(first) < names.index(then)


@every_study
def test_what_a_sweep_draws_has_one_axis(study: Study) -> None:
    """Each curve is of an expectation there is, has a name of its own, and all are of one kind."""
    if study.sweep is None:
        return
    names = [name for name, _, _ in study.sweep.drawn]
    assert len({*names}) == len(names)
    assert len({study.expects[at].kind for _, at, _ in study.sweep.drawn}) == 1
    assert study.expects[study.sweep.drawn[0][1]].kind is not Kind.WORD


def test_no_study_is_missing() -> None:
    """Each module of a topic is in its contents."""
    folder = Path(studies.__file__).parent
    for package in (path.parent for path in folder.glob("*/__init__.py")):
        contents = import_module(f"netlab.studies.{package.name}").CONTENTS
        modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
        assert modules == set(contents), package.name


@every_study
def test_names_of_other_studies_are_right(study: Study) -> None:
    for name in re.findall(r"netlab study ([a-z0-9-]+)", " ".join(every_text(study))):
        assert name in catalogue()


@every_study
def test_what_to_try_next_can_be_typed(study: Study) -> None:
    """`netlab study NAME --set a=b`, or `--set a=b` of the same study."""
    for p in with_switches(study):
        following = study.text(study.next, p)
        for name, setting in SETTING.findall(following):
            parameter, _, value = setting.partition("=")
            proposed = find(name or study.name).params({parameter: value})
            if name in ("", study.name):
                assert proposed[parameter] != p[parameter], f"{setting} was typed just now"
        assert following.count("--set") == len(re.findall(r"--set \w+=\w", following))


def with_switches(study: Study) -> list[Params]:
    """The defaults, and these with each switch turned."""
    p = study.params({})
    switches = [one.name for one in study.parameters if (one.least, one.most) == (0, 1)]
    return [p, *(Params({**p, name: 1 - p[name]}) for name in switches)]


def every_text(study: Study) -> list[str]:
    """What it predicts, and what it says to try next."""
    return [
        study.text(text, p) for p in with_switches(study) for text in (study.prediction, study.next)
    ]


def test_a_study_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no study 'nagle-delayed-akc'") as failure:
        find("nagle-delayed-akc")
    assert failure.value.hint == "is it nagle-delayed-ack?"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.TIME, "20ms", 20_000_000),
        (Kind.SIZE, "8k", 8192),
        (Kind.SIZE, "8kB", 8192),
        (Kind.SIZE, "100", 100),
        (Kind.SIZE, "1M", 1 << 20),
        (Kind.COUNT, "17", 17),
    ],
)
def test_amounts(kind: Kind, text: str, value: int) -> None:
    assert value_from_text(kind, text) == value
    assert value_from_text(kind, typed(kind, value)) == value
    assert shown(kind, value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.TIME, "20"),
        (Kind.SIZE, "8x"),
        (Kind.SIZE, "k"),
        (Kind.COUNT, "8k"),
        (Kind.COUNT, "-1"),
    ],
)
def test_what_is_no_amount(kind: Kind, text: str) -> None:
    with pytest.raises(UsageError):
        value_from_text(kind, text)


def test_parameters_are_checked() -> None:
    study = find("three-way-handshake")
    assert study.params({"rtt": "10ms"}).rtt == 10_000_000
    with pytest.raises(UsageError, match="no parameter 'rrt'"):
        study.params({"rrt": "10ms"})
    with pytest.raises(UsageError, match="out of range"):
        study.params({"rtt": "2s"})

"""The statements of the catalogue are sentences, with their conditions, however they came out."""

from __future__ import annotations

import re

import pytest

from netlab.show.terminal.lines import plain
from netlab.studies.catalogue import catalogue
from netlab.studies.claims import Judged, Verdict, judged_lines, legend_lines
from netlab.studies.study import Claim, Study

CLAIMS = [(study, claim) for study in catalogue().values() for claim in study.claims]
CONDITIONED = [(study, claim) for study, claim in CLAIMS if claim.condition]
# What goes on from "it holds ...".
BEGINNINGS = {
    "if", "when", "where", "while", "once", "unless", "only", "with", "without", "on", "for",
    "before", "after", "by", "under", "as",
}  # fmt: skip
BROKEN = (
    r"\b(\w+) \1\b",  # a word twice
    r"\bonly (unless|without|not)\b",
    r"\bholds? (unless|only) (if|unless|only)\b",
    r"\s[,;:.]( |$)",
)


def ids(pair: object) -> str:
    return pair.name if isinstance(pair, Study) else ""


@pytest.mark.parametrize(("study", "claim"), CONDITIONED, ids=ids)
def test_a_condition_goes_on_from_holds(study: Study, claim: Claim) -> None:
    assert claim.condition.split()[0] in BEGINNINGS


@pytest.mark.parametrize(("study", "claim"), CLAIMS, ids=ids)
@pytest.mark.parametrize("verdict", [Verdict.HELD, Verdict.CONDITION, Verdict.FALSE])
def test_what_is_printed_of_it_is_english(study: Study, claim: Claim, verdict: Verdict) -> None:
    lines = judged_lines(Judged(claim.text, study, verdict, claim.condition), 24, 80)
    told = " ".join(" ".join(map(plain, lines)).replace(study.name, "").split())
    for wrong in BROKEN:
        assert not re.search(wrong, told), told
    assert ("holds " in told) >= bool(claim.condition)
    assert max(len(plain(line)) for line in lines) <= 80


def test_broken_english_is_found() -> None:
    for told in ("holds only only by chance", "only unless it forks", "holds if , ever"):
        assert any(re.search(wrong, told) for wrong in BROKEN)


def test_the_legend_explains_the_marks_that_are_there() -> None:
    (study, *_) = catalogue().values()
    every = [Judged("a", study, Verdict.FALSE, "if"), Judged("b", study, Verdict.CONDITION, "if")]
    told = " ".join(plain(line) for line in legend_lines(every, 80))
    assert "✗ false: not so here" in told
    assert "~ if: so here" in told
    assert "held" not in told

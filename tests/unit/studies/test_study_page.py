"""Predicted against measured: a table of the page, a reader's own guess, and many runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_studies import MS, evidence, outcome, study, swept, text, time

from netlab.show.terminal.lines import cells, plain
from netlab.studies import page, repeated
from netlab.studies.comparison import comparison_lines, deviation, room
from netlab.studies.quantity import Kind
from netlab.studies.runner import Outcome, checked
from netlab.studies.story import story_text
from netlab.studies.study import Expect

WORD = Expect("the frames", Kind.WORD, lambda p: "SYN, SYN ACK, ACK",
              lambda e: "SYN, RST ACK", "RFC 9293 3.5")  # fmt: skip
LATE = replace(
    time(40 * MS, 43_900_000, less=MS, more=40 * MS), what="connect() takes a round trip"
)


def test_a_table_has_predicted_room_measured_and_deviation() -> None:
    checks = outcome(LATE, WORD).runs[0].checks
    assert text(comparison_lines(checks, 80, sources=True)) == """\
                                       predicted       room  measured  deviation
✓ connect() takes a round trip           40.0 ms  -1/+40 ms   43.9 ms    +3.9 ms
    a clock; room: hope
✗ the frames                           SYN, SYN ACK, ACK     SYN, RST ACK
    RFC 9293 3.5"""  # fmt: skip


def test_where_it_is_narrow_what_is_measured_has_a_line_of_its_own() -> None:
    checks = outcome(LATE, WORD).runs[0].checks
    assert text(comparison_lines(checks, 60, sources=False)) == """\
    predicted       room  measured  deviation
✓ connect() takes a round trip
      40.0 ms  -1/+40 ms   43.9 ms    +3.9 ms
✗ the frames
    SYN, SYN ACK, ACK     SYN, RST ACK"""  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_long_words_and_large_numbers_fit(width: int) -> None:
    long = "a long word " * 20
    said = Expect("what it says", Kind.WORD, lambda p: long, lambda e: long * 2, "nowhere")
    wide = Expect("all of it", Kind.SIZE, lambda p: 8 << 30, lambda e: 9 << 30, "nowhere",
                  1 << 29, 1 << 31, "hope")  # fmt: skip
    unseen = replace(LATE, measured=lambda e: None)
    worded = replace(LATE, measured=lambda e: "EAGAIN, which is no time at all")
    for expects in ((said,), (wide,), (said, wide, unseen, worded)):
        lines = comparison_lines(outcome(*expects).runs[0].checks, width, sources=True)
        assert max(cells(plain(line)) for line in lines) <= width
        whole = " ".join(text(lines).split())
        if wide in expects:
            assert "8,589,934,592 B" in whole
            assert "+1,073,741,824 B" in whole
        if said in expects:
            assert whole.count("long") == 60


@pytest.mark.parametrize(
    ("kind", "less", "more", "says"),
    [
        (Kind.TIME, 0, 0, "exact"),
        (Kind.TIME, MS, 40 * MS, "-1/+40 ms"),
        (Kind.TIME, 0, 40 * MS, "-0/+40 ms"),
        (Kind.TIME, 500_000, 40 * MS, "-500 µs/+40 ms"),
        (Kind.TIME, 4 * MS, 4 * MS, "±4 ms"),
        (Kind.SIZE, 1448, 0, "-1,448 B/+0"),
        (Kind.COUNT, 3, 0, "-3/+0"),
        (Kind.COUNT, 1, 1, "±1"),
    ],
)
def test_rooms(kind: Kind, less: int, more: int, says: str) -> None:
    assert room(kind, less, more) == says


def test_deviations() -> None:
    assert deviation(Kind.TIME, 40 * MS, 43_900_000) == "+3.9 ms"
    assert deviation(Kind.SIZE, 710, 644) == "-66 B"
    assert deviation(Kind.COUNT, 3, 3) == "0"
    assert deviation(Kind.COUNT, 3, None) == ""
    assert deviation(Kind.WORD, "a", "b") == ""


def test_what_did_not_hold_is_told_with_its_deviation() -> None:
    late = time(40 * MS, 90 * MS, more=40 * MS)
    assert page.failures(outcome(late)) == (
        "it took: 90.0 ms, predicted 40.0 ms (room -0/+40 ms), off by +50.0 ms"
    )
    assert page.failures(swept(50 * MS, 190 * MS)) == (
        "rtt=20ms: it took: 190.0 ms, predicted 40.0 ms (room -0/+60 ms), off by +150.0 ms"
    )


def said(done: Outcome, guess: int | str, at: int = 0) -> str:
    return plain(page.guess_lines(done, at, guess, 120)[1])


def test_a_guess_of_a_sweep_is_of_one_run_and_is_judged() -> None:
    """Of the run that the reader was told, with what the study itself takes for right."""
    done = swept(50 * MS, 90 * MS)
    assert said(done, 60 * MS) == (
        "✓ you said  60.0 ms, it was 90.0 ms (rtt=20ms): deviation +30.0 ms; "
        "the study takes 40.0 ms to 100.0 ms"
    )
    assert said(done, 20 * MS).startswith("✗ you said  20.0 ms, it was 90.0 ms (rtt=20ms)")
    assert said(done, 91 * MS).startswith("✓ ")


def one_sided(measured: int, otherwise: int | None = None) -> Outcome:
    """40 ms and up to 48 more, as a delayed ACK is."""
    expect = time(40 * MS, measured, more=48 * MS)
    if otherwise is not None:
        expect = replace(expect, otherwise=lambda p: otherwise)
    return outcome(expect)


def test_nothing_is_no_guess_of_a_wait() -> None:
    done = one_sided(42_900_000)
    assert said(done, 0) == (
        "✗ you said  0 ns, it was 42.9 ms: deviation +42.9 ms; "
        "the study takes 40.0 ms to 88.0 ms, and rules out 0 ns"
    )
    assert said(done, 1).startswith("✗ ")
    assert said(done, 20 * MS).startswith("✗ ")


def test_a_guess_may_be_off_to_either_side() -> None:
    done = one_sided(42_600_000)
    assert said(done, 45 * MS).startswith("✓ ")
    assert said(done, 88 * MS).startswith("✓ ")
    assert said(done, 35 * MS) == (
        "✓ you said  35.0 ms, it was 42.6 ms: deviation +7.6 ms; the study takes 40.0 ms to "
        "88.0 ms; within 48.0 ms"
    )
    assert said(done, 91 * MS).startswith("✗ ")


def test_what_the_study_rules_out_is_no_right_guess() -> None:
    done = one_sided(42 * MS, otherwise=89 * MS)
    assert said(done, 89 * MS).startswith("✗ ")
    assert said(done, 60 * MS).startswith("✓ ")
    nothing_waits = outcome(
        replace(time(0, 3 * MS, more=64 * MS), otherwise=lambda p: 66 * MS),
    )
    assert said(nothing_waits, 66 * MS).startswith("✗ ")
    assert said(nothing_waits, 0).startswith("✓ ")


def test_the_studys_own_number_is_wrong_where_it_did_not_hold() -> None:
    done = one_sided(300 * MS)
    assert said(done, 40 * MS).startswith("✗ ")
    assert said(done, 290 * MS).startswith("✓ ")
    assert said(one_sided(0), 0).startswith("✓ you said  0 ns, it was 0 ns")


def test_a_guess_is_of_the_expectation_that_was_asked_for() -> None:
    done = outcome(WORD, LATE)
    assert said(done, 43 * MS, 1).startswith("✓ you said  43.0 ms, it was 43.9 ms: ")
    assert said(done, "syn,  rst-ack") == "✓ you said  syn,  rst-ack, it was SYN, RST ACK"
    assert said(done, "FIN").startswith("✗ you said  FIN, it was SYN, RST ACK")
    assert said(outcome(time(1, None)), 1) == "✗ you said  1 ns, it was not seen"


def test_the_columns_of_many_runs_are_labelled() -> None:
    done = outcome(LATE, WORD)
    lines = [
        *repeated.legend_lines(done, 80),
        *repeated.run_lines(done, 1, 80),
        *repeated.all_runs_lines([repeated.named(done)] * 3, 80),
    ]
    assert text(lines) == """\
a   connect() takes a round trip: predicted 40.0 ms (room -1/+40 ms)
b   the frames: predicted SYN, SYN ACK, ACK

 run             a          b
   1 ✗     43.9 ms    ✗ below
       the frames: SYN, RST ACK
   least    median   most     held
a  43.9 ms  43.9 ms  43.9 ms  3 of 3
b                             0 of 3"""  # fmt: skip


@pytest.mark.parametrize("width", [60, 80])
def test_many_columns_take_several_lines(width: int) -> None:
    done = swept(*[50 * MS] * 9)
    lines = [*repeated.legend_lines(done, width), *repeated.run_lines(done, 7, width)]
    assert max(cells(plain(line)) for line in lines) <= width
    whole = text(lines)
    assert "c   rtt=30ms, it took: predicted" in whole
    assert whole.count("50.0 ms") == 9
    assert sum(line.startswith("   7 ✓ ") for line in whole.splitlines()) == 1


def test_a_fault_is_told_below_its_run() -> None:
    one = study(time(1, 1), seen=lambda e: e.returned["nobody"])
    done = Outcome(one, (checked(one, evidence()),), 0)
    assert "seen: KeyError: 'nobody'" in text(repeated.run_lines(done, 1, 80))


def test_a_text_of_a_sweep_names_all_its_values() -> None:
    done = swept(50 * MS, 60 * MS, prediction="At {rtt} alike.")
    told = " ".join(text(page.guess_lines(done, 0, 50 * MS, 80)).split())
    assert "At 10ms, 20ms alike." in told
    assert "**Predicted.** At 10ms, 20ms alike." in story_text(done, kept=False)


def test_the_words_of_the_comparison_are_explained_where_they_are_used() -> None:
    turns = replace(time(40 * MS, 41 * MS, more=20 * MS), because="a turn for the client")
    told = " ".join(text(page.words_lines(outcome(turns), 80)).split())
    assert "room: how far" in told
    assert "turn: how long who can run may wait for a processor, here up to 20.0 ms" in told
    assert "tick" not in told
    ticks = replace(time(40 * MS, 41 * MS, more=20 * MS), because="two ticks")
    told = " ".join(text(page.words_lines(outcome(ticks), 80)).split())
    assert "tick: what most kernels count" in told
    assert page.words_lines(outcome(WORD), 80) == []

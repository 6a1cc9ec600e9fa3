"""The language of rules: what can be written, how it is written back, and what mistakes say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.lab.wire.grammar import VERBS, rules_from_argument, rules_from_text
from netlab.lab.wire.rules import (
    STAGES,
    Corrupt,
    Cut,
    Delay,
    Drop,
    Duplicate,
    Loss,
    Mtu,
    Queue,
    Rate,
    Reorder,
    Retard,
    Rule,
)
from netlab.lab.wire.selection import Bytes, Chance, Frames, Kind, Numbers, When, Where
from netlab.lab.wire.tokens import RuleMistake
from netlab.model.errors import UsageError
from netlab.model.tables import Direction

MS = 1_000_000
C2S, S2C = Where(Direction.C2S), Where(Direction.S2C)


def numbered(kind: Kind, *numbers: int | tuple[int, int | None]) -> Frames:
    return Frames(kind, Numbers.of(*numbers))


GOOD = {
    "delay 20ms": Delay(20 * MS),
    "delay 20ms jitter 2ms": Delay(20 * MS, 2 * MS),
    "DELAY 20 MS jitter 1.5ms seed 3 unordered": Delay(20 * MS, 1_500_000, 3, True),
    "delay c>s 250us": Delay(250_000, where=C2S),
    "c>s delay 250 us": Delay(250_000, where=C2S),
    "rate 10mbit": Rate(10_000_000),
    "rate s>c conn 0 1.5 gbit": Rate(1_500_000_000, where=Where(Direction.S2C, 0)),
    "loss 1% seed 7": Loss(Chance(1, 7)),
    "loss 0.05 %": Loss(Chance(0.05, 1)),
    "loss conn 1 c>s 100%": Loss(Chance(100), where=Where(Direction.C2S, 1)),
    "mtu 1400": Mtu(1400),
    "mtu 1400 with icmp": Mtu(1400),
    "mtu s>c 1400 without icmp": Mtu(1400, False, where=S2C),
    "mtu 900 after c>s data 5": Mtu(
        900, when=When(after=numbered(Kind.DATA, 5), after_where=C2S)
    ),
    "drop c>s data 3": Drop(numbered(Kind.DATA, 3), where=C2S),
    "drop s>c synack 1": Drop(numbered(Kind.SYNACK, 1), where=S2C),
    "drop syn 1-2": Drop(numbered(Kind.SYN, (1, 2))),
    "drop s>c ack": Drop(Frames(Kind.ACK), where=S2C),
    "drop c>s data 3,5-7,11-": Drop(numbered(Kind.DATA, 3, (5, 7), (11, None)), where=C2S),
    "drop any every 10": Drop(Frames(Kind.ANY, Numbers(every=10))),
    "drop data 3 copy 2-": Drop(Frames(Kind.DATA, Numbers.of(3), Numbers.of((2, None)))),
    "drop c>s bytes 1448..2896 copy 1": Drop(Bytes(1448, 2896, Numbers.of(1)), where=C2S),
    "drop bytes 0..1": Drop(Bytes(0, 1)),
    "drop s>c ack at 1s for 500ms": Drop(
        Frames(Kind.ACK), where=S2C, when=When(1000 * MS, for_ns=500 * MS)
    ),
    "delay s>c ack 2 by 300ms": Retard(numbered(Kind.ACK, 2), 300 * MS, where=S2C),
    "delay 5% seed 2 by 1s": Retard(Chance(5, 2), 1000 * MS),
    "duplicate datagram 2": Duplicate(numbered(Kind.DATAGRAM, 2)),
    "duplicate s>c ack 4 times 3 by 1ms": Duplicate(
        numbered(Kind.ACK, 4), 3, MS, where=S2C
    ),
    "reorder c>s data 4 after 6": Reorder(
        numbered(Kind.DATA, 4), Kind.DATA, 6, where=C2S
    ),
    "reorder c>s data 4 after ack 2 within 50ms": Reorder(
        numbered(Kind.DATA, 4), Kind.ACK, 2, within_ns=50 * MS, where=C2S
    ),
    "reorder 2% seed 9 by 3": Reorder(Chance(2, 9), by=3),
    "corrupt c>s data 2": Corrupt(numbered(Kind.DATA, 2), where=C2S),
    "cut": Cut(),
    "cut at 1.5s for 3s": Cut(when=When(1500 * MS, for_ns=3000 * MS)),
    "cut after data 10": Cut(when=When(after=numbered(Kind.DATA, 10))),
    "cut c>s after bytes 0..10 copy 2 for 2s": Cut(
        where=C2S, when=When(after=Bytes(0, 10, Numbers.of(2)), for_ns=2000 * MS)
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_can_be_written(text: str) -> None:
    assert rules_from_text(text) == [GOOD[text]]


@pytest.mark.parametrize("text", GOOD)
def test_a_rule_is_written_back_so_that_it_reads_the_same(text: str) -> None:
    written = str(GOOD[text])
    assert rules_from_text(written) == [GOOD[text]]
    assert str(rules_from_text(written)[0]) == written


def test_a_queue_goes_with_a_rate() -> None:
    assert rules_from_text("rate 1mbit; queue 50 packets") == [Rate(10**6), Queue(50)]
    assert rules_from_text("queue s>c 64kB; rate 1mbit") == [
        Queue(size_bytes=64_000, where=S2C),
        Rate(10**6),
    ]


def test_rules_stand_in_lines_and_between_semicolons() -> None:
    text = "# a bad day\n\ndelay 20ms;; drop c>s data 3 # the third\r\n ; \n#cut\nloss 1% seed 7;"
    assert list(map(str, rules_from_text(text))) == [
        "delay 20ms",
        "drop c>s data 3",
        "loss 1% seed 7",
    ]
    assert rules_from_text("") == rules_from_text(" ;\n# nothing") == []


def test_every_example_of_the_language_is_right() -> None:
    for verb, (_, example) in VERBS.items():
        assert rules_from_text(example)[-1].verb == verb
    assert {stage.verb for stage in STAGES} == set(VERBS)


def test_rules_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bad day.rules"
    path.write_text("delay 20ms\ndrop c>s data 3\n")
    assert rules_from_argument(f"@{path}") == rules_from_text("delay 20ms; drop c>s data 3")
    assert rules_from_argument("cut") == [Cut()]
    path.write_text("delay 20ms\n  drp")
    with pytest.raises(RuleMistake, match=r"bad day.rules, line 2, column 3: expected cut"):
        rules_from_argument(f"@{path}")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no UTF-8 text"):
        rules_from_argument(f"@{path}")
    with pytest.raises(UsageError, match="No such file"):
        rules_from_argument("@/nowhere/at/all")


counts = st.integers(1, 10**6)
spans = st.one_of(
    counts.map(lambda n: (n, n)),
    st.tuples(counts, counts).map(lambda pair: (min(pair), max(pair))),
    counts.map(lambda n: (n, None)),
)
some_numbers = st.one_of(
    st.lists(spans, min_size=1, max_size=3).map(lambda found: Numbers(tuple(found))),
    st.integers(2, 100).map(lambda every: Numbers(every=every)),
)
numbers = st.one_of(st.just(Numbers()), some_numbers)
copies = st.none() | some_numbers
frames = st.one_of(
    st.builds(Frames, st.sampled_from(Kind), numbers),
    st.builds(Frames, st.just(Kind.DATA), numbers, copies),
)
byte_ranges = st.builds(
    lambda start, size, copies: Bytes(start, start + size, copies), st.integers(0, 10**9), counts,
    copies,
)  # fmt: skip
countables = frames | byte_ranges
seeds = st.integers(0, 10**9)
chances = st.builds(Chance, st.floats(0, 100).map(lambda p: round(p, 9)), seeds)
whats = countables | chances
wheres = st.builds(Where, st.none() | st.sampled_from(Direction), st.none() | st.integers(0, 10**6))
durations = st.integers(0, 24 * 3600 * 10**9) | st.integers(0, 10**6)
whens = st.one_of(
    st.just(When()),
    st.builds(When, at_ns=durations, for_ns=st.none() | durations),
    st.builds(When, after=countables, after_where=wheres, for_ns=st.none() | durations),
)
about = {"where": wheres, "when": whens}
every_rule: st.SearchStrategy[Rule] = st.one_of(
    st.builds(Cut, **about),
    st.builds(Mtu, st.integers(68, 65_535), st.booleans(), **about),
    st.builds(Drop, countables, **about),
    st.builds(Loss, chances, **about),
    st.builds(Corrupt, whats, **about),
    st.builds(Duplicate, whats, st.integers(1, 1000), durations, **about),
    st.builds(Reorder, whats, by=counts, within_ns=durations, **about),
    st.builds(
        lambda kind, number, later, within_ns, where, when: Reorder(
            Frames(kind, Numbers.of(number)), kind, number + later, None, within_ns, where=where,
            when=when,
        ),
        st.sampled_from([kind for kind in Kind if kind is not Kind.ICMP]), counts, counts,
        durations, wheres, whens,
    ),
    st.builds(Rate, st.integers(1, 10**12), **about),
    st.builds(Delay, durations, **about),
    st.builds(
        lambda jitter_ns, more_ns, seed, unordered, where, when: Delay(
            jitter_ns + more_ns, jitter_ns, seed, unordered, where=where, when=when
        ),
        st.integers(1, 10**9), st.integers(0, 10**9), seeds, st.booleans(), wheres, whens,
    ),
    st.builds(Retard, whats, durations, **about),
)  # fmt: skip
queues = st.builds(Queue, packets=counts, **about) | st.builds(Queue, size_bytes=counts, **about)


@given(st.lists(every_rule | queues, max_size=5))
def test_whatever_is_written_is_read_back(rules: list[Rule]) -> None:
    rules = [Rate(1), *rules]  # for the queues
    assert rules_from_text("; ".join(map(str, rules))) == rules
    assert rules_from_text("\n".join(map(str, rules))) == rules


@given(st.text("cutdropayms%.> -;#\n0123456789", max_size=40) | st.text(max_size=20))
def test_no_text_does_more_than_say_what_is_wrong(text: str) -> None:
    try:
        rules_from_text(text)
    except RuleMistake as error:
        mistake = error
    else:
        return
    assert mistake.exit_code == 2
    assert len(mistake.picture()) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Numbers(((1, 2),), every=3),
        lambda: When(at_ns=1, after=Frames(Kind.SYN)),
        lambda: When(for_ns=1),
        lambda: Where(connection=-1),
        lambda: Queue(),
        lambda: Queue(1, 1),
        lambda: Reorder(Frames(Kind.DATA, Numbers.of(1))),
        lambda: Delay(5, seed=2),
        lambda: Chance(1, -1),
    ],
)
def test_objects_that_cannot_be_meant_cannot_be_made(make: object) -> None:
    with pytest.raises(UsageError):
        make()  # type: ignore[operator]


def test_what_the_readme_says_of_rules_is_right() -> None:
    readme = Path(__file__).resolve().parents[4] / "README.md"
    section = readme.read_text("utf-8").partition("## The rules of the wire\n")[2]
    section = section.partition("\n## ")[0]
    quoted = re.findall(r"`([^`\n]+)`", section)
    rules = [text for text in quoted if text.split()[0] in VERBS and " " in text]
    assert len(rules) >= 19
    for text in rules:
        assert rules_from_text(f"rate 1mbit; {text}")
    for row in section.partition("| frames |")[2].splitlines():
        first_cell = row.partition(" | ")[0] if row.startswith("| `") else ""
        for text in re.findall(r"`([^`]+)`", first_cell):
            assert rules_from_text(f"corrupt {text}")
    with pytest.raises(RuleMistake) as caught:
        rules_from_text("delay 20ms; drop c>s dta 3")
    assert f"    {caught.value}\n" in section
    assert caught.value.picture()[1].endswith("^^^")

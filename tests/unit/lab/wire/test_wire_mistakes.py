"""What a wrong rule is answered with: the place, what was expected, an example.

The golden file has each wrong rule with carets under the words at fault, and the answer.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.lab.wire.grammar import VERBS, rules_from_text
from netlab.lab.wire.selection import Kind
from netlab.lab.wire.tokens import RuleMistake

WRONG = {
    "words": """
drp c>s data 3
delay 20ms; drop c>s dta 3
delay
drop
drop conn data 3
drop data 3 c>s
c>s drop s>c data 3
drop c>s conn 1 s>c data 3
drop numbers 5-3
delay ack 2
delay 20ms foo
delay 20ms jitter 2ms unorderd
loss 1% sed 7
drop data x3
mtu 1400 without
reorder data 4
reorder bytes 0..9 after 6
cut for 3s
cut after
cut at 1s after data 2
drop 1%
queue 50 packets
rate c>s 1mbit; queue s>c 9kB
""",
    "times": """
delay fast
delay 20
delay 0.5ns
delay 25h
delay 90000s
c>s delay ack 2 by 90000s
delay 20ms at 90000s
delay 20ms at 1s for 90000s
delay 20ms jitter
delay 20ms jitter 30ms
delay 20ms jitter 0ms seed 3
delay 20ms jitter 0s unordered
duplicate data 1 by 90000s
reorder data 4 by 3 within 90000s
cut at
cut at 1.5s for 3
""",
    "rates and sizes": """
mtu
mtu 67
delay 20ms; mtu c>s 65536 without icmp at 1s
rate 10
rate 10mbps
rate 0bit
rate 0.5bit
delay 20ms; rate s>c 0 mbit after data 10
rate 1mbit; queue 50
rate 1mbit; queue 0 packets
rate 10 mbit; queue s>c 0kB
""",
    "chances and seeds": """
loss
loss 1
loss 101%
loss s>c conn 2 100.5% seed 3
loss 101 % seed 3
loss 1e-3%
loss 1% seed
loss 1% seed x
delay 20ms jitter 2ms seed -1
delay 20ms jitter 2ms seed 1234567890123456
corrupt 150%
reorder 200% by 3
delay 5000% by 1s
""",
    "numbers, bytes and copies": """
drop data 0
drop data 5-3
drop c>s data 1,5-3,9
drop data 3..5
drop data 99999999999999999999
drop data every
drop data every 0
drop data 3 copy
drop data 3 copy 0
drop data 3 copy every 0
drop ack 2 copy 2
drop bytes 1448
drop bytes 5..5
drop bytes 10..5 copy 2
drop bytes 0..9 copy 2-1
drop conn -1 data 3
duplicate data 1 times 0
duplicate c>s data 1 times 1001 by 5ms
reorder data 4 after 4
reorder data after 6
reorder data 4-9 after 6
reorder data 4 after data 0
reorder data 4 after icmp 2
reorder data 4 by 0
cut after data 0
cut after c>s data 5-3 for 2s
cut after bytes 5..5
cut after data 2 copy 0
cut after ack 1 copy 2
""",
}  # fmt: skip

EVERY_WRONG = [rule for rules in WRONG.values() for rule in rules.strip().splitlines()]


def mistake_in(text: str) -> RuleMistake:
    with pytest.raises(RuleMistake) as caught:
        rules_from_text(text)
    return caught.value


def test_each_mistake_stands_where_it_is(golden: Callable[[str, str], None]) -> None:
    shown = []
    for title, rules in WRONG.items():
        shown.append(f"# {title}\n")
        for rule in rules.strip().splitlines():
            line, carets = mistake_in(rule).picture()
            place, _, answer = str(mistake_in(rule)).partition(": ")
            assert (line, place) == (rule, f"wire rules, line 1, column {carets.index('^') + 1}")
            shown.append(f"{line}\n{carets}\n{answer}\n")
    golden("wire_mistakes.txt", "\n".join(shown))


@pytest.mark.parametrize("text", EVERY_WRONG)
def test_a_mistake_is_one_line_with_an_example_that_works(text: str) -> None:
    error = mistake_in(text)
    assert error.exit_code == 2
    assert "\n" not in str(error)
    assert f"line {error.line}, column {error.column}: " in error.message
    assert error.hint.startswith('for example "')
    assert rules_from_text(error.hint[len('for example "') : -1])


def test_the_line_is_counted_and_what_cannot_be_shown_is_a_question_mark() -> None:
    error = mistake_in("cut;\n\n  cut of")
    assert (error.line, error.column) == (3, 7)
    assert error.picture() == ("  cut of", "      ^^")
    error = mistake_in("drop data 3 \x1b[31m")
    assert error.picture() == ("drop data 3 ?[31m", "            ^^^^^")


def test_the_whole_of_one() -> None:
    assert str(mistake_in("delay 20ms; drop c>s dta 3")) == (
        "wire rules, line 1, column 22: expected any, syn, synack, ack, data, fin, rst, datagram, "
        "icmp, bytes or a chance such as 1%, not 'dta' (did you mean data?): "
        'for example "drop c>s data 3"'
    )


WORDS = """
c>s s>c conn at after for by within times copy every jitter seed unordered icmp with without
packets % bytes ; 0 1 5-3 3, 101% 0% 0ms 5..5 5..9 90000s 2s 67 1400 0bit 1mbit 0kB 999999999999999
"""
words = st.sampled_from([*VERBS, *map(str, Kind), *WORDS.split()])


@given(st.lists(words, min_size=1, max_size=9))
def test_no_rule_is_refused_without_a_place(said: list[str]) -> None:
    text = " ".join(said)
    try:
        rules_from_text(text)
    except RuleMistake as error:
        line, carets = error.picture()
        assert line == text
        assert carets.strip() == "^" * len(carets.strip())
        assert len(carets) <= len(text) + 1

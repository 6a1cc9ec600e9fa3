"""The language of rules: text -> rules, each mistake with its place and an example.

    rules     = [ rule ] { ( ";" | line end ) [ rule ] }        "#" begins a comment
    rule      = where deed when               `where` may stand in front, or behind the first word
    where     = [ "c>s" | "s>c" ] [ "conn" NUMBER ]
    when      = [ ( "at" TIME | "after" where countable ) [ "for" TIME ] ]

    deed      = "cut"
              | "mtu" NUMBER [ ( "with" | "without" ) "icmp" ]
              | "drop" what
              | "loss" chance
              | "corrupt" what
              | "duplicate" what [ "times" NUMBER ] [ "by" TIME ]
              | "reorder" what ( "after" [ kind ] NUMBER | "by" NUMBER ) [ "within" TIME ]
              | "queue" ( NUMBER "packets" | SIZE )
              | "rate" RATE
              | "delay" TIME [ "jitter" TIME [ "seed" NUMBER ] [ "unordered" ] ]
              | "delay" what "by" TIME

    what      = countable | chance
    countable = kind [ numbers ] [ "copy" numbers ] | "bytes" RANGE [ "copy" numbers ]
    kind      = "any" | "syn" | "synack" | "ack" | "data" | "fin" | "rst" | "datagram" | "icmp"
    numbers   = span { "," span } | "every" NUMBER              without: all of them
    span      = NUMBER [ "-" [ NUMBER ] ]                       both included; 3- has no end
    chance    = PERCENT [ "seed" NUMBER ]                       without: seed 1
    RANGE     = 1448..2896                                      half-open, the first byte is 0
    TIME 20ms, RATE 10mbit, SIZE 64kB, PERCENT 1%: a blank may stand before the unit

What the words mean is said in `rules` and `selection`. `str(rule)` writes a rule so that it is read
back as the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from netlab.lab.wire.quantities import DURATION, RATE, SIZE, Quantity, maybe_percent
from netlab.lab.wire.rules import (
    REORDER_WITHIN_NS,
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
    queue_without_rate,
)
from netlab.lab.wire.selection import (
    Bytes,
    Chance,
    Countable,
    Frames,
    Kind,
    Numbers,
    What,
    When,
    Where,
    check_duration,
)
from netlab.lab.wire.tokens import Statement, statements_from_text
from netlab.model.errors import UsageError
from netlab.model.tables import Direction

_KINDS = tuple(map(str, Kind))
_DIRECTIONS = tuple(map(str, Direction))
_NUMBER = re.compile(r"\d{1,15}")
_SPANS = re.compile(r"\d{1,15}(-(\d{1,15})?)?(,\d{1,15}(-(\d{1,15})?)?)*")
_RANGE = re.compile(r"(\d{1,15})\.\.(\d{1,15})")
_WANTS_WHAT = f"{', '.join(_KINDS)}, bytes or a chance such as 1%"


def rules_from_argument(argument: str) -> list[Rule]:
    """The rules of a command line: written out, or `@FILE` with the rules in that file (UTF-8).

    Raises UsageError, RuleMistake among them.
    """
    if not argument.startswith("@"):
        return rules_from_text(argument)
    path = argument[1:]
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "it is no UTF-8 text"
        raise UsageError(f"the rules in {path!r} cannot be read", why) from None
    return rules_from_text(text, path)


def rules_from_text(text: str, source: str = "wire rules") -> list[Rule]:
    """The rules of a text, in its order; raises RuleMistake at the first that is wrong."""
    statements = list(statements_from_text(text, source))
    rules = [_rule(statement) for statement in statements]
    orphan = queue_without_rate(rules)
    if orphan is not None:
        error = UsageError(f"{rules[orphan]} without a rate never fills", "add a rate")
        statements[orphan].example = f"rate 10mbit; {rules[orphan]}"
        raise statements[orphan].wrong(error)
    return rules


def _rule(said: Statement) -> Rule:
    where = _where(said)
    said.example = "drop c>s data 3"
    verb = said.need(*VERBS)
    read, said.example = VERBS[verb]
    with said.value():
        behind = _where(said)
        if where != Where() and behind != Where():
            raise UsageError("where is said twice", "say it before or behind the first word")
    return read(said, where if behind == Where() else behind)


def _where(said: Statement) -> Where:
    direction = said.maybe(*_DIRECTIONS)
    connection = _number(said) if said.maybe("conn") else None
    direction = direction or said.maybe(*_DIRECTIONS)
    return Where(Direction(direction) if direction else None, connection)


# --- the deeds


def _cut(said: Statement, where: Where) -> Rule:
    return Cut(where=where, when=_end(said))


def _mtu(said: Statement, where: Where) -> Rule:
    with said.value():
        mtu = Mtu(_number(said, "a number of bytes"))
    icmp = said.maybe("with", "without")
    if icmp:
        said.need("icmp")
    return replace(mtu, icmp=icmp != "without", where=where, when=_end(said))


def _drop(said: Statement, where: Where) -> Rule:
    with said.value():
        drop = Drop(_what(said))
    return replace(drop, where=where, when=_end(said))


def _loss(said: Statement, where: Where) -> Rule:
    chance = _maybe_chance(said)
    if chance is None:
        said.fail("a chance such as 1%")
    return Loss(chance, where=where, when=_end(said))


def _corrupt(said: Statement, where: Where) -> Rule:
    what = _what(said)
    return Corrupt(what, where=where, when=_end(said))


def _duplicate(said: Statement, where: Where) -> Rule:
    duplicate = Duplicate(_what(said))
    if said.maybe("times"):
        with said.value():
            duplicate = replace(duplicate, times=_number(said))
    by_ns = _duration(said) if said.maybe("by") else 0
    return replace(duplicate, by_ns=by_ns, where=where, when=_end(said))


def _reorder(said: Statement, where: Where) -> Rule:
    what = _what(said)
    kind = what.kind if isinstance(what, Frames) else Kind.DATA
    until = said.need("after", "by")
    with said.value():
        if until == "by":
            reorder = Reorder(what, by=_number(said))
        else:
            named = said.maybe(*_KINDS)
            if not named and not isinstance(what, Frames):
                said.fail("a kind and a number, such as data 6", _KINDS)
            reorder = Reorder(what, Kind(named) if named else kind, _number(said))
    within_ns = _duration(said) if said.maybe("within") else REORDER_WITHIN_NS
    return replace(reorder, within_ns=within_ns, where=where, when=_end(said))


def _queue(said: Statement, where: Where) -> Rule:
    in_packets = said.peek_after() in ("packets", "packet")
    with said.value():
        if in_packets:
            queue = Queue(_number(said))
        else:
            wants = "a number of packets (50 packets) or a size (64kB)"
            queue = Queue(size_bytes=_amount(said, SIZE, wants))
    if in_packets:
        said.take()
    return replace(queue, where=where, when=_end(said))


def _rate(said: Statement, where: Where) -> Rule:
    with said.value():
        rate = Rate(_amount(said, RATE))
    return replace(rate, where=where, when=_end(said))


def _delay(said: Statement, where: Where) -> Rule:
    what = _maybe_what(said)
    if what is not None:
        said.example = "delay s>c ack 2 by 300ms"
        said.need("by")
        by_ns = _duration(said)
        return Retard(what, by_ns, where=where, when=_end(said))
    delay = Delay(_duration(said, f"{DURATION.wants}, or a frame such as data 3"))
    if said.maybe("jitter"):
        with said.value():
            delay = replace(delay, jitter_ns=_amount(said, DURATION))
        with said.value():
            seed = _number(said) if said.maybe("seed") else 1
            delay = replace(delay, seed=seed, unordered=bool(said.maybe("unordered")))
    return replace(delay, where=where, when=_end(said))


VERBS: Mapping[str, tuple[Callable[[Statement, Where], Rule], str]] = {
    "cut": (_cut, "cut at 1.5s for 3s"),
    "mtu": (_mtu, "mtu 1400"),
    "drop": (_drop, "drop c>s data 3"),
    "loss": (_loss, "loss 1% seed 7"),
    "corrupt": (_corrupt, "corrupt c>s data 2"),
    "duplicate": (_duplicate, "duplicate s>c ack 2"),
    "reorder": (_reorder, "reorder c>s data 4 after 6"),
    "queue": (_queue, "rate 10mbit; queue 50 packets"),
    "rate": (_rate, "rate 10mbit"),
    "delay": (_delay, "delay 20ms jitter 2ms"),
}


# --- the parts


def _what(said: Statement) -> What:
    what = _maybe_what(said)
    if what is None:
        said.fail(_WANTS_WHAT, (*_KINDS, "bytes"))
    return what


def _maybe_what(said: Statement) -> What | None:
    return _maybe_countable(said) or _maybe_chance(said)


def _maybe_countable(said: Statement) -> Countable | None:
    if said.maybe("bytes"):
        match = _RANGE.fullmatch(said.peek())
        if match is None:
            said.fail("a range of bytes such as 1448..2896")
        with said.value():
            said.take()
            some = Bytes(int(match[1]), int(match[2]))
        return replace(some, copies=_maybe_copies(said))
    kind = said.maybe(*_KINDS)
    if not kind:
        return None
    frames = Frames(Kind(kind), _maybe_numbers(said))
    with said.value():
        return replace(frames, copies=_maybe_copies(said))


def _maybe_numbers(said: Statement) -> Numbers:
    if said.maybe("every"):
        with said.value():
            return Numbers(every=_number(said))
    text = said.peek()
    if not text[:1].isdigit():
        said.offer("a number")
        return Numbers()
    if not _SPANS.fullmatch(text):
        said.fail("numbers such as 3 or 3-5 (both included) or 3,5 or 3-")
    ranges = []
    for span in text.split(","):
        first, dash, last = span.partition("-")
        ranges.append((int(first), int(last) if last else None if dash else int(first)))
    with said.value():
        said.take()
        return Numbers(tuple(ranges))


def _maybe_copies(said: Statement) -> Numbers | None:
    if not said.maybe("copy"):
        return None
    copies = _maybe_numbers(said)
    if copies == Numbers():
        said.fail("the number of the copy, such as 2 or 2-3 or 1-")
    return copies


def _maybe_chance(said: Statement) -> Chance | None:
    text = said.peek()
    if said.peek_after() == "%":
        text += "%"
    percent = maybe_percent(text)
    if percent is None:
        return None
    with said.value():
        if said.take() != text:
            said.take()
        chance = Chance(percent)
    return replace(chance, seed=_number(said)) if said.maybe("seed") else chance


def _end(said: Statement) -> When:
    """The time of a rule, behind which nothing may follow."""
    when = _when(said)
    said.finish()
    return when


def _when(said: Statement) -> When:
    at_ns = after = for_ns = None
    after_where = Where()
    begins = said.maybe("at", "after")
    if begins == "at":
        at_ns = _duration(said)
    elif begins == "after":
        after_where = _where(said)
        after = _maybe_countable(said)
        if after is None:
            said.fail(f"{', '.join(_KINDS)} or bytes", (*_KINDS, "bytes"))
    if begins and said.maybe("for"):
        for_ns = _duration(said)
    return When(at_ns, after, after_where, for_ns)


def _number(said: Statement, wants: str = "a number") -> int:
    if not _NUMBER.fullmatch(said.peek()):
        said.fail(wants)
    return int(said.take())


def _duration(said: Statement, wants: str = "") -> int:
    with said.value():
        duration_ns = _amount(said, DURATION, wants)
        check_duration(duration_ns)
    return duration_ns


def _amount(said: Statement, quantity: Quantity, wants: str = "") -> int:
    text, unit = said.peek(), said.peek_after()
    amount = quantity.maybe_parse(text)
    if amount is not None:
        said.take()
        return amount
    amount = quantity.maybe_parse(text + unit) if unit in quantity.units else None
    if amount is None:
        said.fail(wants or quantity.wants)
    said.take(), said.take()
    return amount

"""A finding of the second verdict's kernels -> the verdict, its reason in words, and its evidence.

The words are those of `second_verdicts` and the files it reads: a test compares them on every
capture. Only of a row that someone looks at is a text made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from netlab.correlate import sender_record_kernels as k
from netlab.correlate.again import IN_ITS_RECOVERY, TIMED_OUT, Finding
from netlab.correlate.verdict_words import byte_text, ms
from netlab.model.tables import Again, Doubt, Verdict

NEW = "bytes not seen before"
FIRST = "the first of this sender here: what came before, is not seen"
VERDICTS = (None, *Verdict)
_BY_STAMP, _SENT_AGAIN = "its timestamp is older", "sent again, why is not known:"
_HOW = {
    k.V_RTO: "sent again by the timer: ",
    k.V_FAST: "sent again as a fast retransmission: ",
    k.V_TAIL_PROBE: "sent again as a tail loss probe: ",
}
_TAKEN = {
    k.V_RTO: "sent again by the timer",
    k.V_TAIL_PROBE: "a tail loss probe",
    k.V_KEEP_ALIVE: "a keep-alive",
}


class Headers(NamedTuple):
    """What a text tells of the IP header of a row."""

    ip_id: int
    ttl: int


Numbers = Mapping[str, int]  # a finding's, by field
Text = Callable[["_Words"], str]


def finding(
    row: int, numbers: Numbers, frame: Callable[[int], int], headers: Callable[[int], Headers]
) -> Finding:
    """What is said of a row; `frame` gives the number of another row's frame."""
    words = _Words(row, numbers, frame, headers)
    reason = _TEXTS[numbers["reason"]](words)
    doubt = _DOUBTS.get(numbers["reason"])
    frames, again = words.frames(), Again(doubt=doubt) if doubt is not None else None
    if numbers["reason"] == k.RECOVERING:
        again = Again(timeout_frame=words.a)
    if numbers["vain"]:
        by = VERDICTS[numbers["vain_of"]] if numbers["vain_of"] in _HOW else None
        again = Again(by, again.timeout_frame if again is not None else None, words.vain())
        reason = f"{words.vain()}; {_HOW.get(numbers['vain_of'], '')}{reason}"
        there = (numbers["vain_row"], *words.rows()) if numbers["vain_row"] >= 0 else words.rows()
        frames = tuple(dict.fromkeys(map(frame, there)))
    if numbers["taken"]:
        reason = (
            f"{_TAKEN[numbers['taken']]}, if no frames are missing; but this capture lacks some:"
            f" {reason}"
        )
    return Finding(VERDICTS[numbers["verdict"]], reason, frames, again)


class _Words:
    """The numbers of a finding as a text has them."""

    def __init__(
        self,
        row: int,
        numbers: Numbers,
        frame: Callable[[int], int],
        headers: Callable[[int], Headers],
    ) -> None:
        self.row, self.numbers, self._frame = row, numbers, frame
        self.headers = headers
        self.wait = ms(numbers["wait_ns"])
        self.one, self.two = numbers["one"], numbers["two"]
        self.a, self.b, self.c = (self.frame(numbers[f"row_{name}"]) for name in "abc")

    def frame(self, row: int) -> int | None:
        return self._frame(row) if row >= 0 else None

    def rows(self) -> tuple[int, ...]:
        """The rows that are the evidence, each once."""
        named = _EVIDENCE.get(self.numbers["reason"], "a")
        return tuple(
            dict.fromkeys(
                row for name in named if (row := self.numbers[f"row_{name}"]) >= 0
            )
        )  # fmt: skip

    def frames(self) -> tuple[int, ...]:
        return tuple(map(self._frame, self.rows()))

    def once_more(self) -> str:
        return f"frame {self.a} once more (IP identification {self.headers(self.row).ip_id})"

    def ttl(self) -> str:
        mine, first = self.headers(self.row), self.headers(self.numbers["row_a"])
        return (
            f"{self.once_more()}, seen at another place: its time to live is {mine.ttl}, there"
            f" {first.ttl}"
        )

    def told(self) -> str:
        by, numbers = self.numbers["told"], self.numbers
        if by == k.BY_SACK:
            gap = byte_text(numbers["three"], numbers["four"])
            return f"SACK {byte_text(self.one, self.two)} showed the gap {gap}"
        if by == k.BY_DUPLICATES:
            return f"{self.one} duplicate ACKs asked for it"
        if by == k.BY_LATER:
            return f"frame {self.a} was sent after it and had come, by ACK {self.b}"
        return f"in the recovery that frame {self.a} began: an ACK stopped here"

    def turn(self, what: str) -> str:
        return (
            f"{what}, or a probe of a closed window: frame {self.a}"
            f" {'closed' if self.one else 'opened'} it, and whether its sender had heard that is"
            " not known"
        )

    def gap(self) -> str:
        told = ", though ACKs had shown the gap" if self.one else ""
        return (
            f"late, or sent again after it was lost before this capture{told}: neither timestamps"
            " nor identifications tell which"
        )

    def timer(self) -> str:
        return f"{self.wait} after frame {self.a}, and no ACK of it since"

    def lone(self) -> str:
        return f"{ms(self.one)} without an ACK, then {self.wait} up to frame {self.b}"

    def vain(self) -> str:
        """How its receiver said that it had it."""
        how, frame = self.numbers["vain"], self.frame(self.numbers["vain_row"])
        if how == k.VAIN_ACK:
            return f"frame {frame} had acknowledged all it brings before it came"
        if how == k.VAIN_SACK:
            return "all it brings had been selectively acknowledged before it came"
        if how == k.VAIN_ECHO:
            return (
                f"the ACK of frame {frame} echoes a timestamp from before it was sent: an earlier"
                " copy had come"
            )
        told = byte_text(self.numbers["vain_start"], self.numbers["vain_stop"])
        return f"D-SACK {told} of frame {frame} says that it came a second time"


# The rows that prove it; of all others it is `row_a`.
_EVIDENCE = {
    k.SYN_AGAIN: "", k.SYN_ANSWERS: "b", k.ALIVE_OR_AGAIN: "ab", k.ALIVE: "ab",
    k.RECOVERING: "ab", k.TOLD: "ab", k.TOLD_OR_OPEN: "abc", k.TOLD_LATE: "ab",
    k.LONE_PROBE: "ab", k.TWICE_TOLD: "ab",
}  # fmt: skip
_DOUBTS = {
    k.GAP_UNSURE: Doubt.WHETHER,
    k.ONCE_MORE: Doubt.WHETHER,
    **dict.fromkeys(
        (
            k.UNTOLD, k.SOON_FOR_TIMER, k.NOT_THE_FIRST, k.NOT_FIRST_SINCE, k.NO_TRIP,
            k.SOON_FOR_PROBE,
        ),
        Doubt.WHY,
    ),
    k.EITHER_TIMER: Doubt.TIMER_OR_PROBE,
}  # fmt: skip
_TEXTS: dict[int, Text] = {
    k.TWIN_INTERFACE: lambda w: f"{w.once_more()}, seen at another place: on another interface",
    k.TWIN_TTL: _Words.ttl,
    k.TWIN_VLAN: lambda w: f"{w.once_more()}, seen at another place: another VLAN",
    k.TWIN_LATE: lambda w: (
        f"{w.once_more()}, {w.wait} later: doubled by the network, which is late for that, or sent"
        " again by a stack that does not number anew"
    ),
    k.TWIN_OPEN: lambda w: f"{w.once_more()}: captured twice, or doubled by the network",
    k.PROBE_OR_NEW: lambda w: w.turn("new data"),
    k.PROBE_OR_ALIVE: lambda w: w.turn("a keep-alive"),
    k.PROBE_BEYOND: lambda w: f"one byte beyond the window, which frame {w.a} had closed",
    k.ALIVE_OR_AGAIN: lambda w: (
        f"sent again, or a keep-alive: all that frame {w.a} brought was this byte, and whether its"
        f" sender had heard frame {w.b} is not known"
    ),
    k.PROBE_CLOSED: lambda w: f"nothing is out, and the window has been closed since frame {w.a}",
    k.PROBE_OPENED: lambda w: (
        f"nothing is out, and its sender had not heard yet that frame {w.a} opened the window"
    ),
    k.ALIVE: lambda w: f"nothing is out, and nothing was sent for {w.wait}",
    k.ACKED_BEFORE: lambda w: (
        f"frame {w.a} had acknowledged all it brings before it was seen: out of order in this"
        " capture, or sent again"
    ),
    k.SYN_AGAIN: lambda _: "a SYN again; the first was answered, or is not here",
    k.SYN_HEARD: lambda w: (
        f"again {w.wait} after frame {w.a}: not the timer alone, something was heard"
    ),
    k.SYN_ANSWERS: lambda w: (
        f"answers the SYN of frame {w.b} again, or the timer sent it {w.wait} after frame {w.a}"
    ),
    k.SYN_ALONE: lambda w: f"{TIMED_OUT} {w.wait} after frame {w.a}, without an answer",
    k.GAP_STAMP: lambda w: f"sent before frame {w.a}, which is seen first: {_BY_STAMP}",
    k.GAP_ID: lambda w: (
        f"sent before frame {w.a}, which is seen first: its IP identification lies between theirs"
    ),
    k.GAP_UNSURE: _Words.gap,
    k.OVERTAKEN_STAMP: lambda w: f"sent before frame {w.a} sent its bytes again: {_BY_STAMP}",
    k.OVERTAKEN_ID: lambda w: (
        f"sent before frame {w.a} sent its bytes again: its IP identification is a little lower"
    ),
    k.SAME_STAMP: lambda w: (
        f"not sent anew: its timestamp is that of frame {w.a}, and newer ones had been sent;"
        " captured twice, or doubled by the network"
    ),
    k.ONCE_MORE: lambda w: (
        f"sent again, or frame {w.a} once more: neither timestamps nor identifications tell which"
    ),
    k.SYN_DATA: lambda _: "data that came with the SYN, which did not take it",
    k.RECOVERING: lambda w: f"{IN_ITS_RECOVERY} {w.a} began",
    k.TOLD: _Words.told,
    k.TOLD_OR_OPEN: lambda w: (
        f"{w.told()}; or part of a recovery after frame {w.c}, of which it is not known whether it"
        " was a time-out, and still went on"
    ),
    k.TOLD_LATE: lambda w: (
        f"ACKs told of a loss, but this left {w.wait} after the last: what it waited for is not"
        " seen"
    ),
    k.UNTOLD: lambda _: f"{_SENT_AGAIN} ACKs came, and told of no loss",
    k.SOON_FOR_TIMER: lambda w: (
        f"{_SENT_AGAIN} {w.wait} after frame {w.b}: too soon for a timer of 200 ms"
    ),
    k.NOT_THE_FIRST: lambda _: (
        f"{_SENT_AGAIN} no ACK told of a loss, and it is not the first that was out"
    ),
    k.NOT_FIRST_SINCE: lambda _: (
        f"{_SENT_AGAIN} the last that was out, and not the first sent again since"
    ),
    k.NO_TRIP: lambda _: f"{_SENT_AGAIN} the last that was out, and the round trip is not known",
    k.SOON_FOR_PROBE: lambda w: f"{_SENT_AGAIN} {w.wait} after frame {w.b}: too soon for a probe",
    k.TAIL: lambda w: (
        f"the last of {w.one} segments out, {w.wait} after frame {w.a} (round trip {ms(w.two)})"
    ),
    k.TIMED: lambda w: f"{TIMED_OUT} {w.timer()}",
    k.EITHER_TIMER: lambda w: (
        f"sent again by the retransmission timer or as a tail loss probe: {w.timer()}, with one"
        " segment out both end alike"
    ),
    k.LONE_PROBE: lambda w: f"{w.lone()}: a timer that had run out would have waited twice as long",
    k.TWICE_TOLD: lambda w: (
        f"frame {w.a} once more, and D-SACK {byte_text(w.one, w.two)} of frame {w.b} says that"
        " both came"
    ),
    k.MOST_TWICE: lambda w: (
        f"frame {w.a} once more, as {w.one} of the connection's {w.two} numbered packets are"
    ),
}

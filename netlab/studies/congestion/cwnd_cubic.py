"""Cubic: a loss takes three tenths, and time brings them back."""

from __future__ import annotations

from netlab.studies.congestion.cwnd_reno import (
    at_loss,
    client,
    moment,
    seen,
    share,
    sysctls,
    windows_after,
    wire,
)
from netlab.studies.evidence import Evidence
from netlab.studies.parts import MS, S, lacks_algorithm
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

BETA, C = 717 / 1024, 0.4  # of tcp_cubic.c; C in segments per s^3
BETA_PERCENT = int(100 * BETA)
WINDOW = 40  # segments, when one of them is lost


def first_round(evidence: Evidence) -> int | None:
    """The first round after the loss, in % of the window before."""
    windows, before = windows_after(evidence), at_loss(evidence)
    return 100 * windows[0] // before if windows and before else None


def grown(p: Params) -> int:
    """What four round trips add, in % of the window: W(t) = C (t - K)^3 + W_max."""
    k_s = (WINDOW * (1 - BETA) / C) ** (1 / 3)
    after = C * (4 * p.rtt / S - k_s) ** 3 + WINDOW
    return 3 + max(int(100 * after / WINDOW) - BETA_PERCENT, 0)


STUDY = Study(
    name="cwnd-cubic",
    topic=Topic.CONGESTION,
    question="A segment is lost. What does cubic do to the congestion window?",
    setup="The same as in cwnd-reno, with cubic, which most systems use: 300 segments, of which "
    "the 31st is lost. The round trip is {rtt}.",
    prediction="It takes three tenths of it away, not half: window x 0.7. Then it grows with the "
    "time since the loss, whatever the round trip is: fast at first, slowly near the window at "
    "which the loss was, and fast again beyond it. On short wires reno would be faster, and "
    "then cubic does as reno would.",
    parameters=(Parameter("rtt", Kind.TIME, 100 * MS, 60 * MS, 300 * MS, "round trip"),),
    server=reads_to_the_end,
    client=client,
    wire=wire,
    sysctls=lambda p: sysctls("cubic"),
    expects=(
        Expect("the threshold after it, in % of the window", Kind.COUNT, lambda p: BETA_PERCENT,
               share, "RFC 9438 4.6: beta 0.7; 717/1024 in tcp_cubic.c",
               less=3, because="whole segments: less than one of 40 is lost in rounding"),
        Expect("the first round after it, in % of the window", Kind.COUNT,
               lambda p: BETA_PERCENT, first_round, "the same; RFC 9438 4.2",
               less=3, more=grown,
               because="a segment; what cubic's function adds in four round trips"),
    ),
    moment=moment,
    seen=seen,
    lacks=lambda: lacks_algorithm("cubic"),
    next="`netlab study cwnd-reno`: it halves.",
)  # fmt: skip

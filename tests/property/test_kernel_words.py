"""What the kernels repeat, since they import only each other, is what the modules say it is."""

from __future__ import annotations

import ast
import inspect
from itertools import accumulate
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.correlate import (
    again,
    again_kernels,
    cause_kernels,
    flows,
    late,
    probes,
    second_verdicts,
    second_words,
    segments,
    sender,
    twins,
    unacked,
    verdicts,
)
from netlab.correlate import kernels as followers
from netlab.correlate import sender_record_kernels as seconds
from netlab.correlate.verdict_names import VERDICTS
from netlab.decode import carried, kernels, tunnels
from netlab.decode import numbers as named
from netlab.engine import second_units, units
from netlab.engine.layout import layout
from netlab.model import seqnum
from netlab.model.tables import Verdict

NUMBERS = st.integers(0, seqnum.SEQ_MASK)
TIMES = st.integers(-(1 << 62), 1 << 62)


@given(NUMBERS, NUMBERS)
def test_distances_of_sequence_numbers(later: int, earlier: int) -> None:
    assert followers.seq_diff(later, earlier) == seqnum.seq_diff(later, earlier)
    assert seconds.distance(later, earlier) == seqnum.seq_diff(later, earlier)


@given(TIMES, TIMES.filter(bool))
def test_a_time_that_is_unsigned(passed_ns: int, limit_ns: int) -> None:
    said = passed_ns % (1 << 64) < limit_ns % (1 << 64)
    assert followers.within(passed_ns, limit_ns) == said


def test_numbers_and_names() -> None:
    assert (followers.FIN, followers.SYN, followers.RST, followers.ACK) == (
        flows.FIN, flows.SYN, flows.RST, flows.ACK,
    )  # fmt: skip
    assert len(VERDICTS) == followers.VERDICTS
    assert followers.LARGEST_SCALE == segments._LARGEST_SCALE
    assert followers.MOST_UNACKED == unacked._MOST
    assert followers.MOST_IN_FLIGHT == verdicts._MOST_IN_FLIGHT
    assert {1 << bit: name for bit, name in enumerate(VERDICTS)} == {
        getattr(followers, short): name
        for short, name in zip(
            ("RETRANSMISSION", "FAST", "SPURIOUS", "OUT_OF_ORDER", "LOST", "ACK_LOST",
             "DUPLICATE_ACK", "ZERO_WINDOW", "PROBE", "PROBE_ACK", "WINDOW_FULL",
             "WINDOW_UPDATE", "KEEP_ALIVE", "KEEP_ALIVE_ACK", "REUSED_PORTS",
             "TFO_SYN", "TFO_ACK", "TFO_IGNORED"),
            VERDICTS, strict=True,
        )
    }  # fmt: skip
    both = {name: getattr(kernels, name) for name in ("BACKWARD", "IS_IPV6", "TCP", "UDP")}
    assert both == {name: getattr(followers, name) for name in both}
    assert kernels.UNJUDGED == followers.UNJUDGED_ROW
    tunnel_ports = {
        kernels.GTP_U, kernels.VXLAN, kernels.VXLAN_GPE, kernels.GENEVE, kernels.MPLS,
    }  # fmt: skip
    assert tunnel_ports == set(tunnels.TUNNEL_NAMES)
    assert (kernels.TCP, kernels.UDP) == (named.IP_TCP, named.IP_UDP)
    assert {0x8100, 0x88A8, 0x9100} == carried.VLAN_TAGS


def test_numbers_and_names_of_the_second_verdicts() -> None:
    codes = {
        name: getattr(seconds, f"V_{short}")
        for name, short in zip(
            Verdict,
            ("NEW_DATA", "RTO", "FAST", "TAIL_PROBE", "SPURIOUS", "REORDERED", "BY_CAPTURE",
             "BY_NETWORK", "KEEP_ALIVE", "WINDOW_PROBE"), strict=True,
        )
    }  # fmt: skip
    assert codes == {name: second_words.VERDICTS.index(name) for name in Verdict}
    assert (seconds.COPIES, seconds.STAMPS, seconds.IDS, seconds.MOST_OUT, seconds.MOST_SACKED) == (
        sender._COPIES, sender._STAMPS, sender.IDS, sender._MOST_OUT, sender._MOST_SACKED,
    )  # fmt: skip
    parts = (seconds.IDS, seconds.COPIES, seconds.STAMPS, seconds.RANGES)
    places = (seconds.COPIES_AT, seconds.STAMPS_AT, seconds.RANGES_AT, seconds.LISTS)
    assert places == tuple(accumulate(parts))
    assert seconds.RANGES > seconds.MOST_SACKED + 1
    assert cause_kernels.LEAST_TIMER_NS == again.LEAST_TIMER_NS == probes._LEAST_NS
    assert (cause_kernels.CLOCKED_NS, cause_kernels.TICK_NS) == (again._CLOCKED_NS, again._TICK_NS)
    assert cause_kernels.ENOUGH_DUPLICATES == again._ENOUGH_DUPLICATES
    assert again_kernels.TWICE_WITHIN_NS == late._TWICE_WITHIN_NS == twins._TWICE_WITHIN_NS
    assert (again_kernels.COUNTS, again_kernels.FEWEST_TWINS) == (late._COUNTS, twins._FEWEST)
    assert again_kernels.MOST_MAYBE == twins._MOST_OPEN
    assert again_kernels.SOONEST_SYN_NS == cause_kernels.LEAST_TIMER_NS
    assert (cause_kernels.LEAST_TIMER_NS, second_words.NEW) == (
        second_verdicts._SYN_LEAST_NS, second_verdicts._NEW,
    )  # fmt: skip


def test_a_packet_is_a_line_of_cache() -> None:
    assert layout(kernels.ROW).size_bytes == 64
    assert layout(kernels.ROW).size_bytes + layout(followers.OUT).size_bytes <= 100


@pytest.mark.parametrize(
    ("unit", "place"),
    [(unit, place) for unit in units.UNITS + second_units.UNITS for place in range(len(unit))],
)
def test_kernels_import_only_their_own_parts(unit: tuple[ModuleType, ...], place: int) -> None:
    """Those that stand behind them: what comes later in the unit's namespace stays there."""
    module = unit[place]
    tree = ast.parse(inspect.getsource(module))
    allowed = {"abs", "int", "max", "min", "range"}
    parts = {part.__name__ for part in unit[place + 1 :]}
    defined = {name for name in vars(module) if not name.startswith("__")}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Import | ast.Try | ast.Raise | ast.Lambda)
        if isinstance(node, ast.ImportFrom):
            assert node.module in parts
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            assert node.func.id in allowed | defined
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    more = [name for kind in ("STORES", "INDICES") for name in getattr(module, kind, ())]
    assert functions == {*module.KERNELS, *module.LOADS, *more}

"""netlab's own verdicts of a capture that the engine read -> columns of Polars frames.

A text is made once for each finding, of which there are few; all other rows share theirs.
Imports Polars and NumPy: only on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from netlab.correlate import sender_record_kernels as k
from netlab.correlate.second_words import FIRST, NEW, VERDICTS
from netlab.decode import kernels as d
from netlab.engine.known import SECOND
from netlab.engine.whole import Whole

_VERDICTS = [None if one is None else one.value for one in VERDICTS]


def verdict_columns(
    whole: Whole, left: Any, part: tuple[int, int], names: Sequence[str]
) -> list[pl.Series]:
    """Those of the columns `known.SECOND` that are named, of the segments in a part of the rows.

    `left` says of each flow whether the general path followed it: its segments are not among them.
    The capture was read `with_second`.
    """
    wanted = [name for name in SECOND if name in names]
    if not wanted:
        return []
    capture, second = whole.capture, whole.capture.second
    assert second is not None, "nobody asked for them"
    rows = capture.records.rows.array(capture.count)[part[0] : part[1]]
    mine = np.flatnonzero(rows["kind"] == d.TCP)
    mine = mine[~left[rows["flow"][mine]]]
    said = second.said.array(capture.count)[part[0] : part[1]][mine]
    found = np.flatnonzero(said >= k.FINDINGS)
    made = {}
    if "verdict" in wanted:
        codes = np.where(said == k.NEW, k.V_NEW_DATA, 0)
        if len(found):
            places = said[found] - k.FINDINGS
            codes[found] = second.findings.array(int(places.max()) + 1)["verdict"][places]
        made["verdict"] = pl.Series(_VERDICTS, dtype=pl.String).gather(codes)
    if len(wanted) > len(made):
        findings = [second.found(capture, int(mine[at]) + part[0]) for at in found]
        which = said.astype(np.int64)
        which[found] = k.FINDINGS + np.arange(len(found))
        reasons = [None, NEW, FIRST, *(one.reason for one in findings if one is not None)]
        frames = [None] * k.FINDINGS + [one.frames or None for one in findings if one is not None]
        made["verdict_reason"] = pl.Series(reasons, dtype=pl.String).gather(which)
        made["verdict_frames"] = pl.Series(frames, dtype=pl.List(pl.Int64)).gather(which)
    return [made[name].alias(name) for name in wanted]

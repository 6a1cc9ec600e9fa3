"""The kernels' modules, by what is compiled together: those of a unit call each other.

In a unit who imports stands before whom it imports from.
"""

from __future__ import annotations

from types import ModuleType

from netlab.correlate import (
    kernels,
    record_kernels,
    segment_kernels,
    sort_kernels,
    traffic_kernels,
    verdict_kernels,
)
from netlab.decode import kernels as readers
from netlab.engine import column_kernels

UNITS: tuple[tuple[ModuleType, ...], ...] = (
    (readers,),
    (kernels, sort_kernels, verdict_kernels, segment_kernels, record_kernels),
    (traffic_kernels,),
    (column_kernels,),
)
MODULES = tuple(module for unit in UNITS for module in unit)

"""What the general path made of the frames that the kernels set aside; `general` makes it."""

from __future__ import annotations

from dataclasses import field

from netlab.model.frame import Frame
from netlab.model.records import dataclass
from netlab.model.tables import Tables


@dataclass(slots=True)
class General:
    """Frames that the general path read, and what it made of those that belong to its flows."""

    frames: list[Frame] = field(default_factory=list)
    tables: Tables = field(default_factory=Tables)
    born: list[int] = field(default_factory=list)  # of each connection: the frame that made it
    numbered: dict[str, list[int]] = field(default_factory=dict)  # the frame that took each stream

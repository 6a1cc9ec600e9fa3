"""A header or a message as a view shows it: a block of fields, and where each of them stands."""

from __future__ import annotations

from netlab.model.records import dataclass


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A field of a header."""

    name: str
    text: str
    meaning: str
    start: int
    stop: int
    source: str  # the document that defines it
    bit_start: int  # from the start of the frame
    bit_stop: int
    column: str  # of the table `packets`, where it is one


@dataclass(frozen=True, slots=True)
class LayerBlock:
    """A header and where it stands in the frame."""

    name: str
    start: int
    stop: int
    fields: tuple[FieldLine, ...]

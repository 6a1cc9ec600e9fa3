"""Records as text: every value comes back exactly, and no value breaks a line."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_recordings import CALL_RECORDS, INT64, KERNEL_EVENTS, MAYBE_INT, SAMPLES, TEXT

from netlab.capture import rows
from netlab.model.call import CallRecord, Inheritance
from netlab.model.clock import ClockPair
from netlab.model.kernel_event import KernelEvent
from netlab.model.recording import Loss
from netlab.model.sample import Sample
from netlab.model.stamp import StampRecord


@given(TEXT)
def test_escaped_text_is_one_line_of_utf8_and_comes_back(text: str) -> None:
    escaped = rows.escape(text)
    assert len((escaped + "|").splitlines()) == 1
    assert "\t" not in escaped
    assert escaped != r"\N"  # which stands for None
    assert rows.unescape(escaped.encode().decode()) == text


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        (rows.CALLS, CallRecord),
        (rows.CLOCK_PAIRS, ClockPair),
        (rows.INHERITANCES, Inheritance),
        (rows.LOSSES, Loss),
        (rows.STAMPS, StampRecord),
        (rows.SAMPLES, Sample),
        (rows.KERNEL_EVENTS, KernelEvent),
    ],
)
def test_a_schema_has_every_field(schema: rows.Schema[object], record: type) -> None:
    assert set(schema.names) == {field.name for field in fields(record)}


RECORDS = st.one_of(
    st.tuples(
        st.just(rows.STAMPS),
        st.lists(st.builds(StampRecord, INT64, TEXT, INT64, INT64, TEXT, INT64), max_size=3),
    ),
    st.tuples(st.just(rows.SAMPLES), st.lists(SAMPLES, max_size=3)),
    st.tuples(st.just(rows.KERNEL_EVENTS), st.lists(KERNEL_EVENTS, max_size=3)),
    st.tuples(st.just(rows.CALLS), st.lists(CALL_RECORDS, max_size=3)),
    st.tuples(st.just(rows.CLOCK_PAIRS), st.lists(st.builds(ClockPair, INT64, INT64), max_size=3)),
    st.tuples(
        st.just(rows.INHERITANCES),
        st.lists(
            st.builds(Inheritance, INT64, INT64, INT64, st.lists(INT64, max_size=3).map(tuple)),
            max_size=3,
        ),
    ),
    st.tuples(
        st.just(rows.LOSSES),
        st.lists(st.builds(Loss, TEXT, TEXT, MAYBE_INT, TEXT, TEXT, MAYBE_INT), max_size=3),
    ),
)


@given(RECORDS)
def test_a_packed_table_comes_back_exactly(case: tuple[rows.Schema[object], list[object]]) -> None:
    schema, records = case
    table = rows.table_header(schema)
    table += b"".join(rows.table_row(schema, record) for record in records)
    assert list(rows.table_records(schema, table)) == records


def test_a_column_of_a_later_version_is_passed_over() -> None:
    table = b"realtime_ns\tnovelty\tmonotonic_ns\n5\tx\t6\n"
    assert list(rows.table_records(rows.CLOCK_PAIRS, table)) == [ClockPair(5, 6)]


@pytest.mark.parametrize(
    "row", [b"5", b"5\tsix", b"5\t6\t7", b"5\t\\N", b"5\t99999999999999999999", b"\xff\t6"]
)
def test_a_row_that_is_none_gives_its_error_and_spares_its_neighbours(row: bytes) -> None:
    table = b"realtime_ns\tmonotonic_ns\n1\t2\n" + row + b"\n3\t4\n"
    first, bad, last = rows.table_records(rows.CLOCK_PAIRS, table)
    assert (first, last) == (ClockPair(1, 2), ClockPair(3, 4))
    assert isinstance(bad, ValueError)

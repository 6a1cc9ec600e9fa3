"""RangeSet and RangeMap agree with plain sets and dicts of bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from netlab.model.ranges import RangeMap, RangeSet

ranges = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: tuple(sorted(pair)))


def bytes_of(pairs: list[tuple[int, int]]) -> set[int]:
    return {byte for a, b in pairs for byte in range(a, b)}


@given(st.lists(ranges), st.lists(ranges), ranges)
def test_a_range_set_is_a_set_of_bytes(
    added: list[tuple[int, int]], removed: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    ours = RangeSet(added)
    for a, b in removed:
        ours.remove(a, b)
    model = bytes_of(added) - bytes_of(removed)
    assert bytes_of(list(ours)) == model
    assert ours.total() == len(model)
    wanted = set(range(*asked))
    assert bytes_of(ours.gaps(*asked)) == wanted - model
    assert bytes_of(ours.overlaps(*asked)) == wanted & model
    parts = ours.overlaps(*asked)
    assert ours.ends_within(*asked) == ((parts[0], parts[-1]) if parts else (None, None))
    below = [stop for _, stop in ours if stop <= asked[0]]
    assert ours.stop_before(asked[0]) == (below[-1] if below else None)
    assert ours.covers(*asked) == (wanted <= model)


@given(st.lists(ranges))
def test_ranges_stay_sorted_disjoint_and_merged(added: list[tuple[int, int]]) -> None:
    kept = list(RangeSet(added))
    assert all(a < b for a, b in kept)
    assert all(b < c for (_, b), (c, _) in pairwise(kept))


@given(st.lists(ranges), ranges)
def test_the_first_claim_of_a_byte_stays(
    claims: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    ours: RangeMap[int] = RangeMap()
    model: dict[int, int] = {}
    for owner, (a, b) in enumerate(claims):
        fresh = ours.claim(a, b, owner)
        expected = {byte for byte in range(a, b) if byte not in model}
        assert bytes_of(fresh) == expected
        model.update(dict.fromkeys(expected, owner))
    found = {byte: owner for a, b, owner in ours.overlaps(*asked) for byte in range(a, b)}
    assert found == {byte: model[byte] for byte in range(*asked) if byte in model}

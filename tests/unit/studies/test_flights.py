"""Rounds, windows and trips of a sender, told from when its frames left and its ACKs came."""

from __future__ import annotations

import pytest
from made_studies import evidence

from netlab.studies.flights import SEGMENT, Flights

MS = 1_000_000
TRIP = 100 * MS


def made(sent: list[tuple[int, int]], acked: list[tuple[int, int]]) -> Flights:
    """Of segments (when, its number) and ACKs (when, how many segments they say are there)."""
    flights = Flights(evidence())
    flights.sent = [(at, n * SEGMENT, (n + 1) * SEGMENT) for at, n in sent]
    flights.acked = [(at, n * SEGMENT) for at, n in acked]
    return flights


def additive(rounds: int, late_ns: int) -> Flights:
    """A sender whose window is 4 in its first round and grows by one in each; an ACK for each
    segment. It takes up ACKs so much later than the wire hands them over, one each 10 µs."""
    sent, acked = [(number, number) for number in range(4)], list[tuple[int, int]]()
    window, counted, at_ns = 4, 0, 0
    for _ in range(rounds):
        at_ns += TRIP
        for place in range(len(sent) - len(acked)):
            came_ns = at_ns + place * 10_000
            acked.append((came_ns, len(acked) + 1))
            counted += 1
            if counted == window:
                window, counted = window + 1, 0
            while len(sent) - len(acked) < window:
                sent.append((came_ns + late_ns + 1 + len(sent), len(sent)))
    return made(sent, acked)


GROWS = [4, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("start", [0, 2, 3])
def test_a_window_grows_by_one_in_each_round(start: int) -> None:
    flights = additive(8, late_ns=0)
    assert flights.rounds(start * SEGMENT)[:8] == GROWS
    assert flights.windows(start * SEGMENT)[:8] == GROWS


@pytest.mark.parametrize("start", [2, 3])
@pytest.mark.parametrize("late_ns", [15_000, 35_000, 100_000])
def test_a_late_hand_over_changes_the_rounds_and_not_the_windows(late_ns: int, start: int) -> None:
    flights = additive(8, late_ns)
    assert flights.rounds(start * SEGMENT)[:8] != GROWS
    assert flights.windows(start * SEGMENT)[:8] == GROWS


def test_a_copy_is_no_part_of_a_round() -> None:
    sent = [(0, 0), (1, 1), (TRIP, 0), (2 * TRIP, 2), (2 * TRIP + 1, 3)]
    flights = made(sent, [(2 * TRIP - 1, 2), (3 * TRIP, 4)])
    assert flights.rounds() == flights.windows() == [2, 2]
    assert flights.first_copy_ns() == TRIP


def test_an_ack_tells_of_the_trip_of_the_first_segment_that_is_new_to_it() -> None:
    flights = made([(0, 0), (5, 1), (7, 2), (9, 3)], [(100, 2), (110, 3), (115, 4)])
    assert flights.trips_ns() == [100, 103, 106]
    assert flights.trips_ns(2 * SEGMENT) == [103, 106]


def test_an_ack_of_what_left_twice_tells_of_no_trip() -> None:
    flights = made([(0, 0), (5, 1), (50, 0), (160, 2)], [(150, 2), (260, 3)])
    assert flights.trips_ns() == [100]

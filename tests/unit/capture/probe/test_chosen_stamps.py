"""Which connections are stamped, on its way through the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture.probe.stamps import StampsOf, stamps_from_text, stamps_text
from netlab.lab.options import RunOptions
from netlab.lab.recorder import stamps_witness
from netlab.model.errors import UsageError


@given(st.booleans() | st.frozensets(st.integers(2, 65_535), min_size=1, max_size=5))
def test_a_choice_comes_back(stamps: StampsOf) -> None:
    assert stamps_from_text(stamps_text(stamps)) == stamps


@pytest.mark.parametrize("text", ["1", "true", "on", "yes"])
def test_all_words_for_yes_are_yes(text: str) -> None:
    assert stamps_from_text(text) is True


def test_what_is_no_port_is_no_choice() -> None:
    with pytest.raises(ValueError, match="http"):
        stamps_from_text("80,http")


def test_no_port_is_nobody_and_needs_no_witness() -> None:
    assert stamps_text([]) == ""
    assert stamps_witness([]) == []


def test_programs_of_a_run_are_chosen_by_name() -> None:

    path = Path("a")
    one = RunOptions(path, clients=3, stamps=("client-2", "server"))
    one.check_stamps()
    actors = ["server", "client-1", "client-2", "client-3"]
    assert [actor for actor in actors if one.is_stamped(actor)] == ["server", "client-2"]
    assert one.stamped_text == " of client-2, server"
    all_clients = RunOptions(path, clients=3, stamps=("client",))
    assert [actor for actor in actors if all_clients.is_stamped(actor)] == actors[1:]
    everyone = RunOptions(path, stamps=("all",))
    assert everyone.is_stamped("server")
    assert everyone.stamped_text == ""
    assert not RunOptions(path).is_stamped("server")
    with pytest.raises(UsageError, match="no program 'client-4'"):
        RunOptions(path, clients=3, stamps=("client-4",)).check_stamps()

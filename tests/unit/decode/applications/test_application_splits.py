"""Conversations in pieces: the same messages wherever the bytes are cut, and every byte in one."""

from __future__ import annotations

import pytest
from application_samples import TALKS, C, S, Script, play, protocol_of, texts
from spoken import Turn, everywhere

from netlab.decode.applications.registry import by_name, guess_stream
from netlab.model.tables import Side


def joined(script: Script, side: Side) -> bytes:
    return b"".join(data for who, data in script if who is side)


@pytest.mark.parametrize("talk", TALKS)
def test_pieces_of_any_size_give_the_same_messages(talk: str) -> None:
    make = by_name(protocol_of(talk)).conversation
    assert make is not None
    everywhere(make, *(Turn(side, data) for side, data in TALKS[talk]))


@pytest.mark.parametrize("talk", TALKS)
def test_every_byte_is_in_one_message_and_none_has_a_fault(talk: str) -> None:
    said = play(protocol_of(talk), TALKS[talk])
    for side in Side:
        at = 0
        for message in said[side]:
            assert (message.start, message.fault) == (at, "")
            at = message.stop
            assert message.items
            for item in message.items:
                assert message.start <= item.start <= item.stop <= message.stop
                assert item.source
        assert at == len(joined(TALKS[talk], side))


@pytest.mark.parametrize("talk", TALKS)
def test_a_talk_is_known_by_its_first_bytes(talk: str) -> None:
    first = {side: next((data for who, data in TALKS[talk] if who is side)) for side in (C, S)}
    guess = guess_stream(first[C], first[S], None)
    assert guess is not None
    assert (guess.application.name, guess.how) == (protocol_of(talk), "content")


@pytest.mark.parametrize("talk", TALKS)
def test_what_is_cut_off_is_said_with_a_fault(talk: str) -> None:
    """The last byte of each side is missing: its last message says so, the others are the same."""
    script = list(TALKS[talk])
    whole = play(protocol_of(talk), script)
    for side in Side:
        last = max(number for number, (who, _) in enumerate(script) if who is side)
        cut = [*script[:last], (side, script[last][1][:-1])]
        said = play(protocol_of(talk), cut)[side]
        wanted = [one for one in whole[side] if one.stop < len(joined(script, side))]
        assert said[: len(wanted)] == wanted
        assert said[-1].fault, texts({side: said}, side)
        assert said[-1].stop == len(joined(script, side)) - 1

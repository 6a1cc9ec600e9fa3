from __future__ import annotations

import os

import pytest

from netlab.server.messages import control


def test_a_message_arrives_whole_and_alone() -> None:
    left, right = control.pair()
    with left, right:
        control.send(left, {"do": "start", "argv": ["a", "b" * 50_000]})
        control.send(left, {"do": "signal"})
        received = control.receive(right)
        assert received is not None
        assert received[0]["argv"][1] == "b" * 50_000
        assert control.receive(right) == ({"do": "signal"}, [])


def test_descriptors_come_along_and_do_not_survive_an_execve() -> None:
    left, right = control.pair()
    read_end, write_end = os.pipe()
    with left, right, os.fdopen(read_end, "rb") as pipe:
        control.send(left, {"event": "ready"}, (write_end,))
        os.close(write_end)
        received = control.receive(right)
        assert received is not None
        (descriptor,) = received[1]
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, b"through")
        os.close(descriptor)
        assert pipe.read() == b"through"


def test_the_end_of_the_other_side_is_none() -> None:
    left, right = control.pair()
    with right:
        left.close()
        assert control.receive(right) is None
        with pytest.raises(BrokenPipeError):
            control.send(right, {"event": "ended"})


def test_nothing_there_is_not_the_end() -> None:
    left, right = control.pair()
    with left, right:
        right.setblocking(False)
        with pytest.raises(BlockingIOError):
            control.receive(right)


def test_last_words_are_heard_though_ours_were_not() -> None:
    left, right = control.pair()
    with right:
        control.send(right, {"do": "stop"})
        control.send(left, {"event": "finished"})
        left.close()
        assert control.receive(right) == ({"event": "finished"}, [])
        assert control.receive(right) is None

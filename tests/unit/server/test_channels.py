"""Channels of every kind: the same messages, the same news of the end."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket

import pytest
from channel_pairs import WITHIN_S, pair, receive_all, until_closed
from forked import forked

from netlab.model.errors import UsageError
from netlab.server.channels import (
    KINDS,
    Channel,
    ChannelClosed,
    MessageTooLarge,
    channel_from,
    make_pair,
)
from netlab.server.messages.envelope import MESSAGE_LIMIT_BYTES
from netlab.server.plain import PlainProbe

every_kind = pytest.mark.parametrize("kind", KINDS)
SIZES = (0, 1, 64, 4095, 8191, 8192, 61439, 61440, 65536, 300_007, 5_000_011)


def pattern(size: int, seed: int) -> bytes:
    """Bytes that tell where they belong."""
    block = bytes((seed * 31 + at * 7) % 251 for at in range(997))
    return (block * (size // 997 + 1))[:size]


def fill(channel: Channel, size: int = 4096) -> int:
    """Send until something waits; how many messages that took."""
    count = 0
    while not channel.queued_bytes:
        channel.send(pattern(size, count))
        count += 1
        assert count < 100_000
    return count


@every_kind
@pytest.mark.parametrize("size", SIZES)
def test_a_message_comes_whole(kind: str, size: int) -> None:
    with pair(kind) as (one, other):
        message = pattern(size, size)
        one.send(message)
        assert receive_all(other, 1, one) == [message]
        assert other.receive() == []
        assert one.flush()
        assert one.queued_bytes == 0
        other.send(message)
        assert receive_all(one, 1, other) == [message]


@every_kind
def test_many_messages_keep_their_order(kind: str) -> None:
    with pair(kind) as (one, other):
        messages = [pattern(n * 37 % 9000, n) for n in range(1009)]
        for message in messages:
            one.send(message)
        assert receive_all(other, len(messages), one) == messages


@every_kind
def test_both_directions_at_once(kind: str) -> None:
    with pair(kind) as (one, other):
        there = [pattern(4093, n) for n in range(211)]
        back = [pattern(70_001, n) for n in range(23)]
        for message in there:
            one.send(message)
        for message in back:
            other.send(message)
        assert receive_all(other, len(there), one, other) == there
        assert receive_all(one, len(back), one, other) == back


@every_kind
def test_a_full_channel_queues_and_says_when_there_is_room(kind: str) -> None:
    with pair(kind) as (one, other):
        count = fill(one)
        assert not one.flush()
        assert select.select([], [one.write_fileno()], [], 0)[1] == []
        assert len(receive_all(other, count - 1)) == count - 1
        assert select.select([], [one.write_fileno()], [], WITHIN_S)[1] != []
        assert len(receive_all(other, 1, one)) == 1
        assert one.queued_bytes == 0
        assert select.select([other.fileno()], [], [], 0)[0] == []


@every_kind
def test_the_longest_message(kind: str) -> None:
    with pair(kind) as (one, other):
        message = pattern(64 << 20, 5)
        one.send(message)
        (found,) = receive_all(other, 1, one)
        assert found == message
        with pytest.raises(MessageTooLarge):
            one.send(bytes(MESSAGE_LIMIT_BYTES + 1))
        one.send(b"still there")
        assert receive_all(other, 1, one) == [b"still there"]


@every_kind
def test_waiting(kind: str) -> None:
    with pair(kind) as (one, other):
        assert not other.wait(0)
        one.send(b"a")
        assert other.wait(WITHIN_S)
        assert other.receive() == [b"a"]
        assert not other.wait(0)


@every_kind
def test_an_edge_triggered_poller_hears_of_every_message(kind: str) -> None:
    with pair(kind) as (one, other), select.epoll() as poller:
        poller.register(other.fileno(), select.EPOLLIN | select.EPOLLET)
        for number in range(150):
            one.send(b"%d" % number)
            found: list[bytes] = []
            while not found:
                assert poller.poll(WITHIN_S)
                while more := other.receive():
                    found += more
            assert found == [b"%d" % number]


@every_kind
def test_the_end_comes_behind_the_last_message(kind: str) -> None:
    with pair(kind) as (one, other):
        other.send(b"never read")
        for number in range(5):
            one.send(b"%d" % number)
        one.close()
        assert until_closed(other) == [b"%d" % number for number in range(5)]
        with pytest.raises(ChannelClosed):
            other.receive()
        assert other.wait(0)  # stays readable, whoever looks
        with pytest.raises(ChannelClosed):
            send_until_it_fails(other)


def send_until_it_fails(channel: Channel) -> None:
    for _ in range(10_000):
        channel.send(bytes(1000))
        channel.flush()


@every_kind
def test_a_killed_peer_is_noticed(kind: str) -> None:
    with pair(kind) as (one, other):

        def speak_and_die() -> None:
            one.close()
            other.send(b"last words")
            os.kill(os.getpid(), signal.SIGKILL)

        pid = forked(speak_and_die)
        other.close()
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        assert until_closed(one) == [b"last words"]


@every_kind
def test_a_peer_killed_while_a_message_is_on_its_way(kind: str) -> None:
    with pair(kind) as (one, other):

        def speak_and_die() -> None:
            one.close()
            other.send(bytes(5 << 20))
            os.kill(os.getpid(), signal.SIGKILL)

        pid = forked(speak_and_die)
        other.close()
        # It is dead before anybody reads: what found no room never came.
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        assert until_closed(one) == []


@every_kind
def test_a_killed_reader_is_noticed_by_who_waits_for_room(kind: str) -> None:
    with pair(kind) as (one, other):

        def wait_for_death() -> None:
            one.close()
            signal.pause()

        pid = forked(wait_for_death)
        other.close()
        try:
            fill(one)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert one.wait(WITHIN_S)
        with pytest.raises(ChannelClosed):
            one.receive()
        with pytest.raises(ChannelClosed):
            send_until_it_fails(one)


@every_kind
def test_two_processes_talk(kind: str) -> None:
    with pair(kind) as (one, other):
        pid = forked(lambda: echo_until_closed(one, other))
        other.close()
        for size in (0, 64, 65_536, 1_000_003):
            message = pattern(size, size)
            one.send(message)
            assert receive_all(one, 1, one) == [message]
        one.close()
        assert os.waitpid(pid, 0)[1] == 0


def echo_until_closed(theirs: Channel, ours: Channel) -> None:
    """A child's part: send back what comes until the parent closes."""
    theirs.close()
    while True:
        assert ours.wait(WITHIN_S)
        try:
            messages = ours.receive()
        except ChannelClosed:
            return
        for message in messages:
            ours.send(message)
            while not ours.flush():
                select.select([], [ours.write_fileno()], [], WITHIN_S)


@every_kind
def test_an_end_is_handed_to_a_process_that_exists_already(kind: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def take_over() -> None:
        ours.close()
        description, fds, _, _ = socket.recv_fds(theirs, 1000, 16)
        end = channel_from(description.decode(), tuple(fds), PlainProbe())
        end.send(b"taken over")
        assert receive_all(end, 1) == [b"thank you"]

    pid = forked(take_over)
    theirs.close()
    with ours, pair(kind) as (one, other):
        text, numbers = other.handover()
        socket.send_fds(ours, [text.encode()], list(numbers))
        other.close()
        assert receive_all(one, 1) == [b"taken over"]
        one.send(b"thank you")
        assert os.waitpid(pid, 0)[1] == 0
        assert until_closed(one) == []


@every_kind
def test_nothing_is_left_open(kind: str) -> None:
    with pair(kind):  # what is made once and kept
        pass
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    with pair(kind) as (one, other):
        fill(one)
        other.wait(0)
        one.close()  # twice is once
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match="one of seqpacket"):
        make_pair("carrier pigeon", PlainProbe())
    with pytest.raises(UsageError, match="one of seqpacket"):
        channel_from("carrier pigeon", (), PlainProbe())

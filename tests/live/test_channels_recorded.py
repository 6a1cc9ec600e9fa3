"""Channels of every kind between two processes, recorded: who put what, who took it, about whom."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from forked import forked

from netlab.capture.probe import JournalProbe, SpoolReader
from netlab.correlate.join import correlate
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.call import INBOUND, OUTBOUND
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from netlab.server.channels import KINDS, Channel, ChannelClosed, make_pair
from netlab.server.plain import PlainProbe

every_kind = pytest.mark.parametrize("kind", KINDS)
WITHIN_S = 20.0
MESSAGES = 23
PROTOCOL = {"pipe": "pipe", "posix_mq": "mq", "sysv_mq": "mq", "ring": "ring"}


def size(number: int) -> int:
    return 4093 if number % 5 else 150_001


def send_whole(channel: Channel, message: bytes, about: int) -> None:
    channel.send(message, about)
    while not channel.flush():
        select.select([], [channel.write_fileno()], [], WITHIN_S)


def next_messages(channel: Channel) -> list[bytes]:
    """Messages, or none at the end of the other end."""
    found: list[bytes] = []
    while not found:
        assert channel.wait(WITHIN_S)
        try:
            found = channel.receive()
        except ChannelClosed:
            return []
    return found


def answer_until_closed(channel: Channel, about: int) -> None:
    while messages := next_messages(channel):
        for message in messages:
            send_whole(channel, message[:100], about)


def conversation(folder: Path, kind: str, queues: str, *, kill: bool = False) -> int:
    """A parent asks, a child answers, each message is about one TCP socket; its inode."""
    probe = JournalProbe(folder, actor="master", queues=queues, limit_bytes=1 << 26)
    with probe.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect(listener.getsockname())
        served, _ = listener.accept()
    ours, theirs = make_pair(kind, probe)
    about = served.inode
    probe.name_child("worker-1")

    def answer() -> None:
        ours.close()
        answer_until_closed(theirs, about)
        theirs.close()
        client.close()
        served.close()
        probe.journal.at_exit()

    pid = forked(answer)
    theirs.close()
    for number in range(MESSAGES):
        send_whole(ours, bytes(size(number)), about)
        while not next_messages(ours):
            pass
    if kill:
        os.kill(pid, signal.SIGKILL)
        assert next_messages(ours) == []
    ours.close()
    assert os.waitpid(pid, 0)[1] == (signal.SIGKILL if kill else 0)
    client.close()
    served.close()
    probe.close()
    return about


def tables_of(folder: Path) -> Tables:
    reader = SpoolReader(folder)
    calls = reader.finish()
    assert reader.losses == []
    return correlate(RawRecording(calls=calls, inheritances=reader.inheritances), [])


@every_kind
@pytest.mark.parametrize("queues", ["calls", "events"])
def test_every_byte_is_mapped_from_call_to_call(tmp_path: Path, kind: str, queues: str) -> None:
    conversation(tmp_path, kind, queues)
    tables = tables_of(tmp_path)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    assert tables.unmatched == []
    tcp = [row.connection for row in tables.connections if row.protocol == "tcp"]
    carried = [row for row in tables.connections if row.protocol == PROTOCOL.get(kind, "unix")]
    assert len(carried) == (1 if kind in ("seqpacket", "dgram", "stream") else 2)
    calls = {call.call: call for call in tables.calls}
    spans = [span for span in tables.spans if span.role == "local"]
    hops = {
        (calls[span.call].actor, calls[span.peer_call or 0].actor)
        for span in spans if calls[span.call].op in OUTBOUND
    }  # fmt: skip
    assert hops == {("master", "worker-1"), ("worker-1", "master")}
    for span in spans:
        call, peer = calls[span.call], calls[span.peer_call or 0]
        if call.op in OUTBOUND:
            assert call.entered_ns < (peer.returned_ns or 0)
    moved = [c for c in tables.calls if c.op in OUTBOUND | INBOUND and c.result]
    assert {call.about for call in moved} == set(tcp)
    totals = sum(row.client_bytes + row.server_bytes for row in carried)
    assert totals >= sum(size(n) + 100 for n in range(MESSAGES))


@every_kind
def test_a_wait_is_woken_by_the_call_that_put_the_message(tmp_path: Path, kind: str) -> None:
    conversation(tmp_path, kind, "events")
    tables = tables_of(tmp_path)
    calls = {call.call: call for call in tables.calls}
    woken = [
        (calls[span.call], calls[span.peer_call or 0])
        for span in tables.spans if span.role == "wakeup"
    ]  # fmt: skip
    assert {(wait.op, wait.actor, cause.actor) for wait, cause in woken} == {
        ("poll", "master", "worker-1"), ("poll", "worker-1", "master"),
    }  # fmt: skip
    assert all(cause.op in OUTBOUND for _, cause in woken)
    assert len(woken) >= MESSAGES


@every_kind
def test_the_ledger_closes_when_a_worker_is_killed(tmp_path: Path, kind: str) -> None:
    conversation(tmp_path, kind, "events", kill=True)
    tables = tables_of(tmp_path)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []


def test_names_of_threads_and_children(tmp_path: Path) -> None:
    probe = JournalProbe(tmp_path, actor="server")
    one, other = probe.socketpair()
    probe.name_thread("master/reactor-0")
    one.send(b"named")
    for name in ("worker-1", ""):
        if name:
            probe.name_child(name)
        pid = forked(lambda: other.recv(3))
        assert os.waitpid(pid, 0)[1] == 0
    one.close()
    other.close()
    probe.close()
    calls = SpoolReader(tmp_path).finish()
    actors = [(call.op, call.actor) for call in calls]
    assert actors == [
        ("socketpair", "server"), ("send", "master/reactor-0"), ("recv", "worker-1"),
        ("recv", "server"), ("close", "master/reactor-0"), ("close", "master/reactor-0"),
    ]  # fmt: skip


def test_who_watches_nothing_notes_nothing() -> None:
    probe: Any = PlainProbe()
    reader, writer = probe.pipe()
    assert writer.write(b"abc", 7) == 3
    assert probe.notes("ring", 1).call("ring_get", 10, lambda: reader.read(10), 5) == b"abc"
    reader.close()
    writer.close()
    probe.name_thread("a")
    probe.name_child("b")
    probe.stand_in(3, 4)


def test_what_a_package_raises_for_eagain_is_eagain(tmp_path: Path) -> None:
    """On a thread's first call, which goes the long way, and on the next, which goes the short."""

    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, "the package's own word for it")

    def interrupted() -> int:
        raise RuntimeError("a signal handler's")

    probe = JournalProbe(tmp_path, actor="server")
    notes = probe.notes("mqueue", 1)
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            notes.call("mq_send", 4, full)
    with pytest.raises(RuntimeError):
        notes.call("mq_send", 4, interrupted)
    probe.close()
    calls = SpoolReader(tmp_path).finish()
    assert [call.errno for call in calls] == ["EAGAIN", "EAGAIN", "EINTR"]

"""Messages of an error queue -> stamps: as the kernel lays them out, and with more in between."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from netlab.capture.probe import SpoolReader, errqueue, layout
from netlab.capture.probe.journal import Journal
from netlab.capture.probe.stamps import KIND
from netlab.model.recording import Loss
from netlab.model.stamp import StampRecord

SENT, SCHEDULED, ACKED = range(3)


def control(level: int, kind: int, value: bytes) -> bytes:
    length = 16 + len(value)
    return struct.pack("@Nii", length, level, kind) + value + bytes(-length % 8)


def stamp(seconds: int, nanoseconds: int) -> bytes:
    value = struct.pack("@6l", seconds, nanoseconds, 0, 0, 0, 0)
    return control(socket.SOL_SOCKET, errqueue.SO_TIMESTAMPING, value)


def keyed(moment: int, key: int, *, origin: int = 4, errno: int = 42, six: bool = False) -> bytes:
    level, kind = (41, 25) if six else (0, 11)
    value = struct.pack("@IBBBBII", errno, origin, 0, 0, 0, moment, key)
    return control(level, kind, value + bytes(28 if six else 16))


class FakeQueue:
    """Stands for recvmmsg: hands out messages as the kernel writes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, messages: list[bytes]) -> None:
        self.left = messages
        self.calls = 0
        monkeypatch.setattr(errqueue, "_recvmmsg", lambda: self)
        monkeypatch.setattr(errqueue, "_boxes", [])

    def __call__(self, fd: int, address: int, room: int, flags: int, timeout: None) -> int:
        import ctypes

        self.calls += 1
        count = min(room, len(self.left))
        for number in range(count):
            head = address + number * 64
            where, length = struct.unpack(
                "@PN", ctypes.string_at(head + 32, 16)
            )  # msg_control, msg_controllen
            message = self.left.pop(0)
            assert len(message) <= length == 256
            ctypes.memmove(where, message, len(message))
            ctypes.memmove(head + 40, struct.pack("@N", len(message)), 8)
        return count or -1


def test_stamps_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [stamp(7, 8) + keyed(ACKED, 99), stamp(9, 1) + keyed(SENT, 2**32 - 1, six=True)]
    FakeQueue(monkeypatch, messages)
    assert errqueue.drain(3) == ([(7_000_000_008, 2, 99), (9_000_000_001, 0, 2**32 - 1)], 0)


def test_what_stands_between_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    between = control(socket.SOL_SOCKET, errqueue.SO_TIMESTAMP, bytes(16))
    FakeQueue(monkeypatch, [between + stamp(7, 8) + keyed(SCHEDULED, 5), keyed(SENT, 6) + between])
    # The second has no stamp of time: it is something else.
    assert errqueue.drain(3) == ([(7_000_000_008, 1, 5)], 1)


def test_other_messages_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [keyed(0, 0, origin=2, errno=111), stamp(1, 1) + keyed(0, 0, origin=5), b"", b"\xff"]
    FakeQueue(monkeypatch, messages)
    assert errqueue.drain(3) == ([], 4)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40])
def test_a_queue_is_emptied_batch_by_batch(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    queue = FakeQueue(monkeypatch, [stamp(1, n) + keyed(SENT, n) for n in range(count)])
    found = errqueue.drain(3)
    assert [key for _, _, key in found.stamps] == list(range(count))
    assert queue.calls == count // 16 + 1


def test_a_queue_that_never_ends_is_left_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FakeQueue(monkeypatch, [stamp(1, n) + keyed(SENT, n) for n in range(4000)])
    assert len(errqueue.drain(3, most=100).stamps) == 112
    assert len(queue.left) == 4000 - 112


def test_no_socket_is_an_empty_queue(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        assert errqueue.drain(file.fileno()) == ([], 0)
    assert errqueue.drain(-1) == ([], 0)


def test_an_older_kernel_gets_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errqueue, "FLAGS", (errqueue.FLAGS[0] | 1 << 30, *errqueue.FLAGS[1:]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            assert errqueue.switch_on(client)
            assert errqueue.is_on(client)
            monkeypatch.setattr(errqueue, "FLAGS", (1 << 30,))
            with pytest.raises(errqueue.Refused, match="uses SO_TIMESTAMPING itself"):
                errqueue.switch_on(client)
            errqueue.switch_off(client.fileno())
            with pytest.raises(errqueue.Refused, match="Invalid argument"):
                errqueue.switch_on(client)
        with socket.socket() as fresh:
            assert not errqueue.switch_on(fresh)  # it has no peer yet


def test_before_linux_6_2_a_new_connection_is_counted_from_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errqueue, "FLAGS", errqueue.FLAGS[2:])
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        with socket.socket() as waiting:
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())  # no room: its SYN is dropped
            with pytest.raises(errqueue.Refused, match=r"before Linux 6\.2"):
                errqueue.switch_on(waiting)
        server, _ = listener.accept()
        with server:
            for sock in (client, server):
                assert errqueue.switch_on(sock)
                assert sock.send(b"abc") == 3
                sent = [key for _, moment, key in errqueue.drain(sock.fileno()).stamps
                        if moment == SENT]  # fmt: skip
                assert sent == [2]


@pytest.mark.parametrize("key", [0, 2**31, 2**32 - 1])
def test_stamps_come_back_from_the_spool(tmp_path: Path, key: int) -> None:
    journal = Journal(
        tmp_path, host="h", actor="a", queues="off", tcp_info=False, code=False,
        segment_bytes=16384, limit_bytes=1 << 24, proc_fd=None,
    )  # fmt: skip
    with socket.socket() as sock:
        state = journal.state(sock.fileno(), sock.family, sock.type, None, None)
    spool = journal.spool()
    assert spool is not None
    number = journal.announce(state, spool)
    for moment in (SCHEDULED, SENT, ACKED, 9):  # the last is of a kernel to come
        spool.append(layout.STAMP, 0, 10**18 + moment, key, moment, number, b"")
    tail = layout.tail_text(layout.TAG_REASON, "why") + layout.tail_text(layout.TAG_KIND, KIND)
    spool.append(layout.LOSS, 0, 5, 0, 0, 0, tail)
    reader = SpoolReader(tmp_path)
    assert reader.finish() == []
    assert reader.stamps == [
        StampRecord(10**18 + moment, "h", spool.pid, state.inode, what, key)
        for moment, what in ((SCHEDULED, "scheduled"), (SENT, "sent"), (ACKED, "acked"))
    ]
    assert reader.losses == [Loss("stamps", "stamps", None, "why", "a", 5)]
    journal.close()

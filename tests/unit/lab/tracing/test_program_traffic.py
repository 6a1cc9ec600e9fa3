"""What calls tell of a program's sockets, and how long frames wait for calls that are told late."""

from __future__ import annotations

import struct

from netlab.lab.tracing.own_traffic import HOLD_NS, OwnTraffic
from netlab.lab.tracing.program_traffic import Names, losses_of
from netlab.lab.tracing.tracees import HeldSocket
from netlab.model.call import CallRecord

S = 1_000_000_000
T0 = 1_700_000_000 * S
HEADER = bytes(12) + b"\x08\x00" + bytes.fromhex("4500002800000000400600000a0000015d000002")
SYN = HEADER + struct.pack("!HHIIHHHH", 1000, 80, 1, 0, 0x5002, 100, 0, 0)


def call(at_ns: int, **more: object) -> CallRecord:
    return CallRecord(
        "strace", "here", "client", 7, 7, 1, "connect", 3, "", at_ns, at_ns, **more
    )  # type: ignore[arg-type]  # fmt: skip


CONNECTED = {"family": "AF_INET", "local": "10.0.0.1:1000", "peer": "93.0.0.2:80"}


def waiting(sockets: list[HeldSocket] | None = None) -> tuple[OwnTraffic, Names]:
    own = OwnTraffic({"10.0.0.1"}.__contains__)
    own.frames(0, [(T0, SYN, len(SYN), 0)])
    return own, Names(own, lambda: sockets or [])


def test_calls_name_sockets_and_accept_names_two() -> None:
    own, names = waiting()
    names.learn([call(T0, **CONNECTED)])
    assert len(own.take(0)) == 1
    own, names = waiting()
    names.learn([call(T0, family="AF_INET", local="93.0.0.2:80", address="10.0.0.1:1000",
                      new_inode=9)])  # fmt: skip
    assert len(own.take(0)) == 1


def test_a_unix_socket_and_one_without_a_port_name_nothing() -> None:
    own, names = waiting()
    names.learn([call(T0, family="AF_UNIX", local="unix:/x"), call(T0, family="AF_INET")])
    assert own.take(0) == []


def test_frames_wait_as_long_as_calls_of_their_time_are_not_read() -> None:
    own, names = waiting()
    names.learn([call(T0)])
    names.advance(T0 + 60 * S, behind=True)  # the log is a minute behind
    assert own.waits
    names.learn([call(T0 + 1, **CONNECTED)])
    assert len(own.take(0)) == 1
    own, names = waiting()
    names.advance(T0 + HOLD_NS + S, behind=False)
    assert own.waits
    names.advance(T0 + HOLD_NS + S + 1, behind=False)
    assert not own.waits


def test_the_kernel_tells_of_a_socket_whose_call_has_not_returned() -> None:
    held = HeldSocket(7, 3, 9, "AF_INET", "SOCK_STREAM", "10.0.0.1:1000", "93.0.0.2:80",
                      False, False, None, None)  # fmt: skip
    own, names = waiting([held])
    names.advance(T0 + S, behind=False)
    assert len(own.take(0)) == 1


def test_what_found_no_room_is_a_loss() -> None:
    own = OwnTraffic({"10.0.0.1"}.__contains__, limit_bytes=1000)
    own.frames(0, [(T0 + number, SYN, len(SYN), 0) for number in range(3)])
    (loss,) = losses_of(own, T0)
    assert (loss.witness, loss.what, loss.count) == ("packets", "frames", 2)
    assert losses_of(OwnTraffic({"10.0.0.1"}.__contains__), T0) == []

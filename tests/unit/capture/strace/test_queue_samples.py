"""What a program asked its kernel of a socket's queues stands in the record of that call."""

from __future__ import annotations

from netlab.capture.strace.reader import StraceReader

LOG = b"""\
7 1700000000.000001 execve("./p", ["./p"], 0x7ffd /* 9 vars */) = 0 <0.000300>
7 1700000000.001000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>
7 1700000000.002000 ioctl(3, FIONREAD, [11]) = 0 <0.000031>
7 1700000000.003000 ioctl(3, TIOCOUTQ, [4096]) = 0 <0.000061>
7 1700000000.004000 ioctl(3, FIONBIO, [1]) = 0 <0.000061>
7 1700000000.005000 ioctl(1, FIONREAD, [5]) = 0 <0.000031>
7 1700000000.006000 ioctl(3, FIONREAD, 0x7ffd) = -1 EINVAL (Invalid argument) <0.000031>
"""


def test_queues_that_were_asked_for() -> None:
    reader = StraceReader("here", "p")
    reader.feed(LOG)
    reader.finish()
    assert reader.faults == []
    asked = [call for call in reader.calls if call.op == "ioctl"]
    assert [
        (call.fd, call.args, call.inq_after_bytes, call.outq_after_bytes) for call in asked
    ] == [
        (3, "FIONREAD, [11]", 11, None),
        (3, "TIOCOUTQ, [4096]", None, 4096),
    ]

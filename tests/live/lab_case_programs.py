"""What the cases with a known answer run on the hosts: one question and its answer, or an echo."""

from __future__ import annotations

import socket
import time

from netlab.lab.pattern import pattern
from netlab.model.probe import Probe

PORT = 7
MESSAGE_BYTES = 4093
SMALL_BUFFER_BYTES = 65_536  # of a receiver, whose window closes when it does not read


def answer(probe: Probe, question_bytes: int) -> int:
    """Take one connection in, read the question, say one byte, and read to the end."""
    listener = probe.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", PORT))
    listener.listen()
    sock, _ = listener.accept()
    listener.close()
    heard = b""
    while len(heard) < question_bytes:
        heard += sock.recv(1 << 16)
    assert heard == pattern(0, question_bytes)
    sock.sendall(b"!")
    assert sock.recv(1) == b""
    sock.close()
    return len(heard)


def ask(probe: Probe, address: str, question_bytes: int) -> None:
    """Connect, write the question in one call, and wait for the answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = probe.socket(family, socket.SOCK_STREAM)
    sock.connect((address, PORT))
    sock.sendall(pattern(0, question_bytes))
    assert sock.recv(2) == b"!"
    sock.close()


def echo(probe: Probe) -> None:
    """Serve one connection: give every byte back."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", PORT))
    listener.listen()
    sock, _ = listener.accept()
    listener.close()
    while data := sock.recv(1 << 16):
        sock.sendall(data)
    sock.close()


def say(probe: Probe, address: str, messages: int) -> None:
    """Send so many messages of three segments, each once the one before has come back."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect((address, PORT))
    for number in range(messages):
        message = pattern(number * MESSAGE_BYTES, (number + 1) * MESSAGE_BYTES)
        sock.sendall(message)
        heard = b""
        while len(heard) < MESSAGE_BYTES:
            heard += sock.recv(1 << 16)
        assert heard == message
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""
    sock.close()


def take_in(probe: Probe, pauses_s: list[float]) -> None:
    """Take in a connection for each pause, one after the other: read to the end, then say a byte.

    The first byte is read only after the pause; what it is for is named by who asks.
    """
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    listener.bind(("0.0.0.0", PORT))
    listener.listen()
    for pause_s in pauses_s:
        sock, _ = listener.accept()
        time.sleep(pause_s)
        while sock.recv(1 << 16):
            pass
        sock.sendall(b"!")
        sock.close()
    listener.close()


def bring(probe: Probe, address: str, sizes: list[int]) -> None:
    """Write so many bytes on a connection each; a second without a word is answered by the kernel
    with a keep-alive."""
    for size in sizes:
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        sock.connect((address, PORT))
        sock.sendall(pattern(0, size))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(2) == b"!"
        sock.close()

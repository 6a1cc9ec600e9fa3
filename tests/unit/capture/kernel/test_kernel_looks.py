"""A look at a datagram socket counts once nothing can have happened to its descriptor meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from netlab.capture.descriptors import Descriptors, OpenSocket
from netlab.capture.kernel.looks import Looks
from netlab.model.call import CallRecord

PID = os.getpid()


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def looked_at(bound: socket.socket, tables: Descriptors) -> tuple[Looks, OpenSocket]:
    """A look at 500 at a socket of ours, of which a call is held."""
    opened = tables.socket()
    opened.family, opened.kind = "AF_INET", "SOCK_DGRAM"
    tables.put(PID, bound.fileno(), opened)
    looks = Looks(tables, lambda: 500)
    record = CallRecord(
        "kernel", "lab", "prog", PID, PID, 1, "recvfrom", bound.fileno(), "", 1, 2,
        inode=opened.inode, family="AF_INET", kind="SOCK_DGRAM",
    )  # fmt: skip
    looks.take([record])
    assert looks.sift([record]) == []
    return looks, opened


def test_it_is_believed_once_all_events_up_to_it_are_read(bound: socket.socket) -> None:
    looks, opened = looked_at(bound, Descriptors())
    looks.believe(500)
    assert opened.local is None
    looks.believe(501)
    host, port = bound.getsockname()
    assert opened.local == f"{host}:{port}"
    (told,) = looks.sift([])
    assert (told.inode, told.local) == (opened.inode, f"{host}:{port}")


def test_it_is_not_where_the_number_leads_elsewhere_by_then(bound: socket.socket) -> None:
    tables = Descriptors()
    looks, opened = looked_at(bound, tables)
    tables.put(PID, bound.fileno(), tables.socket())
    looks.believe(501)
    assert opened.local is None
    (told,) = looks.sift([])
    assert told.local is None

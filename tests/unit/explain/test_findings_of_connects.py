"""Connects that failed without a frame that shows it."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.model.call import POLLERR, POLLHUP, POLLIN, POLLOUT
from tests.playbook import Play
from tests.unit.explain.test_findings_more import of, opened
from tests.waits_told import MS

BACKEND = {"inode": 300, "fd": 11, "local": "127.0.0.1:50000", "peer": "127.0.0.1:9001"}
FAILED = POLLIN | POLLOUT | POLLERR | POLLHUP


def asks(*, events: int = FAILED, after_ms: int = 2, sends: bool = False) -> Play:
    """A server that connects to its backend over the loopback, which nobody captured."""
    play = opened()
    play.did("server", "socket", 11, **BACKEND | {"local": None, "peer": None})
    play.did("server", "connect", None, errno="EINPROGRESS", address="127.0.0.1:9001", **BACKEND)
    with play.wait("server", (300, events)):
        play.now_ns += after_ms * MS
    if sends:
        play.did("server", "send", 10, size=10, **BACKEND)
    play.did("server", "close", 0, **BACKEND)
    return play


def failed(play: Play) -> Finding:
    (one,) = of(play, "connect_failed")
    return one


def test_a_connect_that_a_poll_reports_as_failed_is_told_with_its_calls() -> None:
    one = failed(asks())
    connect, wait, close = one.calls
    assert one.text == (
        f"client connect #{connect} to 127.0.0.1:9001 failed, as client epoll_wait #{wait} reported"
        f" 2.0 ms later (IN|OUT|ERR|HUP), and client close #{close} gave it up: an error so soon is"
        " that of a port where nobody listens, as it seems."
    )
    assert one.severity is Severity.MEDIUM


@pytest.mark.parametrize(
    "play",
    [asks(events=POLLOUT), asks(after_ms=900), asks(events=POLLOUT | POLLERR, sends=True)],
    ids=["writable", "late: what it was is not known", "it was used"],
)
def test_one_that_went_through_or_failed_late_is_not(play: Play) -> None:
    assert of(play, "connect_failed") == []


def test_one_that_waited_says_it_was_refused() -> None:
    play = opened()
    play.did("server", "connect", None, errno="ECONNREFUSED", address="127.0.0.1:9001", **BACKEND)
    one = failed(play)
    assert "to 127.0.0.1:9001 was refused (ECONNREFUSED): nobody listened there." in one.text


def test_one_whose_frames_show_it_is_told_by_those() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="ECONNREFUSED", address="127.0.0.1:80"):
        play.syn()
        play.frame("s>c", "RA", 0, 1)
    assert of(play, "connect_failed") == []
    assert len(of(play, "reset")) == 1


@pytest.mark.parametrize(
    ("address", "where"), [("[::1]:9001", "at another address"), ("127.0.0.1:9001", "there")]
)
def test_where_a_later_one_went_through_it_is_worth_knowing_only(address: str, where: str) -> None:
    play = opened()
    first = BACKEND | {"inode": 301, "fd": 12, "peer": address}
    play.did("server", "connect", None, errno="ECONNREFUSED", address=address, **first)
    second = play.did("server", "connect", 0, address="127.0.0.1:9001", **BACKEND)
    one = failed(play)
    assert one.severity is Severity.LOW
    assert one.text.endswith(f" client connect #{second} went through later {where}.")
    assert second in one.calls

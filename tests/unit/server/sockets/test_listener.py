"""What accept says, and that a listener neither spins nor ends for it."""

from __future__ import annotations

import errno
import socket

import pytest
from faulty_probe import FaultyProbe

from netlab.server.loop.reactor import Reactor
from netlab.server.settings.options import options_from
from netlab.server.sockets.entrance import Place, opened
from netlab.server.sockets.listener import Listener


def served(
    probe: FaultyProbe, *, clients: int = 1, wanted: int = 1, exclusive: bool = False, **given: str
) -> Listener:
    """A listener that has run until it accepted `wanted` of the connections of `clients`."""
    options = options_from(None, **given)
    accepted: list[socket.socket] = []
    with Reactor(probe) as reactor:

        def on_accept(sock: socket.socket, address: object, listener: Listener) -> None:
            accepted.append(sock)
            if len(accepted) == wanted:
                listener.close()
                reactor.stop()

        place = Place.asked("127.0.0.1", 0)
        sock = opened(probe, place, options)
        listener = Listener(sock, place, 0, reactor, options, on_accept, exclusive=exclusive)
        listener.start()
        peers = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(clients)]
        try:
            reactor.run()
        finally:
            listener.close()
            for end in (*peers, *accepted):
                end.close()
    return listener


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get
)
def test_without_room_it_pauses_and_does_not_spin(number: int, exclusive: bool) -> None:
    probe = FaultyProbe(accept=[number, number])
    assert served(probe, exclusive=exclusive).pauses == 2
    assert probe.calls["accept"] == 3


@pytest.mark.parametrize(
    "number",
    [
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.EINTR,
        errno.ENETDOWN,
        errno.EHOSTUNREACH,
    ],
    ids=errno.errorcode.get,
)
def test_what_concerns_one_connection_only_is_passed_over(number: int) -> None:
    probe = FaultyProbe(accept=[number, number])
    assert served(probe).pauses == 0
    assert probe.calls["accept"] == 3


def test_other_errors_are_ours_to_hear_of() -> None:
    with pytest.raises(OSError, match="Bad file"):
        served(FaultyProbe(accept=[errno.EBADF]))


def test_a_full_table_is_told_once_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_s = iter([7.0, 7.4, 7.9, 8.1])
    monkeypatch.setattr("netlab.server.sockets.listener.monotonic", lambda: next(times_s))
    served(FaultyProbe(accept=[errno.EMFILE] * 4))
    assert len(caplog.records) == 2
    said = caplog.records[0].getMessage()
    assert "1 of at most 512 wait in its queue" in said
    assert "RLIMIT_NOFILE" in said


def test_with_a_descriptor_in_reserve_connections_are_shed() -> None:
    probe = FaultyProbe(accept=[errno.EMFILE, 0, errno.ENFILE])
    listener = served(probe, clients=3, on_emfile="shed")
    assert (listener.shed, listener.pauses) == (2, 0)


def test_without_even_that_it_pauses() -> None:
    probe = FaultyProbe(accept=[errno.EMFILE, errno.EMFILE])
    listener = served(probe, on_emfile="shed")
    assert (listener.shed, listener.pauses) == (0, 1)

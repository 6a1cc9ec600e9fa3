"""CLOSE-WAIT: who forgot to close, and who is not to be blamed for it."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from tests.playbook import Play, number_of
from tests.waits_told import MS


def leak(play: Play) -> Finding | None:
    every = findings_of(explained(play.tables(), play.raw))
    return next((one for one in every if one.kind == "close_wait"), None)


def ended() -> tuple[Play, int]:
    """The client has ended its stream, the server has read that; the frame of the FIN."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "close", 0):
        fin = play.fin("c>s", 0)
    play.ack("s>c", 1)
    play.did("server", "recv", 0, size=4096)
    return play, fin


def exits(play: Play, how: str, *, fin: bool = True) -> int:
    """The end of the server's process; the frame of the FIN that it sends."""
    frame = 0
    with play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None, args=how,
                   inside=True, returned_by_ns=play.now_ns + MS):  # fmt: skip
        if fin:
            frame = play.fin("s>c", 0, 1)
    play.now_ns += MS
    play.ack("c>s", 1, 1)
    return frame


def test_a_fin_that_nobody_answers() -> None:
    play, fin = ended()
    play.now_ns += 5000 * MS
    play.did("server", "socket", 7, inode=999, fd=7)
    one = leak(play)
    assert one is not None
    assert one.frames == (fin,)
    assert "never closed descriptor 5" in one.text


def test_a_recording_that_ends_at_once_has_no_leak() -> None:
    assert leak(ended()[0]) is None


@pytest.mark.parametrize(
    ("how", "severity"), [("SIGTERM", Severity.HIGH), ("status 0", Severity.MEDIUM)]
)
def test_a_fin_that_the_end_of_the_process_sent_is_no_close(how: str, severity: Severity) -> None:
    play, fin = ended()
    play.now_ns += 5000 * MS
    own = exits(play, how)
    one = leak(play)
    assert one is not None
    assert (one.severity, one.frames) == (severity, (fin, own))
    tables = play.tables()
    end = number_of(tables, "exit")
    assert one.calls == (number_of(tables, "recv"), end)
    assert one.text == (
        f"The server stayed in CLOSE-WAIT for 5.000 s after its peer's FIN (frame {fin}): server"
        " (pid 20) never closed descriptor 5, only the end of its process did"
        f" (exit #{end}, {how})."
    )


def test_an_end_soon_after_the_fin_is_no_leak() -> None:
    play, _ = ended()
    play.now_ns += 500 * MS
    exits(play, "status 0")
    assert leak(play) is None


def test_who_goes_on_sending_has_not_forgotten_it() -> None:
    """As the child of inetd: it answers at leisure, and its end is its close."""
    play, _ = ended()
    for byte in range(10):
        play.now_ns += 500 * MS
        with play.call("server", "send", 1, size=1):
            play.data("s>c", byte, byte + 1, 1)
    with play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None,
                   args="status 0", inside=True, returned_by_ns=play.now_ns + MS):  # fmt: skip
        play.fin("s>c", 10, 1)
    play.now_ns += MS
    assert leak(play) is None


def closes(play: Play, *then: str) -> int:
    """The server's close, long after, and what its process does until it ends; its FIN."""
    play.now_ns += 5000 * MS
    with play.call("server", "close", 0):
        fin = play.fin("s>c", 0, 1)
    for op in then:
        play.did("server", op, 7, inode=999, fd=7, local=None, peer=None)
    exits(play, "status 0", fin=False)
    return fin


@pytest.mark.parametrize("then", [(), ("close",)])
def test_a_close_shortly_before_the_end_may_be_the_programs_or_the_interpreters(
    then: tuple[str, ...],
) -> None:
    play, fin = ended()
    own = closes(play, *then)
    one = leak(play)
    assert one is not None
    assert (one.severity, one.frames) == (Severity.LOW, (fin, own))
    assert "closed descriptor 5 shortly before its process ended (close #" in one.text
    assert one.text.endswith("whether its program did that or its end is not known.")


def test_a_close_before_other_work_is_late_and_no_leak() -> None:
    play, _ = ended()
    closes(play, "socket")
    assert leak(play) is None


def test_a_shutdown_long_before_the_end_is_no_leak() -> None:
    play, _ = ended()
    with play.call("server", "shutdown", 0, args="SHUT_WR"):
        play.fin("s>c", 0, 1)
    play.now_ns += 5000 * MS
    exits(play, "SIGTERM", fin=False)
    assert leak(play) is None


def test_who_ends_first_is_not_in_close_wait() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("server", "recv", None, size=4096, errno="EAGAIN")
    play.now_ns += 5000 * MS
    exits(play, "SIGTERM")
    with play.call("client", "close", 0):
        play.fin("c>s", 0, 1)
    assert leak(play) is None

"""A process that ended inside a send, and the clean end that its peer saw."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Severity
from tests.playbook import Play
from tests.unit.explain.test_findings_more import FULL, of, opened
from tests.waits_told import MS


def killed(*, args: str = "SIGKILL", size: int = 100_000, ends: str = "fin") -> tuple[Play, int]:
    """The server sends 10 bytes, then many, of which three segments go before its process ends."""
    play = opened()
    with play.call("client", "recv", 10, size=10), play.call("server", "send", 10, size=10):
        play.data("s>c", 0, 10)
    with (
        play.call("client", "recv", 3 * FULL, size=3 * FULL, flags=0x100),
        play.call("server", "send", None, size=size, inside=True),
    ):
        for at in range(10, 10 + 3 * FULL, FULL):
            play.data("s>c", at, at + FULL)
        play.ack("c>s", 10 + 3 * FULL)
        play.now_ns += 20 * MS
    frame = 0
    with (
        play.call("client", "recv", 0, size=4096) if ends != "lost" else play.call("client", "x"),
        play.call("server", "exit", None, inode=None, fd=None, local=None, peer=None,
                  args=args, inside=True, returned_by_ns=play.now_ns + 5 * MS),
    ):  # fmt: skip
        if ends in ("fin", "lost"):
            way = "drop" if ends == "lost" else "carry"
            frame = play.fin("s>c", 10 + 3 * FULL, 0, way=way)
        if ends == "rst":
            frame = play.rst("s>c", 10 + 3 * FULL, 0)
    return play, frame


@pytest.mark.parametrize(
    ("args", "how"), [("SIGKILL", "was killed (SIGKILL)"), ("", "ended"), ("status 1", "ended")]
)
def test_a_send_that_the_end_of_its_process_cut_short_is_told(args: str, how: str) -> None:
    play, fin = killed(args=args)
    (one,) = of(play, "cut_short")
    send, end, read = one.calls
    assert one.text == (
        f"server send #{send} was to send 100,000 bytes: its process {how} inside it (exit #{end}),"
        f" after 4,380 of them. A FIN followed those (frame {fin}), as client recv #{read} returned"
        " 0: to the client that is a clean end."
    )
    assert one.severity is Severity.HIGH


@pytest.mark.parametrize(
    "play",
    [killed(size=3 * FULL)[0], killed(ends="rst")[0], killed(ends="lost")[0]],
    ids=["all of it went", "a reset told the peer", "no end came"],
)
def test_what_went_in_whole_or_was_reset_or_has_no_end_is_not(play: Play) -> None:
    assert of(play, "cut_short") == []

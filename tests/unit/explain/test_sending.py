"""Which sends found too little room, and which took less than they were given."""

from __future__ import annotations

import pytest

from netlab.explain.sending import cut_short, lacked_room
from tests.playbook import Play


@pytest.mark.parametrize(
    ("op", "result", "errno", "messages", "lacked", "cut"),
    [
        ("send", 60, None, (), False, False),
        ("send", 20, None, (), True, True),
        ("send", None, "EAGAIN", (), True, False),
        ("send", None, "EINTR", (), True, False),
        ("send", None, "ERESTARTSYS", (), True, False),
        ("send", None, "EMSGSIZE", (), False, False),
        ("send", None, "EPIPE", (), False, False),
        ("send", None, "ECONNREFUSED", (), False, False),
        ("sendmmsg", 2, None, (30, 30), False, False),
        ("sendmmsg", 1, None, (30,), True, True),
        ("sendmmsg", None, None, (), False, False),  # what it moved is not known
        ("sendfile", 0, None, (), False, False),  # the end of the file
    ],
)
def test_only_a_send_that_took_less_or_would_have_blocked_lacked_room(
    op: str, result: int | None, errno: str | None, messages: tuple[int, ...], lacked: bool,
    cut: bool,
) -> None:  # fmt: skip
    play = Play()
    play.did("client", op, result, size=60, errno=errno, message_bytes=messages)
    (call,) = play.tables().calls
    assert (lacked_room(call), cut_short(call)) == (lacked, cut)

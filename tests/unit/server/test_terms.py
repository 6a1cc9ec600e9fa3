"""The words that users read."""

from __future__ import annotations

import errno

import pytest

from netlab.server.terms import (
    Client,
    Closed,
    ClosedBy,
    CloseReason,
    Mode,
    SendError,
    address_text,
    host_of,
)


@pytest.mark.parametrize("reason", CloseReason)
def test_every_reason_reads_as_its_name_and_has_a_meaning_and_a_culprit(
    reason: CloseReason,
) -> None:
    assert str(reason) == reason.name
    assert reason.meaning in Closed(reason).text
    assert isinstance(reason.by, ClosedBy)


def test_meanings_tell_the_reasons_apart() -> None:
    assert len({reason.meaning for reason in CloseReason}) == len(CloseReason)


def test_who_closes() -> None:
    by = {who: {str(r) for r in CloseReason if r.by is who} for who in ClosedBy}
    assert by[ClosedBy.PEER] == {"PEER_FIN", "PEER_RST"}
    assert by[ClosedBy.KERNEL] == {"WORKER_DIED", "ERROR"}
    assert "IDLE_TIMEOUT" in by[ClosedBy.SERVER]


def test_a_close_says_all_it_knows_in_one_line() -> None:
    closed = Closed(CloseReason.ERROR, errno.ETIMEDOUT, "in send")
    assert closed.by is ClosedBy.KERNEL
    assert closed.text == ("the kernel reported an error: ETIMEDOUT, Connection timed out: in send")
    assert str(Closed(CloseReason.PEER_FIN)) == "PEER_FIN (the client sent its FIN)"
    assert "12345" in Closed(CloseReason.ERROR, 12345).text


def test_send_errors_and_modes_read_as_users_type_them() -> None:
    assert all(str(error) == error.name for error in SendError)
    assert [str(mode) for mode in Mode] == ["single", "threads", "base", "process"]


@pytest.mark.parametrize(
    ("address", "text", "host"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80", "127.0.0.1"),
        (("::1", 80, 0, 0), "[::1]:80", "::1"),
        ("/run/x.sock", "/run/x.sock", ""),
        (b"\0hidden", "@hidden", ""),
        ("", "unnamed", ""),
        (None, "unnamed", ""),
    ],
)
def test_addresses_as_text(
    address: tuple[str, int] | str | bytes | None, text: str, host: str
) -> None:
    assert address_text(address) == text
    assert str(Client(address)) == text
    assert host_of(address) == host

"""A run that is over before it began, with a lab that only pretends."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from netlab.lab import hosts, session
from netlab.lab.namespaces import Refused
from netlab.lab.options import RunOptions
from netlab.model.errors import CheckFailed, NetlabError, PrivilegeError


@pytest.mark.parametrize("lab", [None, True, False])
@pytest.mark.parametrize("interrupted", [True, False])
def test_a_helper_that_ctrl_c_reached_first(
    interrupted: bool, lab: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        raise CheckFailed("the lab's helper ended at its start")

    monkeypatch.setattr(hosts.House, "_start_helper", die)
    with pytest.raises(KeyboardInterrupt if interrupted else CheckFailed):
        session.run_scenario(RunOptions(tmp_path / "a.pcapng", lab=lab))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interrupted", [True, False])
@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, ["hosts", "own", "machine"]),
        ({"lab": False}, ["own", "machine"]),
        ({"lab": True}, ["hosts"]),
        ({"sysctls": [("client", "net.ipv4.tcp_sack", "0")]}, ["hosts"]),
    ],
)
def test_where_namespaces_are_refused_loopback_is_tried_unless_a_lab_was_asked_for(
    options: dict[str, Any],
    asked: list[str],
    interrupted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def refuse(kind: str, *_: object, **__: object) -> None:
        tried.append(kind)
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        raise Refused("network namespace", 1)

    monkeypatch.setattr(hosts.House, "_start_helper", refuse)
    error: type[BaseException] = KeyboardInterrupt if interrupted else PrivilegeError
    with pytest.raises(error) as raised:
        session.run_scenario(RunOptions(tmp_path / "a.pcapng", **options))
    # Ctrl-C ends it there: the next attempt would not know of it.
    both = ["own", "machine"] if asked[0] == "own" else asked[:1]
    assert tried == (both if interrupted else asked)
    if isinstance(raised.value, NetlabError):
        assert "network namespace: Operation not permitted" in raised.value.message
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

import pytest

from netlab.lab import surroundings
from netlab.lab.namespaces import Refused, why_refused
from netlab.model.errors import PrivilegeError, UsageError


@pytest.fixture
def as_uid(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def pretend(uid: int) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(surroundings, "has_capability", lambda capability: uid == 0)
        monkeypatch.delenv("SUDO_USER", raising=False)

    return pretend


def test_an_ordinary_user_stays_who_he_is(as_uid: Callable[[int], None]) -> None:
    as_uid(65534)
    assert surroundings.choose_user(None) == (None, ())
    assert surroundings.choose_user(pwd.getpwuid(65534).pw_name) == (None, ())
    with pytest.raises(UsageError, match="only root"):
        surroundings.choose_user("root")


@pytest.mark.parametrize("second", [Refused("packet socket", 1), PrivilegeError("no right", "")])
def test_where_both_are_refused_it_says_both(
    second: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*, own: bool, **_: object) -> None:
        raise Refused("process namespace", 28) if own else second

    monkeypatch.setattr(surroundings.House, "open", refuse)
    with pytest.raises(PrivilegeError, match=r"neither namespaces \(process namespace: No space"):
        surroundings.open_loopback(7777, None)


def test_root_becomes_who_called_sudo(
    as_uid: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_uid(0)
    monkeypatch.setenv("SUDO_USER", "nobody")
    user, notes = surroundings.choose_user(None)
    assert user is not None
    assert (user.name, user.uid) == ("nobody", pwd.getpwnam("nobody").pw_uid)
    assert notes == ()
    daemon, _ = surroundings.choose_user("daemon")
    assert daemon is not None
    assert daemon.name == "daemon"


def test_plain_root_is_told(as_uid: Callable[[int], None]) -> None:
    as_uid(0)
    user, (note,) = surroundings.choose_user(None)
    assert user is None
    assert "with all its rights" in note


def test_a_root_that_may_not_become_anyone_is_told(
    as_uid: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_uid(0)
    monkeypatch.setattr(surroundings, "has_capability", lambda capability: False)
    user, (note,) = surroundings.choose_user("nobody")
    assert user is None
    assert "cannot become nobody" in note


def test_an_unknown_user_is_refused(as_uid: Callable[[int], None]) -> None:
    as_uid(0)
    with pytest.raises(UsageError, match="no user no-such-user"):
        surroundings.choose_user("no-such-user")


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("kernel.unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1"),
        ("user.max_user_namespaces", "0"),
    ],
)
def test_the_hint_names_the_switch_that_is_off(
    switch: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlab.lab.sysctls.read", lambda name: value if name == switch else None)
    assert f"sysctl {switch}=" in why_refused("user namespace", 1)


def test_refused_twice_is_one_privilege_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, own: bool, **rest: object) -> None:
        raise Refused("network namespace" if own else "packet socket", 1)

    monkeypatch.setattr(surroundings.House, "open", refuse)
    with pytest.raises(PrivilegeError, match="allows neither namespaces") as error:
        surroundings.open_loopback(7777, None)
    assert "\n" not in str(error.value)
    assert error.value.hint

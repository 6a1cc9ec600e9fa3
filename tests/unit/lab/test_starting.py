"""What a program of a lab is started with."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from netlab.lab.become import Orders
from netlab.lab.function_program import call_from
from netlab.lab.hosts import User
from netlab.lab.starting import Watching, orders_for, program_files
from netlab.model.errors import UsageError

NOBODY = User("nobody", 65534, 65534, (65534,))


def at_top_level(probe: object, *arguments: object) -> None:
    """A function that another Python could find."""


def test_a_command_has_our_environment_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINE", "\udcff")
    orders = orders_for(
        ["sh", "-c", "true"], (), env={"MORE": "1"}, fd_names=["0"], user=None, as_root=False
    )
    assert orders.argv == ["sh", "-c", "true"]
    assert orders.files[0] == shutil.which("sh")
    assert all(map(os.path.isabs, orders.files))
    assert (orders.env["MINE"], orders.env["MORE"]) == ("\udcff", "1")
    assert orders.cwd == str(tmp_path)
    assert orders.drop
    assert orders.user is None
    descriptor = orders.to_file()
    assert Orders.from_file(descriptor) == orders
    os.close(descriptor)


def test_another_user_has_their_own_home() -> None:
    orders = orders_for(["sh"], (), env={}, fd_names=[], user=NOBODY, as_root=True)
    assert orders.user == [65534, 65534, 65534]
    assert (orders.env["USER"], orders.env["LOGNAME"]) == ("nobody", "nobody")
    assert orders.env["HOME"] == os.path.expanduser("~nobody")
    assert orders.drop


def test_from_plain_root_nothing_is_taken() -> None:
    assert not orders_for(["sh"], (), env={}, fd_names=[], user=None, as_root=True).drop


@pytest.mark.parametrize("words", [["no-such-program"], ["./no-such-program"], ["/etc/passwd"], []])
def test_a_program_that_is_not_there(words: list[str]) -> None:
    with pytest.raises(UsageError):
        program_files(words, os.defpath)


def test_all_that_path_has_of_a_name_in_its_order(tmp_path: Path) -> None:
    """Who the program is to be may be unable to execute the first."""
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
        (folder / "it").touch(mode=0o755)
    (folders[1] / "it").chmod(0o644)
    path = os.pathsep.join(map(str, [*folders, folders[0], tmp_path]))
    assert program_files(["it"], path) == [str(folders[0] / "it"), str(folders[2] / "it")]
    by_place = str(folders[2] / "it")
    assert program_files([by_place], path) == [by_place]


def test_a_function_is_found_by_where_it_stands() -> None:
    call = call_from(at_top_level, (1, "two", None))
    assert (call.module, call.name) == (__name__, "at_top_level")
    assert json.loads(call.as_json())["arguments"] == [1, "two", None]
    orders = orders_for(at_top_level, (1,), env={}, fd_names=[], user=None, as_root=False)
    assert orders.files == [sys.executable]
    assert orders.readable


def test_functions_that_nobody_else_could_find() -> None:
    def inside() -> None:
        pass

    for function in (inside, lambda: None):
        with pytest.raises(UsageError, match="top level"):
            call_from(function, ())


def test_a_function_of_the_script_itself_is_told_where_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(at_top_level, "__module__", "__main__")
    with pytest.raises(UsageError, match=r"stands in the script itself.*a file of its own"):
        call_from(at_top_level, ())


@pytest.mark.parametrize("argument", [object(), b"bytes", {1, 2}])
def test_arguments_that_json_cannot_hold(argument: object) -> None:
    with pytest.raises(UsageError, match="at_top_level"):
        call_from(at_top_level, (argument,)).as_json()


def test_what_the_probe_is_told() -> None:
    told = Watching("off", True, 1 << 20).environment("client", "here", Path("/spools"))
    assert told == {
        "NETLAB_SPOOL": "/spools", "NETLAB_ACTOR": "client", "NETLAB_HOST": "here",
        "NETLAB_QUEUES": "off", "NETLAB_TCP_INFO": "1", "NETLAB_SPOOL_LIMIT": "1048576",
        "NETLAB_STAMPS": "",
    }  # fmt: skip
    chosen = Watching(stamps=[443, 80]).environment("client", "here", Path("/spools"))
    assert chosen["NETLAB_STAMPS"] == "80,443"

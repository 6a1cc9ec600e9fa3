"""What a program of the lab can import, and what it must be able to read for that."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

import netlab
from netlab.lab import hosts
from netlab.lab.become import Orders
from netlab.lab.hosts import House, python_arguments
from netlab.server.messages import control

PROGRAM = "import thing, sys; main = lambda words: print(thing.where, json.__file__)\nimport json\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `thing` as installed, beside a json; another thing where the user works."""
    places = {name: tmp_path / name for name in ("work", "site-packages")}
    for name, place in places.items():
        place.mkdir()
        (place / "thing.py").write_text(f"where = {name!r}")
        (place / "json.py").write_text("raise AssertionError('not the standard library')")
    (places["site-packages"] / "program.py").write_text(PROGRAM)
    for place in places.values():
        monkeypatch.syspath_prepend(place)
    monkeypatch.chdir(places["work"])
    return places["site-packages"]


def test_packages_come_from_where_they_are_installed_after_all_else(installed: Path) -> None:
    arguments = python_arguments("program", packages=("thing", "not_installed"))
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    where, json_file = done.stdout.split()
    assert where == "site-packages"
    assert not json_file.startswith(str(installed.parent))


def test_without_packages_there_is_netlab_alone(installed: Path) -> None:
    done = subprocess.run(python_arguments("program"), capture_output=True, text=True)
    assert "No module named 'program'" in done.stderr


@pytest.mark.parametrize("isolated", [True, False])
def test_the_netlab_that_starts_a_program_is_its_netlab(
    isolated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is installed for that Python, or named by its environment."""
    for other in (tmp_path / "netlab", tmp_path / "named" / "netlab"):
        other.mkdir(parents=True)
        (other / "__init__.py").write_text("raise AssertionError('another netlab')")
    (tmp_path / "thing.py").write_text(
        "import netlab.lab.hosts as ours, json\n"
        "main = lambda words: print(ours.__file__, json.__file__)\n"
    )
    (tmp_path / "json.py").write_text("raise AssertionError('not the standard library')")
    monkeypatch.chdir(tmp_path)
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "other.pth").write_text(f"{tmp_path}\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    arguments = python_arguments("thing", isolated=isolated)
    if isolated:
        arguments[arguments.index("thing") - 1] += f":{tmp_path}"
    named = {"PYTHONPATH": str(tmp_path / "named")}
    done = subprocess.run(arguments, capture_output=True, text=True, env=named)
    assert done.stderr == ""
    ours, json_file = done.stdout.split()
    assert ours == str(Path(hosts.__file__).resolve())
    assert not json_file.startswith(str(tmp_path))


def test_whoever_the_program_is_to_be_must_be_able_to_read_them(installed: Path) -> None:
    helper: Any = None
    ours, theirs = control.pair()
    with ours, theirs:
        lab = House(helper, ours, None)
        lab.start("server", [sys.executable], {}, {}, ("thing", "not_installed"))
        received = control.receive(theirs)
    assert received is not None
    orders = Orders.from_file(received[1][0])
    os.close(received[1][0])
    assert orders.readable == [
        str(Path(netlab.__file__).resolve()),
        str(installed / "thing.py"),
    ]

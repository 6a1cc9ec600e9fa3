from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netlab.lab.itself import as_root


@pytest.fixture
def program(tmp_path: Path) -> Path:
    found = tmp_path / "a venv" / "netlab"
    found.parent.mkdir()
    found.touch(0o755)
    return found


def test_an_install_that_sudo_finds_is_called_by_its_name(program: Path) -> None:
    found = as_root("doctor", program=str(program), path=str(program.parent))
    assert found == "sudo netlab doctor"


def test_one_in_a_virtual_environment_is_named_by_its_path(program: Path) -> None:
    assert as_root("doctor", program=str(program)) == f"sudo '{program}' doctor"


def test_another_netlab_in_sudos_path_is_not_taken_for_it(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "netlab"
    other.touch(0o755)
    found = as_root("doctor", program=str(program), path=str(tmp_path))
    assert found == f"sudo '{program}' doctor"


def test_a_module_that_python_runs_is_run_as_such() -> None:
    found = as_root("doctor", program=str(Path(__file__)))
    assert found == f"sudo {sys.executable} -m netlab doctor"

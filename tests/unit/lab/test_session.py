"""A run that is over before it began, with a lab that only pretends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from netlab.lab import session
from netlab.lab.options import RunOptions
from netlab.model.errors import CheckFailed


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_helper_that_ctrl_c_reached_first(
    interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        raise CheckFailed("the lab's helper ended at its start")

    monkeypatch.setattr(session, "open_lab", die)
    with pytest.raises(KeyboardInterrupt if interrupted else CheckFailed):
        session.run_scenario(RunOptions(tmp_path / "a.pcapng"))
    assert list(tmp_path.iterdir()) == []

"""The engine's tables are the general path's on captures by others, plain and compiled."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from same_tables import assert_same_tables


def test_tables_are_the_general_paths(machine: Any, captures_dir: Path, tmp_path: Path) -> None:
    followed, left, unread = 0, 0, []
    for path in sorted((captures_dir / "files").iterdir()):
        source = path
        if path.suffix == ".gz":
            source = tmp_path / path.stem
            source.write_bytes(gzip.decompress(path.read_bytes()))
        whole = assert_same_tables(source, machine)
        if whole is None:
            unread.append(path.name)
            continue
        followed += whole.capture.count - len(whole.general.frames)
        left += len(whole.general.frames)
    assert followed > 6000
    assert 0 < left < 1800
    assert len(unread) < 25, unread

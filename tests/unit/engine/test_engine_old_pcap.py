"""Old versions of pcap, whose lengths stand the other way round, are left to the general path."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from netlab.capture.files import read_raw
from netlab.engine.plain import Plain
from netlab.engine.records import Unfit
from netlab.engine.whole import read


@pytest.mark.parametrize("version", [(2, 0), (2, 2), (2, 3), (543, 0)])
@pytest.mark.parametrize("order", "<>")
def test_the_engine_does_not_read_them(
    version: tuple[int, int], order: str, tmp_path: Path
) -> None:
    path = tmp_path / "old.pcap"
    head = pack(order + "IHHiIII", 0xA1B2C3D4, *version, 0, 0, 262_144, 1)
    path.write_bytes(head + (pack(order + "IIII", 1, 0, 60, 20) + bytes(20)) * 3)
    assert [(len(f.data), f.origlen_bytes) for f in read_raw(path).frames] == [(20, 60)] * 3
    with pytest.raises(Unfit):
        read(str(path), Plain(), keep=True)

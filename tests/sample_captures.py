"""Where sample captures by others lie: beside the clone, or where NETLAB_CAPTURES says."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = Path(os.environ.get("NETLAB_CAPTURES", ROOT.parent / "shared" / "captures"))

"""Where things are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of data that can be computed again: $POLYDIFF_CACHE, or ~/.cache/polydiff."""
    root = (
        os.environ.get("POLYDIFF_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polydiff"
    )
    return Path(root)

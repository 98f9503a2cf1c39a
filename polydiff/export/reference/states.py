"""The files of new samples: arrays in the scale of states, as .npy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def write(x: Array, given: dict[str, Array], spec: dict[str, Any], folder: Path) -> list[Path]:
    """Write clean states (B, ...) to a folder and return the paths of its files."""
    np.save(folder / "samples.npy", x)
    return [folder / "samples.npy"]

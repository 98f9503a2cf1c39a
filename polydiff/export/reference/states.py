"""Sizes of new samples, and their files: arrays in the scale of states, as .npy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def draw(
    spec: dict[str, Any], n: int, wanted: dict[str, str], rng: np.random.Generator
) -> tuple[tuple[int, ...], dict[str, Array]]:
    """Return the shape of n states, and inputs of the network that are drawn with it; takes its names from `wanted`."""
    return (n, *spec["shape"]), {}


def noise(shape: tuple[int, ...], given: dict[str, Array], rng: np.random.Generator) -> Array:
    """Return standard normal noise, float32."""
    return rng.standard_normal(shape, np.float32)


def write(x: Array, given: dict[str, Array], spec: dict[str, Any], folder: Path) -> list[Path]:
    """Write clean states (B, ...) to a folder and return the paths of its files."""
    np.save(folder / "samples.npy", x)
    return [folder / "samples.npy"]

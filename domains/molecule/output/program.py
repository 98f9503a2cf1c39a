"""New molecules without polydiff: their sizes and conditions, and XYZ files. Copied as states.py beside a network.

This file imports numpy, and nothing of polydiff (`polydiff.export.reference.states`).

Symbols: B molecules, N atoms of the largest, C conditions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NEAREST = 32
"""Training molecules nearest to the wanted numbers, of which one gives the others."""


def draw(
    spec: dict[str, Any], n: int, wanted: dict[str, str], rng: np.random.Generator
) -> tuple[tuple[int, ...], dict[str, Array]]:
    """Return the shape of the states of n molecules, the mask of their atoms, and their conditions.

    One training molecule gives the size and all numbers of a sample. Numbers in `wanted` replace its own; it is then
    one of the nearest to them. `any` leaves a number open.
    """
    values = spec["values"]
    profiles = np.array(values["profiles"], float)  # None becomes NaN
    names = ["atoms", *values["names"]]
    texts = {name: wanted.pop(name) for name in names if name in wanted}
    fixed = {names.index(name): float(text) for name, text in texts.items() if text != "any"}
    if fixed:
        columns = list(fixed)
        scale = np.maximum(np.nanstd(profiles[:, columns], axis=0), 1e-9)
        distance = np.nansum(((profiles[:, columns] - list(fixed.values())) / scale) ** 2, 1)
        profiles = profiles[distance.argsort(kind="stable")[:NEAREST]]
    rows = profiles[rng.integers(len(profiles), size=n)]
    for column, value in fixed.items():
        rows[:, column] = value
    elements = [1 + len(values["names"]) - len(values["counted"]) + i for i in range(len(values["counted"]))]
    if any(column in fixed for column in elements):  # counts of elements add up to the number of atoms
        rows[:, 0] = rows[:, elements].sum(1)
    for name, text in texts.items():
        if text == "any":
            rows[:, names.index(name)] = np.nan
    sizes = rows[:, 0].astype(int)
    mask = np.arange(sizes.max()) < sizes[:, None]
    numbers = ((rows[:, 1:] - values["means"]) / values["stds"]).astype(np.float32)
    given: dict[str, Array] = {"mask": mask}
    given |= {name: numbers[:, i] for i, name in enumerate(values["names"]) if name in spec["inputs"]}
    if "elements" in spec["inputs"]:
        counts = rows[:, elements].astype(int)
        drawn = [np.repeat(values["elements"], row) for row in counts]
        given["elements"] = np.stack([np.pad(z, (0, mask.shape[1] - len(z))) for z in drawn]).astype(np.int64)
    return (*mask.shape, *spec["shape"]), given


def noise(shape: tuple[int, ...], given: dict[str, Array], rng: np.random.Generator) -> Array:
    """Return standard normal noise, float32: 0 on padding, positions with the mean 0."""
    mask = given["mask"][..., None]
    x = rng.standard_normal(shape, np.float32) * mask
    centre = x[..., :3].sum(1, keepdims=True) / mask.sum(1, keepdims=True)
    x[..., :3] = (x[..., :3] - centre) * mask
    return x


def atoms(x: Array, given: dict[str, Array], spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return the atomic numbers (N,) and the positions in Å (N, 3) of states (B, N, 3 + K)."""
    values, found = spec["values"], []
    for i, (state, there) in enumerate(zip(x, given["mask"], strict=True)):
        rows = state[there]
        if "elements" in given:
            numbers = given["elements"][i][there]
        else:
            features = rows[:, 3:] + np.array(values["offset"])
            numbers = np.array(values["elements"])[features[:, : len(values["elements"])].argmax(1)]
        found.append((numbers, rows[:, :3] * values["scale"]))
    return found


def write(x: Array, given: dict[str, Array], spec: dict[str, Any], folder: Path) -> list[Path]:
    """Write states (B, N, 3 + K) as XYZ files and return their paths."""
    values, paths = spec["values"], []
    symbols = dict(zip(values["elements"], values["symbols"], strict=True))
    for i, (numbers, positions) in enumerate(atoms(x, given, spec)):
        lines = [str(len(numbers)), ""]
        pairs = zip(numbers.tolist(), positions, strict=True)
        lines += [f"{symbols[z]} {a:.5f} {b:.5f} {c:.5f}" for z, (a, b, c) in pairs]
        paths.append(folder / f"{i:05d}.xyz")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths

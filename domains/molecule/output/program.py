"""New molecules without polydiff: their sizes and conditions, and XYZ files. Copied as states.py beside a network.

This file imports numpy and inputs.py, and nothing of polydiff (`polydiff.export.deploys`).

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
MAX_SIZE_RATIO = 4
"""Largest number of atoms, as a multiple of that of the largest training molecule: memory grows with the square."""


def draw(
    spec: dict[str, Any], n: int, wanted: dict[str, str], rng: np.random.Generator
) -> tuple[tuple[int, ...], dict[str, Array]]:
    """Return the shape of the states of n molecules, the mask of their atoms, and their conditions.

    One training molecule gives the size and all numbers of a sample. Numbers in `wanted` replace its own; it is then
    one of the nearest to them, with exactly the wanted numbers of atoms if there is such. `any` leaves a number open.
    """
    from inputs import ANY, fail

    values, inputs = spec["values"], spec["inputs"]
    names = ["atoms", *values["names"]]
    elements = list(range(len(names) - len(values["counted"]), len(names)))
    texts = {name: wanted.pop(name) for name in names if name in wanted}
    fixed, opened = numbers(values, texts), {names.index(name) for name, text in texts.items() if text == ANY}
    rows = nearest(np.array(values["profiles"], float), fixed, {0, *elements} if elements else set())
    rows = rows[rng.integers(len(rows), size=n)]
    for column, value in fixed.items():
        rows[:, column] = value
    if fixed.keys() & {*elements}:
        rows[:, 0] = rows[:, elements].sum(1)
        opened -= {*elements}
        if not 1 <= rows[:, 0].min() == fixed.get(0, rows[:, 0].min()):
            fail(f"The numbers of the elements add up to {rows[0, 0]:g}, which cannot be the number of atoms.")
    elif elements and 0 in fixed and (fixed[0] != rows[:, elements].sum(1)).any():
        if "elements" in inputs:
            fail(f"No training molecule has {fixed[0]:g} atoms, so its elements cannot be drawn. Give all of them.")
        opened |= {*elements}
    elif opened & {*elements}:
        opened |= {*elements}
    sizes, counts = rows[:, 0].astype(int), rows[:, elements].astype(int)
    rows[:, list(opened)] = np.nan
    mask = np.arange(sizes.max()) < sizes[:, None]
    scaled = ((rows[:, 1:] - values["means"]) / values["stds"]).astype(np.float32)
    given: dict[str, Array] = {"mask": mask}
    given |= {name: scaled[:, i] for i, name in enumerate(values["names"]) if name in inputs}
    if "elements" in inputs:
        drawn = [np.repeat(values["elements"], row) for row in counts]
        given["elements"] = np.stack([np.pad(z, (0, mask.shape[1] - len(z))) for z in drawn]).astype(np.int64)
    return (*mask.shape, *spec["shape"]), given


def numbers(values: dict[str, Any], texts: dict[str, str]) -> dict[int, float]:
    """Return the requested numbers, column of a profile -> value, without those that are left open.

    Arguments:
        values: The values of model.json.
        texts: Name -> value as text.
    """
    from inputs import ANY, fail, number

    names, fixed = ["atoms", *values["names"]], {}
    largest = MAX_SIZE_RATIO * max(row[0] for row in values["profiles"])
    for name, text in texts.items():
        if text == ANY:
            continue
        value = fixed[names.index(name)] = number(name, text)
        least = 1 if name == "atoms" else 0
        if name in ("atoms", *values["counted"]) and not (value == int(value) and least <= value <= largest):
            fail(f"{name}={text} should be a whole number from {least} to {largest:g}.")
    return fixed


def nearest(profiles: Array, fixed: dict[int, float], exact: set[int]) -> Array:
    """Return the profiles nearest to the requested numbers.

    Arguments:
        profiles: [atoms, conditions ...] of training molecules, (n, 1 + C); NaN where a value is unknown.
        fixed: Column -> requested number.
        exact: Columns in which the profiles have exactly these numbers, if there are such profiles.
    """
    same = [profiles[:, column] == value for column, value in fixed.items() if column in exact]
    if same and np.all(same, 0).any():
        profiles = profiles[np.all(same, 0)]
    if fixed:
        columns = list(fixed)
        scale = np.maximum(np.nanstd(profiles[:, columns], axis=0), 1e-9)
        distance = np.nansum(((profiles[:, columns] - list(fixed.values())) / scale) ** 2, 1)
        profiles = profiles[distance.argsort(kind="stable")[:NEAREST]]
    return profiles


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

"""Bond lengths and angles, and how far their distributions are from those of other molecules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polydiff.metrics.standard_error import Number, jackknife
from polydiff.metrics.wasserstein import wasserstein

Values = Mapping[str, NDArray[np.float64]]
"""Kind of bond, or of angle -> its lengths in Å, or its degrees."""

ORDERS = {1.0: "-", 1.5: ":", 2.0: "=", 3.0: "#"}
"""Order of a bond -> its sign; ":" is aromatic."""
GROUPS = 10
"""Groups of samples that are left out in turn, to tell how sure a distance is."""


def bond_lengths(mol: Any) -> dict[str, list[float]]:
    """Return the lengths in Å of a molecule's bonds by kind, such as "C-H", "C:N" (aromatic) or "C=O"."""
    r, found = mol.GetConformer().GetPositions(), dict[str, list[float]]()
    for bond in mol.GetBonds():
        ends = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=lambda atom: str(atom.GetSymbol()))
        kind = ORDERS.get(bond.GetBondTypeAsDouble(), "~")
        a, b = (atom.GetIdx() for atom in ends)
        found.setdefault(kind.join(atom.GetSymbol() for atom in ends), []).append(float(np.linalg.norm(r[a] - r[b])))
    return found


def bond_angles(mol: Any) -> dict[str, list[float]]:
    """Return the angles in degrees between a molecule's bonds by kind: elements, the middle one with its hybrid."""
    r, found = mol.GetConformer().GetPositions(), dict[str, list[float]]()
    for atom in mol.GetAtoms():
        middle, near = atom.GetIdx(), atom.GetNeighbors()
        for a, b in combinations(sorted(near, key=lambda one: str(one.GetSymbol())), 2):
            kind = f"{a.GetSymbol()}-{atom.GetSymbol()}({atom.GetHybridization()})-{b.GetSymbol()}"
            found.setdefault(kind, []).append(angle(r[a.GetIdx()] - r[middle], r[b.GetIdx()] - r[middle]))
    return found


def angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the angle between two vectors in degrees, exact near 0 and 180 too."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def together(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, NDArray[np.float64]]:
    """Return the values of many molecules by kind."""
    found = dict[str, list[float]]()
    for part in parts:
        for kind, values in part.items():
            found.setdefault(kind, []).extend(values)
    return {kind: np.array(values, np.float64) for kind, values in found.items()}


def distance(samples: Sequence[Mapping[str, Sequence[float]]], reference: Values) -> Number:
    """Return how far molecules' values are from a reference: the mean over all values of their kind's distance.

    The distance of a kind is Wasserstein's, in the values' unit: how far, on average, a value must move for the
    distributions of the kind to be alike. Kinds that the reference lacks are left out. The error is the jackknife's
    over groups of samples.

    Arguments:
        samples: Values by kind, of each molecule.
        reference: Values by kind.
    """
    groups = [together(samples[i::GROUPS]) for i in range(GROUPS)]
    rest = [groups[:i] + groups[i + 1 :] for i in range(GROUPS)] if len(samples) >= GROUPS else []
    without = [mean_distance(together_again(part), reference) for part in rest]
    return Number(mean_distance(together_again(groups), reference), jackknife(without))


def together_again(groups: Sequence[Values]) -> Values:
    """Return the values of groups by kind."""
    kinds = {kind for group in groups for kind in group}
    return {kind: np.concatenate([group[kind] for group in groups if kind in group]) for kind in sorted(kinds)}


def mean_distance(values: Values, reference: Values) -> float:
    """Return the mean over all values of the distance of their kind to the reference; NaN of nothing."""
    both = [(len(x), wasserstein(x, reference[kind])) for kind, x in values.items() if kind in reference]
    total = sum(n for n, _ in both)
    return sum(n * far for n, far in both) / total if total else float("nan")

"""Bond lengths and angles, and the distance of their distributions to those of reference molecules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polydiff.metrics.standard_error import Number, jackknife
from polydiff.metrics.wasserstein import wasserstein

Values = Mapping[str, NDArray[np.float64]]
"""Kind of bond -> lengths in Å, or kind of angle -> angles in degrees."""

ORDER_SIGNS = {1.0: "-", 1.5: ":", 2.0: "=", 3.0: "#"}
"""Bond order -> its sign; ":" is aromatic."""
GROUPS = 10
"""Number of groups of samples for the jackknife's standard error."""


def bond_lengths(mol: Any) -> dict[str, list[float]]:
    """Return the lengths in Å of a molecule's bonds by kind, such as "C-H", "C:N" (aromatic) or "C=O"."""
    r, found = mol.GetConformer().GetPositions(), dict[str, list[float]]()
    for bond in mol.GetBonds():
        ends = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=lambda atom: str(atom.GetSymbol()))
        kind = ORDER_SIGNS.get(bond.GetBondTypeAsDouble(), "~")
        a, b = (atom.GetIdx() for atom in ends)
        found.setdefault(kind.join(atom.GetSymbol() for atom in ends), []).append(float(np.linalg.norm(r[a] - r[b])))
    return found


def bond_angles(mol: Any) -> dict[str, list[float]]:
    """Return the angles in degrees between a molecule's bonds by kind, such as "C-C(SP3)-H".

    A kind names the three elements and the hybridisation of the middle atom.
    """
    r, found = mol.GetConformer().GetPositions(), dict[str, list[float]]()
    for atom in mol.GetAtoms():
        middle, near = atom.GetIdx(), atom.GetNeighbors()
        for a, b in combinations(sorted(near, key=lambda one: str(one.GetSymbol())), 2):
            kind = f"{a.GetSymbol()}-{atom.GetSymbol()}({atom.GetHybridization()})-{b.GetSymbol()}"
            found.setdefault(kind, []).append(angle(r[a.GetIdx()] - r[middle], r[b.GetIdx()] - r[middle]))
    return found


def angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the angle between two vectors (3,) in degrees, accurate also near 0 and 180."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def merge_values(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, NDArray[np.float64]]:
    """Return the values of all molecules, merged by kind."""
    found = dict[str, list[float]]()
    for part in parts:
        for kind, values in part.items():
            found.setdefault(kind, []).extend(values)
    return {kind: np.array(values, np.float64) for kind, values in found.items()}


def mean_wasserstein(samples: Sequence[Mapping[str, Sequence[float]]], reference: Values) -> Number:
    """Return the Wasserstein distance between values and a reference, averaged over kinds, with its standard error.

    The distance of a kind is the 1-Wasserstein distance in the unit of the values. It is weighted by the number of
    values of the kind. Kinds that do not occur in the reference are ignored. The standard error is the jackknife's over
    groups of samples.

    Arguments:
        samples: Values by kind of each molecule.
        reference: Values by kind of all reference molecules.
    """
    groups = [merge_values(samples[i::GROUPS]) for i in range(GROUPS)]
    rest = [groups[:i] + groups[i + 1 :] for i in range(GROUPS)] if len(samples) >= GROUPS else []
    without = [mean_distance(join_groups(part), reference) for part in rest]
    return Number(mean_distance(join_groups(groups), reference), jackknife(without))


def join_groups(groups: Sequence[Values]) -> Values:
    """Return the values of several groups, concatenated by kind."""
    kinds = {kind for group in groups for kind in group}
    return {kind: np.concatenate([group[kind] for group in groups if kind in group]) for kind in sorted(kinds)}


def mean_distance(values: Values, reference: Values) -> float:
    """Return the mean distance of kinds to the reference, weighted by number of values; NaN if no kind is shared."""
    both = [(len(x), wasserstein(x, reference[kind])) for kind, x in values.items() if kind in reference]
    total = sum(n for n, _ in both)
    return sum(n * gap for n, gap in both) / total if total else float("nan")

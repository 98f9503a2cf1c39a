r"""The search for the training molecule nearest to another, by the fragments that they share.

A molecule is described by the set of its circular fragments up to two bonds around each atom, as a Morgan fingerprint
(Rogers & Hahn, 2010, https://doi.org/10.1021/ci100050t). The distance of two molecules is 1 minus the Tanimoto
similarity of their sets, |A and B| / |A or B|. It does not depend on geometry, nor on the order of atoms. A molecule
with the key of a training molecule (`chemistry.identity`) is its copy, at distance 0; different molecules with the same
fragments, such as two long chains, are at 0 too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.rdBase import BlockLogs

from polydiff.domains.molecule.conditions import evenly_spaced

KNOWN = 50_000
"""Largest number of different training molecules that are compared by fragments; copies are found among all."""
HELD_OUT = 256
"""Largest number of different held-out molecules whose distance to training is measured."""
RADIUS, BITS = 2, 2048
"""Bonds around an atom that a fragment reaches, and length of a fingerprint."""


@dataclass(frozen=True)
class Search:
    """The search among training molecules.

    Arguments:
        copies: Key of each training molecule -> number of its first geometry.
        places: Numbers of the geometries of the M molecules that are compared by fragments.
        known: Their fingerprints, M.
        typical: Median distance of held-out molecules to the nearest of them; NaN without any.
    """

    copies: dict[str, int]
    places: Sequence[int]
    known: Sequence[Any]
    typical: float = math.nan

    @classmethod
    def of(cls, train: Sequence[str], test: Sequence[str]) -> Search:
        """Return the search in a data set, given the keys of its training and of its held-out geometries."""
        copies: dict[str, int] = {}
        for number, key in enumerate(train):
            copies.setdefault(key, number)
        keys, others = list(copies), sorted({*test})
        chosen = [keys[i] for i in evenly_spaced(len(keys), KNOWN)]
        search = cls(copies, [copies[key] for key in chosen], [fingerprint(key) for key in chosen])
        distances = [search.find(others[i])[1] for i in evenly_spaced(len(others), HELD_OUT)]
        return cls(copies, search.places, search.known, median(distances) if distances else math.nan)

    def find(self, key: str | None) -> tuple[int, float]:
        """Return the number of the training geometry nearest to a molecule, and its distance in [0, 1].

        Arguments:
            key: Key of the molecule; None: there is no molecule, and the distance is NaN.
        """
        if key is None:
            return self.places[0], math.nan
        if key in self.copies:
            return self.copies[key], 0.0
        similar = DataStructs.BulkTanimotoSimilarity(fingerprint(key), list(self.known))
        best = max(range(len(similar)), key=similar.__getitem__)
        return self.places[best], 1 - similar[best]


def fingerprint(key: str) -> Any:
    """Return the Morgan fingerprint of a molecule, given its key."""
    return generator().GetFingerprint(molecule_of(key))


def fragment_counts(key: str) -> np.ndarray:
    """Return how often each fragment occurs in a molecule, given its key, uint32 (BITS,)."""
    counts: np.ndarray = generator().GetCountFingerprintAsNumPy(molecule_of(key))
    return counts


def generator() -> Any:
    """Return what finds the fragments of molecules."""
    return rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)


def molecule_of(key: str) -> Any:
    """Return the RDKit molecule of a key."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(key)
        if mol is None:  # the key of a molecule without valences that fit
            mol = Chem.MolFromSmiles(key, sanitize=False)
            mol.UpdatePropertyCache(strict=False)
            Chem.FastFindRings(mol)
    return mol

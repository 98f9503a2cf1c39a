"""A set of molecules that samples are compared with. Its features take milliseconds a molecule, so they are cached."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rdkit

from polydiff.domains.molecule.data.library import digest
from polydiff.domains.molecule.moses.features import BITS, Features, features
from polydiff.support.disk import cache_dir
from polydiff.support.files import write_cache

FORM = 1
"""Version of the files in the cache."""
LEAST_CACHED = 500
"""Number of molecules from which on features are cached."""
LEAST_RINGS = 2
"""Smallest number of rings of a scaffold that counts."""


@dataclass(frozen=True)
class MoleculeSet:
    """The features of m molecules.

    Arguments:
        smiles: Their canonical SMILES.
        fingerprints: Their fingerprints, packed, uint8 (m, BITS / 8).
        fragments: BRICS fragment -> how often it occurs.
        scaffolds: Scaffold of at least `LEAST_RINGS` rings -> number of molecules.
        properties: The numbers `features.PROPERTIES` of each, float64 (m, 4); (m, 0) if they are not measured.
    """

    smiles: Sequence[str]
    fingerprints: np.ndarray
    fragments: Mapping[str, int]
    scaffolds: Mapping[str, int]
    properties: np.ndarray

    def __len__(self) -> int:
        return len(self.smiles)

    @classmethod
    def of(cls, found: Sequence[Features]) -> MoleculeSet:
        """Return the set of molecules with these features."""
        return cls(
            [one.smiles for one in found],
            np.array([one.fingerprint for one in found], np.uint8).reshape(-1, BITS // 8),
            fragments_of(found),
            scaffolds_of(found),
            np.array([one.properties for one in found], np.float64),
        )

    @classmethod
    def cached(cls, smiles: Sequence[str], measured: bool) -> MoleculeSet:
        """Return the set of valid SMILES, from the cache if possible, with their properties if `measured`."""
        key = digest("\n".join([str(FORM), rdkit.__version__, str(measured), *smiles]).encode())[:24]
        path = cache_dir() / "molecule" / f"compared-{key}.npz"
        found = read(path)
        if found is None:
            few = len(smiles) < LEAST_CACHED
            found = cls.of(features(smiles, "molecules compared with", measured, quiet=few))
            if not few:
                write(path, found)
        return found

    def without(self, others: Sequence[Features]) -> MoleculeSet:
        """Return the set without these molecules, those of them that it holds."""
        counts, found = Counter(self.smiles), {one.smiles: one for one in others}
        gone = [one for name, one in found.items() for _ in range(counts[name])]
        kept = np.array([name not in found for name in self.smiles], bool)
        return MoleculeSet(
            [name for name in self.smiles if name not in found],
            self.fingerprints[kept],
            Counter(self.fragments) - fragments_of(gone),
            Counter(self.scaffolds) - scaffolds_of(gone),
            self.properties[kept],
        )


def fragments_of(found: Sequence[Features]) -> Counter[str]:
    """Return fragment -> how often it occurs."""
    return Counter(name for one in found for name in one.fragments)


def scaffolds_of(found: Sequence[Features], least: int = LEAST_RINGS) -> Counter[str]:
    """Return scaffold of at least so many rings -> number of molecules."""
    return Counter(one.scaffold for one in found if one.rings >= least)


def write(path: Path, found: MoleculeSet) -> None:
    """Write a set to a file of the cache."""
    buffer = io.BytesIO()
    words = json.dumps([list(found.smiles), found.fragments, found.scaffolds]).encode()
    np.savez(buffer, fingerprints=found.fingerprints, properties=found.properties, words=np.frombuffer(words, np.uint8))
    write_cache(path, buffer.getvalue())


def read(path: Path) -> MoleculeSet | None:
    """Return the set in a file of the cache; None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            smiles, fragments, scaffolds = json.loads(arrays["words"].tobytes())
            return MoleculeSet(smiles, arrays["fingerprints"], fragments, scaffolds, arrays["properties"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None

"""The Frechet distance of molecules on the features of ChemNet (FCD; Preuer et al., 2018).

See https://doi.org/10.1021/acs.jcim.8b00234. The package fcd_torch has the network, 512 features a molecule, and its
weights. Nothing is downloaded; without the package there is no distance.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import warnings
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from polydiff.domains.molecule.data.library import digest
from polydiff.metrics.frechet import frechet_distance
from polydiff.metrics.least import too_few, value_unless
from polydiff.metrics.results import Metric
from polydiff.support.disk import cache_dir
from polydiff.support.files import write_cache

PACKAGE = "fcd_torch"
FEATURES = 512
"""Number of features of a molecule."""
MOST = 10_000
"""Largest number of molecules of a test set, of which a molecule takes some milliseconds."""
LEAST_CACHED = 500
"""Number of molecules from which on features are cached."""


def absent() -> str:
    """Return why there is no distance, "" if the package is installed."""
    return "" if importlib.util.find_spec(PACKAGE) else f"it needs ChemNet: pip install {PACKAGE}"


@functools.cache
def network() -> Any:
    """Return the network of the package."""
    from fcd_torch import FCD

    return FCD(device="cpu", n_jobs=1)


def activations(smiles: Sequence[str]) -> np.ndarray:
    """Return the features of valid SMILES, float32 (n, FEATURES)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, in the package
        return np.asarray(network().get_predictions(list(smiles)), np.float32).reshape(-1, FEATURES)


@dataclass(frozen=True)
class ChemNetSet:
    """The features of m molecules.

    Arguments:
        smiles: Their canonical SMILES.
        features: Their features, float32 (m, FEATURES).
    """

    smiles: Sequence[str]
    features: np.ndarray

    @classmethod
    def cached(cls, smiles: Sequence[str]) -> ChemNetSet:
        """Return the set of canonical SMILES, from the cache if possible."""
        path = cache_dir() / "molecule" / f"chemnet-{digest(chr(10).join(smiles).encode())[:24]}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(smiles, arrays["features"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            found = cls(smiles, activations(smiles))
        if len(smiles) >= LEAST_CACHED:
            buffer = io.BytesIO()
            np.savez(buffer, features=found.features)
            write_cache(path, buffer.getvalue())
        return found

    def without(self, others: Collection[str]) -> ChemNetSet:
        """Return the set without these molecules."""
        kept = [name not in others for name in self.smiles]
        return ChemNetSet([name for name in self.smiles if name not in others], self.features[np.array(kept, bool)])


def chemnet_distance(made: np.ndarray, reference: ChemNetSet | None, what: str) -> Metric:
    """Return the distance of the features of n valid samples to those of a set.

    Arguments:
        made: Features of the samples (n, FEATURES).
        reference: The set; None: the package is not installed.
        what: What the set holds.
    """
    m = len(reference.smiles) if reference else 0
    n = min(len(made), m)
    reason = absent() if reference is None else too_few("frechet", n, "molecules of each set")
    other = reference.features if reference else made
    return Metric(
        value_unless(reason, lambda: frechet_distance(torch.from_numpy(made), torch.from_numpy(other))),
        "",
        "lower",
        f"Frechet distance of {len(made)} valid samples to {m} {what} on {FEATURES} features by ChemNet (FCD). It "
        "shrinks with the number of samples: compare it at the same number alone; real data show its floor.",
        n=len(made),
        reason=reason,
    )

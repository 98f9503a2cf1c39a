r"""The largest standard deviation of states of molecules along any direction, for the noise range.

A network of molecules and the noise know no order of the atoms and no orientation, so what counts is the distribution
of states in which every order and every rotation is equally likely. Its second moments have four parts:

- positions: $\mathrm E |r|^2 / 3(N - 1)$ along each of the 3 (N - 1) directions, r all positions of a molecule;
- positions of one element, if elements are given, which then distinguish atoms: at most $\mathrm E |r_i|^2 / 3$;
- composition: the moments of $g = \sum_i f_i / \sqrt N$, the directions that all atoms share. They grow with N, as
  those of the brightness of a picture grow with its pixels;
- differences between atoms: $(\mathrm E \sum_i f_i f_i^T - \mathrm E g g^T) / (N - 1)$.

Positions and features are uncorrelated, because every rotation is equally likely.

Symbols: N atoms of a molecule, r_i position from the centre and f_i features of an atom, in units of the state.
"""

from __future__ import annotations

import numpy as np
import torch

from polydiff.domains.molecule.codec import Codec, centred_positions, sum_by_owner
from polydiff.domains.molecule.data.library import Library

LARGEST = 0.1
"""Share of the molecules, those with the most atoms, that is also measured alone."""


def principal_std(library: Library, codec: Codec) -> float:
    """Return the largest root mean square of states along any direction, of all molecules or of the largest ones.

    Positions of 0 stand for geometries that are not computed yet. Their molecules count with their features only.

    Arguments:
        library: The geometries.
        codec: Gives the states.
    """
    largest = np.argsort(-library.sizes, kind="stable")[: max(1, round(LARGEST * len(library)))]
    return max(measured(library, codec), measured(library.take(largest), codec))


def measured(library: Library, codec: Codec) -> float:
    """Return the largest root mean square of the states of a library along any direction."""
    owner = np.repeat(np.arange(len(library)), library.sizes)
    found = [of_positions(library, codec, owner)]
    if codec.features:
        found += of_features(library, codec, owner)
    return float(np.sqrt(max(found)))


def of_positions(library: Library, codec: Codec, owner: np.ndarray) -> float:
    """Return the largest second moment of positions along a direction, 0 if no geometry is known.

    Geometries that do not enter the scale (`MAX_EXTENT`) do not enter this either.

    Arguments:
        library: The geometries.
        codec: Gives the scale, and whether elements are given.
        owner: Geometry of each atom (M,).
    """
    centred, usual = centred_positions(library, owner)
    squares = ((centred / codec.scale) ** 2).sum(1)
    total = sum_by_owner(squares[:, None], owner)[:, 0]
    known = (total > 0) & usual
    if not known.any():
        return 0.0
    if codec.given:
        atoms = known[owner]
        return max(float(squares[atoms & (library.numbers == z)].mean()) / 3 for z in set(library.numbers[atoms]))
    return float((total[known] / (3 * (library.sizes[known] - 1))).mean())


def of_features(library: Library, codec: Codec, owner: np.ndarray) -> list[float]:
    """Return the largest second moments of features: along directions that all atoms share, and of differences.

    Arguments:
        library: The geometries.
        codec: Gives the features.
        owner: Geometry of each atom (M,).
    """
    f = codec.features_of(torch.from_numpy(library.numbers.astype(np.int64))).numpy()
    sizes = library.sizes
    shared = sum_by_owner(f, owner) / np.sqrt(sizes)[:, None]
    found = [shared.T @ shared / len(library)]
    if (several := sizes > 1).any():
        atoms, n = several[owner], sizes[several]
        within = f[atoms].T @ (f[atoms] / (n - 1).repeat(n)[:, None])
        between = shared[several].T @ (shared[several] / (n - 1)[:, None])
        found.append((within - between) / len(n))
    return [float(np.linalg.eigvalsh(moments)[-1]) for moments in found]

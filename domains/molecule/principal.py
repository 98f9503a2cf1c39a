r"""The largest standard deviation of states of molecules along any direction, for the noise range.

A network of molecules and the noise know no order of the atoms and no orientation (`polydiff.metrics.principal`). So
second moments have three parts:

- positions: $\mathrm E |r|^2 / 3(N - 1)$ along each of the 3 (N - 1) directions, r all positions of a molecule;
- positions of one element, if elements are given, which then distinguish atoms: at most $\mathrm E |r_i|^2 / 3$;
- features: the composition, which all atoms share, and differences between atoms.

Symbols: N atoms of a molecule, r_i position from the centre and f_i features of an atom, in units of the state.
"""

from __future__ import annotations

import numpy as np
import torch

from polydiff.domains.molecule.codec import Codec, centred_positions, sum_by_owner
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.graphs.codec import GraphCodec
from polydiff.metrics.principal import feature_moments, largest_sets


def principal_std(library: Library, codec: Codec | GraphCodec) -> float:
    """Return the largest root mean square of states along any direction, of all molecules or of the largest ones.

    Positions of 0 stand for geometries that are not computed yet. Their molecules count with their features only.

    Arguments:
        library: The geometries.
        codec: Gives the states.
    """
    largest = largest_sets(torch.from_numpy(library.sizes)).numpy()
    return max(measured(library, codec), measured(library.take(largest), codec))


def measured(library: Library, codec: Codec | GraphCodec) -> float:
    """Return the largest root mean square of the states of a library along any direction."""
    owner = np.repeat(np.arange(len(library)), library.sizes)
    found = [of_positions(library, codec, owner)]
    if isinstance(codec, Codec) and codec.features:
        found += of_features(library, codec, owner)
    return float(np.sqrt(max(found)))


def of_positions(library: Library, codec: Codec | GraphCodec, owner: np.ndarray) -> float:
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
    products = sum_by_owner((f[:, :, None] * f[:, None]).reshape(len(f), -1), owner)
    sums, sizes = torch.from_numpy(sum_by_owner(f, owner)), torch.from_numpy(library.sizes)
    return feature_moments(sums, torch.from_numpy(products).reshape(len(library), *(2 * f.shape[1:])), sizes)

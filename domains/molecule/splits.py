"""The split of a library of molecules into training and held-out ones."""

from __future__ import annotations

import numpy as np

from polydiff.domains.molecule.data.library import TEST, TRAIN, Library, digest
from polydiff.support.errors import UserError, amount


def split(library: Library, share: float, charged: bool = False) -> dict[str, Library]:
    """Return the splits {"train", "test"}, each with at least one molecule.

    The split of a molecule depends on a hash of its SMILES only. All its geometries are in the same split, and it stays
    there when other molecules are added. A data set that comes divided keeps its splits. A molecule with an element
    that does not occur in the training split moves to it, since no sample could contain that element.

    Arguments:
        library: The data set.
        share: Share of the molecules to hold out.
        charged: Whether an element with another formal charge is another one.

    Raises:
        UserError: There are too few molecules.
    """
    train, test = library.sides == TRAIN, library.sides == TEST
    if not (train.any() or test.any()):
        test = held_out(library, share)
        train = ~test
    moved = test & has_unseen_element(library, train, charged)
    train, test = train | moved, test & ~moved
    if not (train.any() and test.any()):
        lacking = "none is left for training" if test.any() else "none can be held out"
        raise UserError(
            f"Of {amount(library.used, 'molecule')}, {lacking}. "
            "Add molecules; one can be held out if others contain all its elements."
        )
    return {"train": library.take(np.flatnonzero(train)), "test": library.take(np.flatnonzero(test))}


def held_out(library: Library, share: float) -> np.ndarray:
    """Return which geometries are held out, booleans (n,), by the hash of their SMILES.

    If all molecules chosen by `share` have an unseen element, one other molecule is held out.
    """
    hashes = np.array([int(digest(one.encode())[:13], 16) / 16**13 for one in library.smiles])
    ordered = np.unique(hashes)
    if len(ordered) < 2:
        raise UserError("At least two different molecules are needed: one for training and one to hold out.")
    test: np.ndarray = hashes < min(max(share, ordered[1]), ordered[-1])
    if not has_unseen_element(library, ~test)[test].all():
        return test
    for value in ordered:
        test = hashes == value
        if not has_unseen_element(library, ~test)[test].any():
            return test
    raise UserError("No molecule can be held out: each contains an element that no other has.")


def has_unseen_element(library: Library, train: np.ndarray, charged: bool = False) -> np.ndarray:
    """Return which geometries contain an element that does not occur in the training ones, booleans (n,).

    Arguments:
        library: The data set.
        train: Which geometries are for training, (n,).
        charged: Whether an element with another formal charge is another one.
    """
    kinds = library.numbers.astype(np.int64) * 256 + (library.charges if charged else 0)
    known = np.isin(kinds, np.unique(kinds[np.repeat(train, library.sizes)]))
    return ~np.logical_and.reduceat(known, library.first[:-1])

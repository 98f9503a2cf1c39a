"""The split of a library of molecules into training and held-out ones."""

from __future__ import annotations

import numpy as np

from polydiff.contract.data.splits import stated_keys
from polydiff.domains.molecule.data.library import SIDES, TEST, TRAIN, UNUSED, Library, digest
from polydiff.support.errors import UserError, amount


def split(library: Library, share: float, charged: bool = False) -> dict[str, Library]:
    """Return the splits {"train", "test"}, each with at least one molecule.

    The split of a molecule depends on a hash of its SMILES only. All its geometries are in the same split, and it stays
    there when other molecules are added. Splits that the data state are kept, and molecules without one get that of
    their other geometries, or one by their hash. No sample could contain an element that does not occur in the training
    split: a held-out molecule with one moves to that split, or is left out if the data state its split.

    Arguments:
        library: The data set.
        share: Share of the molecules to hold out.
        charged: Whether an element with another formal charge is another one.

    Raises:
        UserError: There are too few molecules.
    """
    stated = library.sides >= 0
    if stated.any():
        sides = completed(library, share)
        train, test = sides == TRAIN, sides == TEST
    else:
        test = held_out(library, share)
        train = ~test
    unseen = test & has_unseen_element(library, train, charged)
    train, test = train | (unseen & ~stated), test & ~unseen
    if not (train.any() and test.any()):
        lacking = "none is left for training" if test.any() else "none can be held out"
        raise UserError(
            f"Of {amount(library.used, 'molecule')}, {lacking}. "
            "Add molecules; one can be held out if others contain all its elements."
        )
    return {"train": library.take(np.flatnonzero(train)), "test": library.take(np.flatnonzero(test))}


def completed(library: Library, share: float) -> np.ndarray:
    """Return the split of each geometry, `TRAIN`, `UNUSED` or `TEST` (n,), where the data state some.

    The others follow the geometries of the same molecule, or are held out if the hash of the molecule is below `share`.
    """
    names = {number: name for name, number in SIDES.items()}
    followed = stated_keys(library.smiles, [names[side] for side in library.sides.tolist()])
    numbers = {smiles: SIDES[name] if name else UNUSED for smiles, name in followed.items()}
    by_hash = np.where(hashes_of(library) < share, TEST, TRAIN)
    others = [numbers.get(one, side) for one, side in zip(library.smiles, by_hash.tolist(), strict=True)]
    sides: np.ndarray = np.where(library.sides >= 0, library.sides, others)
    return sides


def hashes_of(library: Library) -> np.ndarray:
    """Return a number in [0, 1) for each geometry (n,), the hash of its molecule's SMILES."""
    return np.array([int(digest(one.encode())[:13], 16) / 16**13 for one in library.smiles])


def held_out(library: Library, share: float) -> np.ndarray:
    """Return which geometries are held out, booleans (n,), by the hash of their SMILES.

    If all molecules chosen by `share` have an unseen element, one other molecule is held out.
    """
    hashes = hashes_of(library)
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

"""What a molecule is made of, as something to ask for: how many atoms of each element, or a formula."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.sizes import ATOMS
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import share
from polydiff.support.errors import UserError

COMPOSITION = "composition"
"""The condition: one number an element."""
FORMULA = "formula"
"""The word with which a user asks for all of them, and so for the number of atoms."""
PART = re.compile(r"([A-Z][a-z]?)([0-9]{0,9})")


def symbols(elements: Sequence[int]) -> tuple[str, ...]:
    """Return the symbols of atomic numbers."""
    table = Chem.GetPeriodicTable()
    return tuple(table.GetElementSymbol(number) for number in elements)


def counted(molecules: Sequence[Molecule], elements: Sequence[int]) -> np.ndarray:
    """Return how many atoms of each element molecules have, float64 (B, K)."""
    if not molecules:
        return np.zeros((0, len(elements)))
    first = np.cumsum([0, *(len(m.numbers) for m in molecules[:-1])])
    atoms = np.concatenate([m.numbers for m in molecules])[:, None] == np.array(elements)
    return np.add.reduceat(atoms.astype(np.float64), first)


def read_formula(text: str, known: Sequence[str]) -> dict[str, int]:
    """Return how many atoms of each known element a formula such as C4H10O names, 0 where it names none."""
    parts = PART.findall(text)
    if not parts or "".join(a + b for a, b in parts) != text or any(n and int(n) == 0 for _, n in parts):
        raise UserError(f"{text} is no formula, such as C4H10O.")
    others = [symbol for symbol, _ in parts if symbol not in known]
    if others:
        raise UserError(f"{text} holds {others[0]}; the training data are made of {', '.join(known)}.")
    return {symbol: sum(int(n or 1) for name, n in parts if name == symbol) for symbol in known}


def spelled_out(requested: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Return what is asked for with a formula as what it stands for: numbers of elements and of atoms."""
    if FORMULA not in requested:
        return dict(requested)
    counts = read_formula(requested[FORMULA], known)
    meant = {symbol: str(n) for symbol, n in counts.items()} | {ATOMS: str(sum(counts.values()))}
    for name in meant.keys() & requested.keys():
        if requested[name] != meant[name]:
            raise UserError(
                f"{FORMULA}={requested[FORMULA]} means {name}={meant[name]}, not {requested[name]}. Say one of them."
            )
    return {**{name: text for name, text in requested.items() if name != FORMULA}, **meant}


def composition_metrics(made: Sequence[Molecule], requested: np.ndarray, elements: Sequence[int]) -> dict[str, Metric]:
    """Return how often samples are made of what they were asked to be made of.

    Arguments:
        made: Samples.
        asked: Atoms of each element (B, K); NaN for nothing.
        elements: Their atomic numbers.
    """
    right = np.isnan(requested) | (counted(made, elements) == np.round(requested))
    told = ~np.isnan(requested).all(1)
    n = int(told.sum())
    return {
        "composition_as_asked": Metric.of(
            share(int(right[told].all(1).sum()), n),
            "",
            "higher",
            f"Share of the {n} samples that were asked for a number of atoms of some element which have these numbers, "
            "valid or not.",
        )
    }

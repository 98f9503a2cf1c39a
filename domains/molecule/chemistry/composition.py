"""Compositions of molecules as conditions: the number of atoms of each element, or a formula."""

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
"""Name of the condition in the configuration: one number for each element."""
FORMULA = "formula"
"""Name with which a user requests all elements at once, and so the number of atoms."""
PART = re.compile(r"([A-Z][a-z]?)([0-9]{0,9})")


def symbols(elements: Sequence[int]) -> tuple[str, ...]:
    """Return the symbols of atomic numbers."""
    table = Chem.GetPeriodicTable()
    return tuple(table.GetElementSymbol(number) for number in elements)


def count_elements(molecules: Sequence[Molecule], elements: Sequence[int]) -> np.ndarray:
    """Return the number of atoms of each of K elements in B molecules, float64 (B, K)."""
    if not molecules:
        return np.zeros((0, len(elements)))
    first = np.cumsum([0, *(len(m.numbers) for m in molecules[:-1])])
    atoms = np.concatenate([m.numbers for m in molecules])[:, None] == np.array(elements)
    return np.add.reduceat(atoms.astype(np.float64), first)


def read_formula(text: str, known: Sequence[str]) -> dict[str, int]:
    """Return symbol -> number of atoms of a formula such as C4H10O, for all known elements; 0 for those not in it.

    Raises:
        UserError: The text is not a formula, or contains an element that is not in `known`.
    """
    parts = PART.findall(text)
    if not parts or "".join(a + b for a, b in parts) != text or any(n and int(n) == 0 for _, n in parts):
        raise UserError(f"{text} is not a formula. An example is C4H10O.")
    others = [symbol for symbol, _ in parts if symbol not in known]
    if others:
        raise UserError(f"{text} contains {others[0]}, but the training data contain only {', '.join(known)}.")
    return {symbol: sum(int(n or 1) for name, n in parts if name == symbol) for symbol in known}


def expand_formula(requested: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Return requested conditions with a formula replaced by the numbers of its elements and of all atoms.

    Raises:
        UserError: The formula contradicts another requested number.
    """
    if FORMULA not in requested:
        return dict(requested)
    counts = read_formula(requested[FORMULA], known)
    expanded = {symbol: str(n) for symbol, n in counts.items()} | {ATOMS: str(sum(counts.values()))}
    for name in expanded.keys() & requested.keys():
        if requested[name] != expanded[name]:
            raise UserError(
                f"{FORMULA}={requested[FORMULA]} means {name}={expanded[name]}, not {requested[name]}. Specify one "
                "of them only."
            )
    return {**{name: text for name, text in requested.items() if name != FORMULA}, **expanded}


def composition_metrics(made: Sequence[Molecule], requested: np.ndarray, elements: Sequence[int]) -> dict[str, Metric]:
    """Return the share of samples that have the requested composition.

    Arguments:
        made: B samples.
        requested: Requested number of atoms of each element (B, K); NaN if unconditioned.
        elements: The K atomic numbers.
    """
    right = np.isnan(requested) | (count_elements(made, elements) == np.round(requested))
    conditioned = ~np.isnan(requested).all(1)
    n = int(conditioned.sum())
    return {
        "composition_as_requested": Metric.of(
            share(int(right[conditioned].all(1).sum()), n),
            "",
            "higher",
            f"Share of the {n} samples conditioned on numbers of atoms of elements that have exactly these numbers, "
            "valid or not.",
        )
    }

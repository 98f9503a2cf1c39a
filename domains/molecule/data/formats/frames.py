"""Frames of .xyz files: the comment line, whose keys may describe the columns (extended XYZ), and the lines of atoms.

Extended XYZ: https://github.com/libAtoms/extxyz
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected

PAIR = re.compile(r"""([A-Za-z_][\w.-]*)\s*[=:]\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[.*?\](?=\s|$)|[^\s,;|]+)""")
"""A key and its value in a comment: key=value, with quotes or brackets around a value that contains spaces."""
CHARGES = ("charge", "total_charge", "net_charge", "molecular_charge")
MULTIPLICITIES = ("multiplicity", "spin_multiplicity", "mult")
SPECIES = ("species", "element", "elements", "symbols", "z", "numbers", "atomic_numbers")
POSITIONS = ("pos", "positions", "position", "coords")
SYMBOLS: Mapping[str, int] = {Chem.GetPeriodicTable().GetElementSymbol(z): z for z in range(1, 119)}
"""Symbol of an element -> its atomic number."""
ISOTOPES = ("D", "T")
GHOST = re.compile(
    r"@.*|.*:|.*-bq|(gh|bq)[a-z]{0,2}\d*|(x|xx|q|du|da|lp|ep|mw|ghost|dummy)\d*|(gh|bq|ghost|x)\W.*", re.IGNORECASE
)
"""Names of atoms without a nucleus: ghosts of quantum-chemistry programs, dummies, lone pairs."""
LABEL = re.compile(r"([A-Za-z]{1,2})[\d_'*+-][\w'*+-]*")
"""An element with a number or mark, as in O1."""
NO_ATOM = 'a line of it is not "element x y z"'
PERIODIC = "it is periodic, and a model of molecules knows no cell"
"""Reasons that reject a frame."""
PERIODIC_ATOM = "Tv"
"""Name of a line that is a translation vector instead of an atom."""


def pairs(comment: str) -> dict[str, str]:
    """Return the keys of a comment line with their values, without quotes or brackets."""
    return {key: value.strip("\"'{}[]").strip() for key, value in PAIR.findall(comment)}


def check_comment(comment: str) -> None:
    """Reject a frame that its comment calls periodic, charged or a radical."""
    found = {key.lower(): value for key, value in pairs(comment).items()}
    directions = found.get("pbc", "T T T" if "lattice" in found else "").replace(",", " ").split()
    if any(word.lower() in ("t", "true", "1") for word in directions):
        raise Rejected(PERIODIC)
    charges = [*CHARGES, *(["q"] if "s" in found else [])]  # tmQM's comments: q = 1 | S = 0
    if any(number(found.get(key)) not in (None, 0.0) for key in charges):
        raise Rejected("it is charged")
    if any(number(found.get(key)) not in (None, 1.0) for key in MULTIPLICITIES):
        raise Rejected("it is a radical")


def number(text: str | None) -> float | None:
    """Return the number that a text states, None if none."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def columns_of(comment: str) -> tuple[int, int]:
    """Return the columns of the element and of x; 0 and 1 if the comment has no Properties.

    Raises:
        Rejected: The Properties are malformed, or lack an element or a position.
    """
    schema = next((value for key, value in pairs(comment).items() if key.lower() == "properties"), None)
    if schema is None:
        return 0, 1
    words = schema.split(":")
    names, counts = [name.lower() for name in words[::3]], words[2::3]
    if len(words) % 3 or not all(count.isdigit() and int(count) > 0 for count in counts):
        raise Rejected("its Properties are not name:type:number")
    starts = dict(zip(names, accumulate(map(int, counts), initial=0), strict=False))
    widths = dict(zip(names, map(int, counts), strict=True))
    element = next((starts[name] for name in SPECIES if widths.get(name) == 1), None)
    place = next((starts[name] for name in POSITIONS if widths.get(name) == 3), None)
    if element is None or place is None:
        raise Rejected("its Properties name no species or no pos of three columns")
    return element, place


def parse_frame(comment: str, lines: Sequence[str]) -> Molecule:
    """Return the atoms of a frame from its comment and its lines of atoms."""
    element, place = columns_of(comment)
    atoms = [parse_atom(line.split(), element, place) for line in lines]
    r = np.array([position for _, position in atoms], np.float64).reshape(-1, 3)
    return Molecule(np.array([z for z, _ in atoms], np.uint8), r)


def parse_atom(words: Sequence[str], element: int, place: int) -> tuple[int, list[float]]:
    """Return the atomic number and the position of a line of an .xyz.

    Arguments:
        words: The columns of the line.
        element: Column of the element, a symbol or an atomic number.
        place: Column of x, before y and z.
    """
    try:
        position = [float(word.replace("*^", "e")) for word in words[place : place + 3]]
    except ValueError:
        position = []
    if len(position) < 3 or element >= len(words):
        raise Rejected(NO_ATOM)
    return atomic_number(words[element]), position


def atomic_number(name: str) -> int:
    """Return the atomic number of an element, given as its symbol or number.

    Raises:
        Rejected: It is none; the reason states what the name appears to be.
    """
    z = int(name) if name.isdigit() else SYMBOLS.get(name.capitalize(), 0)
    if 0 < z < 119:
        return z
    if name == PERIODIC_ATOM:
        raise Rejected(PERIODIC)
    if name.upper() in ISOTOPES:
        raise Rejected("one of its atoms is an isotope of hydrogen, D or T, which must be named H")
    if name == "0" or name in ("*", "-") or GHOST.fullmatch(name):
        raise Rejected("one of its atoms is a ghost or a dummy, which has no element")
    if (label := LABEL.fullmatch(name)) and label[1].capitalize() in SYMBOLS:
        raise Rejected("one of its atoms has a label such as O1 instead of an element such as O")
    raise Rejected(NO_ATOM)

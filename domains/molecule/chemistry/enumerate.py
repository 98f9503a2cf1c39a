r"""Enumeration of small organic molecules: every graph of k atoms of C, N, O and F that passes two filters.

Trees grow from one atom by single bonds. From a tree, every graph follows by raising the order of a bond by one or by
closing a ring, repeated while valences allow. Canonical SMILES identify graphs. The two filters:

    strain       applied after each step, since added bonds never remove strain (`strained`)
    chemistry    applied at the end: no unstable or reactive group (`GROUPS`)

The result is shipped as `data/organic.smi`. To generate it again:

    python -m polydiff.domains.molecule.chemistry.enumerate --max-heavy 7 > domains/molecule/data/organic.smi

GDB-17 (Ruddigkeit et al., 2012, https://doi.org/10.1021/ci300415d) was enumerated similarly, on a larger scale.

Symbols: k number of heavy atoms, which are atoms other than hydrogen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

from rdkit import Chem
from rdkit.rdBase import BlockLogs

ELEMENTS = ("C", "N", "O", "F")
FORBIDDEN_PAIRS = ({"F"}, {"F", "N"}, {"F", "O"}, {"O"})
"""Elements that are never bonded to each other."""
ORDERS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
MAX_RINGS = 3
"""Largest number of rings."""

GROUPS: dict[str, str] = {
    "heteroatoms bonded outside aromatic rings": "[#7,#8]!:[#7,#8]",
    "cumulated double bonds": "*=*=*",
    "enol or imidic acid": "[OX2H][CX3]=[C,N]",
    "imidate": "[OX2][CX3]=N",
    "enamine": "[NX3][CX3]=[CX3]",
    "gem-diol or hemiacetal": "[OX2H][CX4][OX2]",
    "aminal": "[NX3][CX4][NX3]",
    "N,O-acetal": "[NX3][CX4][OX2]",
    "carbonic or carbamic acid": "[OX2H]C(=O)[N,O]",
    "acyl or imidoyl fluoride": "FC=[O,N]",
    "fluorine on a triple bond": "F[CX2]",
    "fluorine beside nitrogen or oxygen": "F[CX4][#7,#8]",
    "nitrogen or oxygen on a triple bond": "[#7,#8]-[CX2]#*",
    "imine that is not an amidine": "[CX3;!$(C[NX3])]=[NX2]",
    "double bond at a ring of three": "[r3]=*",
    "double bond in a ring of four": "[r4]=;@*",
    "aromatic ring of three, four or seven": "[a;r3,r4,r7]",
    "five heteroatoms in a row": "[#7,#8]~[#7,#8]~[#7,#8]~[#7,#8]~[#7,#8]",
    "ring oxygen on two nitrogens in a row": "o:n:[n,o]",
    "two neighbouring aromatic atoms that each give an electron pair": "[nX3,o]:[nX3,o]",
}
"""Groups that no molecule may contain: name -> SMARTS."""


@cache
def patterns() -> tuple[Any, ...]:
    """Return the compiled patterns of `GROUPS`."""
    return tuple(Chem.MolFromSmarts(smarts) for smarts in GROUPS.values())


def acceptable(mol: Any) -> bool:
    """Return whether a molecule contains none of `GROUPS`."""
    return not any(mol.HasSubstructMatch(pattern) for pattern in patterns())


def strained(mol: Any) -> bool:
    """Return whether a sanitised molecule is strained in a way that further bonds cannot remove.

    Strained are: more than three rings; a triple bond or two neighbouring double bonds in a ring; a double bond in a
    ring of three; two double bonds in a ring of four; two rings of three or four that share an atom; a double bond at a
    bridgehead.
    """
    kekule = kekulised(mol)
    info = mol.GetRingInfo()
    rings = [set(ring) for ring in info.AtomRings()]
    if len(rings) > MAX_RINGS:
        return True
    for atoms, bonds in zip(rings, info.BondRings(), strict=True):
        orders = [order(kekule.GetBondWithIdx(bond)) for bond in bonds]
        cumulated = any(a == b == 2 for a, b in zip(orders, orders[1:] + orders[:1], strict=True))
        if 3 in orders or cumulated or (len(atoms) <= 4 and orders.count(2) > len(atoms) - 3):
            return True
    return any(
        (shared and len(a) <= 4 and len(b) <= 4) or (len(shared) > 2 and unsaturated_bridgehead(kekule, shared))
        for a, b in combinations(rings, 2)
        for shared in [a & b]
    )


def unsaturated_bridgehead(kekule: Any, shared: set[int]) -> bool:
    """Return whether an atom shared by two bridged rings is a bridgehead with a double bond (Bredt's rule)."""
    return any(
        sum(bond.IsInRing() for bond in atom.GetBonds()) >= 3 and any(order(bond) > 1 for bond in atom.GetBonds())
        for atom in map(kekule.GetAtomWithIdx, shared)
    )


def trees(k: int) -> set[str]:
    """Return the canonical SMILES of all trees of k atoms with single bonds."""
    level = set(ELEMENTS)
    for _ in range(k - 1):
        level = {grown for smiles in level for grown in branches(Chem.MolFromSmiles(smiles))}
    return level


def branches(mol: Any) -> Iterator[str]:
    """Yield the canonical SMILES of a molecule with one more atom, for every way to add it."""
    for atom in mol.GetAtoms():
        for element in ELEMENTS:
            if atom.GetTotalNumHs() and {atom.GetSymbol(), element} not in FORBIDDEN_PAIRS:
                grown = Chem.RWMol(mol)
                grown.AddBond(atom.GetIdx(), grown.AddAtom(Chem.Atom(element)), ORDERS[1])
                yield canonical(grown)


def with_added_bond(mol: Any) -> Iterator[Any]:
    """Yield a molecule with one more bond, or one bond order raised by one, for every valid and unstrained way."""
    kekule = kekulised(mol)
    free = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetTotalNumHs()]
    for i, j in combinations(free, 2):
        bond = kekule.GetBondBetweenAtoms(i, j)
        grown = Chem.RWMol(kekule)
        if bond is None:
            if {mol.GetAtomWithIdx(a).GetSymbol() for a in (i, j)} in FORBIDDEN_PAIRS:
                continue
            grown.AddBond(i, j, ORDERS[1])
        elif order(bond) < 3:
            grown.GetBondWithIdx(bond.GetIdx()).SetBondType(ORDERS[order(bond) + 1])
        else:
            continue
        for atom in (grown.GetAtomWithIdx(i), grown.GetAtomWithIdx(j)):  # [nH] stores its hydrogen explicitly
            atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))
        if Chem.SanitizeMol(grown, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE and not strained(grown):
            yield grown


def graphs(k: int) -> set[str]:
    """Return the canonical SMILES of all molecules of k heavy atoms that valence and strain allow."""
    front = trees(k)
    seen = set(front)
    with BlockLogs():  # most added bonds exceed a valence, and RDKit would log each error
        while front:
            front = {canonical(m) for smiles in front for m in with_added_bond(Chem.MolFromSmiles(smiles))} - seen
            seen |= front
    return seen


def molecules(max_heavy: int) -> Iterator[tuple[str, int]]:
    """Yield (canonical SMILES, number of heavy atoms) of all acceptable molecules, by size and then by SMILES.

    Arguments:
        max_heavy: Largest number of heavy atoms, at least 1.
    """
    for k in range(1, max_heavy + 1):
        for smiles in sorted(graphs(k)):
            if acceptable(Chem.MolFromSmiles(smiles)):
                yield smiles, k


def canonical(mol: Any) -> str:
    """Return the canonical SMILES; an editable molecule is sanitised first."""
    if isinstance(mol, Chem.RWMol):
        Chem.SanitizeMol(mol)
    smiles: str = Chem.MolToSmiles(mol)
    return smiles


def kekulised(mol: Any) -> Any:
    """Return a copy with alternating single and double bonds instead of aromatic ones."""
    copy = Chem.Mol(mol)
    Chem.Kekulize(copy, clearAromaticFlags=True)
    return copy


def order(bond: Any) -> int:
    """Return the order of a bond of a kekulised molecule."""
    return int(bond.GetBondTypeAsDouble())


def main() -> None:
    """Print one line per molecule: its SMILES and its number of heavy atoms."""
    parser = argparse.ArgumentParser(description="Enumerate small organic molecules.")
    parser.add_argument("--max-heavy", type=int, default=7, help="largest number of heavy atoms")
    for smiles, k in molecules(parser.parse_args().max_heavy):
        print(f"{smiles}\t{k}", flush=True)


if __name__ == "__main__":
    main()

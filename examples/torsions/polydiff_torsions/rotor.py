"""A molecule whose bonds turn while their lengths and angles are fixed: coordinates and energies from torsions.

Symbols: B conformers, N atoms, n torsions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import AllChem

from polydiff import UserError

Array = NDArray[np.float64]
Torsion = tuple[int, int, int, int]


@dataclass(frozen=True)
class Rotor:
    """A molecule with n bonds that turn.

    Arguments:
        molecule: With hydrogens, and one conformer at a minimum of the energy.
        torsions: Four atoms of each torsion; the bond between the second and the third turns.
        moved: Atoms on the side of the third atom, (n, N) booleans.
    """

    molecule: Chem.Mol
    torsions: list[Torsion]
    moved: NDArray[np.bool_]

    @classmethod
    def of(cls, smiles: str) -> "Rotor":
        """Return the rotor of a molecule with at least one bond that turns."""
        parsed = Chem.MolFromSmiles(smiles)
        if parsed is None:
            raise UserError(f"data.smiles={smiles}: RDKit cannot read this SMILES.")
        molecule = Chem.AddHs(parsed)
        torsions = [torsion for bond in molecule.GetBonds() if (torsion := torsion_about(bond)) is not None]
        if not torsions:
            raise UserError(
                f"data.smiles={smiles}: no bond of this molecule turns. CCCC is the smallest alkane with one."
            )
        if AllChem.EmbedMolecule(molecule, randomSeed=0) != 0 or not AllChem.MMFFHasAllMoleculeParams(molecule):
            raise UserError(f"data.smiles={smiles}: RDKit finds no conformer or no MMFF94 parameters.")
        rotor = cls(molecule, torsions, np.array([beyond(molecule, torsion[1], torsion[2]) for torsion in torsions]))
        molecule.GetConformer().SetPositions(rotor.coordinates(np.full((1, len(torsions)), np.pi))[0])
        AllChem.MMFFOptimizeMolecule(
            molecule, maxIters=5000
        )  # stretched, so that the shape has the molecule's symmetry
        return rotor

    @property
    def reference(self) -> Array:
        """Positions (N, 3) of the minimum, in angstrom."""
        positions: Array = self.molecule.GetConformer().GetPositions()
        return positions

    def coordinates(self, angles: Array) -> Array:
        """Return positions (B, N, 3), angstrom, of conformers with torsions (B, n), radians."""
        x = np.broadcast_to(self.reference, (len(angles), *self.reference.shape)).copy()
        turns = angles - self.angles(self.reference[None])
        for (_, j, k, _), moved, turn in zip(self.torsions, self.moved, turns.T, strict=True):
            axis = x[:, k] - x[:, j]
            axis /= np.linalg.norm(axis, axis=1, keepdims=True)
            x[:, moved] = x[:, None, k] + rotated(x[:, moved] - x[:, None, k], axis[:, None], turn[:, None, None])
        return x

    def angles(self, x: Array) -> Array:
        """Return the torsions (B, n), radians, of positions (B, N, 3)."""
        a, b, c, d = (x[:, list(atoms)] for atoms in zip(*self.torsions, strict=True))
        before, along, after = b - a, c - b, d - c
        left, right = np.cross(before, along), np.cross(along, after)
        unit = along / np.linalg.norm(along, axis=-1, keepdims=True)
        return np.arctan2((np.cross(left, right) * unit).sum(-1), (left * right).sum(-1))

    def energies(self, x: Array) -> Array:
        """Return MMFF94 energies (B,), kcal/mol, of positions (B, N, 3)."""
        field = AllChem.MMFFGetMoleculeForceField(self.molecule, AllChem.MMFFGetMoleculeProperties(self.molecule))
        return np.array([field.CalcEnergy(each) for each in x.reshape(len(x), -1).tolist()])

    def conformer(self, angles: Array) -> Chem.Mol:
        """Return the molecule with torsions (n,), radians."""
        molecule = Chem.Mol(self.molecule)
        molecule.GetConformer().SetPositions(self.coordinates(angles[None])[0])
        return molecule


def torsion_about(bond: Chem.Bond) -> Torsion | None:
    """Return a torsion about a bond; None if it does not turn, or turns a group of three equal hydrogens only."""
    if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
        return None
    j, k = bond.GetBeginAtom(), bond.GetEndAtom()
    outer = [neighbour(j, k), neighbour(k, j)]
    if None in outer or any(atom.GetTotalNumHs(includeNeighbors=True) == 3 for atom in (j, k)):
        return None
    return outer[0], j.GetIdx(), k.GetIdx(), outer[1]


def neighbour(atom: Chem.Atom, other: Chem.Atom) -> int | None:
    """Return the neighbour of an atom besides another, a heavy one if there is one; None if there is none."""
    found = [each for each in atom.GetNeighbors() if each.GetIdx() != other.GetIdx()]
    ranked = sorted(found, key=lambda each: (each.GetAtomicNum() == 1, each.GetIdx()))
    return ranked[0].GetIdx() if ranked else None


def beyond(molecule: Chem.Mol, j: int, k: int) -> list[bool]:
    """Return of each atom whether it is on the side of k of the bond from j to k, k excluded."""
    reached, pending = {j, k}, [k]
    while pending:
        near = {each.GetIdx() for each in molecule.GetAtomWithIdx(pending.pop()).GetNeighbors()} - reached
        reached |= near
        pending += near
    return [i in reached and i not in (j, k) for i in range(molecule.GetNumAtoms())]


def rotated(v: Array, axis: Array, angle: Array) -> Array:
    """Return vectors turned by angles about unit axes (Rodrigues' formula)."""
    along = (v * axis).sum(-1, keepdims=True) * axis
    return along + np.cos(angle) * (v - along) + np.sin(angle) * np.cross(axis, v)

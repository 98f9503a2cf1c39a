"""Properties of molecules that RDKit computes.

They serve as conditions, and evaluations measure the same properties on samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, Lipinski, rdMolDescriptors


class Property(NamedTuple):
    """A real-valued property of a molecule.

    Attributes:
        measure: (molecule without hydrogens, molecule with hydrogens, conformer id) -> value.
        unit: Unit of the value, "" if it has none.
        meaning: Description for reports.
    """

    measure: Callable[[Any, Any, int], float]
    unit: str
    meaning: str


PROPERTIES: Mapping[str, Property] = {
    "logp": Property(lambda m, _, __: Crippen.MolLogP(m), "", "octanol-water partition, log P (Crippen)"),
    "tpsa": Property(lambda m, _, __: rdMolDescriptors.CalcTPSA(m), "Å²", "topological polar surface area"),
    "qed": Property(lambda m, _, __: QED.qed(m), "", "drug-likeness (QED)"),
    "weight": Property(lambda m, _, __: Descriptors.MolWt(m), "g/mol", "molar mass"),
    "heavy_atoms": Property(lambda m, _, __: m.GetNumHeavyAtoms(), "", "atoms other than hydrogen"),
    "rings": Property(lambda m, _, __: rdMolDescriptors.CalcNumRings(m), "", "rings"),
    "donors": Property(lambda m, _, __: Lipinski.NumHDonors(m), "", "hydrogen-bond donors"),
    "acceptors": Property(lambda m, _, __: Lipinski.NumHAcceptors(m), "", "hydrogen-bond acceptors"),
    "rotatable": Property(lambda m, _, __: rdMolDescriptors.CalcNumRotatableBonds(m), "", "rotatable bonds"),
    "gyration": Property(
        lambda _, m, conf: rdMolDescriptors.CalcRadiusOfGyration(m, confId=conf), "Å", "radius of gyration"
    ),
    "asphericity": Property(
        lambda _, m, conf: rdMolDescriptors.CalcAsphericity(m, confId=conf),
        "",
        "asphericity: 0 for a sphere, 1 for a rod",
    ),
    "npr1": Property(
        lambda _, m, conf: rdMolDescriptors.CalcNPR1(m, confId=conf), "", "smallest over largest moment of inertia"
    ),
    "npr2": Property(
        lambda _, m, conf: rdMolDescriptors.CalcNPR2(m, confId=conf), "", "middle over largest moment of inertia"
    ),
}


def measure(mol: Any, names: Sequence[str], conformer: int = -1) -> list[float]:
    """Return the named properties of a molecule, in their units.

    Arguments:
        mol: RDKit molecule, sanitised, with hydrogens and a conformer.
        names: Keys of `PROPERTIES`.
        conformer: Id of the conformer, -1 for the first.
    """
    plain = without_hydrogens(mol)
    return [float(PROPERTIES[name].measure(plain, mol, conformer)) for name in names]


def without_hydrogens(mol: Any) -> Any:
    """Return an RDKit molecule without those hydrogens that need not be explicit; itself if it has none."""
    return mol if mol.GetNumHeavyAtoms() == mol.GetNumAtoms() else Chem.RemoveHs(mol)

"""What the metrics of MOSES need of a molecule."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from polydiff.domains.molecule.metrics.examine import run_each

RADIUS, BITS = 2, 1024
"""Of Morgan fingerprints."""
PROPERTIES = ("logp", "sa", "qed", "weight")
"""Names of the numbers whose distributions are compared."""


class Features(NamedTuple):
    """The structure and the properties of a molecule.

    Attributes:
        smiles: Its canonical SMILES.
        fingerprint: Its Morgan fingerprint, packed, uint8 (BITS / 8,).
        fragments: SMILES of its BRICS fragments.
        scaffold: SMILES of its Bemis-Murcko scaffold; "" if it has no ring.
        rings: Number of rings of the scaffold.
        properties: The numbers `PROPERTIES`: log P (Crippen), synthetic accessibility (NaN if this RDKit lacks its
            table), drug-likeness (QED), molar mass in g/mol; () if they are not measured.
    """

    smiles: str
    fingerprint: np.ndarray
    fragments: Sequence[str]
    scaffold: str
    rings: int
    properties: Sequence[float]

    @classmethod
    def of(cls, smiles: str, measured: bool = True) -> Features:
        """Return the features of a valid SMILES."""
        mol = Chem.MolFromSmiles(smiles)
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
        bits = np.packbits(generator.GetFingerprintAsNumPy(mol))
        pieces = Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(mol)).split(".")
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)
        rings = rdMolDescriptors.CalcNumRings(scaffold)
        core = Chem.MolToSmiles(scaffold) if rings else ""
        return cls(Chem.MolToSmiles(mol), bits, pieces, core, rings, properties_of(mol) if measured else ())


def properties_of(mol: Any) -> tuple[float, ...]:
    """Return the numbers `PROPERTIES` of an RDKit molecule."""
    scorer = sa_scorer()
    accessibility = math.nan if scorer is None else float(scorer.calculateScore(mol))
    return Crippen.MolLogP(mol), accessibility, QED.qed(mol), Descriptors.MolWt(mol)


@functools.cache
def sa_scorer() -> Any:
    """Return RDKit's contributed module of the synthetic accessibility; None if this installation lacks it.

    Reference:
        Estimation of synthetic accessibility score of drug-like molecules (Ertl & Schuffenhauer, 2009),
        https://doi.org/10.1186/1758-2946-1-8
    """
    path = Path(RDConfig.RDContribDir, "SA_Score", "sascorer.py")
    spec = importlib.util.spec_from_file_location("polydiff_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def features(
    smiles: Sequence[str], what: str = "molecules compared", measured: bool = True, quiet: bool = True
) -> list[Features]:
    """Return the features of valid SMILES, computed in worker processes; those that fail are left out.

    Arguments:
        smiles: The molecules.
        what: Description for progress.
        measured: Whether their properties are measured, which takes most of the time.
        quiet: Whether no progress is printed.
    """
    found = run_each(partial(Features.of, measured=measured), smiles, what, quiet=quiet)
    return [one for one in found if one is not None]

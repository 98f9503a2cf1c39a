"""SMILES of the same molecule with its atoms in another order, as a random change of training texts.

A molecule has many SMILES, and a small set of molecules then gives many texts (Bjerrum, 2017,
https://arxiv.org/abs/1703.07076; Arús-Pous et al., 2019, https://doi.org/10.1186/s13321-019-0393-0).
"""

from __future__ import annotations

import torch

from polydiff.domains.sequence.metrics.molecules import rdkit_chem


def rewritten(smiles: str, generator: torch.Generator) -> str:
    """Return a SMILES of the same molecule with its atoms in a random order; itself if RDKit does not read it."""
    chem = rdkit_chem()
    mol = chem.MolFromSmiles(smiles)
    if mol is None:
        return smiles
    order = torch.randperm(mol.GetNumAtoms(), generator=generator).tolist()
    found: str = chem.MolToSmiles(chem.RenumberAtoms(mol, order), canonical=False)
    return found

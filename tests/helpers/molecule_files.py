"""Files of molecules made for tests: QM9's raw layout to the letter, records damaged in many ways, hostile SMILES."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.source import enumerated_molecules

HEADING = "mol_id,A,B,C,mu,alpha,homo,lumo,gap,r2,zpve,u0,u298,h298,g298,cv,u0_atom,u298_atom,h298_atom,g298_atom"
ROW = (
    "157.7118,157.70997,157.70699,0.0,13.21,-0.3877,0.1171,0.5048,35.3641,0.044749,-40.47893,-40.476062,-40.475117,"
    "-40.498597,6.469,-395.99959459400006,-398.64329026,-401.014646522,-372.471772148"
)
"""Methane's."""
C60 = (
    "c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c"
    "7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3c3c8c4c4c9c5c1c1c6c2c3c41"
)


def blocks(n: int, max_heavy: int = 4) -> list[str]:
    """Return the records of n different molecules, without separators."""
    library = open_library(MoleculeData(max_heavy=max_heavy))
    first = dict(reversed([(smiles, i) for i, smiles in enumerate(library.smiles)]))
    chosen = [first[smiles] for smiles in enumerated_molecules(max_heavy) if smiles in first]
    assert len(chosen) >= n
    return [block(library, i) for i in chosen[:n]]


def block(library: Library, i: int) -> str:
    """Return the record of a geometry, with its bonds."""
    mol = Chem.AddHs(Chem.MolFromSmiles(library.smiles[i]))
    assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == library[i].numbers.tolist()
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(library[i].positions.astype(float))
    conformer.Set3D(True)
    mol.AddConformer(conformer, assignId=True)
    text: str = Chem.MolToMolBlock(mol)
    return text


def qm9_folder(folder: Path, records: Sequence[str], changed: Sequence[int]) -> Path:
    """Write molecules in the raw layout of QM9; those of `changed`, counted from 1, are listed as such."""
    folder.mkdir(parents=True)
    sdf, rows = "", ""
    for number, record in enumerate(records, 1):
        _, _, _, counts, *rest = record.splitlines()
        counts = f"{counts[:6]}  0     0  0  0  0  0  0999 V2000"
        sdf += "\n".join([f"gdb_{number}", "  -OEChem-03231823243D", "", counts, *rest]) + "\n$$$$\n"
        rows += f"gdb_{number},{ROW.replace('13.21', str(13.21 + number))}\n"
    head = ["List of molecules", "=" * 30, *["that changed their bonds"] * 5, "-" * 80, "   # Index  SMILES"]
    listed = [f"{number:8d}   C#N   C=N   1.0" for number in changed]
    (folder / "gdb9.sdf").write_text(sdf)
    (folder / "gdb9.sdf.csv").write_text(f"{HEADING}\n{rows}")
    (folder / "uncharacterized.txt").write_text("\n".join([*head, *listed, "-" * 80, ""]))
    return folder


def without(text: str, line: int, to: Callable[[str], str]) -> str:
    """Return a record with one line made another."""
    lines = text.splitlines()
    lines[line] = to(lines[line])
    return "\n".join(lines) + "\n"


def cut(line: int, letters: int | None = None) -> Callable[[str], str]:
    """Return what cuts a record off before a line, or within it."""

    def damage(text: str) -> str:
        lines = text.splitlines()
        return "\n".join([*lines[:line], *([] if letters is None else [lines[line][:letters]])]) + "\n"

    return damage


def junk(text: str) -> str:
    """Return no record at all."""
    return bytes(random.Random(len(text)).randbytes(1500)).replace(b"$", b"").decode("latin-1") + "\n"


DAMAGE: dict[str, Callable[[str], str]] = {
    **{f"cut before line {line}": cut(line) for line in (2, 3, 4, 5, 7)},
    **{f"cut within line {line}": cut(line, 17) for line in (3, 5, 7)},
    "cut within its counts": cut(3, 5),
    "half of its bonds": lambda text: "\n".join(text.splitlines()[:-2]) + "\n",
    "more atoms than it has": lambda text: without(text, 3, lambda line: " 97" + line[3:]),
    "fewer atoms than it has": lambda text: without(text, 3, lambda line: "  1" + line[3:]),
    "counts in letters": lambda text: without(text, 3, lambda line: " ab cd" + line[6:]),
    "negative counts": lambda text: without(text, 3, lambda line: " -4 -3" + line[6:]),
    "no counts": lambda text: without(text, 3, lambda line: ""),
    "no such element": lambda text: without(text, 4, lambda line: line[:31] + "Xx " + line[34:]),
    "any element": lambda text: without(text, 4, lambda line: line[:31] + "*  " + line[34:]),
    "a position that is no number": lambda text: without(text, 4, lambda line: "       nan" + line[10:]),
    "a position that is infinite": lambda text: without(text, 4, lambda line: "       inf" + line[10:]),
    "a position in letters": lambda text: without(text, 4, lambda line: "  here    " + line[10:]),
    "a position that is missing": lambda text: without(text, 5, lambda line: " " * 10 + line[10:]),
    "two atoms in one place": lambda text: without(text, 5, lambda line: text.splitlines()[4][:30] + line[30:]),
    "a bond to nowhere": lambda text: without(text, -2, lambda line: "  1 99" + line[6:]),
    "a bond to itself": lambda text: without(text, -2, lambda line: "  1  1" + line[6:]),
    "a valence of five": lambda text: text.replace(" C   0", " F   0", 1),
    "junk": junk,
}
"""How a record is damaged, each so that the molecule is lost."""


def damaged_sdf(path: Path, records: Sequence[str], every: int) -> int:
    """Write records of which each `every`th is damaged, some without a separator and some with other line ends.

    Returns:
        How many are damaged.
    """
    kinds, text, count = list(DAMAGE.values()), "", 0
    for i, record in enumerate(records):
        broken = i % every == every // 2
        kind = kinds[count % len(kinds)]
        bare = i % 7 == 3 or (broken and (count // len(kinds) + count) % 2 == 1 and kind is not junk)
        one = (kind(record) if broken else record) + ("" if bare else "$$$$\n")
        text += one.replace("\n", "\r\n") if i % 5 == 4 else one
        count += broken
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    return count


HOSTILE: dict[str, str] = {
    "C" * 100_000: "more than data.max_atoms",
    ".".join(["C"] * 50_000): "more than data.max_atoms",
    "C1" * 1500: "RDKit does not understand",
    "(" * 4000: "RDKit does not understand",
    "[" * 4000: "RDKit does not understand",
    "C(" * 1000 + "C" + ")" * 1000: "more than data.max_atoms",
    "C" * 200: "more than data.max_atoms",
    "": "empty",
    "*C": "no element",
    "[Xx]": "RDKit does not understand",
    "C[Uue]": "RDKit does not understand",
    "分子": "RDKit does not understand",
    "C\0C": "RDKit does not understand",
    "nonsense": "RDKit does not understand",
    "C(C)(C)(C)(C)C": "RDKit does not understand",
    "c1ccc1c": "RDKit does not understand",
    "[CH3]": "radical",
    "C[O]": "radical",
    "C[N+](C)(C)C": "charged",
    "[Na+]": "charged",
    "[Fe]": "MMFF94s has no parameters",
    "[2H][2H]": "MMFF94s has no parameters",
}
"""SMILES that give no molecule, and why."""
UNUSUAL: dict[str, str] = {
    "[Na+].[Cl-].CC(=O)[O-]": "CC(=O)O",
    "[13CH3]CN": "CCN",
    "[2H]OCCC": "CCCO",
    "[CH3:7][NH2:1]": "CN",
    "CCO\u200b": "CCO",
}
"""SMILES that look hostile and are valid, and what they mean."""


def hostile_csv(path: Path, good: Sequence[str], hostile: Sequence[str]) -> None:
    """Write SMILES with a column of numbers, hostile ones spread among them; their rows end without a quote, too."""
    rows = [*good]
    for i, smiles in enumerate(hostile):
        rows.insert((i * 7919) % (len(rows) + 1), smiles)
    quoted = [f'"{smiles}"' if i % 3 == 0 else smiles for i, smiles in enumerate(rows)]
    lines = [f'{i},{smiles},{i / 4},"a, b"\n' for i, smiles in enumerate(quoted)]
    path.write_text("id,SMILES,pIC50,note\n" + "".join(lines), encoding="utf-8")


def same_places(library: Library, i: int, text: str) -> bool:
    """Return whether a geometry is that of a record."""
    mol = Chem.MolFromMolBlock(text, removeHs=False)
    return bool(np.allclose(library[i].positions, mol.GetConformer().GetPositions(), atol=1e-4))

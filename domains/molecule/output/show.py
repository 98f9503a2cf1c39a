"""Molecules in reports: an HTML fragment with drawings, which loads nothing, and a script that shows them in 3-D."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDetermineBonds
from rdkit.Chem.Draw import rdMolDraw2D

from polydiff.domains.molecule.chemistry.bonds import as_written
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import formula, has_finite_positions, without_bonds
from polydiff.domains.molecule.metrics.examine import PerceivedSample

SHOWN = 24
"""Largest number of molecules that are drawn."""
WIDTH, HEIGHT = 150, 110
"""Size of a drawing in pixels."""
COLUMNS = 4
"""Molecules in a row of a sheet."""
COLOURS = {
    "H": "#b8b8b8", "C": "#444444", "N": "#3050f8", "O": "#e02020", "F": "#50a050", "S": "#c8a000", "Cl": "#1fa01f",
    "Br": "#a62929", "P": "#e08000", "B": "#d09080", "I": "#940094",
}  # fmt: skip
PALETTE = html.escape(json.dumps(COLOURS))
DEFAULT_COLOUR = "#a020a0"
"""Colour of elements that `COLOURS` does not list."""


def show(samples: Sequence[PerceivedSample], captions: Sequence[str]) -> str:
    """Return an HTML fragment with a drawing of each sample.

    A drawing has the SMILES or formula and the caption below it, and holds the atoms for `script`.

    Arguments:
        samples: The samples; the first `SHOWN` are drawn.
        captions: Conditions of each as text, in one line or several.
    """
    figures = [figure(one, caption) for one, caption in list(zip(samples, captions, strict=True))[:SHOWN]]
    head = f'<div class="molecules" data-colours="{PALETTE}" style="display:flex;flex-wrap:wrap;gap:8px">'
    return head + "".join(figures) + "</div>"


def script() -> str:
    """Return the script of the 3-D viewer: 3Dmol.js (Rego & Koes, 2015), its licence, and the code that starts it.

    https://doi.org/10.1093/bioinformatics/btu829
    """
    here = resources.files(__package__)
    licence, library, viewer = (
        here.joinpath(name).read_text(encoding="utf-8") for name in ("3Dmol.LICENSE", "3Dmol-min.js", "viewer.js")
    )
    return f"/*! 3Dmol.js 2.5.5\n{licence}*/\nfunction load3Dmol() {{\n{library}\n}}\n{viewer}"


def figure(one: PerceivedSample, caption: str) -> str:
    """Return one drawing with its caption; a note replaces the drawing if positions are not finite."""
    lines = "<br>".join(html.escape(line) for line in (title(one), *caption.split("\n")) if line)
    if one.molecule.implicit:
        none = f'<div style="line-height:{HEIGHT}px;text-align:center">no molecule</div>'
        data, picture = "", none if one.mol is None else drawing(one)
    elif has_finite_positions(one.molecule):
        places, mol = to_principal_axes(one.molecule), with_bonds(one)
        data = f' data-atoms="{atoms(one.molecule, places)}" data-bonds="{bonds(mol)}"'
        picture = drawing(one) if one.mol is not None else projection(one.molecule, places, mol)
    else:
        data, picture = "", f'<div style="line-height:{HEIGHT}px;text-align:center">positions are not finite</div>'
    return (
        f'<figure{data} style="margin:0;width:{WIDTH}px"><div class="still" style="background:#fff;width:{WIDTH}px">'
        f'<div class="flat">{picture}</div>'
        f'<img class="space" alt="" hidden style="width:{WIDTH}px;height:{HEIGHT}px"></div>'
        f'<figcaption style="font-size:12px;overflow-wrap:anywhere">{lines}</figcaption></figure>'
    )


def title(one: PerceivedSample) -> str:
    """Return the SMILES of a sample; its formula if it is no molecule."""
    return one.smiles if one.smiles is not None else f"{formula(one.molecule)}: no molecule"


def symbols(molecule: Molecule) -> list[str]:
    """Return the element symbols of a molecule's atoms."""
    table = Chem.GetPeriodicTable()
    return [table.GetElementSymbol(number) for number in molecule.numbers.tolist()]


def to_principal_axes(molecule: Molecule) -> np.ndarray:
    """Return positions (N, 3) rotated, not mirrored, to principal axes: x has the largest spread, z the smallest."""
    r = molecule.positions.astype(np.float64)
    r = r - r.mean(0)
    axes = np.linalg.svd(r, full_matrices=True)[2]
    axes[2] *= np.linalg.det(axes)
    places: np.ndarray = r @ axes.T
    return places


def atoms(molecule: Molecule, places: np.ndarray) -> str:
    """Return atoms as text, "C 0.12 -1.30 0.00;...", in Å."""
    return ";".join(
        f"{symbol} {' '.join(f'{value:.2f}' for value in place)}"
        for symbol, place in zip(symbols(molecule), places.tolist(), strict=True)
    )


def with_bonds(one: PerceivedSample) -> Any:
    """Return the RDKit molecule of a sample in Kekule form; if it is none, its own bonds, or those by distance."""
    if one.mol is not None:
        mol = Chem.Mol(one.mol)
        Chem.Kekulize(mol)
        return mol
    if one.molecule.bonds is not None:
        return as_written(one.molecule)
    mol = without_bonds(one.molecule)
    rdDetermineBonds.DetermineConnectivity(mol)
    return mol


def bonds(mol: Any) -> str:
    """Return bonds as text, "0 1 2;...": two atom indices and the order."""
    return ";".join(
        f"{bond.GetBeginAtomIdx()} {bond.GetEndAtomIdx()} {bond.GetBondTypeAsDouble() or 1:.0f}"
        for bond in mol.GetBonds()
    )


def drawing(one: PerceivedSample) -> str:
    """Return the 2-D structure of a molecule as SVG, drawn by RDKit."""
    flat = Chem.RemoveHs(one.mol)
    rdDepictor.Compute2DCoords(flat)
    canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    canvas.drawOptions().clearBackground = False
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, flat)
    canvas.FinishDrawing()
    text = re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", canvas.GetDrawingText(), flags=re.DOTALL)
    return re.sub(r"\n\s*", " ", text).strip()


def sheet(samples: Sequence[PerceivedSample]) -> bytes:
    """Return a PNG of the 2-D structures of samples with their SMILES, or formulas of those that are no molecules."""
    mols, names = [flat(one) for one in samples], [title(one) for one in samples]
    columns = min(len(mols), COLUMNS)
    width, height = 2 * WIDTH, 2 * HEIGHT
    canvas = rdMolDraw2D.MolDraw2DCairo(columns * width, -(-len(mols) // columns) * height, width, height)
    canvas.drawOptions().prepareMolsBeforeDrawing = False  # some have impossible valences
    canvas.DrawMolecules(mols, legends=names)
    canvas.FinishDrawing()
    return bytes(canvas.GetDrawingText())


def flat(one: PerceivedSample) -> Any:
    """Return the 2-D structure of a sample; if it is no molecule, its atoms where they are, with its bonds."""
    if one.mol is not None:
        mol = Chem.RemoveHs(one.mol)
        rdDepictor.Compute2DCoords(mol)
        return mol
    if one.molecule.implicit or not has_finite_positions(one.molecule):
        return Chem.Mol()
    mol = with_bonds(one)  # a depiction of impossible valences may put two atoms in one place, which cannot be drawn
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    mol.GetConformer().SetPositions(to_principal_axes(one.molecule) * [1, 1, 0])
    return mol


def projection(molecule: Molecule, places: np.ndarray, mol: Any, discs: Sequence[str] = ()) -> str:
    """Return atoms as SVG, projected onto the plane of their largest spread, with lines for bonds.

    Arguments:
        molecule: The atoms.
        places: The result of `to_principal_axes` (N, 3).
        mol: RDKit molecule of the atoms with bonds by distance.
        discs: SVG attributes of a disc behind each atom; (): none.
    """
    plane = places[:, :2]
    reach = max(np.abs(plane[:, 0]).max() / WIDTH, np.abs(plane[:, 1]).max() / HEIGHT, 1e-6)
    spots = (plane * [1, -1] / reach * 0.43 + [WIDTH / 2, HEIGHT / 2]).tolist()
    ends = [(spots[bond.GetBeginAtomIdx()], spots[bond.GetEndAtomIdx()]) for bond in mol.GetBonds()]
    lines = "".join(f"M{a[0]:.0f} {a[1]:.0f}L{b[0]:.0f} {b[1]:.0f}" for a, b in ends)
    grounds = "".join(f'<circle cx="{x:.0f}" cy="{y:.0f}" {disc}/>' for (x, y), disc in zip(spots, discs, strict=False))
    letters = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{COLOURS.get(symbol, DEFAULT_COLOUR)}">{symbol}</text>'
        for (x, y), symbol in zip(spots, symbols(molecule), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-size="12" '
        f'overflow="visible" font-family="sans-serif" text-anchor="middle" dominant-baseline="central">'
        f'{grounds}<path d="{lines}" stroke="#ccc" stroke-width="1.5"/>{letters}</svg>'
    )

"""Molecules to look at: drawings in an HTML fragment that fetches nothing, and a script that turns them in space."""

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

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import cloud, finite, formula
from polydiff.domains.molecule.metrics.examine import Judged

SHOWN = 24
WIDTH, HEIGHT = 150, 110
"""Pixels of a drawing."""
COLOURS = {
    "H": "#b8b8b8", "C": "#444444", "N": "#3050f8", "O": "#e02020", "F": "#50a050", "S": "#c8a000", "Cl": "#1fa01f",
    "Br": "#a62929", "P": "#e08000", "B": "#d09080", "I": "#940094",
}  # fmt: skip
PALETTE = html.escape(json.dumps(COLOURS))
OTHER = "#a020a0"
"""Colour of elements that have none of their own."""


def show(judged: Sequence[Judged], captions: Sequence[str]) -> str:
    """Return drawings of molecules, each with what it is and what it was asked to be, and its atoms for `script`."""
    figures = [figure(one, caption) for one, caption in list(zip(judged, captions, strict=True))[:SHOWN]]
    head = f'<div class="molecules" data-colours="{PALETTE}" style="display:flex;flex-wrap:wrap;gap:8px">'
    return head + "".join(figures) + "</div>"


def script() -> str:
    """Return the script that lets molecules be turned: 3Dmol.js (Rego & Koes, 2015), with its licence, and its use.

    https://doi.org/10.1093/bioinformatics/btu829
    """
    here = resources.files(__package__)
    licence, library, viewer = (
        here.joinpath(name).read_text(encoding="utf-8") for name in ("3Dmol.LICENSE", "3Dmol-min.js", "viewer.js")
    )
    return f"/*! 3Dmol.js 2.5.5\n{licence}*/\nfunction load3Dmol() {{\n{library}\n}}\n{viewer}"


def figure(one: Judged, caption: str) -> str:
    """Return one drawing with its caption; of atoms that are nowhere, these words instead."""
    name = one.smiles if one.smiles is not None else f"{formula(one.molecule)}: no molecule"
    lines = "<br>".join(html.escape(line) for line in (name, caption) if line)
    if finite(one.molecule):
        places, mol = turned(one.molecule), joined(one)
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


def symbols(molecule: Molecule) -> list[str]:
    """Return the symbols of a molecule's elements."""
    table = Chem.GetPeriodicTable()
    return [table.GetElementSymbol(number) for number in molecule.numbers.tolist()]


def turned(molecule: Molecule) -> np.ndarray:
    """Return positions (N, 3) turned, not mirrored, so that atoms spread most across, then up, then towards the eye."""
    r = molecule.positions.astype(np.float64)
    r = r - r.mean(0)
    axes = np.linalg.svd(r, full_matrices=True)[2]
    axes[2] *= np.linalg.det(axes)
    places: np.ndarray = r @ axes.T
    return places


def atoms(molecule: Molecule, places: np.ndarray) -> str:
    """Return atoms as "C 0.12 -1.3 0;...", in Å."""
    return ";".join(
        f"{symbol} {' '.join(f'{value:.2f}' for value in place)}"
        for symbol, place in zip(symbols(molecule), places.tolist(), strict=True)
    )


def joined(one: Judged) -> Any:
    """Return RDKit's molecule with its bonds in Kekule's form; of no molecule, with bonds by distance alone."""
    if one.mol is not None:
        mol = Chem.Mol(one.mol)
        Chem.Kekulize(mol)
        return mol
    mol = cloud(one.molecule)
    rdDetermineBonds.DetermineConnectivity(mol)
    return mol


def bonds(mol: Any) -> str:
    """Return bonds as "0 1 2;...": two atoms and the order."""
    return ";".join(
        f"{bond.GetBeginAtomIdx()} {bond.GetEndAtomIdx()} {bond.GetBondTypeAsDouble() or 1:.0f}"
        for bond in mol.GetBonds()
    )


def drawing(one: Judged) -> str:
    """Return the graph of a molecule as SVG, drawn flat by RDKit."""
    flat = Chem.RemoveHs(one.mol)
    rdDepictor.Compute2DCoords(flat)
    canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    canvas.drawOptions().clearBackground = False
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, flat)
    canvas.FinishDrawing()
    text = re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", canvas.GetDrawingText(), flags=re.DOTALL)
    return re.sub(r"\n\s*", " ", text).strip()


def projection(molecule: Molecule, places: np.ndarray, mol: Any) -> str:
    """Return atoms as SVG, on the plane in which they spread most (`turned`), with lines between those that are near.

    Arguments:
        molecule: The atoms.
        places: Where they are (N, 3), turned.
        mol: RDKit's molecule of them, with bonds by distance.
    """
    plane = places[:, :2]
    reach = max(np.abs(plane[:, 0]).max() / WIDTH, np.abs(plane[:, 1]).max() / HEIGHT, 1e-6)
    spots = (plane * [1, -1] / reach * 0.43 + [WIDTH / 2, HEIGHT / 2]).tolist()
    ends = [(spots[bond.GetBeginAtomIdx()], spots[bond.GetEndAtomIdx()]) for bond in mol.GetBonds()]
    lines = "".join(f"M{a[0]:.0f} {a[1]:.0f}L{b[0]:.0f} {b[1]:.0f}" for a, b in ends)
    letters = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{COLOURS.get(symbol, OTHER)}">{symbol}</text>'
        for (x, y), symbol in zip(spots, symbols(molecule), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-size="12" '
        f'font-family="sans-serif" text-anchor="middle" dominant-baseline="central">'
        f'<path d="{lines}" stroke="#ccc" stroke-width="1.5"/>{letters}</svg>'
    )

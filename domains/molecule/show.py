"""Molecules to look at: drawings in an HTML fragment that fetches nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from polydiff.domains.molecule.geometry import Molecule
from polydiff.domains.molecule.metrics import Judged
from polydiff.domains.molecule.perceive import formula

SHOWN = 24
WIDTH, HEIGHT = 150, 110
"""Pixels of a drawing."""
COLOURS = {1: "#bbbbbb", 6: "#444444", 7: "#3050f8", 8: "#e02020", 9: "#50a050"}


def show(judged: Sequence[Judged], captions: Sequence[str]) -> str:
    """Return drawings of molecules, each with what it is and what it was asked to be."""
    figures = [figure(one, caption) for one, caption in list(zip(judged, captions, strict=True))[:SHOWN]]
    return '<div style="display:flex;flex-wrap:wrap;gap:8px">' + "".join(figures) + "</div>"


def figure(one: Judged, caption: str) -> str:
    """Return one drawing with its caption."""
    name = one.smiles if one.smiles is not None else f"{formula(one.molecule)}: no molecule"
    lines = "<br>".join(html.escape(line) for line in (name, caption) if line)
    picture = projection(one.molecule) if one.mol is None else drawing(one)
    return (
        f'<figure style="margin:0;width:{WIDTH}px"><div style="background:#fff">{picture}</div>'
        f'<figcaption style="font-size:12px;overflow-wrap:anywhere">{lines}</figcaption></figure>'
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


def projection(molecule: Molecule) -> str:
    """Return atoms without bonds as SVG, on the plane in which they spread most."""
    r = np.nan_to_num(molecule.positions.astype(np.float64))
    r = r - r.mean(0)
    plane = r @ np.linalg.svd(r, full_matrices=False)[2][:2].T
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    reach = max(np.abs(plane[:, 0]).max() / WIDTH, np.abs(plane[:, 1]).max() / HEIGHT, 1e-6)
    places = plane / reach * 0.43 + [WIDTH / 2, HEIGHT / 2]
    symbol = Chem.GetPeriodicTable().GetElementSymbol
    atoms = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{COLOURS.get(number, "#a020a0")}">{symbol(number)}</text>'
        for (x, y), number in zip(places.tolist(), molecule.numbers.tolist(), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-size="12" '
        f'font-family="sans-serif" text-anchor="middle" dominant-baseline="central">{atoms}</svg>'
    )

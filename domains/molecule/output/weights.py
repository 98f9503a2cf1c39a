"""Molecules with weights of their atoms, and kinds of pairs of atoms, for `polydiff look`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from polydiff.domains.molecule.chemistry.perceive import has_finite_positions
from polydiff.domains.molecule.metrics.examine import PerceivedSample
from polydiff.domains.molecule.output.show import HEIGHT, WIDTH, flat, projection, to_principal_axes, with_bonds

RADIUS = 13
"""Radius in pixels of the disc of an atom with the weight 1."""
DISC = "#d6601e"
KINDS = ("a bond apart", "2 bonds", "3 bonds", "4 or more")
"""Kinds of pairs of atoms: the bonds of the shortest path between them."""


def show_weights(samples: Sequence[PerceivedSample], weights: Tensor, captions: Sequence[str]) -> str:
    """Return an HTML fragment of molecules with a disc behind each atom, whose area and darkness are its weight.

    Arguments:
        samples: B molecules.
        weights: Numbers from 0 to 1, (B, N); those beyond the atoms of a molecule are ignored.
        captions: B texts.
    """
    figures = "".join(map(weighted, samples, weights.tolist(), captions))
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'


def weighted(one: PerceivedSample, weights: Sequence[float], caption: str) -> str:
    """Return the HTML of one molecule: all its atoms in the plane of their largest spread, or a graph in its own."""
    text = html.escape(caption)
    return (
        f'<figure style="margin:0;width:{WIDTH}px;background:#fff">{picture(one, weights)}'
        f'<figcaption style="font-size:12px">{text}</figcaption></figure>'
    )


def picture(one: PerceivedSample, weights: Sequence[float]) -> str:
    """Return the drawing of a molecule with discs as SVG; a note where there is nothing to draw."""
    graph = one.molecule.implicit
    if (one.mol is None) if graph else not has_finite_positions(one.molecule):
        return f'<div style="line-height:{HEIGHT}px;text-align:center">no molecule</div>'
    mol = flat(one) if graph else with_bonds(one)
    places = mol.GetConformer().GetPositions() if graph else to_principal_axes(one.molecule)
    return projection(one.molecule, places, mol, discs(weights))


def discs(weights: Sequence[float]) -> list[str]:
    """Return the attributes of the disc of each atom: area and darkness are proportional to its weight."""
    return [
        f'r="{RADIUS * max(w, 0.0) ** 0.5:.1f}" fill="{DISC}" fill-opacity="{0.15 + 0.45 * w:.2f}"' for w in weights
    ]


def relations(one: PerceivedSample) -> Mapping[str, Tensor]:
    """Return kind of pairs of atoms -> booleans (n, n); {} for a sample that is no molecule."""
    if one.mol is None or one.mol.GetNumAtoms() != len(one.molecule.numbers):
        return {}
    bonds = torch.from_numpy(np.rint(Chem.GetDistanceMatrix(one.mol)))
    return {kind: bonds == k if k < len(KINDS) else bonds >= k for k, kind in enumerate(KINDS, 1)}

"""One picture of three runs: scenes drawn from captions, strings that play a scale, molecules.

    polydiff train --domain image data.name=shapes data.things=1,2,3 -o shapes
    polydiff train --domain audio -o strings
    polydiff train --domain molecule --preset bonds -o molecules
    python docs/gallery.py shapes strings molecules [-o docs/gallery.png]

The samples are the first ones of fixed seeds, not selected. A GitHub page shows the picture at half its size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rdkit import Chem
from rdkit.Chem import Draw

import polydiff
from polydiff.domains.molecule.chemistry.bonds import sanitised
from polydiff.domains.molecule.chemistry.geometry import Molecule

SCALE = ("C4", "D4", "E4", "F4", "G4", "A4", "B4", "C4")
CAPTIONS = (
    "a large red circle in the centre",
    "a small blue square at the top left",
    "a small yellow cross left of a large green triangle",
    "a large purple square above a small orange circle",
    "a large cyan cross to the right of a small black triangle",
    "a small red square below a large blue circle",
    "a small red circle left of a large blue square and above a small green triangle",
    "a large orange circle right of a small purple cross and below a small cyan square",
)
EACH = 2
"""Scenes of each caption."""
DRAWN = 64
"""Molecules of which the first valid ones are drawn."""
LETTERS = 21
"""Letters of a line of a caption."""
SIZE, HEADING = 12, 16
"""Sizes of text in points, at 100 dots an inch."""


def scenes(panels: list[Axes], model: polydiff.Model) -> None:
    """Draw scenes of each caption, a panel a caption, with the caption below."""
    for seed, (panel, caption) in enumerate(zip(panels, CAPTIONS, strict=True)):
        drawn = [np.asarray(image) for image in model.sample(EACH, seed=seed, cond={"text": caption}).examples]
        edge = [(0, 0), (1, 1), (1, 1)]
        rows = [np.pad(image, edge, constant_values=255).transpose(1, 2, 0) for image in drawn]
        panel.imshow(np.concatenate(rows), interpolation="nearest")
        panel.set_title(fill(caption, LETTERS), y=0, pad=-6, va="top", fontsize=SIZE)
        panel.axis("off")


def scale(panel: Axes, model: polydiff.Model) -> None:
    """Draw the spectrogram of a scale, a note a sample."""
    notes = [model.sample(1, seed=i, cond={"pitch": note}).examples[0][0].numpy() for i, note in enumerate(SCALE)]
    rate, length = model.config.data.sample_rate, len(notes[0])  # type: ignore[attr-defined]
    panel.specgram(np.concatenate(notes), NFFT=1024, noverlap=896, Fs=rate, cmap="magma", vmin=-120)
    panel.set_ylim(0, 2500)
    panel.set_xticks([(i + 0.5) * length / rate for i in range(len(notes))], SCALE, fontsize=SIZE)
    panel.set_yticks([0, 1000, 2000], ["0", "1 kHz", "2 kHz"], fontsize=SIZE)
    panel.set_title("strings that play a scale", fontsize=HEADING)


def molecules(panel: Axes, model: polydiff.Model) -> None:
    """Draw the first valid samples by their own bonds, flat."""
    valid = [mol for example in model.sample(DRAWN, seed=0).examples if (mol := whole(example)) is not None]
    flat = [Chem.MolFromSmiles(Chem.MolToSmiles(Chem.RemoveHs(mol))) for mol in valid[:24]]
    panel.imshow(np.asarray(Draw.MolsToGridImage(flat, molsPerRow=6, subImgSize=(220, 150), returnPNG=False)))
    panel.set_title(f"molecules, the first {len(flat)} of {len(valid)} valid in {DRAWN}", fontsize=HEADING)
    panel.axis("off")


def whole(example: Molecule) -> Chem.Mol | None:
    """Return a sample by its own bonds; None if RDKit does not sanitise it or it is in several pieces."""
    mol = sanitised(example)
    return mol if mol is not None and len(Chem.GetMolFrags(mol)) == 1 else None


def main() -> None:
    """Read the runs and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs=3, type=Path, metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/gallery.png"))
    args = parser.parse_args()
    matplotlib.use("Agg")
    figure = Figure(figsize=(16, 9.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1), hspace=0.04)
    models = [polydiff.load(run) for run in args.runs]
    top.suptitle("scenes drawn from the captions below them", fontsize=HEADING)
    scenes(list(top.subplots(1, len(CAPTIONS))), models[0])
    for panel, draw, model in zip(
        bottom.subplots(1, 2, width_ratios=(1, 1.2)), (scale, molecules), models[1:], strict=True
    ):
        draw(panel, model)
    figure.savefig(args.output, dpi=100)
    print(args.output)


if __name__ == "__main__":
    main()

"""One picture of three runs: digits asked to be 0 to 9, strings asked to play a scale, the first valid molecules.

`python docs/gallery.py IMAGE_RUN AUDIO_RUN MOLECULE_RUN [-o docs/gallery.png]`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rdkit import Chem
from rdkit.Chem import Draw

import polydiff
from polydiff.domains.molecule.chemistry.perceive import perceive

SCALE = ("C4", "D4", "E4", "F4", "G4", "A4", "B4", "C4")


def digits(panel: Axes, model: polydiff.Model) -> None:
    """Draw six samples of each class, a column a class."""
    columns = [model.sample(6, seed=label, cond={"label": label}).examples for label in range(10)]
    rows = [np.concatenate([np.pad(column[i][0], 1) for column in columns], 1) for i in range(6)]
    panel.imshow(np.concatenate(rows), cmap="gray", interpolation="nearest")
    panel.set_title("image: handwritten digits, asked for by class")
    panel.axis("off")


def scale(panel: Axes, model: polydiff.Model) -> None:
    """Draw the spectrogram of a scale, a note a sample."""
    notes = [model.sample(1, seed=i, cond={"pitch": note}).examples[0][0].numpy() for i, note in enumerate(SCALE)]
    rate, length = model.config.data.sample_rate, len(notes[0])  # type: ignore[attr-defined]
    panel.specgram(np.concatenate(notes), NFFT=1024, noverlap=896, Fs=rate, cmap="magma", vmin=-120)
    panel.set_ylim(0, 2500)
    panel.set_xticks([(i + 0.5) * length / rate for i in range(len(notes))], SCALE)
    panel.set_ylabel("Hz")
    panel.set_title("audio: plucked strings, conditioned on their note")


def molecules(panel: Axes, model: polydiff.Model) -> None:
    """Draw the first samples in which RDKit sees a molecule, flat."""
    seen = [mol for example in model.sample(64, seed=0).examples if (mol := perceive(example)) is not None]
    flat = [Chem.MolFromSmiles(Chem.MolToSmiles(Chem.RemoveHs(mol))) for mol in seen[:20]]
    panel.imshow(np.asarray(Draw.MolsToGridImage(flat, molsPerRow=5, subImgSize=(220, 150), returnPNG=False)))
    panel.set_title(f"molecule: the first {len(flat)} that RDKit accepts, of {len(seen)} in 64")
    panel.axis("off")


def main() -> None:
    """Read the runs and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs=3, type=Path, metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/gallery.png"))
    args = parser.parse_args()
    matplotlib.use("Agg")
    figure = Figure(figsize=(16, 4.6), layout="constrained")
    for panel, draw, run in zip(figure.subplots(1, 3), (digits, scale, molecules), args.runs, strict=True):
        draw(panel, polydiff.load(run))
    figure.savefig(args.output, dpi=100)
    print(args.output)


if __name__ == "__main__":
    main()

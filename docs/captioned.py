"""Two pages of samples of a model with captions: under captions of training, and under captions of held-out examples.

`python docs/captioned.py RUN [-n 64] [--guidance 2] [-o docs/captioned.png]`; RUN is a run on images with captions.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

import polydiff
from polydiff.contract.domain import Samples

COLUMNS = 8
TITLES = {"train": "captions of training", "test": "captions that training does not show"}


def drawn(model: polydiff.Model, split: str, n: int, seed: int, **how: Any) -> tuple[Samples, list[str]]:
    """Return n samples under the captions of examples of a split, and these captions."""
    given = model.domain.examples(split, n)
    samples = model.request({}, **how).under(given.cond).joined(range(len(given)), seed)
    assert given.cond is not None
    return samples, [str(row["text"]) for row in model.domain.describe(given.cond)]


def main() -> None:
    """Draw the samples and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("-n", type=int, default=64, help="samples on each page; default: 64")
    parser.add_argument("--steps", type=int, help="sampling steps; default: those of the run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=2.0, help="default: 2")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/captioned.png"))
    args = parser.parse_args()
    matplotlib.use("Agg")
    model, rows = polydiff.load(args.run), -(-args.n // COLUMNS)
    figure = Figure(figsize=(2 * COLUMNS, 1.15 * rows + 0.4), layout="constrained")
    for page, (split, title) in zip(figure.subfigures(1, 2, wspace=0.03), TITLES.items(), strict=True):
        samples, captions = drawn(model, split, args.n, args.seed, guidance=args.guidance, steps=args.steps)
        page.suptitle(title, fontsize=12)
        for i, panel in enumerate(page.subplots(rows, COLUMNS).flat):
            panel.axis("off")
            if i < len(samples):
                panel.imshow(samples[i].permute(1, 2, 0).numpy(), interpolation="nearest")
                panel.set_title("\n".join(textwrap.wrap(captions[i], 17)[:2]), fontsize=6, pad=1)
    figure.savefig(args.output, dpi=100)
    print(args.output)


if __name__ == "__main__":
    main()

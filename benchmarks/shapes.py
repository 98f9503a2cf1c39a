"""The embedded scenes of shapes: python benchmarks/shapes.py [--docs] [-n 2000].

How many changed pictures of real scenes the detector reads without any error, and how many pictures a second are
painted and read on one core. With --docs, the tables and a sheet of examples go into docs/shapes.md and
docs/shapes.png.
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from timing import document, markdown
from torch import Tensor

from polydiff.core.streams import stream
from polydiff.domains.image.shapes.components import blurred
from polydiff.domains.image.shapes.dataset import Shapes
from polydiff.domains.image.shapes.detect import detect
from polydiff.domains.image.shapes.judge import agreement

DOCS = Path(__file__).parents[1] / "docs"
SIDES, COUNTS = (32, 64), (1, 2, 3)
CELL, TEXT, COLUMNS = 160, 62, 6


def noisy(std: float) -> Callable[[Tensor], Tensor]:
    """Return the addition of Gaussian noise."""
    return lambda x: x + std * torch.randn(x.shape, generator=stream(0, "shapes/noise"))


def low_pass(cutoff: float) -> Callable[[Tensor], Tensor]:
    """Return a filter that keeps frequencies below so many periods a unit (1/32 of the side)."""

    def change(x: Tensor) -> Tensor:
        side = x.shape[-1]
        f = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)) * side / 32
        return torch.fft.irfft2(torch.fft.rfft2(x) * (f < cutoff), s=x.shape[-2:])

    return change


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "noise of 12/255": noisy(12),
    "noise of 25/255": noisy(25),
    "noise of 40/255": noisy(40),
    "3 x 3 blur of each pixel": blurred,
    "the same three times": lambda x: blurred(blurred(blurred(x))),
    "low-pass at 0.3 periods a unit": low_pass(0.3),
    "low-pass at 0.25": low_pass(0.25),
}


def row(name: str, n: int) -> list[str]:
    """Return how many of n scenes of each number of things and each side are read, and how far pictures change."""
    cells, distances = [], []
    for side in SIDES:
        for count in COUNTS:
            shapes = Shapes(side, (count,))
            pictures, _ = shapes.batch(range(n), "test")
            changed = CHANGES[name](pictures.float()).round().clamp(0, 255).to(torch.uint8)
            right = agreement(detect(changed), shapes.specs(range(n), "test"))["all_right"].value
            cells.append(f"{right:.4f}")
            error = (changed.float() - pictures.float()).square().mean((1, 2, 3))
            distances.append((10 * torch.log10(255**2 / error)).mean().item())
    low, high = f"{min(distances):.0f}", f"{max(distances):.0f}"
    return [name, "" if name == "none" else low if low == high else f"{low} to {high}", *cells]


def speeds(n: int) -> list[list[str]]:
    """Return how many pictures a second are painted and read."""
    rows = [["pictures a second, one core", *(f"{side} px, {count}" for side in SIDES for count in COUNTS)]]
    rows += [["painted, with captions"], ["read"]]
    for side in SIDES:
        for count in COUNTS:
            shapes = Shapes(side, (count,))
            start = time.perf_counter()
            pictures, _ = shapes.batch(range(n))
            middle = time.perf_counter()
            detect(pictures)
            rows[1].append(f"{n / (middle - start):.0f}")
            rows[2].append(f"{n / (time.perf_counter() - middle):.0f}")
    return rows


def sheet() -> Image.Image:
    """Return examples with their captions: one, two and three things of 32 pixels, three of 64, and unseen pairs."""
    kinds = [(32, (1,), "train"), (32, (2,), "train"), (32, (3,), "train"), (64, (3,), "train"), (32, COUNTS, "unseen")]
    page = Image.new("RGB", (COLUMNS * (CELL + 10), len(kinds) * (CELL + TEXT)), "white")
    pen = ImageDraw.Draw(page)
    for y, (side, counts, split) in enumerate(kinds):
        pictures, captions = Shapes(side, counts, partial=0.4).batch(range(20, 20 + COLUMNS), split)
        for x, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            corner = (x * (CELL + 10) + 5, y * (CELL + TEXT) + 2)
            page.paste(Image.fromarray(picture.movedim(0, -1).numpy()).resize((CELL, CELL), 0), corner)
            pen.text((corner[0], corner[1] + CELL + 1), "\n".join(textwrap.wrap(caption, 28)), fill="black")
    return page


def main() -> None:
    """Measure and print."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("-n", type=int, default=2000, help="scenes of each kind; default: 2000")
    reader.add_argument("--docs", action="store_true", help="put tables and examples into docs/shapes.md")
    args = reader.parse_args()
    torch.set_num_threads(1)
    head = ["change of the picture", "PSNR, dB", *(f"{side} px, {count}" for side in SIDES for count in COUNTS)]
    text = markdown([head, *(row(name, args.n) for name in CHANGES)]) + "\n" + markdown(speeds(min(args.n, 1000)))
    print(text)
    if args.docs:
        document(text, DOCS / "shapes.md")
        sheet().save(DOCS / "shapes.png", optimize=True)


if __name__ == "__main__":
    main()

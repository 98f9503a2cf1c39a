"""What pictures of a pipeline show where their captions leave it open: python benchmarks/left_open.py PIPELINE.

Captions are those of held-out scenes with one thing whose size is open. The data show each size equally often. The
table has the shares of what the detector reads, at the guidance weights of the stages `prior` and `decoder`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import islice

import torch
from timing import markdown

import polydiff
from polydiff.domains.image.shapes.dataset import Shapes
from polydiff.domains.image.shapes.detect import detect
from polydiff.domains.image.shapes.judge import left_open
from polydiff.metrics.standard_error import share
from polydiff.pipeline.chain import Chain

HEAD = ["guidance of prior, decoder", "large, of open size", "things"]
EACH = 2
"""Pictures of a caption."""


def open_scenes(shapes: Shapes, n: int) -> list[int]:
    """Return the numbers of the first n held-out scenes of one thing whose captions leave its size open."""
    numbers = (i for i in range(100 * n + 100) if shapes.specs([i], "test")[0].things[0].size is None)
    return list(islice(numbers, n))


def counted(
    pipeline: Chain, shapes: Shapes, numbers: list[int], prior: float, decoder: float
) -> dict[str, Counter[str]]:
    """Return how often pictures under these captions show each size, place and relation that is open."""
    weights = {"prior": {"guidance": prior}, "decoder": {"guidance": decoder}}
    captions, specs, pictures = shapes.batch(numbers, "test")[1], shapes.specs(numbers, "test"), []
    for i, caption in zip(numbers, captions, strict=True):
        pictures += pipeline.sample(EACH, cond={"text": caption}, seed=i, stages=weights, progress=False).examples
    return left_open(detect(torch.stack(pictures)), [spec for spec in specs for _ in range(EACH)])


def main() -> None:
    """Print the table."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("run", help="a pipeline of the preset dalle2 on scenes of one thing, with data.partial")
    found.add_argument("-n", type=int, default=150, help="captions; two pictures each")
    found.add_argument("--weights", nargs="+", default=["1,2", "1,1", "1.5,1.5"], metavar="PRIOR,DECODER")
    args = found.parse_args()
    shapes = Shapes(side=32, partial=0.5)
    pipeline, numbers, rows = polydiff.load(args.run), open_scenes(shapes, args.n), [HEAD]
    for words in args.weights:
        prior, decoder = map(float, words.split(","))
        sizes = counted(pipeline, shapes, numbers, prior, decoder)["size"]
        value, error = share(sizes["large"], sizes.total())
        rows.append([words, f"{value:.2f} ± {error:.2f}", str(sizes.total())])
    print(markdown(rows))


if __name__ == "__main__":
    main()

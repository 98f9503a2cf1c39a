"""A kernel of one's own, in one file: pixels that fade to black.

    polydiff train --domain image process=fading --plugin examples/fading_pixels.py

The forward process replaces letters by the letter 0, which is the darkest grey of images and a letter of the data. So
there is no mask: the network must tell pixels that are black from those that have faded. `LetterKernel` has everything
else: posterior, samplers, loss and bound.

A package of one's own names this module in the entry-point group `polydiff.extensions`, and needs no `--plugin`.
"""

from __future__ import annotations

from polydiff.parts.kernel import KernelEntry, Source
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.samplers import REPLACING
from polydiff.parts.process import register_kernel


def fading(source: Source) -> LetterKernel:
    """Return the kernel whose prior law is the letter 0 alone."""
    letters = source.space.letters
    return LetterKernel(letters, (1.0, *(0.0,) * (letters - 1)))


register_kernel(
    "fading",
    KernelEntry(
        make=fading,
        states="letters",
        samplers=REPLACING,
        weightings=("elbo", "simple"),
        suits={"schedule": "cosine", "loss.weighting": "simple", "sample.sampler": "ancestral", "sample.steps": 64},
        summary="letters that become the letter 0",
    ),
)

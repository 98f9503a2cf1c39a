r"""Inpainting: the network is conditioned on the known part of a state, y = x where the mask is 1 and NaN elsewhere.

It learns

$$ E[x_0 | x_0 + s \epsilon, y] $$

itself, where replacement with any model (`control.Known`) knows y only through its noisy form (Saharia et
al., Palette, 2022, https://arxiv.org/abs/2111.05826).

Symbols: B batch, C channels, y the known part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from polydiff.core.conditions import KNOWN, Aligned, Condition, Conditions, absent, given
from polydiff.core.parts.known import KnownLetters
from polydiff.core.space import State

NOTHING, BEGINNING, WINDOW = 0.1, 0.1, 0.1
"""Shares of the training masks that know nothing, the beginning of an axis, or nothing but a window."""
SMALLEST, LARGEST, MOST = 0.02, 0.5, 3
"""Least and greatest share of all places that a gap or a window takes, drawn log-uniformly, and the most gaps."""


@dataclass(frozen=True)
class Inpaint:
    """Inpainting: complete an example of which a part is known; `draw_mask` draws the masks of training.

    Arguments:
        channels: C, those of a state (B, C, ...), all of which are known at a place or none.
    """

    channels: int

    residual: ClassVar[bool] = False

    @property
    def conditions(self) -> Conditions:
        return {KNOWN: Aligned(self.channels)}

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        masks = torch.stack([draw_mask(x.shape[2:], generator) for generator in generators])
        return {KNOWN: known(x, masks[:, None])}

    @property
    def simple(self) -> str:
        return "the mean of the data (of sounds, silence) where nothing is known"

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        return observed[KNOWN].nan_to_num(0.0)

    def finish(self, x: State, observed: Condition) -> State:
        return torch.where(given(observed[KNOWN]), observed[KNOWN].to(x), x)


@dataclass(frozen=True)
class InpaintLetters:
    """Inpainting of letters, which process=masked keeps open in the state; masks as those of `Inpaint`.

    Arguments:
        letters: Number of letters K.
        grid: Number of axes of a plane: 1 for texts, 2 for images.
        channels: C of a state (B, C, ...), all of which are known at a place or none; 0: states are (B, ...).
        usual: The most frequent letter, for the baseline.
    """

    letters: int
    grid: int
    channels: int = 0
    usual: int = 0

    residual: ClassVar[bool] = False

    @property
    def conditions(self) -> Conditions:
        return {KNOWN: KnownLetters(self.letters, self.grid, self.channels)}

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        masks = torch.stack([draw_mask(x.shape[-self.grid :], generator) for generator in generators])
        return {KNOWN: known(x, masks[:, None] if self.channels else masks)}

    @property
    def simple(self) -> str:
        return "the most frequent letter where nothing is known"

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        return torch.where(given(observed[KNOWN]), observed[KNOWN], self.usual)

    def finish(self, x: State, observed: Condition) -> State:
        return torch.where(given(observed[KNOWN]), observed[KNOWN].to(x), x)


def known(x: State, mask: Tensor) -> Tensor:
    """Return y: the state where the mask is 1 or True, NaN elsewhere."""
    return torch.where(mask.to(x.device) != 0, x, absent(x))


def draw_mask(sizes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return which places of an example are known, booleans of its sizes, any number of axes.

    Seven of ten have one to three gaps, boxes that may stick out over the edges; the others know nothing, the beginning
    of one axis (of images, or its end), or nothing but one box. (as those of Stability-AI/stable-audio-tools, whose
    shares are others)
    """
    lot, count, *drawn = torch.rand(4 + MOST * (2 * len(sizes) + 1), generator=generator).tolist()
    mask = torch.zeros(*sizes, dtype=torch.bool)
    if lot < NOTHING:
        return mask
    if lot < NOTHING + BEGINNING:
        axis = int(drawn[0] * len(sizes))
        mask.narrow(axis, 0, 1 + int(drawn[1] * (sizes[axis] - 1))).fill_(True)
        return mask.flip(axis) if len(sizes) > 1 and count < 0.5 else mask
    if lot < NOTHING + BEGINNING + WINDOW:
        mask[box(sizes, drawn)] = True
        return mask
    each = 2 * len(sizes) + 1
    for i in range(1 + int(count * MOST)):
        mask[box(sizes, drawn[i * each :])] = True
    return ~mask


def box(sizes: Sequence[int], drawn: Sequence[float]) -> tuple[slice, ...]:
    """Return a box by numbers in [0, 1): one for its share of the places, two an axis for its shape and its place.

    Its middle lies anywhere, so that it may be cut by an edge.
    """
    share = SMALLEST * (LARGEST / SMALLEST) ** drawn[0]
    shape = [0.5 + u for u in drawn[1 : len(sizes) + 1]]
    slices = []
    for size, part, u in zip(sizes, shape, drawn[len(sizes) + 1 :], strict=False):
        length = max(1, round(size * share ** (part / sum(shape))))
        first = int(u * size) - length // 2
        slices.append(slice(max(first, 0), first + length))
    return tuple(slices)

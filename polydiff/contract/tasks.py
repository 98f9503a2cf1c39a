r"""Tasks: unconditional generation, inpainting, and restoration from a degraded form.

A task defines conditions beside those of the data. They are computed from the clean state, in training and in use. If
they are missing, through condition dropout or because none are given, the same network generates whole examples.

Inpainting is conditioned on the known part of a state, y = x where the mask is 1 and NaN elsewhere. The network learns

$$ E[x_0 | x_0 + s \epsilon, y] $$

itself, where replacement with any model (`control.Known`) knows y only through its noisy form (Saharia et
al., Palette, 2022, https://arxiv.org/abs/2111.05826).

Symbols: B batch, C channels, y the known part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from polydiff.contract.following import NoiseAugmentation, noisy
from polydiff.core.conditions import (
    KNOWN,
    LOW,
    LOW_LEVEL,
    Aligned,
    Condition,
    Conditions,
    Number,
    absent,
    given,
)
from polydiff.core.parts.known import KnownLetters
from polydiff.core.space import State

NOTHING, BEGINNING, WINDOW = 0.1, 0.1, 0.1
"""Shares of the training masks that know nothing, the beginning of an axis, or nothing but a window."""
SMALLEST, LARGEST, MOST = 0.02, 0.5, 3
"""Least and greatest share of all places that a gap or a window takes, drawn log-uniformly, and the most gaps."""

BISECTIONS = 50
"""Bisections of the number that is added to a block; the interval shrinks below the rounding of float32."""


class Task(Protocol):
    """Conditions of a network that are computed from the example itself."""

    @property
    def conditions(self) -> Conditions:
        """Name -> kind of the task's conditions."""

    @property
    def residual(self) -> bool:
        """Whether states are residuals, which have no meaning without the task's conditions."""


class Observes(Task, Protocol):
    """A task whose conditions follow from states alone."""

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Return the task's conditions of clean states (B, ...), by name.

        Random parts, such as masks, are drawn from each example's own generator.
        """


class Restoration(Protocol):
    """A task with a true result and a simple baseline.

    Attributes:
        simple: Description of the baseline.
    """

    @property
    def conditions(self) -> Conditions:
        """Name -> kind of the task's conditions."""

    @property
    def simple(self) -> str: ...

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        """Return the baseline's estimates (B, C, *sizes), computed from the task's conditions.

        Arguments:
            observed: The task's conditions.
            sizes: Sizes of a state's axes, without those of batch and channels; () if the state has several parts.
        """

    def finish(self, x: State, observed: Condition) -> State:
        """Return sampled states (B, C, ...) with the known values put back."""


@dataclass(frozen=True)
class Generate:
    """Unconditional generation: a task without conditions."""

    residual: ClassVar[bool] = False

    @property
    def conditions(self) -> Conditions:
        return {}

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return {}


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


@dataclass(frozen=True)
class Enlarge:
    """Upsampling: restore an example from its means over blocks of `factor` places along each axis.

    Arguments:
        channels: C, those of a state (B, C, ...).
        factor: Places of a block's side; one that does not divide an axis leaves its last block smaller.
        low: Least value of each channel of a decoded state, C numbers; (): no bound.
        high: Greatest value of each channel.
        noise: Noise on the means in training, on whose level the network is conditioned. None: none.
        reduce: State -> the means that the network is conditioned on, such as rounded ones; None: `block_means`.
    """

    channels: int
    factor: int
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    noise: NoiseAugmentation | None = None
    reduce: Callable[[State], Tensor] | None = None

    residual: ClassVar[bool] = False

    @property
    def conditions(self) -> Conditions:
        return {LOW: Aligned(self.channels, self.factor)} | ({LOW_LEVEL: Number()} if self.noise else {})

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return self.observed(self.reduce(x) if self.reduce else block_means(x, self.factor))

    def observed(self, low: Tensor) -> dict[str, Tensor]:
        """Return the task's conditions for means (B, C, ...) without noise."""
        return {LOW: low} | ({LOW_LEVEL: self.noise.encode(low.new_zeros(len(low)))} if self.noise else {})

    def disturbed(
        self, observed: Condition, levels: Tensor, generators: Sequence[torch.Generator]
    ) -> dict[str, Tensor]:
        """Return the task's conditions with noise of the levels (B,), from those without noise."""
        assert self.noise is not None
        return {LOW: noisy(observed[LOW], levels, generators), LOW_LEVEL: self.noise.encode(levels)}

    @property
    def simple(self) -> str:
        return "interpolation between the blocks, linear along each axis"

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        return enlarged(observed[LOW], self.factor, sizes)

    def finish(self, x: State, observed: Condition) -> State:
        """Return the nearest states to x that have the known block means, within the bounds of decoded values.

        They are clip(x + t), with one number t a block and channel, found by bisection. Where the means are known up to
        noise only, x stays as it is: the network corrects them.
        """
        if self.noise is None:
            return self.with_means(x, observed[LOW])
        exact = self.noise.is_exact(observed[LOW_LEVEL]).to(x.device).reshape(-1, *(1 for _ in x.shape[1:]))
        return torch.where(exact, self.with_means(x, observed[LOW]), x)

    def with_means(self, x: State, means: Tensor) -> State:
        """Return the nearest states to x that have these block means (`finish`)."""
        known = means.to(x)
        shifted = x + spread_blocks(known - block_means(x, self.factor), self.factor, x.shape[2:])
        if not self.low:
            return shifted
        low, high = (
            torch.tensor(bound, dtype=torch.float64, device=x.device).reshape(-1, *(1 for _ in x.shape[2:]))
            for bound in (self.low, self.high)
        )
        if bool(((shifted >= low) & (shifted <= high)).all()):
            return shifted
        wide, known = x.double(), known.double().clamp(low, high)
        below, above = (torch.full_like(known, float(t)) for t in ((low - wide).min(), (high - wide).max()))
        for _ in range(BISECTIONS):
            t = (below + above) / 2
            clipped = (wide + spread_blocks(t, self.factor, x.shape[2:])).clamp(low, high)
            short = block_means(clipped, self.factor) < known
            below, above = torch.where(short, t, below), torch.where(short, above, t)
        return (wide + spread_blocks(above, self.factor, x.shape[2:])).clamp(low, high).to(x)


def spread_blocks(means: Tensor, factor: int, sizes: Sequence[int]) -> Tensor:
    """Return numbers of blocks (B, C, ...) at every place of their block, shape (B, C, *sizes)."""
    for axis, size in enumerate(sizes, 2):
        means = means.repeat_interleave(factor, axis).narrow(axis, 0, size)
    return means


def block_means(x: State, factor: int) -> Tensor:
    """Return the means of a state (B, C, ...) over blocks, shape (B, C, *ceil(sizes / factor))."""
    for axis in range(2, x.dim()):
        x = torch.stack([part.mean(axis) for part in x.split(factor, axis)], axis)
    return x


def enlarged(low: Tensor, factor: int, sizes: Sequence[int]) -> State:
    """Return block means (B, C, ...) interpolated linearly between the middles of the blocks, to these sizes."""
    for axis, size in enumerate(sizes, 2):
        places = ((torch.arange(size, device=low.device) + 0.5) / factor - 0.5).clamp(0, low.shape[axis] - 1)
        below = places.floor().long()
        above = (below + 1).clamp(max=low.shape[axis] - 1)
        share = (places - below).reshape(-1, *(1 for _ in low.shape[axis + 1 :]))
        low = low.index_select(axis, below) * (1 - share) + low.index_select(axis, above) * share
    return low


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

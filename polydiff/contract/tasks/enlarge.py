"""Upsampling: the network is conditioned on means over blocks of places.

Symbols: B batch, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from polydiff.contract.following import NoiseAugmentation, noisy
from polydiff.core.conditions import LOW, LOW_LEVEL, Aligned, Condition, Conditions, Number
from polydiff.core.space import State

BISECTIONS = 50
"""Bisections of the number that is added to a block; the interval shrinks below the rounding of float32."""


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

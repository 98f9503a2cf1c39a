"""Classifier-free guidance of all parts: outputs of the network with and without conditions, combined linearly.

With logits this is guidance of log p(x_0 | x), p proportional to p_u (p_c / p_u)^w (Schiff et al., 2024, D-CFG,
https://arxiv.org/abs/2412.10193), since the likelihood of what is seen is the same in both and cancels.

Symbols: F_c and F_u outputs with and without conditions, w scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from polydiff.core.condition_batch import join_conditions
from polydiff.core.conditions import Condition
from polydiff.core.parts.product import Parts, Product
from polydiff.parts.network import Levels


class Network(Protocol):
    """A `PartsNetwork`, a guided one, or a closed form."""

    def __call__(self, x: Parts, levels: Levels, space: Product, cond: Condition | None = None) -> dict[str, Tensor]:
        """Return the output F of each part; arguments as of `polydiff.parts.network.PartsNetwork`."""


@dataclass(frozen=True)
class Guided:
    """F = F_u + w (F_c - F_u) (Ho & Salimans, 2022, https://arxiv.org/abs/2207.12598).

    Arguments:
        network: Gives F_c.
        scale: w.
        weak: Conditions of F_u.
        guide: Gives F_u; None: `network`.
        interval: Lowest and highest level of `lead` with guidance; None: all.
        lead: Name of the part whose level counts for the interval.
        joined: Whether one call, with the batch twice, computes both outputs.
    """

    network: Network
    scale: float
    weak: Condition | None
    guide: Network | None
    interval: tuple[float, float] | None
    lead: str
    joined: bool

    def __call__(self, x: Parts, levels: Levels, space: Product, cond: Condition | None = None) -> dict[str, Tensor]:
        level = float(levels[self.lead])
        if self.interval is not None and not self.interval[0] <= level <= self.interval[1]:
            return self.network(x, levels, space, cond)
        strong, weak = self.both(x, levels, space, cond)
        return {name: f + (self.scale - 1) * (f - weak[name]) for name, f in strong.items()}

    def both(self, x: Parts, levels: Levels, space: Product, cond: Condition | None) -> tuple[Parts, Parts]:
        """Return the outputs with and without conditions, from one call of the network or two."""
        if not self.joined or self.guide is not None or not space.repeats:
            return self.network(x, levels, space, cond), (self.guide or self.network)(x, levels, space, self.weak)
        twice = {name: torch.cat([part, part]) for name, part in x.items()}
        out = self.network(twice, levels, space.repeat(2), join_conditions([cond, self.weak]))
        halves = {name: f.chunk(2) for name, f in out.items()}
        return {name: half[0] for name, half in halves.items()}, {name: half[1] for name, half in halves.items()}

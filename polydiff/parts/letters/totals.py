r"""Masked letters of samples of which the numbers of letters are known (`polydiff.core.parts.letters.Totals`).

The posterior p_i(k) of the masked sites is replaced by the nearest law, in KL divergence, whose expected numbers of
letters are those that are left (Csiszár, 1975, https://doi.org/10.1214/aop/1176996454),

$$ q_i(k) \propto \lambda_{g(k)}\, p_i(k), \qquad \sum_i q_i(g) = n_g, $$

found by iterative proportional fitting. The sites that a step reveals are drawn from it one after the other, and lambda
is fitted again after each, so that the numbers are met exactly. An exact network that is conditioned on the numbers has
lambda = 1: its posterior means already add up to what is left. So this corrects only what a network has not learned,
and that the letters of one step are independent.

Symbols: B samples, S places of a sample, K letters, G groups, n numbers of letters that are left, (B, G).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.parts.letters import HasTotals, Letters, Totals
from polydiff.parts.letters.law import pick
from polydiff.support.protocols import provides

ROUNDS = 20
"""Rounds of fitting before the first site is drawn, with one more after each."""
LEAST = 1e-12
"""Least probability of a letter, since a letter that the network rules out may be the only one that is left."""


def totals_of(space: Letters) -> Totals | None:
    """Return the known numbers of letters of a space; None if it knows none."""
    return space.totals if provides(space, HasTotals) else None


def meet_totals(
    p: Tensor, before: Tensor, after: Tensor, totals: Totals, space: Letters, generators: Sequence[torch.Generator]
) -> Tensor:
    """Return the letters after a step (R, ...), those that it revealed drawn again so that they meet the totals.

    If visible letters exceed a number by themselves, as only letters that a user gives can, so do the results.

    Arguments:
        p: Posterior of clean letters, (R, ..., K), float64.
        before: Letters before the step, the mask being K, (R, ...).
        after: Letters after it, independent of each other.
        totals: The numbers to meet.
        space: Where they live.
        generators: B random streams.
    """
    batch, letters = len(before), p.shape[-1]
    order, v = (space.uniforms(generators).reshape(batch, -1) for _ in range(2))
    p = p.reshape(batch, -1, letters) + LEAST
    before, drawn = before.reshape(batch, -1), after.reshape(batch, -1).clone()
    masked = before == letters
    revealed = masked & (drawn != letters)
    if not revealed.any():
        return after
    group = functional.one_hot(totals.groups, totals.counts.shape[1]).to(p)
    visible = functional.one_hot(before.clamp(0, letters), letters + 1)[..., :letters].to(p) * (before >= 0)[..., None]
    left = (totals.counts - visible.sum(1) @ group).clamp(min=0)
    shares, tilt = p @ group, torch.ones_like(left)
    for _ in range(ROUNDS):
        tilt = fitted(tilt, shares, masked, left)
    rows = torch.arange(batch, device=p.device)
    for place in order.masked_fill(~revealed, torch.inf).argsort(1)[:, : int(revealed.sum(1).max())].T:
        here, own = revealed[rows, place], p[rows, place]
        weights = own * (tilt @ group.T)
        letter = pick(torch.where(weights.sum(-1, keepdim=True) > 0, weights, own), v[rows, place])
        drawn[rows, place] = torch.where(here, letter, drawn[rows, place])
        masked[rows, place] &= ~here
        left = (left - group[letter] * here[:, None]).clamp(min=0)
        tilt = fitted(tilt, shares, masked, left)
    return drawn.reshape(after.shape)


def fitted(tilt: Tensor, shares: Tensor, masked: Tensor, left: Tensor) -> Tensor:
    """Return lambda (B, G) after a round of iterative proportional fitting, scaled so that its largest value is 1.

    Arguments:
        tilt: lambda before it, (B, G).
        shares: Posterior probability of each group, (B, S, G).
        masked: Sites that are not yet drawn, booleans (B, S).
        left: n, (B, G).
    """
    own = shares * tilt[:, None]
    law = own / own.sum(-1, keepdim=True).clamp(min=1e-300)
    expected = torch.where(masked[..., None], law, 0.0).sum(1)
    new = torch.where(left > 0, tilt.clamp(min=LEAST) * left / expected.clamp(min=LEAST), 0.0)
    return new / new.max(-1, keepdim=True).values.clamp(min=1e-300)

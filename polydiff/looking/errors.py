r"""Errors of estimates, part by part, relative to what is known without an example.

With x_0 an example, x = x_0 + s eps, D the network's estimate and m the mean of the data, the relative error of real
numbers is

$$ r(s) = \frac{\mathrm E\, |x_0 - D(x, s)|^2}{\mathrm E\, |x_0 - m|^2}. $$

It is 1 where the network knows no more than the mean of all examples, and 0 where it knows the example. For data
N(m, v) it is s^2 / (s^2 + v). Of letters, the squared distance is the number of letters that differ, and m holds the
commonest letters (`polydiff.looking.difference`). Of angles and rotations, it is that of the shortest path, and the
estimate without an example is a uniform draw.

The estimate of letters is a law. Its error in nats a letter is

$$ c(l) = - \mathrm E\, \frac{1}{n} \sum_i \log p(x_{0,i} \mid x), $$

against the same number for the marginal law q of the data: with exact estimates c rises from 0 to the entropy of q.

Symbols: B examples, L levels, R rows of a state, K letters, n letters of an example, N training examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.core.parts.letters import Letters
from polydiff.core.parts.manifolds import Manifold
from polydiff.core.space import Space
from polydiff.looking.difference import centre, squared, variance
from polydiff.support.files import json_number
from polydiff.support.protocols import provides


class PartErrors(NamedTuple):
    """Errors of the estimates of a part, by level.

    Attributes:
        levels: Falling levels of the part, L of them.
        relative: Relative error r, (L,), float64; NaN if nothing remains to be known (`relative_error`).
        nats: c in nats a letter, (L,), float64; None unless the part consists of letters.
        marginal: The same for the marginal law of the training examples; None likewise.
    """

    levels: Sequence[float]
    relative: Tensor
    nats: Tensor | None = None
    marginal: float | None = None

    @property
    def half(self) -> float:
        """Level at which the relative error is 1/2, interpolated in log s; NaN if it does not cross 1/2."""
        values = self.relative.tolist()
        for (high, a), (low, b) in pairwise(zip(self.levels, values, strict=True)):
            if a >= 0.5 > b:
                share = (a - 0.5) / (a - b)
                return math.exp(math.log(high) + share * (math.log(low) - math.log(high)))
        return math.nan

    def as_json(self) -> dict[str, Any]:
        """Return the errors as JSON values."""
        letters = {} if self.nats is None else {"nats": self.nats.tolist(), "nats_of_marginal_law": self.marginal}
        relative = [json_number(value) for value in self.relative.tolist()]
        return {"levels": list(self.levels), "relative_error": relative, "half": json_number(self.half), **letters}


class Unseen(NamedTuple):
    """What is known of an example of a part without seeing it.

    Attributes:
        centre: Mean, or commonest letters, of training examples; broadcasts against states.
        log_law: log q of each letter, (K,) or (1, ..., K); None unless the part consists of letters.
    """

    centre: Tensor
    log_law: Tensor | None = None

    @classmethod
    def of(cls, known: Tensor, among: Space, shape: Sequence[int], space: Space) -> Unseen:
        """Return what training examples say about states of a space.

        They are compared place by place if all examples have the same size. Otherwise the mean is 0, that of
        standardised states, and the law of letters is that of all places together.

        Arguments:
            known: Training examples (N, ...).
            among: Their space.
            shape: Shape of the states, (R, ...).
            space: Their space.
        """
        dims = torch.cat([among.dim, space.dim])
        alike = known.shape[1:] == torch.Size(shape[1:]) and bool((dims == dims[0]).all())
        if not provides(among, Letters):
            return cls(centre(known) if alike else known.new_zeros(()))
        counts = letter_counts(known, among, alike)
        return cls(centre(known) if alike else counts.argmax(), smoothed(counts))


def letter_counts(x: Tensor, space: Letters, by_place: bool) -> Tensor:
    """Return how often examples (N, ...) have each letter, float64: at each place, (1, ..., K), or anywhere, (K,)."""
    letters = range(space.letters)
    if by_place:
        return torch.stack([(x == k).double().sum(0, keepdim=True) for k in letters], -1)
    return torch.stack([space.sum((x == k).double()).sum() for k in letters])


def smoothed(counts: Tensor) -> Tensor:
    """Return log p_k = log (n_k + 1/2) / (n + K/2) for counts (..., K), so that no letter is impossible.

    (Krichevsky & Trofimov, 1981, https://doi.org/10.1109/TIT.1981.1056331)
    """
    return ((counts + 0.5) / (counts + 0.5).sum(-1, keepdim=True)).log()


def squared_path(x: Tensor, y: Tensor, space: Space) -> Tensor:
    """Return the squared difference of each element of two states of a part (R, ...), along the shortest path."""
    if provides(space, Manifold):
        path: Tensor = space.log(x, y)
        return path * path
    return squared(x, y)


def squared_error(x_0: Tensor, estimate: Tensor, space: Space) -> Tensor:
    """Return the squared distance of estimates from examples of a part (R, ...), (B,); of letters how many differ."""
    return space.sum(squared_path(x_0, estimate, space))


def spread_of(draws: Tensor, space: Space) -> Tensor:
    """Return the unbiased variance of each element of a part over draws (K, R, ...), (R, ...).

    Of angles and rotations, it is half of the mean squared path between two draws.
    """
    if not provides(space, Manifold):
        return variance(draws)
    pairs = [squared_path(a, b, space) for a, b in combinations(draws, 2)]
    return torch.stack(pairs).mean(0) / 2


def unseen_error(x_0: Tensor, unseen: Unseen, space: Space) -> Tensor:
    """Return the squared error without an example, (B,); of angles and rotations its mean over uniform draws."""
    if provides(space, Manifold):
        return space.dim * space.spread**2
    return squared_error(x_0, unseen.centre, space)


def relative_error(errors: Tensor, unseen: Tensor) -> Tensor:
    """Return r from mean squared errors (L,) and the squared errors without an example (B,), float64.

    It is NaN if nothing remains to be known, such as of letters that are all the commonest ones.
    """
    most = float(unseen.mean())
    return errors / most if most else torch.full_like(errors, math.nan)


def nats(x_0: Tensor, log_p: Tensor, space: Space) -> float:
    """Return the mean of -log p over all letters of examples (R, ...), for log p that broadcasts to (R, ..., K)."""
    log_p = log_p.expand(*x_0.shape, -1)
    own = log_p.gather(-1, x_0.clamp(min=0)[..., None])[..., 0]
    return float(-space.sum(own).sum() / space.dim.sum())

r"""Laws of one site: those that letters end in, those of a step, and draws from them.

Symbols: K letters, p posterior of clean letters (R, ..., K), v uniform numbers (R, ...).
"""

from __future__ import annotations

import torch
from torch import Tensor

from polydiff.parts.kernel import Source
from polydiff.support.errors import UserError


def frequencies(source: Source) -> tuple[float, ...]:
    """Return the letters' frequencies in the training data, which must all be positive."""
    found = source.statistics.get("frequencies")
    if found is None:
        raise UserError("process=marginal needs the frequencies of letters, which these data do not provide.")
    if min(found) <= 0:
        raise UserError(
            "process=marginal: a letter does not occur in the training data, so the prior would never give it. "
            "Use process=uniform or masked."
        )
    return tuple(float(f) / sum(found) for f in found)


def uniform_law(letters: int) -> tuple[float, ...]:
    """Return equal probabilities of all letters."""
    return (1 / letters,) * letters


def pick(weights: Tensor, v: Tensor) -> Tensor:
    """Return one letter a site with probabilities proportional to weights, by the inverse distribution function.

    In float64 one uniform number a site is exact to 2^-53. The usual way, the largest of K Gumbel draws in float32,
    draws letters of a probability below 1e-6 far too rarely, since its uniform numbers are multiples of 2^-24.

    Arguments:
        weights: Not negative, float64, (R, ..., K).
        v: Uniform numbers of [0, 1), float64, (R, ...).

    Returns:
        Letters (R, ...), int64, each of a positive weight.
    """
    total = weights.cumsum(-1)
    last = total[..., -1]
    below = torch.nextafter(last, torch.zeros_like(last))  # so that rounding never passes the last positive weight
    return (total <= torch.minimum(v * last, below)[..., None]).sum(-1).clamp(max=weights.shape[-1] - 1)


def sharpened(log_p: Tensor, temperature: float, top_p: float) -> Tensor:
    """Return log probabilities of a law at a temperature, cut to its most probable letters; (R, ..., K).

    Arguments:
        log_p: Logarithms of probabilities, (R, ..., K).
        temperature: Probabilities are raised to 1 / temperature.
        top_p: Only the most probable letters, whose probabilities add up to this, are kept (nucleus sampling, Holtzman
            et al., 2020, https://arxiv.org/abs/1904.09751); 1: all.
    """
    if temperature != 1:
        log_p = torch.log_softmax(log_p / temperature, -1)
    if top_p < 1:
        ordered, places = log_p.exp().sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        kept = torch.zeros_like(log_p).scatter(-1, places, (before < top_p).to(log_p)).bool()
        log_p = torch.log_softmax(torch.where(kept, log_p, -torch.inf), -1)
    return log_p

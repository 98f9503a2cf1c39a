r"""Averages of the weights: the usual one, and power-function averages from which others are computed after training.

The usual average follows the weights with a decay that warms up. A power-function average weights the whole past,

$$ \hat\theta_\gamma(t) = \int_0^t p_{\gamma, t}(\tau)\, \theta(\tau)\, d\tau, \qquad
   p_{\gamma, t}(\tau) = (\gamma + 1)\, \tau^\gamma / t^{\gamma + 1}, $$

so that its width, the standard deviation of p over t, is a fixed share of the training so far:
sigma_rel = sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3))). Two of them, sigma_rel = 0.05 and 0.10, are updated at
every step, and snapshots of both are saved at intervals. A mixture of the snapshots' profiles approximates the profile
of any other average. The same mixture of the snapshots' weights then approximates that average, after training (Karras
et al., 2024, section 3 and appendix C, https://arxiv.org/abs/2312.02696). Here the coefficients of the mixture sum to
1, so that weights that did not change in training are reproduced.

Symbols: t steps done, theta(tau) the weights between the steps tau - 1 and tau, gamma exponent, sigma_rel width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from polydiff.machine.processes.shards import local, placed

SIGMAS = (0.05, 0.10)
"""Widths of the averages that training keeps."""
WIDEST = 1 / math.sqrt(12)
"""Width of gamma = 0, the plain mean of all steps."""


class MovingAverage:
    """The usual average: ema <- d ema + (1 - d) w, d = min(decay, (1 + step) / (10 + step)).

    The warm-up of d keeps a short run from averaging over its random start. Buffers are copied.

    Arguments:
        ema: Holds the average.
        model: Holds the weights.
        decay: Final d.
    """

    def __init__(self, ema: nn.Module, model: nn.Module, decay: float) -> None:
        self.decay = decay
        # listed once: iterating over the parameters of a small network takes as long as updating them
        self.averages = local(ema.parameters())
        self.weights = local(model.parameters())
        self.buffers = list(zip(ema.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after a step; `step` is the number of optimizer steps before it."""
        d = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self.weights, 1 - d)
        for average, buffer in self.buffers:
            average.copy_(buffer)


class Profile(NamedTuple):
    """The weights that an average gives to the past.

    Attributes:
        t: Steps done.
        gamma: Exponent.
    """

    t: float
    gamma: float


def width(gamma: float) -> float:
    """Return sigma_rel of an exponent."""
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))


def exponent(sigma_rel: float) -> float:
    """Return gamma of a width: the positive root of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / sigma_rel^2."""
    if not 0 < sigma_rel < WIDEST:
        raise ValueError(f"ema must be a width between 0 and {WIDEST:.4f}, not {sigma_rel}.")
    inverse = sigma_rel**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def inner(a: Profile, b: Profile) -> float:
    """Return the integral of p_a p_b over all tau: ((g_a + 1)(g_b + 1) / n) min(t)^n / (t_a^{g_a+1} t_b^{g_b+1}).

    n = g_a + g_b + 1.
    """
    n = a.gamma + b.gamma + 1
    powers = n * math.log(min(a.t, b.t)) - (a.gamma + 1) * math.log(a.t) - (b.gamma + 1) * math.log(b.t)
    return (a.gamma + 1) * (b.gamma + 1) / n * math.exp(powers)


def mixture(profiles: Sequence[Profile], wanted: Profile) -> tuple[list[float], float]:
    """Return the coefficients, with sum 1, of the mixture of profiles nearest to `wanted`, and its relative error.

    They are computed by least squares with a Lagrange multiplier, in float64, on profiles scaled to norm 1. The error
    is |sum_i x_i p_i - p| / |p|.
    """
    n = len(profiles)
    norms = np.array([math.sqrt(inner(p, p)) for p in (*profiles, wanted)])
    gram = np.array([[inner(a, b) for b in (*profiles, wanted)] for a in (*profiles, wanted)]) / np.outer(norms, norms)
    ones = norms[n] / norms[:n]  # so that the scaled unknowns x_i norms_i / norms_n sum to 1 as x does
    system = np.block([[gram[:n, :n], ones[:, None]], [ones[None], np.zeros((1, 1))]])
    y = np.linalg.lstsq(system, np.append(gram[:n, n], 1.0), rcond=None)[0][:n]
    squared = float(np.append(y, -1.0) @ gram @ np.append(y, -1.0))
    return (y * ones).tolist(), math.sqrt(max(squared, 0.0))


class PowerAverages:
    """Power-function averages of a module's parameters.

    Arguments:
        model: The module.
        sigmas: Widths sigma_rel of the averages.
    """

    def __init__(self, model: nn.Module, sigmas: Sequence[float] = SIGMAS) -> None:
        self.averages = {sigma: {name: p.detach().clone() for name, p in model.named_parameters()} for sigma in sigmas}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Update the averages after a step: average <- beta average + (1 - beta) w, beta = (1 - 1 / t)^{gamma + 1}.

        With t = step + 1, this is exactly the integral for weights that are constant between steps.

        Arguments:
            model: Holds the weights.
            step: Optimizer steps done before this one.
        """
        weights = local(model.parameters())
        for sigma, average in self.averages.items():
            beta = (step / (step + 1)) ** (exponent(sigma) + 1)
            torch._foreach_lerp_(local(average.values()), weights, 1 - beta)

    def tensors(self) -> dict[str, Tensor]:
        """Return the averages as named tensors, "sigma_rel/parameter"."""
        return {f"{sigma}/{name}": value for sigma, part in self.averages.items() for name, value in part.items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the averages to the result of an earlier call of `tensors`."""
        for name, value in self.tensors().items():
            value.copy_(placed(tensors[name], value))

r"""Targets: what a network predicts, F = a x_0 + b eps, and the clean state that follows from it.

With x = alpha x_0 + sigma eps, the pair (x, F) is a 2x2 linear image of (x_0, eps), so

$$ x_0 = (b x - \sigma F) / (\alpha b - \sigma a), \qquad \epsilon = (\alpha F - a x) / (\alpha b - \sigma a). $$

Each target is a function (alpha, sigma, sigma_data) -> (a, b). All are homogeneous of degree zero in (alpha, sigma):
they depend on the noise level sigma / alpha alone. So the meaning of a network's output does not change with the frame.

Symbols: F the network's output, `sigma_data` the standard deviation of x_0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polydiff.core.registry import Registry
from polydiff.core.rules import Rule, rules

Target = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
TARGETS: Registry[Target] = Registry("target")
"""Name -> function (alpha, sigma, sigma_data) -> (a, b), tensors of the shape of alpha."""
SIGNAL = Rule(
    "schedule_options.zero_terminal_snr",
    (True,),
    "predicts nothing about the data at pure noise, as at the end of a schedule with zero_terminal_snr. "
    "Use target=v, edm, flow or x0.",
    excludes=True,
)


@TARGETS.register("eps")
@rules(SIGNAL)
def eps(alpha: Tensor, sigma: Tensor, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """F = eps (Ho et al., 2020, https://arxiv.org/abs/2006.11239)."""
    return torch.zeros_like(alpha), torch.ones_like(alpha)


@TARGETS.register("x0")
def x0(alpha: Tensor, sigma: Tensor, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """F = x_0."""
    return torch.ones_like(alpha), torch.zeros_like(alpha)


@TARGETS.register("v")
def v(alpha: Tensor, sigma: Tensor, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """F = (alpha eps - sigma x_0) / sqrt(alpha^2 + sigma^2) (Salimans & Ho, 2022, https://arxiv.org/abs/2202.00512).

    In the vp frame the root is 1 and this is the published v.
    """
    n = torch.hypot(alpha, sigma)
    return -sigma / n, alpha / n


@TARGETS.register("flow")
def flow(alpha: Tensor, sigma: Tensor, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """F = eps - x_0, the velocity of rectified flow (Liu et al., 2022, https://arxiv.org/abs/2209.03003)."""
    return -torch.ones_like(alpha), torch.ones_like(alpha)


@TARGETS.register("edm")
def edm(alpha: Tensor, sigma: Tensor, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """F = (x_0 - c_skip x) / c_out (Karras et al., 2022, table 1, https://arxiv.org/abs/2206.00364).

    With n = sqrt(alpha^2 sigma_data^2 + sigma^2): a = sigma / (sigma_data n), b = -alpha sigma_data / n.
    """
    n = torch.hypot(alpha * sigma_data, sigma)
    return sigma / (sigma_data * n), -alpha * sigma_data / n


@TARGETS.register("score")
@rules(SIGNAL)
def score(alpha: Tensor, sigma: Tensor, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """F = sigma grad log p(x) = -eps, the score in units of 1 / sigma (Song & Ermon, 2020).

    https://arxiv.org/abs/2006.09011. The score itself, -eps / sigma, depends on the frame and is not bounded. Times
    sigma it is the same in all frames and has unit variance. The score of a denoiser in x = x_0 + s eps is (D - x) /
    s^2.
    """
    return torch.zeros_like(alpha), -torch.ones_like(alpha)


def convert(
    x: Tensor, f: Tensor, alpha: Tensor, sigma: Tensor, source: str, to: str, sigma_data: float = 1.0
) -> Tensor:
    """Return the output, of f's shape, that a network with another target would have for the same estimate.

    Arguments:
        x: The state alpha x_0 + sigma eps.
        f: The output of a network whose target is `source`, of x's shape.
        alpha: Signal level, broadcasting against x.
        sigma: Noise level, broadcasting against x.
        source: Name of the target of f.
        to: Name of the target of the result.
        sigma_data: Standard deviation of the data.
    """
    x_0, eps = solve(x, f, alpha, sigma, TARGETS[source](alpha, sigma, sigma_data))
    a, b = TARGETS[to](alpha, sigma, sigma_data)
    return a * x_0 + b * eps


def solve(x: Tensor, f: Tensor, alpha: Tensor, sigma: Tensor, ab: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return (x_0, eps), each of x's shape, from a state x = alpha x_0 + sigma eps and F = a x_0 + b eps.

    Arguments:
        x: The state.
        f: F, of x's shape.
        alpha: Signal level, broadcasting against x.
        sigma: Noise level, broadcasting against x.
        ab: (a, b), each broadcasting against x.
    """
    a, b = ab
    determinant = alpha * b - sigma * a
    return (b * x - sigma * f) / determinant, (alpha * f - a * x) / determinant

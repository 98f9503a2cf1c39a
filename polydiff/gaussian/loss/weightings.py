r"""Weightings: (s, c, sigma_data, **options) -> w, the weight of |x_0 error|^2 at a noise level.

$$ |\Delta\epsilon| = |\Delta x_0| / s, \qquad |\Delta F| = |\Delta x_0| / c, \qquad \mathrm{SNR} = 1 / s^2, $$

so a weight of |eps error|^2, times the SNR, is a weight of |x_0 error|^2. The density of the training noise levels is
also a weight, and multiplies w. Weightings registered by `integral` are divided by this density in `Loss`
(`noise_levels.importance`), so that the loss is an integral over the log-SNR for any distribution of noise levels.

To add a weighting, register a function with these arguments in `WEIGHTINGS`. A weighting with state is an instance of a
subclass of `Weighting`.

Symbols: s noise level, SNR = 1 / s^2, lambda = log SNR, c error of x_0 for a unit error of the network's output F,
sigma_data standard deviation of the data, L loss of a sample, B batch size. s, c and w have one shape, such as (B,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polydiff.core.registry import Registry
from polydiff.gaussian.loss.state import Uncertainty

Function = Callable[..., Tensor]
WEIGHTINGS: Registry[Function] = Registry("weighting")


class Weighting:
    """A weighting, which may be an integral over the log-SNR and may keep state on the denoiser.

    Arguments:
        weight: (s, c, sigma_data, **options) -> w, of the shape of s.
        integral: Whether the loss is an integral over the log-SNR, for any distribution of noise levels.

    Attributes:
        state: Name -> class of a module that is kept on the denoiser. It is built with the weighting's options.
    """

    state: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {}

    def __init__(self, weight: Function, integral: bool = False) -> None:
        update_wrapper(self, weight)  # its signature names the options
        self.weight = weight
        self.integral = integral

    def __call__(self, s: Tensor, c: Tensor, sigma_data: float, **options: Any) -> Tensor:
        return self.weight(s, c, sigma_data, **options)

    def minimised(self, losses: Tensor, sigma: Tensor, state: nn.ModuleDict) -> Tensor:
        """Return the numbers (B,) whose mean is minimised; by default the losses.

        Arguments:
            losses: Weighted losses, shape (B,).
            sigma: Noise levels, shape (B,).
            state: The modules that are kept on the denoiser.
        """
        return losses


def weighting_of(name: str) -> Weighting:
    """Return the weighting of a name; a registered function becomes a weighting without state."""
    found = WEIGHTINGS[name]
    return found if isinstance(found, Weighting) else Weighting(found)


def integral(name: str) -> Callable[[Function], Function]:
    """Return a decorator that registers a function as the weighting of an integral over the log-SNR."""

    def register(weight: Function) -> Function:
        WEIGHTINGS.register(name)(Weighting(weight, integral=True))
        return weight

    return register


@WEIGHTINGS.register("simple")
def simple(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Return w = 1 / c^2: the loss is the unweighted error of the network's own target.

    With the target eps this is L_simple of DDPM (Ho et al., 2020, https://arxiv.org/abs/2006.11239). With the target
    edm it is the EDM weighting.
    """
    return c**-2


@WEIGHTINGS.register("snr")
def snr(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Return w = SNR: the loss is the unweighted error of eps, for any target."""
    return s**-2


@WEIGHTINGS.register("truncated_snr")
def truncated_snr(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Return w = max(SNR, 1) (Salimans & Ho, 2022, https://arxiv.org/abs/2202.00512)."""
    return (s**-2).clamp(min=1)


@WEIGHTINGS.register("min_snr")
def min_snr(s: Tensor, c: Tensor, sigma_data: float, gamma: float = 5.0) -> Tensor:
    """Return w = min(SNR, gamma) (Hang et al., 2023, https://arxiv.org/abs/2303.09556).

    Arguments:
        s: Noise levels.
        c: Unused.
        sigma_data: Unused.
        gamma: Highest weight.
    """
    return (s**-2).clamp(max=gamma)


@WEIGHTINGS.register("p2")
def p2(s: Tensor, c: Tensor, sigma_data: float, k: float = 1.0, gamma: float = 1.0) -> Tensor:
    """Return w = SNR / (k + SNR)^gamma: a lower weight of the error of eps at low noise (Choi et al., 2022).

    https://arxiv.org/abs/2204.00227. It is computed from s, so that neither end overflows.

    Arguments:
        s: Noise levels.
        c: Unused.
        sigma_data: Unused.
        k: SNR above which the weight of the error of eps falls.
        gamma: Exponent of this fall; 0: w = SNR.
    """
    return s ** (2 * gamma - 2) / (1 + k * s**2) ** gamma


@WEIGHTINGS.register("debiased")
def debiased(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Return w = sqrt(SNR): the error of eps has weight 1 / sqrt(SNR) (Yu et al., 2023).

    https://arxiv.org/abs/2310.08442
    """
    return 1 / s


@WEIGHTINGS.register("edm")
def edm(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Return w = (s^2 + sigma_data^2) / (s sigma_data)^2 (Karras et al., 2022, table 1).

    https://arxiv.org/abs/2206.00364
    """
    return (s**2 + sigma_data**2) / (s * sigma_data) ** 2


@WEIGHTINGS.register("flow")
def flow(s: Tensor, c: Tensor, sigma_data: float, floor: float = 0.05) -> Tensor:
    r"""Return w = (1 + 1 / s)^2: the loss is the unweighted error of the velocity eps - x_0, for any target.

    At a state x_t = (1 - t) x_0 + t eps of rectified flow, an estimate of x_0 implies one of eps, whose error is
    -(1 - t) / t times as large. The velocity's error is the difference of the two, -1 / t times that of x_0, and
    s = t / (1 - t) gives 1 / t = 1 + 1 / s. With target=x0 this is the loss of JiT (Li & He, 2025,
    https://arxiv.org/abs/2511.13720), which bounds t from below so that w stays finite.

    Arguments:
        s: Noise levels.
        c: Unused.
        sigma_data: Unused.
        floor: Noise level below which w does not rise further; 0: none.
    """
    return (1 + 1 / s.clamp(min=floor)) ** 2


class LearnedUncertainty(Weighting):
    """The weighting `edm` with L / e^u + u minimised in place of L, so that all noise levels have equal weight.

    u(s) is learned: `polydiff.gaussian.loss.state.Uncertainty` (Karras et al., EDM2, 2024, eq. 21,
    https://arxiv.org/abs/2312.02696).
    """

    state: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {"uncertainty": Uncertainty}

    def __init__(self) -> None:
        super().__init__(edm)

    def minimised(self, losses: Tensor, sigma: Tensor, state: nn.ModuleDict) -> Tensor:
        u: Tensor = state["uncertainty"](sigma.to(losses.device)).to(losses)
        return losses * torch.exp(-u) + u


WEIGHTINGS.register("uncertainty")(LearnedUncertainty())


@WEIGHTINGS.register("x0")
def x0(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """Return w = 1: the loss is the unweighted error of x_0."""
    return torch.ones_like(s)


@integral("elbo")
def elbo(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    r"""Return w = SNR / 2, so that the loss is 1/2 \int |eps error|^2 d lambda.

    This is the diffusion term of the continuous-time variational bound, with the norm l2 in nats per dimension.

    (Kingma et al., VDM, 2021, https://arxiv.org/abs/2107.00630; Kingma & Gao, 2023, https://arxiv.org/abs/2303.00848)
    """
    return 0.5 * s**-2


@integral("sigmoid")
def sigmoid(s: Tensor, c: Tensor, sigma_data: float, bias: float = 2.0) -> Tensor:
    r"""Return w = SNR sigmoid(bias - lambda) / 2.

    The loss is then 1/2 \int sigmoid(bias - lambda) |eps error|^2 d lambda (Kingma & Gao, 2023,
    https://arxiv.org/abs/2303.00848; Hoogeboom et al., SiD2, 2024, https://arxiv.org/abs/2410.19324).

    Arguments:
        s: Noise levels.
        c: Unused.
        sigma_data: Unused.
        bias: The log-SNR at which the sigmoid is 1/2; a lower bias gives low noise less weight.
    """
    return 0.5 * s**-2 * torch.sigmoid(bias + 2 * s.log())

r"""Training losses: which noise levels, which weight, which norm.

Three independent choices, each a small registry:

    TIMES       u in (0, 1) -> noise level s, the quantile function of the training distribution
    WEIGHTINGS  (s, c, sigma_data) -> w, the weight of |x_0 error|^2
    NORMS       (residual, space) -> its penalty per true dimension, padding left out

The residual is scaled so that its square is w |x_0 error|^2. Since the error of x_0 is c times the error of the
network's output F, with c = s / |b - s a|, no estimate of x_0 is formed at high noise.

Symbols: s noise level, SNR = 1 / s^2, c the error of x_0 for a unit error of F.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.conditions import ESTIMATE
from polydiff.denoise import Denoiser
from polydiff.loss.aids import History, Uncertainty
from polydiff.loss.norms import NORMS
from polydiff.loss.times import TIMES, importance
from polydiff.loss.weightings import INTEGRALS, WEIGHTINGS
from polydiff.schedule import Schedule
from polydiff.space import Batch, Space, State, scaled


@dataclass(frozen=True)
class Loss:
    """Squared (L1, Huber) error per dimension of the space, weighted by noise level.

    Arguments:
        norm: Name of the penalty (`NORMS`).
        weighting: Name of the weight (`WEIGHTINGS`).
        times: Name of the distribution of training times (`TIMES`).
        norm_options: Further arguments of the penalty.
        weighting_options: Further arguments of the weight.
        times_options: Further arguments of the distribution of times.
        components: Weights of a state's components (`polydiff.space.HasComponents`); 1 where none is named.
    """

    norm: str = "l2"
    weighting: str = "simple"
    times: str = "uniform"
    norm_options: Mapping[str, Any] = field(default_factory=dict)
    weighting_options: Mapping[str, Any] = field(default_factory=dict)
    times_options: Mapping[str, Any] = field(default_factory=dict)
    components: Mapping[str, float] = field(default_factory=dict)

    @torch.no_grad()
    def noise_levels(self, u: Tensor, schedule: Schedule) -> Tensor:
        """Return training noise levels, float64, for u in (0, 1)."""
        return TIMES[self.times](u, schedule, **self.times_options)

    def __call__(
        self,
        denoiser: Denoiser,
        batch: Batch,
        sigma: Tensor,
        generators: Sequence[torch.Generator],
        look_twice: bool = False,
    ) -> Tensor:
        """Return the loss of each sample, shape (B,).

        Arguments:
            denoiser: What is trained.
            batch: Clean states, their space and conditions.
            sigma: Noise level of each sample, shape (B,).
            generators: One random stream a sample, for the noise.
            look_twice: Whether the network is told a first estimate, made without one (`polydiff.self_conditioning`).
        """
        for name in self.needs:
            if name not in denoiser.aids:
                raise ValueError(f"This loss keeps its {name} on the denoiser: Denoiser(..., aids=loss.aids()).")
        x_0, space, cond = batch
        eps = space.noise(generators)
        if self.trains_schedule:
            sigma = denoiser.schedule.attach(sigma)
        s = space.expand(sigma.to(x_0))
        x = x_0 + s * eps
        if look_twice:
            with torch.no_grad():
                cond = {**(cond or {}), ESTIMATE: denoiser(x, sigma.to(x_0), space, cond)}
        f = denoiser.predict(x, sigma.to(x_0), space, cond)
        a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
        return self.penalise(lever(denoiser, s) * (f - (a * x_0 + b * eps)), s, denoiser, space)

    def weight(self, s: Tensor, denoiser: Denoiser) -> Tensor:
        """Return w at noise levels s, over the density of the times where the loss is an integral over the log-SNR."""
        w = WEIGHTINGS[self.weighting](s, lever(denoiser, s), denoiser.sigma_data, **self.weighting_options)
        if self.weighting not in INTEGRALS:
            return w
        return w * importance(self.times, s, denoiser.schedule, self.times_options).to(w)

    def penalise(self, error: State, s: Tensor, denoiser: Denoiser, space: Space) -> Tensor:
        """Return the loss (B,) of an error of x_0 at noise levels s, which broadcast against it."""
        error = scaled(error, space, {name: math.sqrt(weight) for name, weight in self.components.items()})
        return NORMS[self.norm](self.weight(s, denoiser).sqrt() * error, space, **self.norm_options)

    @property
    def trains_schedule(self) -> bool:
        """Whether a learned schedule is trained: by an integral over the log-SNR, at its own times."""
        return self.weighting in INTEGRALS and self.times == "uniform"

    @property
    def needs(self) -> list[str]:
        """Names of what this loss learns or remembers itself."""
        asked = {"history": self.times == "adaptive", "uncertainty": self.weighting == "uncertainty"}
        return [name for name, needed in asked.items() if needed]

    def aids(self) -> dict[str, nn.Module]:
        """Return what this loss learns or remembers itself, for `Denoiser(..., aids=...)`; see `polydiff.loss.aids`."""
        options = self.times_options
        make: dict[str, Callable[[], nn.Module]] = {"history": lambda: History(**options), "uncertainty": Uncertainty}
        return {name: make[name]() for name in self.needs}


def lever(denoiser: Denoiser, s: Tensor) -> Tensor:
    """Return c, the error of x_0 for a unit error of the network's output, at noise levels s."""
    a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
    return s / (b - s * a).abs()

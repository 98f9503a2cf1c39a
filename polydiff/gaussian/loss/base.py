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
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from polydiff.core.conditions import ESTIMATE
from polydiff.core.space import Batch, Space, State, scaled
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.loss.noise_levels import TIMES, Times, times_of
from polydiff.gaussian.loss.norms import NORMS
from polydiff.gaussian.loss.weightings import Weighting, weighting_of
from polydiff.gaussian.schedule.base import Schedule


class Noisy(NamedTuple):
    """A batch with noise.

    Attributes:
        x: x_0 + s eps.
        sigma: s, shape (B,), on the device of x; a function of a learned schedule's parameters if the loss trains it.
        s: s, of the dtype of x, shaped to broadcast against it.
        eps: The noise.
    """

    x: State
    sigma: Tensor
    s: Tensor
    eps: State


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
        components: Weights of a state's components (`polydiff.core.space.HasComponents`); 1 where none is named.
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
            look_twice: Whether the network receives a first estimate, made without one (`gaussian.self_conditioning`).
        """
        _, space, cond = batch
        noisy = self.noisy(denoiser, batch, sigma, generators)
        level = noisy.sigma.to(noisy.x)
        if look_twice:
            with torch.no_grad():
                cond = {**(cond or {}), ESTIMATE: denoiser(noisy.x, level, space, cond)}
        return self.of_output(denoiser.predict(noisy.x, level, space, cond), noisy, denoiser, batch)

    def noisy(self, denoiser: Denoiser, batch: Batch, sigma: Tensor, generators: Sequence[torch.Generator]) -> Noisy:
        """Return a batch with noise of levels (B,); arguments as of the call."""
        self.kept(denoiser)
        eps = batch.space.noise(generators)
        if self.trains_schedule:
            sigma = denoiser.schedule.attach(sigma)
        s = batch.space.expand(sigma.to(batch.x))
        return Noisy(noisy_state(batch.x, s, eps), sigma, s, eps)

    def of_output(self, f: State, noisy: Noisy, denoiser: Denoiser, batch: Batch) -> Tensor:
        """Return the loss of each sample, shape (B,), by the network's output.

        Arguments:
            f: F, on the space.
            noisy: What the network received.
            denoiser: Its denoiser.
            batch: Clean states, their space and conditions.
        """
        s = noisy.s
        a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
        error = f - (a * batch.x + b * noisy.eps)
        return self.penalise(x0_error_gain(denoiser, s) * error, s, denoiser, batch.space)

    def weight(self, s: Tensor, denoiser: Denoiser) -> Tensor:
        """Return w at noise levels s, over the density of the times where the loss is an integral over the log-SNR."""
        weighting = self._weighting
        w = weighting(s, x0_error_gain(denoiser, s), denoiser.sigma_data, **self.weighting_options)
        if not weighting.integral:
            return w
        return w * self._times.importance(s, denoiser.schedule, **self.times_options).to(w)

    def penalise(self, error: State, s: Tensor, denoiser: Denoiser, space: Space) -> Tensor:
        """Return the loss (B,) of an error of x_0 at noise levels s, which broadcast against it."""
        error = scaled(error, space, {name: math.sqrt(weight) for name, weight in self.components.items()})
        return NORMS[self.norm](self.weight(s, denoiser).sqrt() * error, space, **self.norm_options)

    @property
    def _times(self) -> Times:
        return times_of(self.times)

    @property
    def _weighting(self) -> Weighting:
        return weighting_of(self.weighting)

    @property
    def trains_schedule(self) -> bool:
        """Whether a learned schedule is trained: by an integral over the log-SNR, at its own times."""
        return self._weighting.integral and self._times.trains_schedule

    def state(self) -> dict[str, Callable[[], nn.Module]]:
        """Return what makes the modules that the times and the weighting keep on the denoiser, by name."""
        owners = ((self._times.state, self.times_options), (self._weighting.state, self.weighting_options))
        return {name: partial(make, **options) for state, options in owners for name, make in state.items()}

    def aids(self) -> dict[str, nn.Module]:
        """Return the modules that this loss keeps on the denoiser, for `Denoiser(..., aids=...)`."""
        return {name: make() for name, make in self.state().items()}

    def kept(self, denoiser: Denoiser) -> nn.ModuleDict:
        """Return the modules that are kept on a denoiser; a ValueError if one of this loss is not there."""
        missing = [name for name in self.state() if name not in denoiser.aids]
        if missing:
            raise ValueError(f"This loss keeps its {missing[0]} on the denoiser: Denoiser(..., aids=loss.aids()).")
        return denoiser.aids

    def draw(self, denoiser: Denoiser, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the numbers to train at for uniform u, and the weights (B,) that correct for them; None: 1."""
        return self._times.draw(u, self.kept(denoiser))

    def minimised(self, denoiser: Denoiser, losses: Tensor, sigma: Tensor) -> Tensor:
        """Return what is minimised in place of the losses (B,) at noise levels (B,), such as L / e^u + u."""
        return self._weighting.minimised(losses, sigma, self.kept(denoiser))

    def record(self, denoiser: Denoiser, u: Tensor, losses: Tensor) -> None:
        """Update the state with the losses (B,) of a step, drawn at the numbers u (B,)."""
        self._times.record(u, losses, self.kept(denoiser))


def x0_error_gain(denoiser: Denoiser, s: Tensor) -> Tensor:
    """Return c, the error of x_0 for a unit error of the network's output, at noise levels s."""
    a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
    return s / (b - s * a).abs()

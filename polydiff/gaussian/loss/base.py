r"""Training losses: a distribution of noise levels, a weighting and a norm.

The three choices are independent, and each has a registry:

    TIMES       u in (0, 1) -> noise level s, the quantile function of the training distribution
    WEIGHTINGS  (s, c, sigma_data) -> w, the weight of |x_0 error|^2
    NORMS       (residual, space) -> its penalty per true dimension, without padding

The residual is sqrt(w) times the error of x_0. This error is computed as c times the error of the network's output
F = a x_0 + b eps, with c = s / |b - s a|. So the loss does not need an estimate of x_0, which would lose digits at high
noise.

Symbols: s noise level, SNR = 1 / s^2, c error of x_0 for a unit error of F, u uniform number, w weight, L loss of a
sample, B batch size, R rows of a state.
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
        x: Noisy states x_0 + s eps, (R, ...).
        sigma: Noise levels s, shape (B,); functions of the parameters of a learned schedule if the loss trains it.
        s: The same noise levels with the precision and device of x, in a shape that broadcasts against x.
        eps: The noise, (R, ...).
    """

    x: State
    sigma: Tensor
    s: Tensor
    eps: State


@dataclass(frozen=True)
class Loss:
    """The error of a denoiser per true dimension of the space, weighted by noise level.

    Arguments:
        norm: Name of the penalty (`NORMS`).
        weighting: Name of the weight (`WEIGHTINGS`).
        times: Name of the distribution of training noise levels (`TIMES`).
        norm_options: Further arguments of the penalty.
        weighting_options: Further arguments of the weight.
        times_options: Further arguments of the distribution of noise levels.
        components: Component of a state (`polydiff.core.space.HasComponents`) -> weight of its squared error; 1 for
            components that are not named.
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
        """Return the training noise levels (B,), float64, at the quantiles u in (0, 1), shape (B,)."""
        return TIMES[self.times](u, schedule, **self.times_options)

    def __call__(
        self,
        denoiser: Denoiser,
        batch: Batch,
        sigma: Tensor,
        generators: Sequence[torch.Generator],
        self_condition: bool = False,
    ) -> Tensor:
        """Return the loss of each sample, shape (B,).

        Arguments:
            denoiser: The denoiser that is trained.
            batch: Clean states (R, ...), their space and conditions.
            sigma: Noise level of each sample, shape (B,).
            generators: B random streams, for the noise.
            self_condition: Whether the network first makes an estimate, without gradient, and is then conditioned on it
                (`polydiff.gaussian.self_conditioning`).

        Raises:
            ValueError: The denoiser lacks state of this loss (`aids`).
        """
        _, space, cond = batch
        noisy = self.noisy(denoiser, batch, sigma, generators)
        level = noisy.sigma.to(noisy.x)
        if self_condition:
            with torch.no_grad():
                cond = {**(cond or {}), ESTIMATE: denoiser(noisy.x, level, space, cond)}
        return self.of_output(denoiser.predict(noisy.x, level, space, cond), noisy, denoiser, batch)

    def noisy(self, denoiser: Denoiser, batch: Batch, sigma: Tensor, generators: Sequence[torch.Generator]) -> Noisy:
        """Return the batch with noise.

        Arguments:
            denoiser: The denoiser that is trained; gives the schedule.
            batch: Clean states (R, ...), their space and conditions.
            sigma: Noise level of each sample, shape (B,).
            generators: B random streams, for the noise.

        Raises:
            ValueError: The denoiser lacks state of this loss (`aids`).
        """
        self.state_on(denoiser)
        eps = batch.space.noise(generators)
        if self.trains_schedule:
            sigma = denoiser.schedule.attach(sigma)
        s = batch.space.expand(sigma.to(batch.x))
        return Noisy(noisy_state(batch.x, s, eps), sigma, s, eps)

    def of_output(self, f: State, noisy: Noisy, denoiser: Denoiser, batch: Batch) -> Tensor:
        """Return the loss of each sample, shape (B,), from the network's output.

        Arguments:
            f: The output F of the network, (R, ...).
            noisy: The noisy batch that the network received.
            denoiser: The denoiser of the network.
            batch: Clean states (R, ...), their space and conditions.
        """
        s = noisy.s
        a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
        error = f - (a * batch.x + b * noisy.eps)
        return self.penalise(x0_error_gain(denoiser, s) * error, s, denoiser, batch.space)

    def weight(self, s: Tensor, denoiser: Denoiser) -> Tensor:
        """Return the weight w at noise levels s, in their shape.

        If the weighting is an integral over the log-SNR, w is divided by the density of the training noise levels.
        """
        weighting = self._weighting
        w = weighting(s, x0_error_gain(denoiser, s), denoiser.sigma_data, **self.weighting_options)
        if not weighting.integral:
            return w
        return w * self._times.importance(s, denoiser.schedule, **self.times_options).to(w)

    def penalise(self, error: State, s: Tensor, denoiser: Denoiser, space: Space) -> Tensor:
        """Return the loss of each sample, shape (B,), from an error of x_0.

        Arguments:
            error: The error of x_0, (R, ...).
            s: Noise levels, in a shape that broadcasts against the error.
            denoiser: The denoiser that made the error.
            space: Where the error lives.
        """
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
        """Whether the loss trains a learned schedule: an integral over the log-SNR, with times uniform in t."""
        return self._weighting.integral and self._times.trains_schedule

    def state(self) -> dict[str, Callable[[], nn.Module]]:
        """Return name -> constructor of the modules that the times and the weighting keep on the denoiser."""
        owners = ((self._times.state, self.times_options), (self._weighting.state, self.weighting_options))
        return {name: partial(make, **options) for state, options in owners for name, make in state.items()}

    def aids(self) -> dict[str, nn.Module]:
        """Return new modules for the state of this loss, by name, for `Denoiser(..., aids=loss.aids())`."""
        return {name: make() for name, make in self.state().items()}

    def state_on(self, denoiser: Denoiser) -> nn.ModuleDict:
        """Return the modules that losses keep on a denoiser; raise ValueError if one of this loss is missing."""
        missing = [name for name in self.state() if name not in denoiser.aids]
        if missing:
            raise ValueError(
                f"This loss keeps its {missing[0]} on the denoiser, where it is missing. "
                "Build the denoiser by Denoiser(..., aids=loss.aids())."
            )
        return denoiser.aids

    def draw(self, denoiser: Denoiser, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the quantiles to train at, shape (B,), and importance weights (B,), or None if all are 1.

        Arguments:
            denoiser: The denoiser that is trained.
            u: Uniform numbers in (0, 1), shape (B,).
        """
        return self._times.draw(u, self.state_on(denoiser))

    def minimised(self, denoiser: Denoiser, losses: Tensor, sigma: Tensor) -> Tensor:
        """Return the numbers (B,) whose mean is minimised, from the losses (B,) at noise levels (B,)."""
        return self._weighting.minimised(losses, sigma, self.state_on(denoiser))

    def record(self, denoiser: Denoiser, u: Tensor, losses: Tensor) -> None:
        """Update the state with the losses (B,) of a training step at the quantiles u (B,)."""
        self._times.record(u, losses, self.state_on(denoiser))


def x0_error_gain(denoiser: Denoiser, s: Tensor) -> Tensor:
    """Return c = s / |b - s a|, the error of x_0 for a unit error of F, at noise levels s and in their shape."""
    a, b = denoiser.coefficients(torch.ones_like(s), s, denoiser.sigma_data)
    return s / (b - s * a).abs()

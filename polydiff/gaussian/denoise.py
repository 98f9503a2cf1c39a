r"""The denoiser: E[x_0 | x] from a backbone, a schedule and a target.

A noisy state is x = x_0 + s eps, whatever the schedule of training; a schedule's own state is x_t = alpha_t x. The
network's output is

$$ F = P\, \mathrm{backbone}\!\left(\frac{x}{\sqrt{s^2 + \sigma_d^2}},\ \log s,\ \text{space},\ \text{cond}\right), $$

P the projector of the space. Its inputs are a state of unit variance and the log of the noise level, clamped to the
trained range; it does not depend on the schedule otherwise. (Karras et al., 2022, https://arxiv.org/abs/2206.00364)

Symbols: `sigma` the noise level s, `sigma_data` sigma_d, F the network's output, a and b the target's coefficients, B
batch size, R rows of a state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from polydiff.core.conditions import KNOWN, Condition
from polydiff.core.rules import rules_of
from polydiff.core.space import Restricts, Space, State, level_of
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.target import SIGNAL, TARGETS
from polydiff.machine.compiler import need_compiler
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


class Denoise(Protocol):
    """An estimate of the clean state, as samplers use it: a `Denoiser`, a wrapper of one, or a closed form."""

    @property
    def schedule(self) -> Schedule:
        """The schedule; samplers read `sigma_min`, `sigma_max` and the time of a noise level from it."""

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the data; 1 if a codec standardises them."""

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return E[x_0 | x_0 + sigma eps = x], (R, ...).

        Arguments:
            x: Noisy states, (R, ...).
            sigma: Noise levels. Shape (B,), on the device of x; or shape (), float64 and on the CPU, if all samples
                share one level, as in a sampler. In both cases `space.expand(sigma)` broadcasts against x, and
                `per_sample(sigma, x, space)` has shape (B,). `level_of(sigma)` is the shared number, or None.
            space: Where x lives.
            cond: Conditions; None: unconditional.
        """


class TakesSchedule(Protocol):
    """A backbone that takes the noise level as a timestep of the run's schedule, and so depends on the schedule."""

    def use_schedule(self, schedule: Schedule) -> None:
        """Take the schedule; a `Denoiser` calls this with its own."""


NO_VARIANCE = "This denoiser does not predict the variance of a step."


def with_variance(
    denoise: Denoise, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
) -> tuple[State, State]:
    """Return (E[x_0 | x], v), each of x's shape, from a denoiser that predicts a variance (`Denoiser.with_variance`).

    Arguments:
        denoise: The denoiser.
        x: Noisy states, (R, ...).
        sigma: Noise levels, () or (B,).
        space: Where x lives.
        cond: Conditions; None: unconditional.

    Raises:
        ValueError: The denoiser has no method `with_variance`.
    """
    method = getattr(denoise, "with_variance", None)
    if method is None:
        raise ValueError(f"{NO_VARIANCE} Use a fixed variance, small or large.")
    estimate: tuple[State, State] = method(x, sigma, space, cond)
    return estimate


class Denoiser(nn.Module):
    """E[x_0 | x] by a network.

    Arguments:
        backbone: Module called as backbone(x, log_sigma, space, cond); see `polydiff.testing.check_backbone`. It may
            return (F, v), where v broadcasts against x; see `with_variance`.
        schedule: The schedule of training.
        target: Name of what the network predicts (`polydiff.gaussian.target.TARGETS`).
        sigma_data: Standard deviation of the data; 1 if the codec standardises them.
        precision: "float32" or "bf16", the autocast precision of the backbone; all else is float32.
        aids: Name -> module with state of the loss (`polydiff.gaussian.loss.Loss.aids`), not used in sampling.
        self_condition: Whether the network is conditioned on its own previous estimate (`gaussian.self_conditioning`).

    Raises:
        UserError: The target says nothing about the data at pure noise, and the schedule has `zero_terminal_snr`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        schedule: Schedule,
        target: str = "edm",
        sigma_data: float = 1.0,
        precision: str = "float32",
        aids: Mapping[str, nn.Module] | None = None,
        self_condition: bool = False,
    ) -> None:
        super().__init__()
        if schedule.zero_terminal_snr and SIGNAL in rules_of(TARGETS[target]):
            raise UserError(f"A schedule with zero_terminal_snr: target={target} {SIGNAL.why}")
        if provides(backbone, TakesSchedule):
            backbone.use_schedule(schedule)
        self.backbone = backbone
        self.schedule = schedule
        self.target = target
        self.coefficients = TARGETS[target]
        self.sigma_data = sigma_data
        self.precision = precision
        self.aids = nn.ModuleDict(aids or {})
        self.self_condition = self_condition

    def forward(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return E[x_0 | x], (R, ...).

        Arguments:
            x: Noisy states x_0 + sigma eps on the space, (R, ...).
            sigma: Noise levels, (B,), or () if all samples share one, as in `Denoise`.
            space: Where x lives.
            cond: Conditions; None: unconditional.
        """
        return self.to_x0(x, self.predict(x, sigma, space, cond), sigma, space)

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, State]:
        """Return E[x_0 | x] and v in (0, 1), each of x's shape.

        v = sigmoid(the network's second output) interpolates the log variance of a step: small^{1 - v} large^v
        (Nichol & Dhariwal, 2021, eq. 15, https://arxiv.org/abs/2102.09672). Arguments as in `forward`.

        Raises:
            ValueError: The network has no second output.
        """
        f, v = self.network_output(x, sigma, space, cond)
        if v is None:
            raise ValueError(f"{NO_VARIANCE} Train with backbone.variance=true and loss.objective=hybrid.")
        return self.to_x0(x, f, sigma, space), torch.sigmoid(v.to(x.dtype)).expand_as(x)

    def predict(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return the network's output F = a x_0 + b eps on the space, (R, ...). Arguments as in `forward`."""
        return self.network_output(x, sigma, space, cond)[0]

    def network_output(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None
    ) -> tuple[State, Tensor | None]:
        """Return F on the space, (R, ...), and the network's second output before the sigmoid; None if it has none.

        Arguments:
            x: Noisy states, (R, ...).
            sigma: Noise levels, () or (B,).
            space: Where x lives.
            cond: Conditions; None: unconditional.
        """
        low, high = math.log(self.schedule.sigma_min), math.log(self.schedule.sigma_max)
        level = level_of(sigma)
        scale: Tensor | float
        if level is None:
            scale = space.expand(torch.rsqrt(sigma.to(x) ** 2 + self.sigma_data**2))
            log_sigma = sigma.log().clamp(low, high).to(x)
        else:  # no work on the device for a number that is on the CPU
            scale = 1 / math.hypot(level, self.sigma_data)
            log_sigma = x.new_full((space.batch,), min(max(math.log(level), low), high))
        with self.autocast(x.device):
            out = self.backbone(x * scale, log_sigma, space, cond)
        f, v = out if isinstance(out, tuple) else (out, None)
        f = space.project(f.to(x.dtype))
        known = (cond or {}).get(KNOWN)
        return (f if known is None else self.impose_known(f, known, x, sigma, space)), v

    def impose_known(self, f: State, known: State, x: State, sigma: Tensor, space: Space) -> State:
        """Return F, (R, ...), with its true value a y + b (x - y) / s where the clean state y is known.

        So the network need not learn to copy the known values, and only the unknown part trains it. On a subspace, the
        part of F is replaced that lies on the known elements alone (`polydiff.gaussian.control.known`). Of molecules
        this is the places of the known atoms relative to each other, so that y may lie anywhere.

        Arguments:
            f: The network's output, (R, ...).
            known: y, clean states (R, ...) with NaN where they are unknown.
            x: Noisy states, (R, ...).
            sigma: Noise levels, () or (B,).
            space: Where x lives.
        """
        s, a, b = self.coefficients_at(sigma, x)
        given = known.isfinite()
        y = torch.where(given, known, x)  # a NaN in the branch not taken would poison gradients
        true = space.expand(a) * y + space.expand(b / s) * (x - y)
        if provides(space, Restricts):
            return f + space.restrict(true - f, given)
        return torch.where(given, true, f)

    def to_x0(self, x: State, f: State, sigma: Tensor, space: Space) -> State:
        """Return the clean state that x and the network's output F determine: (b x - s F) / (b - s a), (R, ...).

        Arguments:
            x: Noisy states, (R, ...).
            f: F, (R, ...).
            sigma: Noise levels, () or (B,).
            space: Where x lives.
        """
        s, a, b = self.coefficients_at(sigma, x)
        determinant = b - s * a
        return space.expand(b / determinant) * x - space.expand(s / determinant) * f

    def coefficients_at(self, sigma: Tensor, x: State) -> tuple[Tensor, Tensor, Tensor]:
        """Return s, a and b in the shape of sigma: (B,) in the precision of x, or () in float64 on the CPU."""
        s = sigma.to(x) if sigma.ndim else sigma.double()
        return s, *self.coefficients(torch.ones_like(s), s, self.sigma_data)

    def estimate(self, x_t: State, t: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return E[x_0 | x_t], (R, ...), for states in the schedule's own frame.

        Arguments:
            x_t: alpha_t x_0 + sigma_t eps, (R, ...).
            t: Times in [0, 1], (B,).
            space: Where states live.
            cond: Conditions; None: unconditional.
        """
        alpha, _ = self.schedule(t)
        return self.forward(x_t / space.expand(alpha.to(x_t)), self.schedule.noise_level(t).to(x_t), space, cond)

    def with_precision(self, precision: str) -> Denoiser:
        """Return this denoiser with another autocast precision; the two share their modules and weights."""
        if precision == self.precision:
            return self
        other = Denoiser(
            self.backbone, self.schedule, self.target, self.sigma_data, precision, self_condition=self.self_condition
        )
        other.aids = self.aids
        other.training = self.training  # `train()` would change the modules, which are shared
        return other

    def compile(self, **how: Any) -> None:
        """Compile the network with `torch.compile` when it is next called, once for each shape of its inputs.

        Compiling takes about a minute and makes later calls faster. Only the network is compiled, not samplers,
        guidance or losses. A backbone overrides `compile` if only some of its parts can be compiled, or with other
        arguments.

        Arguments:
            how: Arguments of `torch.compile`, which override those of the backbone.

        Raises:
            UserError: The network is on a CPU, and no C++ compiler is installed.
        """
        if how.get("backend", "inductor") == "inductor" and any(p.device.type == "cpu" for p in self.parameters()):
            need_compiler()
        self.backbone.compile(**how)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the backbone runs."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

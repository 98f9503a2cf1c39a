r"""A learned schedule: the monotone network of VDM.

$$ g(t) = |w|\, t + \sum_k |v_k|\, \mathrm{sigmoid}(|a_k|\, (t - b_k)), \qquad |w| = \log(1 + e^w), \qquad
   \lambda(t) = \lambda_0 + (\lambda_1 - \lambda_0) \frac{g(t) - g(0)}{g(1) - g(0)}. $$

The continuous-time variational bound does not depend on the path between its two ends. Only the variance of its
estimate does, so the path is trained to lower this variance (Kingma et al., VDM, 2021,
https://arxiv.org/abs/2107.00630). The two ends are fixed: with any loss but the bound, training them is meaningless.

Symbols: w (`linear`), v (`height`), a (`steepness`), b (`centre`) the parameters, |.| the softplus, lambda_0 and
lambda_1 the log-SNRs at t = 0 and t = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from polydiff.gaussian.schedule.base import SCHEDULES, Frame, Schedule, bisect


@SCHEDULES.register("learned")
class Learned(Schedule, nn.Module):
    """A schedule with a trained path, for `Loss(weighting="elbo")` or another integral over the log-SNR.

    A `Denoiser` registers it as a submodule, so that the optimizer, the moving average and checkpoints include it.
    Initially the log-SNR is almost linear in time. Gradients reach the parameters through `slope` and `attach`, but
    not through `log_snr` and `time`.

    Arguments:
        sigma_min: Noise level at t = 0, before the shift.
        sigma_max: Noise level at t = 1, before the shift.
        hidden: Number of sigmoids.
        shift: Factor of both noise levels.

    Raises:
        ValueError: `hidden` is not a whole number of at least 1, or noise would not rise with time.
    """

    frame: ClassVar[Frame] = "vp"

    def __init__(
        self,
        sigma_min: float = math.exp(-13.3 / 2),
        sigma_max: float = math.exp(5 / 2),
        hidden: int = 32,
        shift: float = 1.0,
    ) -> None:
        nn.Module.__init__(self)
        if type(hidden) is not int or hidden < 1:
            raise ValueError(f"hidden must be a whole number of at least 1, not {hidden}.")
        if not 0 < sigma_min * shift < sigma_max * shift:
            raise ValueError(
                "Noise levels must rise: 0 < sigma_min < sigma_max and shift > 0 are needed; they are "
                f"{sigma_min:g}, {sigma_max:g} and {shift:g}."
            )
        self.sigma_min, self.sigma_max = sigma_min * shift, sigma_max * shift
        self.linear = nn.Parameter(torch.tensor(0.54))  # softplus(0.54) = 1
        self.height = nn.Parameter(torch.full((hidden,), -6.0))
        self.steepness = nn.Parameter(torch.linspace(2, 20, hidden))
        self.centre = nn.Parameter((torch.arange(hidden) * 0.618034) % 1)  # evenly spread for every steepness

    def path(self, t: Tensor, read: Callable[[nn.Parameter], Tensor]) -> tuple[Tensor, Tensor]:
        """Return (lambda, d lambda / dt), each in float64, of the shape and on the device of t.

        Arguments:
            t: Times in [0, 1], of any shape.
            read: Applied to each parameter first: detaches it, or leaves it as it is.
        """
        w, v, a, b = (read(p).double() for p in (self.linear, self.height, self.steepness, self.centre))
        w, v, a = softplus(w), softplus(v), softplus(a)

        def g(t: Tensor) -> Tensor:
            return w * t + (v * torch.sigmoid(a * (t[..., None] - b))).sum(-1)

        times = t.double().clamp(0, 1).to(w.device)
        bump = torch.sigmoid(a * (times[..., None] - b))
        start, end = g(torch.zeros_like(times)), g(torch.ones_like(times))
        fall = 2 * math.log(self.sigma_min / self.sigma_max) / (end - start)
        log_snr = -2 * math.log(self.sigma_min) + fall * (g(times) - start)
        return log_snr.to(t.device), (fall * (w + (v * a * bump * (1 - bump)).sum(-1))).to(t.device)

    def log_snr(self, t: Tensor) -> Tensor:
        return self.path(t, lambda p: p.detach())[0]

    def slope(self, t: Tensor) -> Tensor:
        return self.path(t.detach(), lambda p: p)[1]

    def time(self, log_snr: Tensor) -> Tensor:
        return bisect(lambda t: -self.log_snr(t), -log_snr)

    def attach(self, sigma: Tensor) -> Tensor:
        """Return the same noise levels as functions of the parameters, at their present times, float64.

        Arguments:
            sigma: Noise levels of any shape.
        """
        t = self.time(-2 * sigma.detach().double().log())
        return torch.exp(-self.path(t, lambda p: p)[0] / 2)

"""The methods for linear inverse problems by name: Pi-GDM, moment matching and diffusion posterior sampling.

Symbols: y measurement, C covariance of x_0 given x, J Jacobian of the denoiser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polydiff.core.space import Measurement
from polydiff.gaussian.control.dps import PosteriorSampling
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.guidance.first_order_steps import first_order
from polydiff.gaussian.sampling.plan import Plan
from polydiff.support.errors import unknown

SOLVERS: Mapping[str, Mapping[str, Any]] = {
    "moments": {"sampler": "ddim", "steps": 50},
    "pigdm": {"sampler": "ddim", "steps": 50},
    "dps": {"sampler": "ddpm", "steps": 200},
}
"""Name of a method -> keys of the section `sample` with the defaults that it needs. The corrections of a measurement
change much from step to step, so that samplers which extrapolate the denoiser over few steps overshoot. DPS takes one
step of fixed size along a gradient for each step of a first-order sampler, so that it needs many of them."""
ITERATIONS = {"pigdm": 50, "moments": 1}
"""Largest numbers of iterations of the linear solver. "moments" needs more for an exact covariance. That of a network
is not: its Jacobian is not symmetric and, at high noise levels, far off, so that each further iteration made digits
worse. One is a step along the residual, whose length the Jacobian gives."""


ZETA = 0.3
"""Size of the gradient step of "dps": with 1, what is measured of a Gaussian varies 8 to 30 times as much as it should,
because a step of fixed size jumps to and fro around the measurement; with 0.3 at most 3 times."""


@dataclass(frozen=True)
class Solver:
    """A method that conditions samples on a linear measurement.

    Arguments:
        method: "pigdm", `Measured` with an isotropic C; "moments", `Measured` with C = s^2 J; "dps",
            `PosteriorSampling`.
        iterations: Largest number of iterations of the linear solver, for the first two; None: that of `ITERATIONS`.
        zeta: Size of the gradient step, for "dps"; None: `ZETA`.

    Raises:
        UserError: There is no such method.
        ValueError: An option is out of range, or is one of another method.
    """

    method: str
    iterations: int | None = None
    zeta: float | None = None

    def __post_init__(self) -> None:
        if self.method not in SOLVERS:
            raise unknown("method", self.method, SOLVERS)
        for name, value, own in (("iterations", self.iterations, ITERATIONS), ("zeta", self.zeta, ("dps",))):
            if value is not None and self.method not in own:
                raise ValueError(f"{self.method} has no {name}, an option of {' and '.join(own)}.")
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be finite and above 0, not {value}.")

    @property
    def advice(self) -> str:
        """What to try if samples explode."""
        if self.method == "dps":
            return "Use a smaller zeta or more steps."
        few = "1 iteration" if self.method == "moments" and (self.iterations or 1) > 1 else "the sampler ddim"
        return f"Use {few}, more noise in the measurement, or another method."

    def check(self, rows: Plan) -> None:
        """Raise ValueError if the sampler of a plan does not suit the method."""
        if self.method == "dps":
            first_order(rows, "DPS")

    def around(self, denoise: Denoise, measurement: Measurement, y: Tensor, noise: float, rows: Plan) -> Denoise:
        """Return the denoiser of states given a measurement.

        Arguments:
            denoise: The denoiser without it, differentiable in x.
            measurement: A, A* and the space of y.
            y: The measurements.
            noise: Standard deviation of the noise of each element of y.
            rows: The plan that the samples are drawn with.
        """
        if self.method == "dps":
            steps = first_order(rows, "DPS")
            return PosteriorSampling(denoise, measurement.forward, y, measurement.space, steps, self.zeta or ZETA)
        covariance = "isotropic" if self.method == "pigdm" else "jacobian"
        iterations = self.iterations or ITERATIONS[self.method]
        return Measured(denoise, measurement, y, noise, covariance, iterations)  # type: ignore[arg-type]

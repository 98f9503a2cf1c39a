"""The same numbers as diffusers where both state the same method: same betas, same network, same noise.

diffusers computes its tables in float32 and casts states to float32 inside `step`. Here its modules see float64 under
that name (`DoublePrecision`), so that nothing but the method is compared. Its own noise levels are given to polydiff as
`levels`; the network is exact and reads the noise level of the step, not diffusers' time step, which may be rounded.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS, evaluation_rows
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.problems import clusters, gauss

diffusers = pytest.importorskip("diffusers", reason="diffusers is what samplers are compared with")

STEPS, BATCH, D = 12, 3, 8


class DoublePrecision:
    """torch or numpy, with float64 under the name float32."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.float32 = module.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch):
    """Return a maker of schedulers in float64, with DDPM's betas, whose noise is DRAWS in turn."""

    def scheduler(kind: str, **options: Any) -> Any:
        cls = getattr(diffusers, kind)
        module = sys.modules[cls.__module__]
        for name, real in (("torch", torch), ("np", np)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, DoublePrecision(real))
        if hasattr(module, "randn_tensor"):
            draws = iter(DRAWS)
            monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(draws))
        made = cls(beta_start=1e-4, beta_end=0.02, beta_schedule="linear", **options)
        made.set_timesteps(STEPS)
        return made

    return scheduler


DRAWS = [gauss(50 + i, BATCH, D) for i in range(STEPS)]


@dataclass(frozen=True)
class Recorded(Euclidean):
    """A space whose noise is DRAWS in turn."""

    drawn: list[int] = field(default_factory=list)

    def noise(self, generators: Any) -> Tensor:
        self.drawn.append(1)
        return DRAWS[len(self.drawn) - 1]


def network() -> GaussianMixture:
    """Five anisotropic clusters, whose mean is not 0."""
    return clusters(30, D, 5, narrowest=0.1).moved(0.3 * gauss(31, D))


def levels_of(scheduler: Any) -> list[float]:
    """Return the noise levels that a scheduler steps through, ending at 0."""
    if hasattr(scheduler, "sigmas"):
        return torch.unique_consecutive(torch.as_tensor(scheduler.sigmas)).tolist()
    bar = scheduler.alphas_cumprod[scheduler.timesteps]
    return [*((1 - bar) / bar).sqrt().tolist(), 0.0]


def scale(s: float, scaled: bool) -> float:
    """Return 1 / alpha of DDPM's frame at noise level s, or 1."""
    return math.sqrt(1 + s * s) if scaled else 1.0


def theirs(scheduler: Any, at: list[float], scaled: bool, **options: Any) -> Tensor:
    """Run a scheduler of diffusers; scaled: its states are those of DDPM, alpha x."""
    exact = network()
    s = at[0]
    x = s * gauss(40, BATCH, D) / scale(s, scaled)
    for s, t in zip(at, scheduler.timesteps, strict=True):
        x_ve = x * scale(s, scaled)
        eps = (x_ve - exact.mean(x_ve, torch.tensor([s], dtype=torch.float64))) / s
        x = scheduler.step(eps, t, x, **options).prev_sample
    assert x.dtype == torch.float64
    return x


def ours(levels: list[float], sampler: str, **options: Any) -> tuple[Tensor, list[float]]:
    """Run a sampler of polydiff, and return where it called the network."""
    rows = SAMPLERS[sampler](levels, **options)
    space = Recorded(BATCH, (D,), dtype=torch.float64)
    x = levels[0] * gauss(40, BATCH, D)
    *_, last = run_plan(rows, network(), x, space, None, [])
    return last.x, [row.at for row in evaluation_rows(rows)]


SPACINGS = [{"timestep_spacing": "linspace"}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}]
DDPM = [{"timestep_spacing": spacing} for spacing in ("leading", "trailing", "linspace")]


def compare(scheduler: Any, sampler: str, scaled: bool, step: dict[str, Any] | None = None, **options: Any) -> None:
    """Assert that a sampler ends where diffusers' does."""
    levels = levels_of(scheduler)
    x, at = ours(levels, sampler, **options)
    last = theirs(scheduler, at, scaled, **(step or {})) * scale(levels[-1], scaled)
    assert_close(x, last, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("betas", ["leading", "linspace"])
def test_the_tables_of_betas_agree(make, betas: str) -> None:
    scheduler = make("DDPMScheduler", timestep_spacing=betas)
    t = scheduler.timesteps.double() / 999
    assert_close(levels_of(scheduler)[:-1], SCHEDULES["linear"]().noise_level(t).tolist(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("spacing", DDPM[::2])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm(make, spacing: dict[str, str], variance: str) -> None:
    scheduler = make("DDPMScheduler", clip_sample=False, variance_type=f"fixed_{variance}", **spacing)
    compare(scheduler, "ddpm", True, variance=variance)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim(make, eta: float) -> None:
    """With steps that divide 1000: elsewhere diffusers' previous time is not its next one."""
    scheduler = make("DDIMScheduler", clip_sample=False, timestep_spacing="leading")
    scheduler.set_timesteps(10)
    compare(scheduler, "ddim", True, {"eta": eta}, eta=eta)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(
    ("kind", "sampler", "options"),
    [
        ("EulerDiscreteScheduler", "euler", {}),
        ("HeunDiscreteScheduler", "heun", {}),
        ("LMSDiscreteScheduler", "lms", {}),
    ],
)
def test_samplers_of_karras_frame(make, kind: str, sampler: str, options: dict[str, Any], spacing: Any) -> None:
    compare(make(kind, **spacing), sampler, False, **options)


def test_euler_ancestral(make) -> None:
    compare(make("EulerAncestralDiscreteScheduler"), "euler_ancestral", False)


@pytest.mark.parametrize("spacing", [*SPACINGS, {"use_lu_lambdas": True}])
def test_dpm_solver_2m(make, spacing: dict[str, Any]) -> None:
    compare(make("DPMSolverMultistepScheduler", **spacing), "dpmpp_2m", True)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_dpm_solver_2m_with_noise(make, spacing: dict[str, Any]) -> None:
    scheduler = make("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", **spacing)
    compare(scheduler, "dpmpp_2m_sde", True)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc(make, order: int, spacing: dict[str, Any]) -> None:
    compare(make("UniPCMultistepScheduler", solver_order=order, **spacing), "unipc", True, order=order)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_bh1(make, order: int) -> None:
    """Down to a noise level above 0: at 0 diffusers' bh1 is NaN."""
    options = {"solver_order": order, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}
    compare(make("UniPCMultistepScheduler", **options), "unipc", True, order=order, solver="bh1")

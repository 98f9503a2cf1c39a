"""The samplers of diffusers, each conditioned as a network of its own would be.

The schedulers call the network at their own time steps, often rounded to integers; what the network then returns is
what a network trained at that time would. Samples are not clipped, since data are not bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from cases import INFINITY, Case, Method, schedule
from torch import Tensor

BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
GRIDS: dict[str, dict[str, Any]] = {
    "linspace": {"timestep_spacing": "linspace"},
    "leading": {"timestep_spacing": "leading"},
    "trailing": {"timestep_spacing": "trailing"},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "lu": {"use_lu_lambdas": True},
}


def vp_level(t: float) -> float:
    """Return s at diffusers' time t in 0 .. 999."""
    return float(schedule("vp").noise_level(torch.tensor(t / 999, dtype=torch.float64)))


def eps_of(case: Case, x: Tensor, t: float) -> Tensor:
    """Return what a network that predicts eps says of x, scaled to variance 1 as x_t of DDPM."""
    s = vp_level(t)
    x_ve = x * math.sqrt(1 + s * s)
    return (x_ve - case.model(x_ve, s)) / s


def velocity_of(case: Case, x: Tensor, t: float) -> Tensor:
    """Return what a network that predicts eps - x_0 says of x = (1 - t) x_0 + t eps."""
    left = max(1 - t, 1 / INFINITY)
    return (x - case.model(x / left, (1 - left) / left)) / t


def edm_of(case: Case, x: Tensor, t: float) -> Tensor:
    """Return F of EDM at c_noise = t for c_in x."""
    s, sd = math.exp(4 * t), case.exact.sigma_data
    n = math.sqrt(s * s + sd * sd)
    return (case.model(n * x, s) - sd * sd / n * x) * n / (s * sd)


def run_diffusers(make: Callable[[Case], Any], case: Case, steps: int) -> Tensor:
    """Run a scheduler of diffusers as a pipeline does."""
    scheduler = make(case)
    scheduler.set_timesteps(steps)
    network = {"vp": eps_of, "edm": edm_of, "flow": velocity_of}[case.track]
    x = case.xi.clone()
    if case.track == "edm" or float(getattr(scheduler, "init_noise_sigma", 1.0)) != 1:
        x = x * float(scheduler.sigmas[0])
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        time = float(t) / 1000 if case.track == "flow" else float(t)
        x = scheduler.step(network(case, scaled, time), t, x).prev_sample
    return x


def diffusers_vp(kind: str, noisy: bool = False, **options: Any) -> Callable[[Case], Any]:
    """Return a maker of a scheduler with DDPM's betas."""
    import diffusers

    return lambda _: getattr(diffusers, kind)(**BETAS, **options)


def ddim_eta(eta: float, grid: str) -> Callable[[Case, int], Tensor]:
    """Return DDIM with noise."""

    def run(case: Case, steps: int) -> Tensor:
        scheduler = diffusers_vp("DDIMScheduler", clip_sample=False, **GRIDS[grid])(case)
        scheduler.set_timesteps(steps)
        x = case.xi.clone()
        for t in scheduler.timesteps:
            x = scheduler.step(eps_of(case, x, float(t)), t, x, eta=eta).prev_sample
        return x

    return run


def diffusers_methods() -> list[Method]:
    """Return diffusers' deterministic configurations."""
    import diffusers

    def vp(name: str, kind: str, default: bool = False, **options: Any) -> Method:
        make = diffusers_vp(kind, **options)
        return Method("diffusers", name, ("vp",), lambda case, n: run_diffusers(make, case, n), default)

    methods: list[Method] = []
    for grid in ("leading", "trailing", "linspace"):
        methods.append(vp(f"DDIM {grid}", "DDIMScheduler", grid == "leading", clip_sample=False, **GRIDS[grid]))
        methods.append(vp(f"PNDM {grid}", "PNDMScheduler", False, skip_prk_steps=True, **GRIDS[grid]))
    dpm, unipc, deis = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler"
    for order in (2, 3):
        for grid in ("linspace", "trailing", "karras", "exponential", "lu"):
            options = {"solver_order": order, **GRIDS[grid]}
            methods.append(vp(f"DPM++{order}M {grid}", dpm, (order, grid) == (2, "linspace"), **options))
            eps = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
            methods.append(vp(f"DPM{order}M-eps {grid}", dpm, **eps, **options))
        for grid in ("linspace", "karras", "exponential"):
            options = {"solver_order": order, **GRIDS[grid]}
            methods.append(vp(f"UniPC{order} {grid}", unipc, (order, grid) == (2, "linspace"), **options))
            methods.append(vp(f"DEIS{order} {grid}", deis, (order, grid) == (2, "linspace"), **options))
    for name, kind in (
        ("Euler", "EulerDiscreteScheduler"), ("LMS", "LMSDiscreteScheduler"),
        ("Heun", "HeunDiscreteScheduler"), ("DPM2", "KDPM2DiscreteScheduler"),
    ):  # fmt: skip
        for grid in ("linspace", "karras", "exponential"):
            methods.append(vp(f"{name} {grid}", kind, (name, grid) == ("Euler", "linspace"), **GRIDS[grid]))

    def other(name: str, track: str, kind: str, default: bool = False, **options: Any) -> Method:
        def make(case: Case) -> Any:
            data = {"sigma_data": case.exact.sigma_data} if track == "edm" else {}
            return getattr(diffusers, kind)(**data, **options)

        return Method("diffusers", name, (track,), lambda case, n: run_diffusers(make, case, n), default)

    for grid in ("karras", "exponential"):
        plain = grid == "karras"
        methods.append(other(f"EDM Euler {grid}", "edm", "EDMEulerScheduler", plain, sigma_schedule=grid))
        for order in (2, 3):
            options = {"sigma_schedule": grid, "solver_order": order}
            default = plain and order == 2
            methods.append(
                other(f"EDM DPM++{order}M {grid}", "edm", "EDMDPMSolverMultistepScheduler", default, **options)
            )
    methods.append(other("flow Euler", "flow", "FlowMatchEulerDiscreteScheduler", True))
    methods.append(other("flow Heun", "flow", "FlowMatchHeunDiscreteScheduler"))
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    for order in (2, 3):
        for shift in (1.0, 3.0):
            for name, kind in (("DPM++", dpm), ("UniPC", unipc), ("DEIS", deis)):
                options = {"solver_order": order, "flow_shift": shift, **flow}
                methods.append(other(f"flow {name}{order} shift {shift:g}", "flow", kind, **options))
    return methods

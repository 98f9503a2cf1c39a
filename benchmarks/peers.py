"""Peers' samplers, each conditioned as a network of its own would be: diffusers, k-diffusion, azula.

Install them by

    pip install -e ".[bench]" && pip install --no-deps azula==0.11.1 k-diffusion==0.1.1.post1

since the last two require torchvision, and k-diffusion much more (wandb, clip, kornia), which their samplers do not
use. Of k-diffusion the module `sampling` alone is imported; where torchvision is missing, an empty module stands in
for it. Nothing of `sampling` itself is replaced.

diffusers' schedulers call the network at their own time steps, often rounded to integers; what the network then
returns is what a network trained at that time would. Samples are not clipped, since data are not bounded.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import types
from collections.abc import Callable
from functools import cache
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


@cache
def k_sampling() -> Any:
    """Return k_diffusion.sampling without the rest of its package."""
    found = importlib.util.find_spec("k_diffusion")
    if found is None or not found.submodule_search_locations:
        raise ImportError("k_diffusion is not installed: pip install --no-deps k-diffusion==0.1.1.post1.")
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["k_diffusion"] = package
    if importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]  # type: ignore[attr-defined]
    try:
        return importlib.import_module("k_diffusion.sampling")
    finally:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            if getattr(sys.modules[name], "__file__", None) is None:
                del sys.modules[name]


def k_grid(grid: str, case: Case, steps: int) -> Tensor:
    """Return k-diffusion's noise levels."""
    k = k_sampling()
    if grid == "vp":
        levels: Tensor = k.get_sigmas_vp(steps)
        return levels
    made: Tensor = getattr(k, f"get_sigmas_{grid}")(steps, case.bottom, case.top)
    return made


def k_method(name: str, sampler: str, grid: str, default: bool = False, noisy: bool = False, **options: Any) -> Method:
    """Return a sampler of k-diffusion on one of its grids."""

    def run(case: Case, steps: int) -> Tensor:
        def model(x: Tensor, sigma: Tensor) -> Tensor:
            return case.model(x, float(sigma[0]))

        levels = k_grid(grid, case, steps)
        given = {name: value(case) if callable(value) else value for name, value in options.items()}
        x: Tensor = getattr(k_sampling(), f"sample_{sampler}")(
            model, float(levels[0]) * case.xi, levels, disable=True, **given
        )
        return x

    tracks = ("vp",) if grid == "vp" else ("vp", "edm")
    return Method("k-diffusion", f"{name} {grid}", tracks, run, default, noisy)


def k_methods() -> list[Method]:
    """Return k-diffusion's deterministic configurations."""
    k_sampling()
    samplers: dict[str, tuple[str, dict[str, Any]]] = {
        "euler": ("euler", {}), "heun": ("heun", {}), "dpm_2": ("dpm_2", {}),
        "lms2": ("lms", {"order": 2}), "lms3": ("lms", {"order": 3}), "lms4": ("lms", {"order": 4}),
        "dpmpp_2m": ("dpmpp_2m", {}), "dpmpp_2s": ("dpmpp_2s_ancestral", {"eta": 0.0}),
        "dpmpp_3m eta 0": ("dpmpp_3m_sde", {"eta": 0.0, "noise_sampler": lambda _: None}),
    }  # fmt: skip
    made = [
        k_method(name, sampler, grid, (name, grid) == ("heun", "karras"), **options)
        for name, (sampler, options) in samplers.items()
        for grid in ("karras", "exponential")
    ]
    vp = {"euler": ("euler", {}), "lms4": ("lms", {"order": 4}), "dpmpp_2m": ("dpmpp_2m", {})}
    return [*made, *(k_method(name, sampler, "vp", **options) for name, (sampler, options) in vp.items())]


def azula_denoiser(case: Case, kind: str) -> Any:
    """Return an exact model as azula's denoiser, on one of its schedules over the range of the track."""
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import CosineSchedule, RectifiedSchedule, VESchedule, VPSchedule

    if kind == "ve":
        noise: Any = VESchedule(case.bottom, case.top)
    else:
        noise = {"vp": VPSchedule, "rect": RectifiedSchedule, "cosine": CosineSchedule}[kind](1 / case.top, case.bottom)

    class Exact(Denoiser):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.schedule = noise

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            alpha, sigma = (float(c) for c in self.schedule(t.double()))
            return DiracPosterior(mean=case.model(x_t / alpha, sigma / alpha))

    return Exact()


def azula_method(
    name: str, sampler: str, kind: str, default: bool = False, noisy: bool = False, **options: Any
) -> Method:
    """Return a sampler of azula on one of its schedules."""

    def run(case: Case, steps: int) -> Tensor:
        import azula.sample

        denoiser = azula_denoiser(case, kind)
        alpha, _ = denoiser.schedule(torch.ones((), dtype=torch.float64))
        start = (float(alpha) * case.top * case.xi.double()).float()
        x: Tensor = getattr(azula.sample, sampler)(denoiser, steps=steps, silent=True, **options)(start)
        return x

    return Method("azula", f"{name} {kind}", ("vp", "edm", "flow"), run, default, noisy)


def azula_methods() -> list[Method]:
    """Return azula's deterministic configurations."""
    import azula.sample  # noqa: F401

    samplers: dict[str, tuple[str, dict[str, Any]]] = {"Euler": ("EulerSampler", {}), "Heun": ("HeunSampler", {})}
    for kind in ("zAB", "vAB", "zEAB", "xEAB", "REAB"):
        for order in (2, 3):
            samplers[f"{kind}{order}"] = (f"{kind}Sampler", {"order": order})
    return [
        azula_method(name, sampler, kind, (name, kind) == ("Euler", "vp"), **options)
        for name, (sampler, options) in samplers.items()
        for kind in ("ve", "vp", "rect", "cosine")
    ]


def noisy_methods() -> list[Method]:
    """Return peers' stochastic configurations."""

    def hf(name: str, kind: str, **options: Any) -> Method:
        make = diffusers_vp(kind, **options)
        return Method("diffusers", name, ("vp",), lambda case, n: run_diffusers(make, case, n), noisy=True)

    sde = {"algorithm_type": "sde-dpmsolver++"}
    methods = [
        *(hf(f"DDPM {g}", "DDPMScheduler", clip_sample=False, **GRIDS[g]) for g in ("leading", "trailing", "linspace")),
        *(
            Method("diffusers", f"DDIM eta 1 {g}", ("vp",), ddim_eta(1.0, g), noisy=True)
            for g in ("leading", "trailing")
        ),
        *(
            hf(f"SDE-DPM++{o}M {g}", "DPMSolverMultistepScheduler", solver_order=o, **sde, **GRIDS[g])
            for o in (2, 3)
            for g in ("linspace", "karras", "exponential", "lu")
        ),
        *(hf(f"Euler ancestral {g}", "EulerAncestralDiscreteScheduler", **GRIDS[g]) for g in ("linspace", "trailing")),
        *(hf(f"SA-Solver {g}", "SASolverScheduler", **GRIDS[g]) for g in ("linspace", "karras", "exponential")),
        *(
            hf(f"SA-Solver tau 1 {g}", "SASolverScheduler", tau_func=lambda _: 1.0, **GRIDS[g])
            for g in ("karras", "exponential")
        ),
    ]
    drawn = {"noise_sampler": lambda case: lambda s, s_next: torch.randn_like(case.xi)}
    for grid in ("karras", "exponential"):
        for name in ("euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_2m_sde", "dpmpp_3m_sde"):
            methods.append(k_method(name, name, grid, noisy=True, **drawn))
        for name in ("euler", "heun"):
            methods.append(k_method(f"{name} churn 40", name, grid, noisy=True, s_churn=40.0))
    for kind in ("ve", "vp", "rect", "cosine"):
        methods.append(azula_method("DDPM", "DDPMSampler", kind, noisy=True))
        methods.append(azula_method("Ito", "ItoSampler", kind, noisy=True))
    return methods

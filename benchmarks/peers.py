"""Samplers of k-diffusion and azula, each conditioned as a network of its own would be, and all that draw noise.

Install them by

    pip install -e ".[bench]" && pip install --no-deps azula==0.11.1 k-diffusion==0.1.1.post1

since the last two require torchvision, and k-diffusion much more (wandb, clip, kornia), which their samplers do not
use. Of k-diffusion the module `sampling` alone is imported; where torchvision is missing, an empty module stands in
for it. Nothing of `sampling` itself is replaced.

`diffusers_peer.py` has the samplers of diffusers.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from functools import cache
from typing import Any

import torch
from cases import Case, Method
from diffusers_peer import GRIDS, ddim_eta, diffusers_vp, run_diffusers
from torch import Tensor


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

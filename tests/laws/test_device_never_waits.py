"""Nobody waits for the device between the steps of a sampler: no number is read back, no shape depends on one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from guidance_cases import SPACES
from oracles import GaussianDenoiser, dense, packed
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from polydiff.backbones.config import DiTConfig, EGNNConfig, MLPConfig, UNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.space import Euclidean, Space, shared_level
from polydiff.core.streams import streams
from polydiff.gaussian.control.dps import PosteriorSampling
from polydiff.gaussian.denoise import Denoise, Denoiser
from polydiff.gaussian.guidance.classifier import Classifier
from polydiff.gaussian.guidance.first_order_steps import first_order
from polydiff.gaussian.guidance.guided import Guided
from polydiff.gaussian.guidance.method import GUIDANCE
from polydiff.gaussian.guidance.threshold import DynamicThreshold
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS, Plan, plan, rows_on
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.gaussian.self_conditioning import SelfConditioned
from polydiff.gaussian.step_size import StepSize

WAITING = (
    "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "bincount", "_unique2", "lift_fresh",
    "repeat_interleave.Tensor",
)  # fmt: skip
"""Operations that read a number or a shape back from a GPU, or copy from unpinned memory there."""


class NoWaiting(TorchDispatchMode):
    """Raises if an operation would wait for a GPU, on a CPU too.

    Numbers of shape () that are made without states, such as a shared noise level, stand on the host and may be read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_host = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).removeprefix("aten.")
        tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
        on_host = all(tensor in self.on_host for tensor in tensors)
        if name.startswith("_local_scalar_dense") and on_host:
            return func(*args, **(kwargs or {}))
        if name.startswith(tuple(f"{word}." if "." not in word else word for word in WAITING)):
            raise AssertionError(f"{name} waits for the device")
        if name.startswith(("index.", "index_put")) and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1]
        ):
            raise AssertionError(f"{name} by booleans waits for the device")
        out = func(*args, **(kwargs or {}))
        if on_host and isinstance(out, torch.Tensor) and out.ndim == 0:
            self.on_host[out] = True
        return out


def run(rows: Plan, denoise: Denoise, space: Space, cond: Any = None) -> None:
    """Run a plan; from its second step on nothing may wait."""
    generators = streams(0, "x", range(space.batch))
    x = 10 * space.noise(generators)
    steps = run_plan(rows, denoise, x, space, cond, generators)
    next(steps)
    with NoWaiting():
        for _ in steps:
            pass


@pytest.mark.parametrize("doing", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: bool((x > 0).any())])
def test_what_waits_is_seen(doing: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
        doing(torch.ones(3))


@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"adaptive", "calibrated"}))
def test_samplers_wait_for_nothing(sampler: str, where: str) -> None:
    space = SPACES[where](2)
    exact = GaussianDenoiser(space.noise(streams(1, "mean", range(2))), 0.5)
    run(rows_on(noise_levels(EDM(), 6, "karras"), sampler), exact, space)


def test_a_learned_variance_waits_for_nothing() -> None:
    config = MLPConfig(hidden=8, layers=1, variance=True)
    network = build_backbone(config, channels=2, dims=0, conditions={})
    rows = plan(EDM(), 4, "ddpm", variance="learned")
    run(rows, Denoiser(network, EDM()), Euclidean(2, (2,)))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("interval", [None, (0.5, 5.0)])
@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("name", list(GUIDANCE))
def test_guidance_waits_for_nothing(name: str, where: str, interval: Any, joined: bool) -> None:
    space = SPACES[where](2)
    exact = GaussianDenoiser(space.noise(streams(1, "mean", range(2))), 0.5)
    mean = exact.mean

    def denoise(x: torch.Tensor, sigma: torch.Tensor, space: Space, cond: Any = None) -> torch.Tensor:
        exact.mean = mean if len(x) == len(mean) else torch.cat([mean, mean])
        return exact(x, sigma, space) * space.expand(
            torch.nan_to_num(cond["y"]) + 1 if cond else torch.ones_like(sigma)
        )

    denoise.schedule, denoise.sigma_data = EDM(), 1.0
    rows = plan(EDM(), 6, "ddim", "karras", eta=0.5)
    options = {"cfg": {"rescale": 0.7}, "apg": {"momentum": -0.5, "radius": 1.0}}.get(name, {})
    method = GUIDANCE[name](0.5 if name == "cfg_pp" else 2.0, rows, **options)
    cond = {"y": torch.tensor([0.1, 0.2], dtype=torch.float64)}
    run(rows, Guided(denoise, method, interval=interval, joined=joined), space, cond)


NETWORKS: dict[str, tuple[Any, dict[str, Any], Callable[[], Space]]] = {
    "unet of images": (
        UNetConfig(channels=8, mult=(1, 2), blocks=1, attention=(1,)), {"channels": 1, "dims": 2},
        lambda: Euclidean(2, (1, 8, 8)),
    ),
    "unet of sounds": (
        UNetConfig(channels=8, mult=(1, 1), strides=(4,), blocks=1, attention=(1,), patch=4),
        {"channels": 1, "dims": 1}, lambda: Euclidean(2, (1, 64)),
    ),
    "dit of images": (
        DiTConfig(width=8, depth=1, heads=2), {"channels": 1, "dims": 2}, lambda: Euclidean(2, (1, 7, 8)),
    ),
    "dit of sounds": (
        DiTConfig(width=8, depth=1, heads=2, patch=4), {"channels": 1, "dims": 1}, lambda: Euclidean(2, (1, 64)),
    ),
    "egnn, padded": (EGNNConfig(hidden=8, layers=2), {"channels": 2, "dims": 3}, lambda: dense(2, 4)),
    "egnn, stacked": (EGNNConfig(hidden=8, layers=2), {"channels": 2, "dims": 3}, lambda: packed(2, 4)),
    "mlp": (MLPConfig(hidden=8, layers=1), {"channels": 3, "dims": 0}, lambda: Euclidean(2, (3,))),
}  # fmt: skip


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_wait_for_nothing(name: str, precision: str, joined: bool) -> None:
    config, shape, space = NETWORKS[name]
    network = build_backbone(config, **shape, conditions={"label": 3, "logp": 0})
    cond = {"label": torch.tensor([0, 2]), "logp": torch.tensor([0.5, -1.0])}
    denoiser = Denoiser(network.to(space().noise(streams(0, "x", range(2))).dtype), EDM(), precision=precision)
    rows = plan(EDM(), 3, "ddpm")
    run(rows, Guided(denoiser.eval(), GUIDANCE["cfg"](2.0, rows), joined=joined), space(), cond)


def test_a_network_conditioned_on_the_size_of_steps_waits_for_nothing() -> None:
    config = MLPConfig(hidden=8, layers=1, step_size=True)
    network = build_backbone(config, channels=2, dims=0, conditions={})
    rows = plan(SCHEDULES["flow"](), 4, "shortcut", "flow")
    run(rows, StepSize(Denoiser(network, SCHEDULES["flow"]()), rows), Euclidean(2, (2,)))


class Lines(nn.Module):
    """A network of any device: x log s + label."""

    def forward(self, x: torch.Tensor, log_sigma: torch.Tensor, space: Space, cond: Any = None) -> torch.Tensor:
        assert log_sigma.device == x.device
        assert log_sigma.shape == (space.batch,)
        return x * log_sigma[:, None] + sum(
            value.reshape(space.batch, -1)[:, :1] for value in (cond or {"": log_sigma}).values()
        )


ROWS = plan(EDM(), 4, "ddim")
MEASURED = torch.empty(2, 3, device="meta")
WRAPPERS: dict[str, Callable[[Denoise, Space], Denoise]] = {
    "none": lambda denoise, space: denoise,
    **{
        f"{name}, joined {joined}": lambda denoise, space, name=name, joined=joined: Guided(
            denoise,
            GUIDANCE[name](0.5, ROWS, **{"cfg": {"rescale": 0.7}, "apg": {"momentum": -0.5}}.get(name, {})),
            interval=(0.5, 10.0),
            joined=joined,
        )
        for name in GUIDANCE
        for joined in (False, True)
    },
    "classifier": lambda denoise, space: Classifier(denoise, lambda x, s, space: -space.sum(x) / (1 + s**2)),
    "threshold": lambda denoise, space: DynamicThreshold(denoise),
    "self-conditioning": lambda denoise, space: SelfConditioned(denoise),
    "posterior sampling": lambda denoise, space: PosteriorSampling(
        denoise, lambda x: 2 * x, MEASURED, space, first_order(ROWS, "DPS")
    ),
    "step size": lambda denoise, space: StepSize(denoise, ROWS),
}


@pytest.mark.parametrize("name", list(WRAPPERS))
def test_a_shared_level_on_the_host_goes_with_states_on_a_device(name: str) -> None:
    """On the device "meta", whose tensors hold no numbers that could be read, and which mix with others as a GPU's."""
    space = Euclidean(2, (3,), device="meta")
    x, cond = torch.empty(2, 3, device="meta"), {"label": torch.zeros(2, dtype=torch.long, device="meta")}
    denoise = WRAPPERS[name](Denoiser(Lines(), EDM()), space)
    for level in (20.0, 3.0, 1.0):
        estimate = denoise(x, shared_level(level), space, cond)
        assert (estimate.device, estimate.shape, estimate.dtype) == (x.device, x.shape, x.dtype)

"""bf16 and compiled networks against float32: outputs, and 200 training steps."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.unet import UNet
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.conditions import Classes
from polydiff.core.space import Euclidean
from polydiff.core.streams import stream
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.training.data import batches
from polydiff.training.loop import Training, fit

STEPS, WINDOW = 200, 25
SMALL = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2)
DDPM = SMALL.model_copy(update={"topology": "ddpm", "modulation": "shift"})


def denoiser(config: UNetConfig, precision: str, classes: int = 10) -> Denoiser:
    torch.manual_seed(0)
    network = UNet(config, channels=1, dims=2, conditions={"label": Classes(classes)})
    return Denoiser(network, SCHEDULES["edm"](), precision=precision)


def filled(made: Denoiser) -> Denoiser:
    """Return a denoiser, in place, with random numbers in the parameters that are zero."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for p in made.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.05)
    return made


def outputs(made: Denoiser) -> Tensor:
    x = torch.randn(8, 1, 16, 16, generator=stream(0, "state"))
    with torch.no_grad():
        return made.predict(x, torch.logspace(-2, 1, 8), Euclidean(8, (1, 16, 16)), {"label": torch.arange(8)})


@pytest.mark.parametrize("config", [SMALL, DDPM], ids=["lean", "ddpm"])
def test_bf16_outputs_equal_those_of_float32_to_two_percent(config: UNetConfig) -> None:
    exact, narrow = (outputs(filled(denoiser(config, precision))) for precision in ("float32", "bf16"))
    assert exact.std() > 0.05
    assert (narrow - exact).norm() / exact.norm() < 0.02


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bf16", 0.02)])
def test_compiled_outputs_equal_those_of_float32(precision: str, bound: float) -> None:
    made = filled(denoiser(SMALL, precision))
    made.compile()
    exact = outputs(filled(denoiser(SMALL, "float32")))
    assert (outputs(made) - exact).norm() / exact.norm() < bound


def curve(precision: str, compiled: bool = False) -> Tensor:
    """Return the mean loss of each window of training steps on the digits, (STEPS / WINDOW,)."""
    config = resolve("image").config
    domain = build_domain(config)
    training = Training(denoiser(SMALL, precision), optim=OptimConfig(lr=2e-3))
    if compiled:
        training.module.compile()
    losses = [r.loss for r in fit(training, batches(domain, 32, 0, 0.1), steps=STEPS, batch_size=32, ema=0.95)]
    return torch.tensor(losses).reshape(-1, WINDOW).mean(1)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_the_training_curve_in_bf16_equals_that_of_float32_to_three_percent(compiled: bool) -> None:
    if compiled and shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    exact, narrow = curve("float32"), curve("bf16", compiled)
    assert exact[-1] < 0.6 * exact[0]
    assert ((narrow - exact) / exact).abs().max() < 0.03

"""In bf16 and compiled, the network for molecules computes the same function within a bound and trains equally well."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.molecules.egnn import EGNN
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.codec import Codec
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.training.loop import Training, fit

CODEC = Codec((1, 6, 7, 8), (0.6, 0.2, 0.1, 0.1), 1.1, 2.0, packed=True)
C = 0.629
MOLECULES = [
    Molecule(np.array([8, 1, 1], np.uint8), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]], np.float32)),
    Molecule(
        np.array([6, 1, 1, 1, 1], np.uint8),
        np.array([[0, 0, 0], [C, C, C], [C, -C, -C], [-C, C, -C], [-C, -C, C]], np.float32),
    ),
    Molecule(
        np.array([7, 1, 1, 1], np.uint8),
        np.array([[0, 0, 0.11], [0.94, 0, -0.26], [-0.47, 0.81, -0.26], [-0.47, -0.81, -0.26]], np.float32),
    ),
    Molecule(np.array([8, 6, 8], np.uint8), np.array([[0, 0, 1.16], [0, 0, 0], [0, 0, -1.16]], np.float32)),
]
"""Water, methane, ammonia and carbon dioxide."""


def denoiser(precision: str, hidden: int = 32, layers: int = 3) -> Denoiser:
    torch.manual_seed(0)
    config = EGNNConfig(hidden=hidden, layers=layers, aggregation="sum", divisor=4, radial=16, cutoff=5)
    network = EGNN(config, channels=4, dims=3, conditions={})
    nn.init.normal_(network.out.weight, std=hidden**-0.5)  # else features are 0
    schedule = SCHEDULES["edm"](sigma_min=0.002, sigma_max=20.0)
    return Denoiser(network, schedule, precision=precision)


def test_bf16_is_close_to_float32() -> None:
    """The predictions for positions and for features have a small relative error, since positions stay in float32."""
    x, space = CODEC.encode(MOLECULES * 4)
    sigma = torch.logspace(-2, 1, space.batch)
    x = x + space.expand(sigma) * space.noise(streams(0, "precision", range(space.batch)))
    with torch.no_grad():
        exact, rough = (denoiser(p, hidden=64, layers=5).predict(x, sigma, space) for p in ("float32", "bf16"))
    for part in (slice(3), slice(3, None)):
        assert 0 < relative(rough[:, part], exact[:, part]) < 0.02


def relative(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm() / truth.norm())


def learn(precision: str, compiled: bool = False, steps: int = 200) -> tuple[Tensor, Denoiser]:
    """Return the losses of a short training and the trained denoiser."""
    training = Training(denoiser(precision), optim=OptimConfig(lr=2e-3, warmup=20))
    if compiled:
        training.module.backbone.compile()
    x, space = CODEC.encode(MOLECULES * 4)
    records = fit(training, lambda step: Batch(x, space), steps=steps, batch_size=space.batch)
    return torch.tensor([record.loss for record in records]), training.module


def gap(losses: Tensor, others: Tensor) -> float:
    """Return the mean absolute difference of two loss curves with the same noise, relative to their mean."""
    return float((losses - others).abs().mean() / others.mean())


def test_bf16_learns_as_float32() -> None:
    exact, _ = learn("float32")
    rough, trained = learn("bf16")
    assert exact[-50:].mean() < 0.8 * exact[:20].mean()
    assert 0 < gap(rough, exact) < 0.02
    assert abs(rough[-50:].mean() / exact[-50:].mean() - 1) < 0.02
    assert all(p.dtype == torch.float32 for p in trained.parameters())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-3), ("bf16", 0.02)])
def test_compiled_learns_as_float32(precision: str, bound: float) -> None:
    torch._dynamo.reset()
    exact, _ = learn("float32", steps=100)
    compiled, _ = learn(precision, compiled=True, steps=100)
    assert gap(compiled, exact) < bound

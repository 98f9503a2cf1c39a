"""Few-step training on a ring of eight unequal Gaussians: how near samples of 1, 2 and 4 evaluations come to the data.

    python benchmarks/few_step.py [STEPS]

Each objective trains the same perceptron from the same seed on the same batches, for the same number of steps. What is
printed is the sliced Wasserstein-2 distance of 8,000 samples to as many data, over the data's standard deviation: the
root mean square over 64 directions of the distances between sorted projections. Two sets of data, the floor, are first.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polydiff import (
    SCHEDULES,
    Batch,
    Denoiser,
    Euclidean,
    Loss,
    Training,
    build_backbone,
    fit,
    sample,
    stream,
    streams,
)
from polydiff.backbones.config import MLPConfig
from polydiff.contract.sections.training import OptimConfig
from polydiff.gaussian.objective.base import OBJECTIVES
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.step_size import StepSize
from polydiff.testing.problems import ring

EXACT = ring(10, 8)
UNIT = EXACT.moved(torch.zeros(2), 1 / EXACT.sigma_data)
DENOISING = {"loss.times": "log_normal", "loss.times_options": {"mean": -0.4, "std": 1.2}, "sample.sampler": "euler"}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "denoising": DENOISING,
    **{name: OBJECTIVES[name].suits for name in ("ect", "shortcut", "mean_flow")},
}
BATCH, SAMPLES = 256, 8000


def data(n: int, seed: int) -> Tensor:
    """Return n points of the ring, of unit variance."""
    generator = stream(seed, "data")
    k = torch.multinomial(UNIT.share, n, True, generator=generator)
    return UNIT.means[k] + UNIT.variances[k].sqrt() * torch.randn(n, 2, generator=generator, dtype=torch.float64)


def distance(a: Tensor, b: Tensor) -> float:
    """Return the sliced Wasserstein-2 distance of two sets of n points."""
    angle = torch.arange(64, dtype=torch.float64) / 64 * math.pi
    directions = torch.stack([angle.cos(), angle.sin()])
    sorted_a, sorted_b = ((x.double() @ directions).sort(0).values for x in (a, b))
    return (sorted_a - sorted_b).square().mean().sqrt().item()


def train(name: str, steps: int, hidden: int = 128) -> Denoiser:
    """Return the averaged denoiser that an objective trains."""
    words = METHODS[name]
    torch.manual_seed(0)
    config = MLPConfig(hidden=hidden, layers=2, step_size=bool(words.get("backbone.step_size")))
    denoiser = Denoiser(build_backbone(config, channels=2, dims=0, conditions={}), SCHEDULES["edm"]())
    loss = Loss(times=words["loss.times"], times_options=words["loss.times_options"])
    training = Training(denoiser, OBJECTIVES[name](loss), OptimConfig(lr=2e-3, decay="cosine"))
    space = Euclidean(BATCH, (2,))
    for _ in fit(
        training,
        lambda step: Batch(data(BATCH, step).float(), space),
        steps=steps,
        batch_size=BATCH,
    ):
        pass
    return training.ema


def samples(name: str, denoiser: Denoiser, evaluations: int) -> Tensor:
    """Return samples by this many evaluations, by the sampler that suits the objective."""
    sampler = METHODS[name]["sample.sampler"]
    levels = noise_levels(denoiser.schedule, evaluations, "flow")
    how = StepSize(denoiser, SAMPLERS[sampler](levels)) if sampler == "shortcut" else denoiser
    generators = streams(5, "sample", range(SAMPLES))
    return sample(how, Euclidean(SAMPLES, (2,)), generators=generators, levels=levels, sampler=sampler)


def measure(name: str, steps: int, hidden: int = 128) -> dict[int, float]:
    """Return number of evaluations -> distance to the data."""
    denoiser = train(name, steps, hidden)
    return {n: distance(samples(name, denoiser, n), data(SAMPLES, -1)) for n in (1, 2, 4)}


def main(steps: int = 6000) -> None:
    """Print the table."""
    print(f"two sets of data: {distance(data(SAMPLES, -1), data(SAMPLES, -2)):.3f}")
    print("| objective | 1 | 2 | 4 | seconds of training |\n|---|---|---|---|---|")
    for name in METHODS:
        began = time.process_time()
        found = measure(name, steps)
        seconds = time.process_time() - began
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in found.values())} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(int, sys.argv[1:]))

"""A process that is not Gaussian, in one file: masked binary pixels.

    polydiff train --domain image process=binary_pixels --plugin examples/binary_pixels.py

Each pixel is -1 or 1. The forward process masks pixels (0) independently with probability t. The network predicts the
probability of 1 at masked pixels, and sampling unmasks pixels in a few steps (Sahoo et al., MDLM, 2024,
https://arxiv.org/abs/2406.07524). Training, checkpoints, sampling, evaluation and the report need nothing more.

Symbols: x pixels (B, C, H, W), t share of masked pixels, u uniform number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff import Batch, UserError, streams
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.process.process import PROCESSES
from polydiff.core.process.sampling import Draw


class Logits(nn.Module):
    """The logit of each pixel's probability of 1, by the domain's backbone.

    Arguments:
        backbone: Called as backbone(x, log noise level, space, cond); the level is always 0.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor, space: Any, cond: Any) -> Tensor:
        return self.backbone(x, x.new_zeros(len(x)), space, cond)


class CrossEntropy(Objective[Logits]):
    """The cross-entropy of masked pixels over t: a bound on -log p per pixel."""

    def __call__(
        self, module: Logits, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        ones = (batch.x > 0).to(batch.x)
        t = u.to(batch.x)[:, None, None, None]
        masked = uniforms(generators, ones.shape[1:]) < t
        logits = module(torch.where(masked, 0.0, 2 * ones - 1), batch.space, batch.cond)
        loss = functional.binary_cross_entropy_with_logits(logits, ones, reduction="none")
        return Outcome((loss * masked / t).mean((1, 2, 3)), u)

    def describe(self, module: Logits, level: Tensor) -> str:
        return f"share of masked pixels {level.item():.3g}"


@dataclass(frozen=True)
class Unmasking:
    """A plan of n steps, each of which unmasks an equal share of the pixels."""

    model: Any
    how: Any

    def evaluations(self, guided: bool) -> int:
        return int(self.how.steps)

    @torch.no_grad()
    def run(self, draw: Draw, guide: Any = None) -> Tensor:
        generators = streams(draw.seed, "sample", draw.indices, self.model.device)
        x = torch.zeros(len(draw.indices), *draw.space.shape, device=self.model.device)
        for step in range(self.how.steps, 0, -1):
            p = self.model.denoiser(x, draw.space, draw.cond).sigmoid()
            value = torch.where(uniforms(generators, x.shape[1:]) < p, 1.0, -1.0)
            unmasked = (x == 0) & (uniforms(generators, x.shape[1:]) < 1 / step)
            x = torch.where(unmasked, value, x)
        return x


@dataclass(frozen=True)
class BinaryPixels:
    """The process, registered under the name that `process=` takes."""

    name: str = "binary_pixels"
    keys: tuple[str, ...] = ()  # of the keys that only a process reads, such as sample.sampler

    def check(self, config: Any) -> None:
        if config.domain != "image":
            raise UserError(f"process={self.name} needs pictures (--domain image), not the domain {config.domain}.")

    def network(self, config: Any, domain: Any, device: torch.device) -> Logits:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Logits(domain.backbone()).to(device)

    def objective(self, config: Any) -> CrossEntropy:
        return CrossEntropy()

    def plan(self, model: Any, how: Any) -> Unmasking:
        return Unmasking(model, how)

    def prior(self, space: Any, generators: Sequence[torch.Generator]) -> Tensor:
        return space.noise(generators).sign()

    def evaluate(self, network: Logits, batch: Batch) -> None:
        network(batch.x, batch.space, batch.cond)


def uniforms(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Return uniform numbers (B, *shape), those of sample i from generator i alone."""
    return torch.stack([torch.rand(tuple(shape), generator=g, device=g.device) for g in generators])


PROCESSES.register("binary_pixels")(BinaryPixels())

"""Cases that several tests share: guidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from oracles import dense, euclidean, packed
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.guidance.classifier import Classifier
from polydiff.gaussian.guidance.guided import Autoguidance, ClassifierFree, Guided
from polydiff.gaussian.guidance.method import GUIDANCE, Linear
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.closed_forms import EDM

SPACES: dict[str, Callable[[int], Space]] = {
    "euclidean": euclidean,
    "dense": lambda b: dense(b, 4),
    "packed": lambda b: packed(b, 4),
}


HOW: dict[str, Any] = {"steps": 6, "sampler": "ddim", "spacing": "karras", "eta": 0.5}


@dataclass
class Curved:
    """A smooth nonlinear estimate, equivariant to rotations and permutations, with a condition y."""

    strength: float = 0.3
    schedule: Schedule = field(default_factory=lambda: EDM(sigma_max=5.0))
    sigma_data: float = 1.0
    calls: int = 0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.calls += 1
        unit = x / space.expand(torch.sqrt(1 + sigma**2))
        y = torch.zeros_like(sigma) if cond is None else cond["y"].to(sigma)
        bend = unit * torch.tanh((unit * unit).sum(-1, keepdim=True))
        return space.project(unit / space.expand(torch.sqrt(1 + sigma**2)) + space.expand(self.strength + y) * bend)


def guided(name: str, scale: float = 3.0, **options: Any) -> Guided:
    """Return the curved denoiser guided by a method of the registry, for the plan `HOW`."""
    denoiser = Curved()
    return Guided(denoiser, GUIDANCE[name](scale, plan(denoiser.schedule, **HOW), **options))


def likely(x: State, sigma: Tensor, space: Space) -> Tensor:
    """Return a log-likelihood that is invariant to rotations of the state, (B,)."""
    return -space.dim / 2 * torch.log(1 + sqnorm(space, x) / space.dim + sigma**2)


def negative(space: Space) -> Guided:
    """Return guidance away from y = -0.2."""
    return Guided(Curved(), Linear(2.0), negative={"y": torch.full((space.batch,), -0.2)})


WRAPPERS: dict[str, Callable[[Space], Denoise]] = {
    "cfg": lambda space: guided("cfg"),
    "rescale": lambda space: guided("cfg", rescale=0.7),
    "interval": lambda space: ClassifierFree(Curved(), 3.0, (0.2, 2.0)),
    "cfg_pp": lambda space: guided("cfg_pp", 0.6),
    "apg": lambda space: guided("apg", eta=0.2, radius=0.1, momentum=-0.5),
    "cfg_zero": lambda space: guided("cfg_zero", zero_steps=1),
    "auto": lambda space: Autoguidance(Curved(), Curved(0.1), 2.0),
    "negative": negative,
    "classifier": lambda space: Classifier(Curved(), likely, 2.0),
}


def condition(indices: list[int]) -> Condition:
    """Return a condition with another value for each sample."""
    return {"y": torch.tensor([0.2 + 0.1 * i for i in indices], dtype=torch.float64)}


def draw(wrapper: str, space: Space, indices: list[int]) -> State:
    """Return samples of a wrapped denoiser."""
    denoise = WRAPPERS[wrapper](space)
    return sample(denoise, space, condition(indices), generators=streams(0, "x", indices), **HOW)


def state(space: Space, scale: float = 1.0) -> State:
    """Return a random state on a space."""
    return scale * space.noise(streams(7, "state", range(space.batch)))


def level(space: Space, sigma: float) -> Tensor:
    """Return the same noise level for each sample, (B,)."""
    return torch.full((space.batch,), sigma, dtype=torch.float64)

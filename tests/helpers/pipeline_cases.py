"""Small pipelines: of images without training, with a stage that follows another, and a trained latent one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from clouds import awaken
from tiny_runs import SMALL_NETS

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.backbone import build_backbone
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain, Samples
from polydiff.core.conditions import Vector
from polydiff.core.space import normal
from polydiff.model.model import Model

SMALL: dict[str, Any] = {**SMALL_NETS["image"], "sample.steps": 3}
LATENT: dict[str, Any] = {
    "domain": "image",
    "common": {
        "train.steps": 6,
        "train.batch_size": 8,
        "train.checkpoint_every": 2,
        "train.log_every": 1,
        "train.keep": 9,
        "train.sample_every": 6,
        "backbone.channels": 16,
        "backbone.blocks": 1,
    },
    "stages": {"ae": {"learn": "encode", "backbone.widest": 16}, "ldm": {"codec": "ae", "sample.steps": 3}},
    "sample": {"ldm": {"guidance": 1}},
}
"""Contents of the file of a latent diffusion of a few steps."""


class Follower:
    """Images that are also conditioned on the mean brightness of an earlier stage's images, "echo"."""

    def __init__(self, domain: Domain) -> None:
        self.__wrapped__ = domain
        self.levels: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    @property
    def conditions(self) -> dict[str, Any]:
        return {**self.__wrapped__.conditions, "echo": Vector(1)}

    def blank(self, generators: Sequence[torch.Generator], requested: Any) -> Any:
        space, cond = self.__wrapped__.blank(generators, requested)
        return space, {**(cond or {}), "echo": torch.full((len(generators), 1), torch.nan)}

    def backbone(self) -> Any:
        config = self.__wrapped__.config  # type: ignore[attr-defined]
        return build_backbone(config.backbone, channels=1, dims=2, conditions=self.conditions)

    def follow(self, samples: Samples, generators: Sequence[torch.Generator], level: float = 0.0) -> dict[str, Any]:
        self.levels.append(level)
        means = torch.stack([image.float().mean() / 255 for image in samples.examples])
        return {"echo": means[:, None] + level * normal(generators, (1,))}


def images(**more: Any) -> Model:
    """A model of digits whose weights are random, so that every input changes its samples."""
    config = resolve("image", values={**SMALL, **more}).config
    return of_domain(config, build_domain(config))


def followers(misfit: str | None = None, **more: Any) -> Model:
    """Such a model that follows another stage.

    Arguments:
        misfit: Why an earlier stage does not fit; None: every one does.
        more: Keys of its configuration.
    """
    config = resolve("image", values={**SMALL, **more}).config
    own = type("Following", (type(config),), {"misfit": lambda self, earlier: misfit})
    return of_domain(own(**config.model_dump()), Follower(build_domain(config)))  # type: ignore[arg-type]


def of_domain(config: Any, domain: Domain) -> Model:
    denoiser = build_denoiser(config, domain, torch.device("cpu"))
    awaken(denoiser, config.seed)
    return Model(config, domain, denoiser.eval())


def stacked(samples: Samples) -> torch.Tensor:
    return torch.stack(list(samples.examples))


def checkpoint_bits(run: Path) -> bytes:
    """The newest weights and averages of a run."""
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return b"".join((newest / name).read_bytes() for name in ("model.safetensors", "ema.safetensors"))

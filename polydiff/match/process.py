"""`learn=match`: a run that trains a contrastive pair.

Its methods are those of `polydiff.core.process.process.Process` and `Embeds`, documented there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from polydiff.contract.backbone import check_learner
from polydiff.core.conditions import Condition
from polydiff.core.objective import Objective
from polydiff.core.process.process import LEARNERS, Trained
from polydiff.core.space import State
from polydiff.machine.device import pick_precision
from polydiff.match.module import Pair
from polydiff.match.objective import Contrast

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config


@dataclass(frozen=True)
class Matching:
    """The training of a contrastive pair, which generates nothing."""

    name: str = "match"
    suits: ClassVar[Mapping[str, Any]] = {
        "backbone.name": "tower",
        "optim.lr": 1e-3,
        "optim.warmup": 50,
        "optim.decay": "cosine",
        "train.batch_size": 128,
        "train.condition_dropout": 0.0,
    }

    suits_codes: ClassVar[Mapping[str, Any]] = {"backbone.name": "mlp", "sample.guidance": 1.0}

    @property
    def keys(self) -> Collection[str]:
        return ("backbone.text", "train.condition_dropout")

    def check(self, config: Config) -> None:
        check_learner(config, "tower")

    def network(self, config: Config, domain: Domain, device: torch.device) -> Pair:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = domain.backbone()
        return Pair(network, pick_precision(config.train.precision, device)).to(device)

    def objective(self, config: Config) -> Objective[Any]:
        return Contrast()

    @torch.no_grad()
    def embed(self, model: Trained, x: State, cond: Condition) -> tuple[Tensor, Tensor]:
        own = {name: value.to(model.device) for name, value in cond.items()}
        vectors = model.denoiser.embed(x.to(model.device)), model.denoiser.embed_text(own, len(x))
        return vectors[0].cpu(), vectors[1].cpu()


LEARNERS.register("match")(Matching())

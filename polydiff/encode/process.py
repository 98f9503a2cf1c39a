"""`learn=encode`: a run that trains an autoencoder.

Its methods are those of `polydiff.core.process.Process` and `Reconstructs`, documented there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from polydiff.contract.backbone import check_role
from polydiff.core.objective import Objective
from polydiff.core.process import LEARNERS, Trained
from polydiff.core.space import Batch, State, normal
from polydiff.encode.module import Encoder
from polydiff.encode.objective import Reconstruct, channel_std, nats
from polydiff.machine.device import pick_precision
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections import Config


@dataclass(frozen=True)
class Encoding:
    """The training of an autoencoder, which generates nothing by itself."""

    name: str = "encode"
    suits: ClassVar[Mapping[str, Any]] = {
        "backbone.name": "autoencoder",
        "optim.lr": 2e-3,
        "train.condition_dropout": 0.0,
    }

    @property
    def keys(self) -> Collection[str]:
        return ()

    def check(self, config: Config) -> None:
        check_role(config.backbone.name, "codec", "learn=encode")
        if config.codec is not None:
            raise UserError("learn=encode trains a codec on examples. Leave out codec.")
        task = getattr(config, "task", "generate")
        if task != "generate":
            raise UserError(f"learn=encode has no tasks. Leave out task={task}.")

    def network(self, config: Config, domain: Domain, device: torch.device) -> Encoder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = domain.backbone()
        return Encoder(network, pick_precision(config.train.precision, device)).to(device)

    def objective(self, config: Config) -> Objective[Any]:
        return Reconstruct(config.encode)

    @torch.no_grad()
    def reconstruct(self, model: Trained, batch: Batch, error: float, generators: Sequence[torch.Generator]) -> State:
        x = batch.x.to(model.device)
        z, _ = model.denoiser.encode(x)
        if error:
            z = z + error * channel_std(z) * normal(generators, z.shape[1:]).to(z)
        made: State = model.denoiser.decode(z, x.shape[2:]).cpu()
        return made

    @torch.no_grad()
    def rate(self, model: Trained, batch: Batch) -> tuple[torch.Tensor, float]:
        x = batch.x.to(model.device)
        mean, log_variance = model.denoiser.encode(x)
        return nats(mean, log_variance).cpu(), x[0].numel() / mean[0].numel()


LEARNERS.register("encode")(Encoding())

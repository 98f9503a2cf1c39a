"""`learn=encode`: a run that trains an autoencoder.

Its methods are those of `polydiff.core.process.process.Process` and `Reconstructs`, documented there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from polydiff.contract.backbone import check_learner
from polydiff.core.objective import Objective
from polydiff.core.process.process import LEARNERS, Trained
from polydiff.core.space import Batch, Euclidean, State
from polydiff.core.streams import streams
from polydiff.encode.codes import channel_std, nats
from polydiff.encode.module import Encoder
from polydiff.encode.objective import Reconstruct
from polydiff.encode.spectra import WINDOWS
from polydiff.machine.device import pick_precision
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config


@dataclass(frozen=True)
class Encoding:
    """The training of an autoencoder, which generates nothing by itself."""

    name: str = "encode"
    suits: ClassVar[Mapping[str, Any]] = {
        "backbone.name": "autoencoder",
        "optim.lr": 2e-3,
        "optim.warmup": 50,
        "optim.decay": "cosine",
        "train.condition_dropout": 0.0,
    }

    @property
    def keys(self) -> Collection[str]:
        return ("encode",)

    def check(self, config: Config) -> None:
        check_learner(config, "codec")

    def network(self, config: Config, domain: Domain, device: torch.device) -> Encoder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = domain.backbone()
        if config.encode.spectral:
            check_spectral(domain)
        if config.encode.shrink:
            check_shrink(domain)
        return Encoder(network, pick_precision(config.train.precision, device)).to(device)

    def objective(self, config: Config) -> Objective[Any]:
        return Reconstruct(config.encode)

    @torch.no_grad()
    def reconstruct(self, model: Trained, batch: Batch, error: float, generators: Sequence[torch.Generator]) -> State:
        x, space, _ = batch.to(model.device)
        z, _, codes = model.denoiser.encode(x, space)
        if error:
            z = z + error * channel_std(z, codes) * codes.noise(generators).to(z)
        made: State = model.denoiser.decode(z, space).cpu()
        return made

    @torch.no_grad()
    def rate(self, model: Trained, batch: Batch) -> tuple[torch.Tensor, float]:
        x, space, _ = batch.to(model.device)
        codes = model.denoiser.encode(x, space)
        return nats(*codes).cpu(), float(space.dim.sum() / codes.space.dim.sum())


def check_spectral(domain: Domain) -> None:
    """Raise UserError unless states are waveforms (B, C, T) that are long enough for a spectrum."""
    space, _ = domain.blank(streams(0, "blank", [0]), {})
    shape = space.shape if isinstance(space, Euclidean) else ()
    if len(shape) != 2 or shape[1] < WINDOWS[0]:
        raise UserError(
            f"encode.spectral compares spectra of waveforms of at least {WINDOWS[0]} samples. Set encode.spectral=0."
        )


def check_shrink(domain: Domain) -> None:
    """Raise UserError unless states are on a grid, which has a half of its sides."""
    space, _ = domain.blank(streams(0, "blank", [0]), {})
    if not isinstance(space, Euclidean):
        raise UserError("encode.shrink compares grids of half the sides, and these data are none. Set encode.shrink=0.")


LEARNERS.register("encode")(Encoding())

"""How a network comes to be: from a configuration, with the weights of a checkpoint, on a device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.checkpoint import STEP, Checkpoint, latest
from polydiff.config import Config
from polydiff.device import pick_device as pick_device
from polydiff.device import pick_precision as pick_precision
from polydiff.domain import Domain
from polydiff.ema import reconstruct
from polydiff.errors import UserError
from polydiff.processes import process_of
from polydiff.run import Run


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Return the newest checkpoint of a run's folder, or the one whose folder this is."""
    path = Path(path)
    return Checkpoint.load(path if STEP.fullmatch(path.resolve().name) else latest(Run.open(path).checkpoints))


def average(path: Path | str, checkpoint: Checkpoint, ema: float) -> dict[str, Tensor]:
    """Return the parameters' average of a width, from a checkpoint and the snapshots of its run."""
    if not checkpoint.averages:
        raise UserError(f"{path} keeps no averages to make another from. Train with train.ema_snapshots=16.")
    place = Path(path).resolve()
    run = Run(place.parent.parent if STEP.fullmatch(place.name) else place)
    return reconstruct(run.averages, checkpoint.step, checkpoint.averages, ema)


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Any:
    """Return the untrained network of a configuration, as its process makes it; its weights follow from the seed."""
    return process_of(config).network(config, domain, device)


def load_weights(denoiser: nn.Module, weights: Mapping[str, Tensor], source: str = "The checkpoint") -> None:
    """Load weights into a network; names or shapes that differ are a `UserError` that names their source."""
    own = denoiser.state_dict()
    different = {
        "are missing": sorted(own.keys() - weights.keys()),
        "are unknown": sorted(weights.keys() - own.keys()),
        "have another shape": sorted(n for n in own.keys() & weights.keys() if own[n].shape != weights[n].shape),
    }
    said = [f"{len(names)} tensors {what}, such as {names[0]}" for what, names in different.items() if names]
    if said:
        raise UserError(
            f"{source} does not fit the network that the configuration describes: {'; '.join(said)}. "
            "The backbone and its settings, and the conditions of the data, must be those of its run."
        )
    denoiser.load_state_dict(dict(weights))

"""How a denoiser comes to be: from a configuration, with the weights of a checkpoint, on a device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from polydiff.checkpoint import STEP, Checkpoint, latest
from polydiff.config import Config
from polydiff.denoise import Denoiser
from polydiff.domain import Domain
from polydiff.ema import reconstruct
from polydiff.errors import UserError
from polydiff.objective.base import build_objective
from polydiff.run import Run
from polydiff.schedule import SCHEDULES


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


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Denoiser:
    """Return the untrained denoiser that a configuration describes; its weights follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = domain.backbone()
    schedule = SCHEDULES[config.schedule](**config.schedule_options)
    precision = pick_precision(config.train.precision, device)
    aids, told = build_objective(config).loss.aids(), config.backbone.self_condition
    denoiser = Denoiser(backbone, schedule, config.target, precision=precision, aids=aids, self_condition=told)
    return denoiser.to(device)


def load_weights(denoiser: Denoiser, weights: Mapping[str, Tensor], source: str = "The checkpoint") -> None:
    """Put weights into a denoiser; names or shapes that differ are a `UserError` that names their source."""
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


def pick_device(name: str) -> torch.device:
    """Return the device that a configuration names; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UserError(f"device={name} is not a device's name; auto, cpu, cuda and cuda:1 are.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}, but torch sees no such GPU here. Use device=cpu, or ask `polydiff doctor`.")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """Return "float32" or "bf16"; "auto" is bf16 on a GPU or a CPU that has instructions for it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "float32"

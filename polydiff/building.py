"""How a denoiser comes to be: from a configuration, on a device."""

from __future__ import annotations

import torch

from polydiff.checkpoint import load_weights as load_weights
from polydiff.checkpoint import open_checkpoint as open_checkpoint
from polydiff.config import Config
from polydiff.denoise import Denoiser
from polydiff.domain import Domain
from polydiff.errors import UserError
from polydiff.loss import Loss
from polydiff.schedule import SCHEDULES
from polydiff.snapshots import average as average


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Denoiser:
    """Return the untrained denoiser that a configuration describes; its weights follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = domain.backbone()
    schedule = SCHEDULES[config.schedule](**config.schedule_options)
    precision = pick_precision(config.train.precision, device)
    loss = Loss(times=config.loss.times, times_options=config.loss.times_options, weighting=config.loss.weighting)
    told = config.backbone.self_condition
    denoiser = Denoiser(backbone, schedule, config.target, precision=precision, aids=loss.aids(), self_condition=told)
    return denoiser.to(device)


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
